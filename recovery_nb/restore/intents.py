"""What a journal says of a batch: one document, its records as columns.

`n` is their number; `s` their places in the plan, 64 bits each, little-endian; `i` the `_id`s, `k` the keys, `a`
the actions, `f` the fingerprints afterwards, each as the lengths, 32 bits each, and then the bytes; `p` the records
before, null for none, left out where none has one. `x` are records that were to be in the batch and are not sent.
What is left unwritten stands by outcome and reason: of many records the reason is one.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from recovery_nb.restore.rows import canonical_bytes

__all__ = ["UNREADABLE", "UNSENT", "Intent", "Intents", "Left", "batch_entry", "grouped", "intents_of", "ungrouped"]

UNSENT = "not sent"
"""The outcome of records whose batch was given up before anything of it was sent."""

UNREADABLE = (BSONError, struct.error, KeyError, TypeError, AttributeError, ValueError, OverflowError)
"""What reading a document raises that no journal of ours holds."""


@dataclass(frozen=True, slots=True)
class Intent:
    """One write that is about to be sent.

    Attributes:
        seq: Its place in the plan.
        collection: Where it goes.
        key: The record's key, for people.
        action: "insert", "replace", "merge", "overlay"; in a rollback "put back" or "remove".
        id: Type byte and value bytes of the `_id`.
        before: The record as it is before the write, raw; None where there is none.
        after: SHA-256 of the record after it; empty where there will be none.
    """

    seq: int
    collection: str
    key: str
    action: str
    id: bytes
    before: bytes | None
    after: bytes


@dataclass(frozen=True, slots=True)
class Intents:
    """The writes of one batch, a list for each attribute of `Intent`; all go to one collection."""

    collection: str
    seqs: Sequence[int]
    keys: Sequence[str]
    actions: Sequence[str]
    ids: Sequence[bytes]
    befores: Sequence[bytes | None]
    afters: Sequence[bytes]

    @classmethod
    def of(cls, intents: Sequence[Intent]) -> Intents:
        """Return these writes, of which there is one at least, as a batch."""
        return cls(
            intents[0].collection, [one.seq for one in intents], [one.key for one in intents],
            [one.action for one in intents], [one.id for one in intents], [one.before for one in intents],
            [one.after for one in intents],
        )  # fmt: skip

    def __len__(self) -> int:
        """Return the number of writes."""
        return len(self.seqs)

    def __iter__(self) -> Iterator[Intent]:
        """Yield each write."""
        columns = zip(
            self.seqs, self.keys, self.actions, self.ids, self.befores, self.afters, strict=True
        )  # fmt: skip
        return (Intent(seq, self.collection, *rest) for seq, *rest in columns)


@dataclass(frozen=True, slots=True)
class Left:
    """A record that was not written.

    Attributes:
        seq: Its place in the plan.
        outcome: "skipped", "failed", or `UNSENT`.
        reason: Why.
    """

    seq: int
    outcome: str
    reason: str


def batch_entry(number: int, intents: Intents, skipped: Iterable[Left]) -> dict[str, object]:
    """Return the journal's document of a batch, and of the records that belong to it and are not sent."""
    entry: dict[str, object] = {"t": "batch", "b": number, "c": intents.collection, "n": len(intents)}
    columns = {"s": intents.seqs, "i": intents.ids, "k": intents.keys, "a": intents.actions, "f": intents.afters}
    entry |= {name: canonical_bytes(column) for name, column in columns.items()}
    if any(before is not None for before in intents.befores):
        entry["p"] = [None if before is None else RawBSONDocument(before) for before in intents.befores]
    return {**entry, "x": grouped(skipped)}


def grouped(left: Iterable[Left]) -> list[list[object]]:
    """Return the places of what was left, by outcome and reason: of many records the reason is one."""
    groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for one in left:
        groups[one.outcome, one.reason].append(one.seq)
    return [[outcome, reason, canonical_bytes(seqs)] for (outcome, reason), seqs in groups.items()]


def ungrouped(groups: Sequence[Sequence[Any]]) -> Iterator[Left]:
    """Yield what `grouped` put together."""
    for outcome, reason, seqs in groups:
        yield from (Left(seq, outcome, reason) for seq in _numbers(seqs))


def _numbers(blob: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(blob) // 8}q", blob)


def _blobs(blob: bytes, count: int) -> list[bytes]:
    """Return a column of bytes.

    Raises:
        ValueError: The lengths are not those of what follows.
    """
    position, blobs = 4 * count, []
    for length in struct.unpack_from(f"<{count}I", blob):
        blobs.append(blob[position : position + length])
        position += length
    if position != len(blob):
        raise ValueError("a column whose lengths are false")
    return blobs


def intents_of(entry: Mapping[str, Any]) -> Intents:
    """Return the writes that a journal's document of a batch holds.

    Raises:
        Exception: It is none; of the kinds in `UNREADABLE`.
    """
    count, befores = entry["n"], entry.get("p")
    intents = Intents(
        entry["c"],
        _numbers(entry["s"]),
        [key.decode() for key in _blobs(entry["k"], count)],
        [action.decode() for action in _blobs(entry["a"], count)],
        _blobs(entry["i"], count),
        [None] * count if befores is None else [None if one is None else bytes(one.raw) for one in befores],
        _blobs(entry["f"], count),
    )
    if not count == len(intents.seqs) == len(intents.befores):
        raise ValueError("columns of different lengths")
    return intents
