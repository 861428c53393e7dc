"""What every readable source can do, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from recovery_nb.records.batch import Damage, RecordBatch, Ref
from recovery_nb.sources.content import File

__all__ = ["AS_OF", "BATCH_BYTES", "BATCH_RECORDS", "BUCKETS", "FileSource", "Header", "Kind", "Typing"]

AS_OF = "the time asked for"
"""Where the time of a state comes from that was put together from an oplog: no backup, and no base for another."""

BUCKETS = "system.buckets."
"""How the collection is called that keeps a time-series: its records are buckets of measurements."""

BATCH_BYTES = 4 * 1024 * 1024
"""A batch is handed on when it holds this many bytes: it bounds memory."""

BATCH_RECORDS = 10_000
"""... or this many records, so that tiny ones do not make long lists."""


class Kind(StrEnum):
    """What a source is."""

    MONGODB = "mongodb"
    DUMP = "mongodump"
    BSON = "bson"
    JSON = "json"
    JSON_LINES = "jsonl"
    ARCHIVE = "mongodump archive"
    CSV = "csv"
    LOG = "log"
    OPLOG = "oplog"
    FILES = "small files"


class Typing(StrEnum):
    """How much of BSON's types a source kept."""

    FULL = "full"
    """BSON, or canonical Extended JSON: every type as it was."""
    RELAXED = "relaxed"
    """Relaxed or legacy Extended JSON: all but the width of numbers."""
    PLAIN = "plain"
    """Plain JSON: ids, dates, decimals and binaries have become strings or numbers."""
    TEXT = "text"
    """CSV: every value has become text, and null, "" and a field that is not there look alike."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a source says of itself, apart from its records.

    Attributes:
        taken_at: When its content was read from the database, in UTC; None where it does not say.
        taken_from: Which of its parts says so: "manifest", "timestamp", "file name".
        optime: The exact point of the read as (seconds, increment); None where it was not at one point, or not said.
        version: The version of the format, "" where it states none.
        origin: The database or program it names as its origin.
        checksum: The checksum it carries of itself, as written there; "" for none.
        options: By collection, the options and indexes that a dump's metadata file records.
    """

    taken_at: datetime | None = None
    taken_from: str = ""
    optime: tuple[int, int] | None = None
    version: str = ""
    origin: str = ""
    checksum: str = ""
    options: dict[str, dict[str, object]] = field(default_factory=dict)


class FileSource(Protocol):
    """A file, or a folder that is one source. It is opened read-only, always.

    Attributes:
        path: As the user would name it; within an archive, the archive's path and then the member's.
        kind: What it is.
    """

    path: Path
    kind: Kind

    @property
    def doubted(self) -> bool | set[str]:
        """Whether a checksum speaks against its content, or against which collections; known once `read` has ended."""
        ...

    def files(self) -> list[File]:
        """Return the files that its content is in, in a fixed order: what its digest is made of."""
        ...

    def header(self) -> Header:
        """Return what it says of itself; for JSON complete only after `read` has been exhausted."""
        ...

    def typing(self) -> Typing:
        """Return how much of BSON's types it kept; known once `read` has been exhausted."""
        ...

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record that can be read, in order, and every stretch that cannot.

        Memory is bounded by one batch (`BATCH_BYTES`) or the largest record, whatever the file's size.
        """
        ...

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the BSON bytes of the records at `refs`, in their order.

        Raises:
            DamagedSourceError: A record cannot be read there (any more).
        """
        ...
