"""Which source holds how much of which collection, and where that is more than the database has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recovery_nb.audit.values import printable
from recovery_nb.reports import Report
from recovery_nb.reports.html import Markup, table
from recovery_nb.widgets.sources.lines import UNNAMED, Line

__all__ = ["Coverage", "Held", "coverage", "html"]

_SERVERS_OWN = "system."
_SOURCES = 8
"""How many sources the static table shows, the newest."""
MORE = "▲"
"""The sign of more than the database holds."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is held of one collection.

    Attributes:
        collection: Its name.
        database: How many records the database has; None where they were not counted.
        most: How many the fullest source has.
        sources: How many each source has, by its id.
    """

    collection: str
    database: int | None
    most: int
    sources: Mapping[str, int]

    @property
    def lacking(self) -> int:
        """How many more the fullest source holds than the database; 0 where that was not counted."""
        return 0 if self.database is None else max(0, self.most - self.database)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The collections, those first of which the database lacks most.

    Attributes:
        rows: The collections.
        counted: Whether the database was read.
    """

    rows: tuple[Held, ...]
    counted: bool

    @property
    def short(self) -> int:
        """Of how many collections a source holds more than the database."""
        return sum(bool(row.lacking) for row in self.rows)


def coverage(found: Sequence[Line], report: Report | None) -> Coverage:
    """Return which source holds how much of what.

    Args:
        found: The sources.
        report: What the database holds; None where that is not known.
    """
    counted = report is not None and report.database.connected
    counts = report.database.collections if report is not None and counted else {}
    held: dict[str, dict[str, int]] = defaultdict(dict)
    # The report counts neither the measurements of a time-series nor what is the server's own.
    apart: set[str] = set()
    for line in found:
        apart |= {name for name in line.entry.buckets if name not in counts}
        for part in line.parts:
            by_source = held[printable(part.name)]
            by_source[line.entry.id] = by_source.get(line.entry.id, 0) + part.records
    rows = [
        Held(name, _count(name, counts, apart) if counted else None, max(by.values(), default=0), by)
        for name, by in {**{name: {} for name in counts}, **held}.items()
    ]
    return Coverage(tuple(sorted(rows, key=lambda row: (-row.lacking, row.collection))), counted)


def _count(name: str, counts: Mapping[str, int], apart: set[str]) -> int | None:
    if name in apart or name.startswith(_SERVERS_OWN) or name == UNNAMED:
        return None
    return counts.get(name, 0)


def html(one: Coverage, found: Sequence[Line]) -> Markup:
    """Show it without a kernel: the newest sources, and of all the one that holds most.

    Args:
        one: Which source holds how much.
        found: The sources, the newest first.
    """
    if not one.rows:
        return Markup()
    first = found[:_SOURCES]
    heads = ["collection", "in the database", "most in one source", *(line.entry.name[:40] for line in first)]
    rows = (
        [row.collection, _told(row.database), _most(row), *(_cell(row, line) for line in first)]
        for row in one.rows
    )  # fmt: skip
    shown = f" (the newest {len(first):,} of {len(found):,} sources)" if len(found) > len(first) else ""
    caption = f"What does each source hold of each collection?{shown} {MORE} more than the database"
    return table(heads, rows, total=len(one.rows), caption=caption)


def _told(count: int | None) -> object:
    return "not counted" if count is None else count


def _most(row: Held) -> object:
    return f"{MORE} {row.most:,} ({row.lacking:,} more)" if row.lacking else row.most


def _cell(row: Held, line: Line) -> object:
    count = row.sources.get(line.entry.id)
    if count is None:
        return ""
    return f"{MORE} {count:,}" if row.database is not None and count > row.database else count
