"""Rows of a plan as columns: what passes through a restore, without an object for each record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, overload

import numpy as np

from recovery_nb.records.batch import Ref

__all__ = ["WRITING", "Action", "Rows", "Write", "canonical_bytes"]


class Action(StrEnum):
    """What a plan does with one record."""

    INSERT = "insert"
    REPLACE = "replace"
    MERGE = "merge"
    OVERLAY = "overlay"
    """Replaced field by field: what a source of text cannot state stays as the database has it."""
    SKIP = "skip"
    """Left as the database has it, for a stated reason."""
    REFUSE = "refuse"
    """Cannot be written; it counts as failed."""


WRITING = frozenset({Action.INSERT, Action.REPLACE, Action.MERGE, Action.OVERLAY})
"""The actions that change the database."""


@dataclass(frozen=True, slots=True)
class Write:
    """One row of a plan.

    Attributes:
        seq: Its place in the plan, from 0.
        collection: The collection it goes to.
        key_text: The record's key, for people.
        action: What is done.
        id: Type byte and value bytes of the `_id`.
        before: SHA-256 of what must be there, None where nothing may be.
        after: SHA-256 of the exact bytes that will be there.
        source: The id of the source.
        ref: Where in the source the record is read again.
        inferred: By what its types were inferred, "" where the source kept them.
        reason: Why it is skipped or refused.
        size: Bytes of the record before and after, together: it bounds a batch's memory.
    """

    seq: int
    collection: str
    key_text: str
    action: Action
    id: bytes
    before: bytes | None
    after: bytes
    source: str
    ref: Ref
    inferred: str = ""
    reason: str = ""
    size: int = 0

    @property
    def writes(self) -> bool:
        """Whether it changes the database."""
        return self.action in WRITING


@dataclass(frozen=True, slots=True)
class Rows(Sequence[Write]):
    """Some rows of a plan, a list for each attribute of `Write`; a `Write` is made only where one is asked for."""

    seqs: list[int]
    collections: list[str]
    keys: list[str]
    actions: list[Action]
    ids: list[bytes]
    befores: list[bytes | None]
    afters: list[bytes]
    sources: list[str]
    members: list[str]
    offsets: list[int]
    lengths: list[int]
    partials: list[bool]
    inferred: list[str]
    reasons: list[str]
    sizes: list[int]

    @classmethod
    def of(cls, writes: Sequence[Write]) -> Rows:
        """Return these writes as columns."""
        return cls(
            [one.seq for one in writes], [one.collection for one in writes], [one.key_text for one in writes],
            [one.action for one in writes], [one.id for one in writes], [one.before for one in writes],
            [one.after for one in writes], [one.source for one in writes], [one.ref.member for one in writes],
            [one.ref.offset for one in writes], [one.ref.length for one in writes],
            [one.ref.partial for one in writes], [one.inferred for one in writes], [one.reason for one in writes],
            [one.size for one in writes],
        )  # fmt: skip

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.seqs)

    @overload
    def __getitem__(self, place: int) -> Write: ...
    @overload
    def __getitem__(self, place: slice) -> Rows: ...
    def __getitem__(self, place: int | slice) -> Write | Rows:
        """Return one row, or some."""
        if isinstance(place, slice):
            return self.take(range(len(self))[place])
        ref = Ref(self.members[place], self.offsets[place], self.lengths[place], self.partials[place])
        return Write(
            self.seqs[place], self.collections[place], self.keys[place], self.actions[place], self.ids[place],
            self.befores[place], self.afters[place], self.sources[place], ref, self.inferred[place],
            self.reasons[place], self.sizes[place],
        )  # fmt: skip

    def __iter__(self) -> Iterator[Write]:
        """Yield each row."""
        return (self[place] for place in range(len(self)))

    def refs(self) -> list[Ref]:
        """Return where the records are read again."""
        return list(map(Ref, self.members, self.offsets, self.lengths, self.partials))

    def take(self, places: Sequence[int]) -> Rows:
        """Return the rows at these places, in this order."""
        if isinstance(places, range) and places.step == 1:
            return Rows(*[column[places.start : places.stop] for column in self.columns()])
        return Rows(*[[column[place] for place in places] for column in self.columns()])

    def columns(self) -> list[list[Any]]:
        """Return the lists, in the order of the attributes."""
        return [getattr(self, name) for name in _NAMES]


_NAMES = tuple(one.name for one in fields(Rows))
_ABSENT = 0xFFFFFFFF


def canonical_bytes(column: Sequence[Any]) -> bytes:
    """Return bytes that are equal for two columns exactly when their values are: numbers, texts, bytes or None.

    Numbers are 64 bits each, little-endian. Texts and bytes are their lengths, 32 bits each (all ones for None),
    and then their bytes one after another.
    """
    if column and isinstance(column[0], int):
        return np.array(column, "<i8").tobytes()
    if column and isinstance(column[0], str):
        text = "".join(column)
        if text.isascii():
            return np.array(list(map(len, column)), "<u4").tobytes() + text.encode()
        column = [one.encode() for one in column]
    if None in column:
        lengths = [_ABSENT if one is None else len(one) for one in column]
        column = [one or b"" for one in column]
    else:
        lengths = list(map(len, column))
    return np.array(lengths, "<u4").tobytes() + b"".join(column)
