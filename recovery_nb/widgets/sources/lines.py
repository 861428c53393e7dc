"""The sources, a line each: how each stands, what it holds, whether it is still there; found, sorted, in pages."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recovery_nb.audit.values import printable
from recovery_nb.case import Case, Scan
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.resolve import shown
from recovery_nb.compare.standing import Standing, standing
from recovery_nb.compare.trust import Confidence
from recovery_nb.errors import BadInputError
from recovery_nb.facts import Inferred, inferred_collections
from recovery_nb.verbs.scan import latest_sources

__all__ = ["UNNAMED", "Line", "Order", "Part", "is_there", "lines", "ordered"]

_TRUST = {Confidence.HIGH: 0, Confidence.MEDIUM: 1, Confidence.LOW: 2}
UNNAMED = "(not named)"
_LONGEST = 1_000


@dataclass(frozen=True, slots=True)
class Part:
    """What a source holds of one collection.

    Attributes:
        name: The collection, as the database calls it; "(not named)" where nothing says.
        records: How many records of it; of a time-series, measurements.
        because: What says that they are its records, where the source does not name it; else "".
    """

    name: str
    records: int
    because: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One source.

    Attributes:
        entry: What the catalog says of it.
        path: Where it is, as text.
        near: The same as a user would type it: relative where it is below the working folder.
        parts: What it holds, the most first.
        standing: How far it can be trusted.
        earlier: Whether this scan did not find it, but an earlier one of the case.
    """

    entry: SourceEntry
    path: str
    near: str
    parts: tuple[Part, ...]
    standing: Standing
    earlier: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """Which lines are looked at, and in which order.

    Attributes:
        text: A part of the path or of a collection's name, in any case.
        sort: "taken", "path", "records" or "trust".
        descending: The last first; of the time, the newest.
    """

    text: str = ""
    sort: str = "taken"
    descending: bool = True

    def changed(self, values: Mapping[str, Any]) -> Order:
        """Return it as a browser asks for it.

        Raises:
            BadInputError: What was sent cannot be used.
        """
        given = {name: values[name] for name in ("text", "sort", "descending") if name in values}
        one = replace(self, **given)
        if not isinstance(one.text, str) or not isinstance(one.descending, bool) or one.sort not in _KEYS:
            raise BadInputError("this order of sources is not known", hint="load the page anew")
        return replace(one, text=one.text[:_LONGEST])


_KEYS = {
    "taken": lambda line: line.entry.taken_at,
    "path": lambda line: line.path,
    "records": lambda line: line.entry.records,
    "trust": lambda line: _TRUST[line.standing.trust],
}


def lines(case: Case, scan: Scan, *, database: str = "") -> list[Line]:
    """Return the sources of a scan, and those of the case's earlier scans that are still there.

    Args:
        case: The case.
        scan: What was found.
        database: The name of the database, "" where that is not known.
    """
    copies = Counter(of for _, of in scan.copies)
    found = {entry.id for entry in scan.sources}
    paths = {entry.path for entry in scan.sources}
    earlier = [
        entry
        for entry in latest_sources(case.catalog)
        if entry.id not in found and entry.path not in paths and is_there(entry.path)
    ]
    inferred = {**inferred_collections([*scan.sources, *earlier], {}), **scan.inferred}

    def line(entry: SourceEntry) -> Line:
        found = standing(
            entry, database=database, doubts=scan.doubts.get(entry.id, ()), copies=copies.get(entry.path, 0)
        )  # fmt: skip
        return _line(entry, found, inferred)

    return [*map(line, scan.sources), *(_of_an_earlier_scan(line(entry)) for entry in earlier)]


def _of_an_earlier_scan(line: Line) -> Line:
    """Return a line whose source was not looked at again: of a backup, all files would have to be read for it."""
    found = line.standing
    return replace(
        line, earlier=True, standing=replace(found, reasons=(*found.reasons, "as it was when it was scanned"))
    )


def _line(entry: SourceEntry, found: Standing, inferred: Inferred) -> Line:
    name, reason = inferred.get(entry.id, ("", ""))
    unnamed = reason or "the source does not name it"
    parts = [
        Part(shown(given), count) if given else Part(name or UNNAMED, count, unnamed)
        for given, count in entry.collections.items()
    ]
    return Line(
        entry, printable(entry.path), _near(entry.path), tuple(sorted(parts, key=lambda part: -part.records)), found
    )  # fmt: skip


def _near(path: Path) -> str:
    try:
        return printable(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # it is elsewhere; or the working folder is gone
        return printable(path)


def is_there(path: Path) -> bool:
    """Whether a source, or the archive that it is in, is on disk; archives are not opened for it."""
    there = path
    while not os.path.exists(there) and there != there.parent:  # noqa: PTH110 - Path.exists raises on a long name
        there = there.parent
    return there == path or there.is_file()


def ordered(found: Sequence[Line], order: Order) -> list[Line]:
    """Return the lines that are looked for, in their order; those of earlier scans come last."""
    wanted = order.text.casefold()
    matching = [
        line
        for line in found
        if not wanted
        or wanted in line.path.casefold()
        or any(wanted in part.name.casefold() for part in line.parts)
    ]  # fmt: skip
    matching.sort(key=lambda line: line.path)
    matching.sort(key=_KEYS[order.sort], reverse=order.descending)
    matching.sort(key=lambda line: line.earlier)
    return matching
