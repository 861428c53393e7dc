"""What there is to work with: the database, the backup taken of it, and the sources."""

from __future__ import annotations

import json

from recovery_nb.backups import BackupResult
from recovery_nb.case import Case, Scan
from recovery_nb.facts import source_facts
from recovery_nb.reports import Report, SourceFacts
from recovery_nb.reports.html import Markup, facts, join, table
from recovery_nb.widgets.markup import answer, cut, folded, pieces
from recovery_nb.widgets.veils import Veiling
from recovery_nb.widgets.verdicts import shortfalls

__all__ = ["backup", "database", "samples", "short", "sources"]


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
    """Show what a scan found: where, in which format, from when, how far it can be trusted, and what is damaged."""
    return Markup(scan._repr_html_())


def samples(scan: Scan) -> Markup:
    """Show the first records of each source; what is no one's business is hidden."""
    veiling = Veiling()
    told = [
        folded(f"{one.name}: {pieces(one.record_count, 'record')}", _first(one, veiling))
        for one in map(source_facts, scan.sources)
    ]
    return join(*told, *filter(None, [veiling.said()]))


def _first(source: SourceFacts, veiling: Veiling) -> Markup:
    lines = (cut(json.dumps(veiling.record(record), ensure_ascii=False), 400) for record in source.sample or ())
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
