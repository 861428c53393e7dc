"""What is to be copied, and how far that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recovery_nb.events import Emit, Event
from recovery_nb.sources.mongodb import Database, Snapshot

__all__ = ["Job"]


@dataclass(frozen=True, slots=True)
class Job:
    """One backup: a database in one snapshot.

    Attributes:
        database: What is copied.
        snapshot: What it is read in.
        entries: By collection, its `listCollections` entry.
        taken_at: When the snapshot was opened, in UTC.
        emit: Hears how far it is.
    """

    database: Database
    snapshot: Snapshot
    entries: dict[str, dict[str, Any]]
    taken_at: datetime
    emit: Emit

    def consistent(self, collection: str) -> bool:
        """Return whether a collection is read in the snapshot; a server refuses that for a capped one."""
        options = self.entries.get(collection, {}).get("options") or {}
        return self.snapshot.consistent and not options.get("capped")

    @property
    def all_consistent(self) -> bool:
        """Whether every record is of one point in time."""
        return all(map(self.consistent, self.entries)) and self.snapshot.consistent

    def read(self, collection: str) -> Iterator[list[bytes]]:
        """Yield the records of a collection, a server batch at a time, and say how far it is."""
        total = self.database.count(collection)
        done = 0
        inside = self.consistent(collection)
        note = "" if inside or not self.snapshot.consistent else "capped: read after the snapshot, not in it"
        self.emit(Event("backup", collection, done, total, note=note))
        for batch in self.database.read(collection, self.snapshot if inside else None):
            yield batch.records
            done += len(batch)
            self.emit(Event("backup", collection, done, max(done, total)))
