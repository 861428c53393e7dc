"""Transactions in an oplog: entries that count only when their last one, or a commit, is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recovery_nb.sources.content import Content
from recovery_nb.sources.oplog.entries import Command, Entry, Operation, command, parse

__all__ = ["Part", "Step", "Transactions"]

_MAX_OPEN = 100_000
"""No more entries of open transactions than this are held: no server has as many."""

_NO_BEGINNING = "a transaction that this oplog does not hold in full"


@dataclass(frozen=True, slots=True)
class Part:
    """One entry of a transaction. It is read again when the transaction commits: together they can be large.

    Attributes:
        offset: Where the entry begins, in bytes.
        length: How long it is, in bytes.
        at: Its time.
        epoch: How many interruptions there were before it.
        transaction: Which transaction it is part of; b"" for an `applyOps` that is none.
        operation: What it holds, where that is at hand.
    """

    offset: int
    length: int
    at: int
    epoch: int
    transaction: bytes
    operation: Operation | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What an entry brings about.

    Attributes:
        parts: What takes effect now.
        at: When: of a prepared transaction the time that its commit states.
        interrupted: What is missing before it; "" for nothing.
    """

    parts: list[Part]
    at: int
    interrupted: str = ""


class Transactions:
    """The transactions that are open at one point of an oplog.

    Args:
        content: The oplog.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._open: dict[bytes, list[Part]] = {}
        self._count = 0

    def open(self) -> Iterator[Part]:
        """Yield the parts of transactions that have not ended."""
        for parts in self._open.values():
            yield from parts

    def operation(self, part: Part) -> Operation:
        """Return what a part holds.

        Raises:
            InvalidRecordError: It cannot be read any more.
        """
        if part.operation is not None:
            return part.operation
        return parse(self._content.read_at(part.offset, part.length), part.offset).operation

    def step(self, entry: Entry, epoch: int) -> Step:
        """Take account of an `applyOps`, a commit or an abort.

        Args:
            entry: It.
            epoch: How many interruptions there were before it.

        Raises:
            InvalidRecordError: Its structure is broken.
        """
        said = command(entry.operation)
        if said.name == b"abortTransaction":
            self._end(entry)
            return Step([], entry.at)
        if said.name == b"commitTransaction":
            parts = self._end(entry)
            return Step(parts, _commit_time(said, entry.at), "" if _follows(parts, entry) else _NO_BEGINNING)
        part = Part(entry.operation.offset, entry.operation.length, entry.at, epoch, entry.transaction, entry.operation)
        if not entry.transaction or entry.separate:
            return Step([part], entry.at)
        before = self._open.get(entry.transaction, [])
        complete = _follows(before, entry)
        if not complete:
            part = Part(part.offset, part.length, part.at, epoch + 1, part.transaction, part.operation)
        interrupted = "" if complete else _NO_BEGINNING
        if said.says(b"partialTxn") or said.says(b"prepare"):
            if self._count >= _MAX_OPEN:
                return Step([], entry.at, "an entry of more open transactions than a server has")
            self._count += 1
            kept = Part(part.offset, part.length, part.at, part.epoch, part.transaction)
            self._open.setdefault(entry.transaction, []).append(kept)
            return Step([], entry.at, interrupted)
        self._end(entry)
        return Step([*before, part], entry.at, interrupted)

    def _end(self, entry: Entry) -> list[Part]:
        """Return the parts of a transaction, which is open no more."""
        parts = self._open.pop(entry.transaction, [])
        self._count -= len(parts)
        return parts


def _follows(parts: list[Part], entry: Entry) -> bool:
    """Say whether the entry before this one in its transaction is the last of these."""
    return entry.previous == (parts[-1].at if parts else 0)


def _commit_time(said: Command, at: int) -> int:
    kind, value = said.fields.get(b"commitTimestamp", (0, b""))
    return min(int.from_bytes(value, "little"), at) if kind == 0x11 else at
