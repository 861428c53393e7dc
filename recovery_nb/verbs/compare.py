"""Comparing the case's database with sources, or with what they say it was at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.engine import Request, compare
from recovery_nb.compare.result import Comparison
from recovery_nb.databases import of_one_database
from recovery_nb.errors import BadInputError
from recovery_nb.scanning import Scan, catalogued
from recovery_nb.sources.discover import find_sources
from recovery_nb.sources.oplog.times import parse_time
from recovery_nb.states import state_at
from recovery_nb.verbs.asked import text, texts
from recovery_nb.verbs.choice import without_left_out
from recovery_nb.verbs.context import Context
from recovery_nb.verbs.scan import known_sources

__all__ = ["compare_with", "newest_comparison"]


def compare_with(
    context: Context,
    named: Sequence[str | Path],
    *,
    scan: Callable[..., Scan],
    scanned: Scan,
    collection: str,
    key: Sequence[str],
    target: str,
    as_of: str | None,
) -> Comparison:
    """Compare the database with catalogued sources, as `Case.compare` describes it.

    Args:
        context: What the case lends.
        named: The sources, as `Case.scan` takes them; empty for those of an earlier scan.
        scan: Scans what is named; called only once it is known that the database can be reached.
        scanned: What the last scan found.
        collection: Only this collection, "" for all.
        key: The fields that identify a record, `_id` if none.
        target: The database's collection to compare it with, "" for that of the same name.
        as_of: A point in time: compare with the state then, which the sources tell.

    Raises:
        BadInputError: There is no source, or what was asked for cannot be compared.
        ConnectionFailedError: The database does not answer.
    """
    fields = texts(key, "key")
    for name, what in ((collection, "the collection"), (target, "the target collection")):
        text(name, what)
    details: dict[str, object] = {} if as_of is None else {"as_of": as_of}
    with context.audited("compare", collection=collection, target=target, key=fields, **details) as outcome:
        if as_of is not None:
            parse_time(text(as_of, "the time"))  # before anything is copied for it
        database = context.database
        doubts: list[str] = []
        entries: Sequence[SourceEntry] = scan(*named).sources if named else scanned.sources
        if not entries and not named:
            entries, doubts = known_sources(context)
        elif not named:
            entries, doubts = without_left_out(context, entries)
        if not entries:
            raise BadInputError("this case has no source to compare with", hint="scan a backup or a dump")
        if as_of is None:
            used, notes = of_one_database(entries, context.called or database.name, named)
        else:
            used, notes = _state(context, entries, as_of)
        request = Request(used, collection=collection, target=target, key=fields, notes=(*doubts, *notes))
        found = compare(request, database, context.catalog, context.folder / "comparisons", emit=context.emit)
        summary = found.summary
        outcome.update(id=summary.id, sources=summary.sources, collections=summary.collections)
    return found


def _state(context: Context, entries: Sequence[SourceEntry], as_of: str) -> tuple[list[SourceEntry], list[str]]:
    """Return the state of the database at a time as the one source, and what is to be said of it."""
    database = context.called or context.database.name
    state, notes = state_at(
        as_of, entries, context.catalog, context.folder / "copies", database=database, emit=context.emit
    )
    context.audit.append("state written", path=str(state.path), as_of=as_of, unknown=state.unknown)
    found = catalogued(find_sources([state.path], tree=context.tree), context.catalog, emit=context.emit)
    if not found.sources:
        raise BadInputError(f"the state at {as_of} holds no record", hint="name a later time, or add a backup")
    return list(found.sources), notes


def newest_comparison(context: Context) -> Comparison:
    """Return the newest comparison that the case's folder holds.

    Raises:
        BadInputError: Nothing was compared yet.
    """
    known = sorted((context.folder / "comparisons").glob("c*"))
    if not known:
        raise BadInputError("this case holds no comparison", hint="compare first")
    return Comparison.load(known[-1], context.catalog)
