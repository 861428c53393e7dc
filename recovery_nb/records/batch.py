"""The unit that flows through the house: a batch of whole BSON documents and where each was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MAX_RECORD_BYTES", "Damage", "RecordBatch", "Ref", "moment"]

MAX_RECORD_BYTES = 16 * 1024 * 1024 + 16 * 1024
"""The largest document a server stores: 16 MiB, and 16 KiB that it adds itself (BSONObjMaxInternalSize)."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Whole BSON documents of one collection, in the order in which the source holds them.

    Attributes:
        collection: The name the source gives the collection; "" where it gives none.
        member: The file within a source of several (a dump's `quotes.bson`); "" for a source of one.
        records: The documents, one `bytes` each, framed but not decoded.
        offsets: Where each begins in its member, in bytes. A database has no offsets: all are -1.
        lengths: How many bytes each takes there (JSON text is longer or shorter than its BSON).
        at: When each was written, where the source says (a log, an oplog): `moment` of its time. The newest
            of several versions of a record is the one that counts. None where it does not say.
    """

    collection: str
    member: str
    records: list[bytes]
    offsets: list[int]
    lengths: list[int]
    at: list[int] | None = None

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def part(self, start: int, stop: int) -> RecordBatch:
        """Return the records from number `start` up to, not including, `stop`."""
        return self.only(range(start, stop))

    def only(self, numbers: Sequence[int]) -> RecordBatch:
        """Return the records of these numbers."""
        return RecordBatch(
            self.collection, self.member, [self.records[n] for n in numbers], [self.offsets[n] for n in numbers],
            [self.lengths[n] for n in numbers], None if self.at is None else [self.at[n] for n in numbers],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a source that could not be read as records.

    Attributes:
        member: The file within the source, "" for a source of one.
        offset: Where the stretch begins, in bytes.
        length: How long it is, in bytes; -1 where the end is not known.
        reason: What is wrong there, for a person.
        collection: The collection it belongs to, "" where that is not known.
        partial: What could still be read of the record that stood there, as a BSON document of its leading whole
            fields; empty where nothing could. It is for the eyes; a restore takes it only if it is named.
    """

    member: str
    offset: int
    length: int
    reason: str
    collection: str = ""
    partial: bytes = b""


@dataclass(frozen=True, slots=True)
class Ref:
    """Where one record can be read again: what a plan keeps instead of the bytes.

    Attributes:
        member: The file within the source.
        offset: Where the record begins there, in bytes.
        length: How many bytes it takes there.
        partial: Whether it is a damaged stretch, of which what can be read is wanted (`Damage.partial`).
    """

    member: str
    offset: int
    length: int
    partial: bool = False


def moment(seconds: float, increment: int | None = None) -> int:
    """Return a point in time as one integer that orders as time does: an optime's `seconds << 32 | increment`.

    Args:
        seconds: Since 1970. Before that, or past 2038, the nearest that can be said is.
        increment: An optime's; where there is none, the fraction of the second stands for it.
    """
    whole = min(max(int(seconds), 0), 2**31 - 1)
    return whole << 32 | (int((seconds - int(seconds)) * 2**32) if increment is None else increment)
