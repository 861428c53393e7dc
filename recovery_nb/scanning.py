"""What a scan found, and how sources that were discovered come into the catalog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from recovery_nb.audit.values import printable
from recovery_nb.backups import doubted
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.compare.resolve import place
from recovery_nb.compare.standing import TYPES, age, is_weakly_dated, said_by, standing
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Emit, silent
from recovery_nb.reports.html import Markup, facts, join, table
from recovery_nb.sources.base import FileSource, Kind
from recovery_nb.sources.discover import Discovery

if TYPE_CHECKING:
    import pandas as pd

    from recovery_nb.reports import Report

__all__ = ["Scan", "catalogued", "held_to_its_manifest"]

_UNKNOWN = ("", "nothing says whose they are; name it with --collection")


@dataclass(frozen=True)
class Scan:
    """What a scan found.

    Attributes:
        sources: The sources that can be read, now in the catalog.
        errors: What was named or found and cannot be read, one line each.
        ignored: Files in searched folders that hold no records.
        copies: What holds the same as a source that counts already: its path, and that source's.
        inferred: By the id of a source that names no collection: the one that its records are taken for, and what says
            so; "" where nothing does. It is told from the sources alone until `explained_by` a report.
        doubts: By the id of a source: what its backup's manifest says against it.
    """

    sources: tuple[SourceEntry, ...]
    errors: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()
    copies: tuple[tuple[Path, Path], ...] = ()
    inferred: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    doubts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def explained_by(self, report: Report) -> Scan:
        """Return it with what the report of the same case infers: it knows the fields of the database, too.

        Args:
            report: What `Case.report` returns after the scan.
        """
        told = {(one.digest, one.name, one.kind): next(iter(one.inferred.items()), None) for one in report.sources}
        keys = {entry.id: (entry.digest, entry.name, entry.kind.value) for entry in self.sources}
        found = {name: told.get(keys[name]) or known for name, known in self.inferred.items()}
        return replace(self, inferred=found)

    @property
    def damaged(self) -> bool:
        """Whether anything could not be read, or not wholly."""
        return bool(self.errors) or any(not entry.whole for entry in self.sources)

    @property
    def unread(self) -> tuple[str, ...]:
        """Of the errors, those of what cannot be read; the others are doubts about sources that can."""
        doubts = {doubt for one in self.doubts.values() for doubt in one}
        return tuple(error for error in self.errors if error not in doubts)

    @property
    def headline(self) -> str:
        """What was found, in a sentence."""
        unread = f"{len(self.unread):,} cannot be read" if self.unread else ""
        if not self.sources:
            return f"No backup, export or dump was found{'; ' if unread else ''}{unread}."
        records = sum(entry.records for entry in self.sources)
        found = f"{_counted(len(self.sources), 'source')} with {_counted(records, 'record')}"
        harmed = sum(not entry.whole for entry in self.sources)
        problems = [part for part in (f"{harmed:,} damaged" if harmed else "", unread) if part]
        return f"{'; '.join([found, *problems])}." if problems else f"{found}, all of it readable."

    @property
    def summary(self) -> dict[str, object]:
        """The facts at a glance."""
        return {
            "sources": len(self.sources),
            "records": sum(entry.records for entry in self.sources),
            "damaged": sum(not entry.whole for entry in self.sources),
            "not readable": len(self.errors),
            "ignored": len(self.ignored),
            "copies": len(self.copies),
        }

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The sources as a dataframe, one row each; `collection` and `reason` where a collection was inferred."""
        import pandas as pd  # noqa: PLC0415 - only who looks at it pays for its import

        columns = ["path", "kind", "typing", "records", "taken_at", "taken_from", "size", "whole", "id"]
        rows = [
            [*(getattr(entry, name) for name in columns), *self.inferred.get(entry.id, ("", ""))]
            for entry in self.sources
        ]
        return pd.DataFrame(rows, columns=[*columns, "collection", "reason"])

    def _repr_html_(self) -> str:
        """Show it in a notebook, without a script."""
        newest = sorted(self.sources, key=lambda entry: entry.taken_at, reverse=True)
        heads = ["source", "format", "types", "taken at (UTC)", "age", "records", "trust"]
        now = datetime.now(UTC)
        rows = (_row(entry, now, self.doubts.get(entry.id, ())) for entry in newest)
        inferred = [
            [printable(one.path), name or "?", reason]
            for one in newest
            for name, reason in [self.inferred.get(one.id, ("", ""))]
            if reason
        ]
        copies = [[printable(path), printable(of)] for path, of in self.copies]
        return join(
            self.headline,
            table(heads, rows, total=len(newest), caption="The newest first") if newest else "",
            _listed(["source", "its records are taken for", "because"], inferred, "Collections that were inferred"),
            _listed(["copy", "holds the same as"], copies, "Copies, which are not counted again"),
            _listed(["cannot be read"], [[printable(error)] for error in self.unread], ""),
            _listed(["in doubt"], [[printable(doubt)] for one in self.doubts.values() for doubt in one], ""),
            facts({"ignored": f"{len(self.ignored):,} files that hold no records"}) if self.ignored else "",
        )


def _row(entry: SourceEntry, now: datetime, doubts: Sequence[str]) -> list[object]:
    found = standing(entry, doubts=doubts)
    trust = f"{found.trust}: {'; '.join(found.reasons)}"
    when = f'<span style="white-space: nowrap">{entry.taken_at:%Y-%m-%d %H:%M}</span>'
    says = f'<div style="opacity: 0.75">{escape(said_by(entry))}</div>' if is_weakly_dated(entry) else ""
    path, types = printable(entry.path), TYPES[entry.typing]
    return [
        path, entry.kind.value, types, Markup(when + says), age(entry.taken_at, now), entry.records, printable(trust),
    ]  # fmt: skip


def _counted(count: int, one: str) -> str:
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def _listed(heads: Sequence[str], rows: Sequence[Sequence[object]], caption: str) -> str:
    return table(heads, rows, total=len(rows), caption=caption) if rows else ""


def _inferred(entries: Iterable[SourceEntry]) -> dict[str, tuple[str, str]]:
    """Return, by the id of each source that names no collection, which one the sources alone say it is, and why."""
    sources = list(entries)
    unnamed = [entry for entry in sources if "" in entry.collections]
    try:
        placements, _ = place(sources, {}) if unnamed else ([], [])
    except BadInputError:
        placements = []
    found = {one.source.id: (one.collection, one.reason) for one in placements if not one.given}
    return {entry.id: found.get(entry.id, _UNKNOWN) for entry in unnamed}


def _depth(source: FileSource) -> int:
    """Return how many archives it is in: of copies, the one that is easiest to reach counts."""
    return max((file.depth for file in source.files()), default=0)


def held_to_its_manifest(entry: SourceEntry) -> tuple[SourceEntry, list[BadInputError]]:
    """Return a source without what its backup's manifest proves to be another collection's, and what it doubts.

    The stored files of a backup are read for it, all of them.
    """
    if entry.kind not in (Kind.DUMP, Kind.BSON):
        return entry, []
    whole = entry.kind is Kind.DUMP
    doubts = {name: one for name, one in doubted(entry.path).items() if whole or not name or name in entry.collections}
    if not doubts:
        return entry, []
    others = {name for name, one in doubts.items() if one.exchanged}
    kept = {name: count for name, count in entry.collections.items() if name not in others}
    errors = [
        BadInputError(
            f"{'left out, since it is' if one.exchanged else 'it is'} not as it was backed up: {one.reason}",
            hint=f"verify {one.root}",
        )
        for one in doubts.values()
    ]
    return entry.model_copy(update={"checksum_ok": False, "collections": kept}), errors


def catalogued(found: Discovery, catalog: Catalog, *, emit: Emit = silent) -> Scan:
    """Bring everything that was found into the catalog; what cannot be read is an error of the scan, not a stop.

    The same content at two places counts once.
    """
    entries: dict[str, SourceEntry] = {}
    errors: list[RecoveryError] = list(found.errors)
    copies: list[tuple[Path, Path]] = []
    doubted_by: dict[str, tuple[str, ...]] = {}
    for source in sorted(found.sources, key=_depth):
        try:
            entry = catalog.scan(source, emit=emit)
        except BadInputError as error:
            errors.append(error)
        else:
            entry, doubts = held_to_its_manifest(entry)
            errors += doubts
            if doubts:
                doubted_by.setdefault(entry.id, tuple(map(str, doubts)))
            if entries.setdefault(entry.id, entry) is not entry:
                copies.append((source.path, entries[entry.id].path))
    return Scan(
        tuple(entries.values()), tuple(map(str, errors)), tuple(found.ignored), tuple(copies),
        _inferred(entries.values()), doubted_by,
    )  # fmt: skip
