"""What is to be copied, and how far that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from recovery_nb.backups.capped import one_moment, read_in
from recovery_nb.backups.manifest import CollectionEntry
from recovery_nb.backups.sink import Packing
from recovery_nb.events import Emit, Event
from recovery_nb.sources.mongodb import Database, Snapshot

__all__ = ["Job", "Written"]

_APART = "capped: read at a moment of its own, after that of the others"
_LOOSE = "capped: read after the others, and not at one moment"


class Written(NamedTuple):
    """What came of a job, before it has its final name.

    Attributes:
        path: What is to get that name.
        contents: What it holds, by collection.
        notes: What its reader must know, a line each.
    """

    path: Path
    contents: dict[str, CollectionEntry]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One backup: a database in one snapshot.

    Attributes:
        database: What is copied.
        snapshot: What it is read in.
        entries: By collection, its `listCollections` entry.
        taken_at: When the snapshot was opened, in UTC.
        emit: Hears how far it is.
        sizes: By collection, how many bytes of records it has, where the server says so.
        packing: How its files are stored.
    """

    database: Database
    snapshot: Snapshot
    entries: dict[str, dict[str, Any]]
    taken_at: datetime
    emit: Emit
    sizes: dict[str, int] = field(default_factory=dict)
    packing: Packing = field(default_factory=Packing)

    def consistent(self, collection: str) -> bool:
        """Return whether a collection is read in the snapshot; a server refuses that for a capped one."""
        options = self.entries.get(collection, {}).get("options") or {}
        return self.snapshot.consistent and not options.get("capped")

    @property
    def all_consistent(self) -> bool:
        """Whether every record is of one point in time."""
        return all(map(self.consistent, self.entries)) and self.snapshot.consistent

    def read(self, collection: str) -> Iterator[list[bytes]]:
        """Yield the records of a collection, a server batch at a time, and say how far it is.

        A capped collection is read at one moment, too, but at one of its own.

        Raises:
            ConnectionFailedError: The server went away, or no longer keeps the moment that is read.
        """
        total = self.database.count(collection)
        done, note = 0, ""
        batches: Iterable[list[bytes]]
        with ExitStack() as stack:
            if self.consistent(collection) or not self.snapshot.consistent:
                batches = (batch.records for batch in self.database.read(collection, self.snapshot))
            else:
                size = self.sizes.get(collection, 0)
                session = stack.enter_context(one_moment(self.database, collection, size=size))
                note = _APART if session else _LOOSE
                batches = (
                    read_in(session, self.database, collection)
                    if session
                    else (batch.records for batch in self.database.read(collection))
                )
            self.emit(Event("backup", collection, done, total, note=note))
            for records in batches:
                yield records
                done += len(records)
                self.emit(Event("backup", collection, done, max(done, total)))
