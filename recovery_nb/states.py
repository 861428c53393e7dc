"""The database as it was at a time: put together from an oplog and a backup, and kept as a dump of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, silent
from recovery_nb.records.batch import moment
from recovery_nb.sources.base import AS_OF, Kind, Typing
from recovery_nb.sources.oplog.source import OplogSource
from recovery_nb.sources.oplog.state import WrittenState, write_state
from recovery_nb.sources.oplog.times import parse_time

__all__ = ["state_at", "state_notes"]

_BASES = frozenset({Kind.DUMP, Kind.ARCHIVE, Kind.BSON})
_SHOWN = 20


def state_at(
    time: str, entries: Sequence[SourceEntry], catalog: Catalog, folder: Path, *, database: str, emit: Emit = silent
) -> WrittenState:
    """Write the state of a database at a time, from the oplogs among the sources and the newest backup before it.

    Args:
        time: As `parse_time` takes it.
        entries: Catalogued sources.
        catalog: Where they are catalogued.
        folder: Where the state is to be written.
        database: The database's name.
        emit: Hears how far it is.

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
    base = _base(entries, at)
    return write_state(
        [cast("OplogSource", catalog.open(entry)) for entry in of_it], at=at, folder=folder,
        base=None if base is None else catalog.open(base),
        base_at=moment(*base.optime) if base and base.optime else None, emit=emit,
    )  # fmt: skip


def _base(entries: Sequence[SourceEntry], at: int) -> SourceEntry | None:
    """Return the newest backup that was taken before; None where the sources hold no backup that can be a base."""
    backups = [
        entry for entry in entries if entry.kind in _BASES and entry.typing is Typing.FULL and entry.taken_from != AS_OF
    ]
    before = [entry for entry in backups if _taken(entry) <= at]
    if backups and not before:
        first = min(backups, key=_taken)
        raise BadInputError(
            f"{first.path} was taken at {first.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({first.taken_from}), "
            "which is later than --as-of",
            hint="name an older backup, or only the oplog",
        )
    return max(before, key=_taken, default=None)


def _taken(entry: SourceEntry) -> int:
    return moment(*entry.optime) if entry.optime else moment(entry.taken_at.timestamp())


def state_notes(state: WrittenState) -> list[str]:
    """Return what the analyst must know of a state: what speaks against it, and records of which it is not known."""
    when = datetime.fromtimestamp(state.at >> 32, UTC)
    notes = [f"the sources' side is the state of {state.database} at {when:%Y-%m-%d %H:%M:%S} UTC, in {state.path}"]
    notes += [f"of that state: {gap}" for gap in state.gaps]
    notes += [f"not in that state: {one.collection}/{one.key}, {one.reason}" for one in state.problems[:_SHOWN]]
    if state.unknown > _SHOWN:
        notes.append(f"not in that state: {state.unknown - _SHOWN:,} more records, named in its manifest")
    return notes
