"""What there is to work with: the database, the backup taken of it, and the sources."""

from __future__ import annotations

import json

from recovery_nb.backups import BackupResult
from recovery_nb.case import Case, Scan
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.facts import source_facts
from recovery_nb.reports import Report, SourceFacts
from recovery_nb.reports.html import Markup, facts, join, table
from recovery_nb.widgets.markup import answer, cut, folded, pieces, unbroken
from recovery_nb.widgets.verdicts import shortfalls

__all__ = ["backup", "database", "samples", "short", "sources"]

_FIRST = 6
_TYPES = {"full": "kept", "relaxed": "number widths lost", "plain": "lost", "text": "all are text"}


def database(case: Case) -> Markup:
    """Show which database the case is about, and what it holds now."""
    held = case.counts()
    name, total = case.database.name, pieces(sum(held.values()), "record")
    if held:
        head = answer(f"The database {name} holds {total} in {pieces(len(held), 'collection')}.")
    else:
        head = answer(f"The database {name} is empty.", tone="failed")
    return join(
        head,
        table(["collection", "records"], held.items(), caption="In the database now") if held else "",
        facts({"server": case.database.label.partition("?")[0], "case": case.folder}),
    )


def backup(taken: BackupResult | None) -> Markup:
    """Show a backup that was taken; None is one that was not wanted."""
    if taken is None:
        return answer("No backup was taken: backup = False.", tone="partial")
    moment = "at one point in time" if taken.consistent else "while it may have been written to"
    if taken.records:
        safe = pieces(taken.records, "record is", "records are")
        head = answer(f"{safe} safe: read {moment}, written, and read back.", tone="success")
    else:
        head = answer("There was nothing to copy: the backup is as empty as the database.", tone="partial")
    rows = taken.collections.items()
    return join(
        head,
        table(["collection", "records"], rows, caption="In the backup") if rows else "",
        facts({"backup": taken.path, "taken at": f"{taken.taken_at:%Y-%m-%d %H:%M:%S} UTC",
               "size": f"{taken.bytes:,} bytes in {taken.seconds:.1f} s"}),
    )  # fmt: skip


def sources(scan: Scan) -> Markup:
    """Show what a scan found: where, in which format, from when, and what is damaged."""
    entries = sorted(scan.sources, key=lambda entry: entry.taken_at, reverse=True)
    found = f"{pieces(len(entries), 'source')} with {pieces(sum(entry.records for entry in entries), 'record')}"
    broken = sum(not entry.whole for entry in entries) + len(scan.errors)
    if not entries:
        head = answer("No backup, export or dump was found.", tone="failed")
    elif scan.damaged:
        head = answer(f"{found}; {broken:,} of what was found cannot be read, or not wholly.", tone="partial")
    else:
        head = answer(f"{found}, all of it readable.", tone="success")
    heads = ["source", "format", "types", "taken at (UTC)", "records", "damage"]
    ignored = f"{pieces(len(scan.ignored), 'file')} that hold no records"
    return join(
        head,
        table(heads, map(_source, entries), caption="The newest first") if entries else "",
        table(["cannot be read"], ([error] for error in scan.errors)) if scan.errors else "",
        facts({"ignored": ignored}) if scan.ignored else "",
    )


def _source(entry: SourceEntry) -> list[object]:
    shown = source_facts(entry)
    harm = [f"{one.member or entry.name} at byte {one.offset:,}: {one.reason}" for one in shown.damage[:_FIRST]]
    if entry.checksum_ok is False:
        harm.append("its checksum does not hold")
    when = unbroken(f"{entry.taken_at:%Y-%m-%d %H:%M}")
    return [shown.path, shown.kind, _TYPES[shown.typing], when, shown.record_count, "; ".join(harm)]


def samples(scan: Scan) -> Markup:
    """Show the first records of each source, secrets masked."""
    shown = [source_facts(entry) for entry in scan.sources]
    return join(*(folded(f"{one.name}: {pieces(one.record_count, 'record')}", _first(one)) for one in shown))


def _first(source: SourceFacts) -> Markup:
    lines = (cut(json.dumps(record, ensure_ascii=False), 400) for record in source.sample or ())
    return table(["first records"], ([line] for line in lines))


def short(found: Report) -> Markup:
    """Show the collections of which a source holds more than the database: a sign of loss, no proof."""
    if not found.database.connected:
        return answer("The database was not read.", tone="partial")
    rows = shortfalls(found)
    if not rows:
        return answer("No source holds more records of a collection than the database.", tone="success")
    return join(
        answer(f"Of {pieces(len(rows), 'collection')} a source holds more records than the database.", tone="failed"),
        table(
            ["collection", "in the database", "in the fullest source", "which is"],
            rows,
            caption="Fewer than there were",
        ),
    )
