"""The database as it was at a time: put together from an oplog and a backup, and kept as a dump of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from recovery_nb.backups import doubted
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, silent
from recovery_nb.records.batch import moment
from recovery_nb.sources.base import AS_OF, Kind, Typing
from recovery_nb.sources.oplog.source import OplogSource
from recovery_nb.sources.oplog.state import WrittenState, write_state
from recovery_nb.sources.oplog.times import parse_time

__all__ = ["state_at"]

_DUMPS = (Kind.DUMP, Kind.ARCHIVE)
_SHOWN = 20


def state_at(
    time: str, entries: Sequence[SourceEntry], catalog: Catalog, folder: Path, *, database: str, emit: Emit = silent
) -> tuple[WrittenState, list[str]]:
    """Write the state of a database at a time, from the oplogs among the sources and the newest backup before it.

    Args:
        time: As `parse_time` takes it.
        entries: Catalogued sources.
        catalog: Where they are catalogued.
        folder: Where the state is to be written.
        database: The database's name.
        emit: Hears how far it is.

    Returns:
        The state, and what the analyst must know of it.

    Raises:
        BadInputError: There is no oplog, or none that reaches to that time; a backup was taken later.
    """
    at = parse_time(time)
    oplogs = [entry for entry in entries if entry.kind is Kind.OPLOG]
    of_it = [entry for entry in oplogs if entry.origin == database] or oplogs
    if not of_it:
        raise BadInputError(
            "--as-of needs an oplog among the sources",
            hint="add oplog: (the database's own, live) or the oplog.bson of a dump",
        )
    base, notes = _base(entries, at, database)
    state = write_state(
        [cast("OplogSource", catalog.open(entry)) for entry in of_it], at=at, folder=folder,
        base=None if base is None else catalog.open(base),
        base_at=moment(*base.optime) if base and base.optime else None,
        base_about=_taken(base) if base else None, emit=emit,
    )  # fmt: skip
    return state, [*notes, *_state_notes(state)]


def _base(entries: Sequence[SourceEntry], at: int, database: str) -> tuple[SourceEntry | None, list[str]]:
    """Return the newest backup of the database that was taken before, and what is to be said of the choice.

    A whole dump comes before a single collection's file, and one that is as it was backed up before any that is not.

    Raises:
        BadInputError: Every backup of it was taken later.
    """
    backups = [entry for entry in entries if entry.typing is Typing.FULL and entry.taken_from != AS_OF]
    of_it = [entry for entry in backups if entry.kind in _DUMPS and entry.origin == database]
    of_it = of_it or [entry for entry in backups if entry.kind is Kind.BSON]
    before = sorted((entry for entry in of_it if _taken(entry) <= at), key=_taken, reverse=True)
    if of_it and not before:
        first = min(of_it, key=_taken)
        raise BadInputError(
            f"{first.path} was taken at {_when(first)} ({first.taken_from}), which is later than --as-of",
            hint="name an older backup, or only the oplog",
        )
    doubts: dict[str, str] = {}
    base = next((entry for entry in before if not doubts.setdefault(entry.id, _doubt(entry))), None)
    base = base or next(iter(before), None)
    notes = [f"its base is {base.path}, of {_when(base)} ({base.taken_from})"] if base else []
    if base and doubts[base.id]:
        notes.append(f"that base is not as it was backed up, so records of that state may be wrong: {doubts[base.id]}")
    notes += [
        f"not used for that state: {entry.path}, {_why_not(entry, database, doubts.get(entry.id, ''))}"
        for entry in entries
        if entry is not base and entry.kind is not Kind.OPLOG
    ]
    return base, notes


def _doubt(entry: SourceEntry) -> str:
    """Return why a base may hold what the database never did, "" for nothing: backups are hashed as they are now."""
    whole = entry.kind is Kind.DUMP
    found = doubted(entry.path) if whole or entry.kind is Kind.BSON else {}
    for name, one in found.items():
        if whole or not name or name in entry.collections:
            return one.reason
    return f"the checksum of {entry.path} does not hold" if entry.checksum_ok is False else ""


def _why_not(entry: SourceEntry, database: str, doubt: str) -> str:
    if entry.kind in _DUMPS and entry.origin != database:
        return f"which is of a database called {entry.origin or 'nothing'}, and not {database}"
    if entry.kind not in (*_DUMPS, Kind.BSON):
        return f"which, as {entry.kind.value}, can be no base"
    return f"of {_when(entry)}" + (f", which is not as it was backed up: {doubt}" if doubt else "")


def _when(entry: SourceEntry) -> str:
    return f"{entry.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _taken(entry: SourceEntry) -> int:
    return moment(*entry.optime) if entry.optime else moment(entry.taken_at.timestamp())


def _state_notes(state: WrittenState) -> list[str]:
    """Return what the analyst must know of a state: what speaks against it, and records of which it is not known."""
    when = datetime.fromtimestamp(state.at >> 32, UTC)
    notes = [f"the sources' side is the state of {state.database} at {when:%Y-%m-%d %H:%M:%S} UTC, in {state.path}"]
    notes += [f"of that state: {gap}" for gap in state.gaps]
    notes += [f"not in that state: {one.collection}/{one.key}, {one.reason}" for one in state.problems[:_SHOWN]]
    if state.unknown > _SHOWN:
        notes.append(f"not in that state: {state.unknown - _SHOWN:,} more records, named in its manifest")
    return notes
