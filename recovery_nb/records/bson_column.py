"""BSONColumn, binary subtype 7: the values of one field of many documents, as a time-series bucket keeps them.

A column is a sequence of BSON elements without names (literals) and of blocks of differences to the value before,
and ends with a zero byte. Objects and arrays of one shape are taken apart into a stream for each of their scalars;
the streams' literals and blocks are interleaved in the order in which a reader needs them. The format:
src/mongo/bson/column/README.md, bsoncolumn.h and simple8b_type_util.h of the MongoDB server.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.column_numbers import STEADY, WIDE, Make, maker, number
from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, value_end
from recovery_nb.records.simple8b import Slot, slots

__all__ = ["Budget", "Value", "decode_column"]

Value = tuple[int, bytes]
"""A BSON type byte, and the value's bytes."""

_LENGTH = struct.Struct("<i")
_STEP = 16
"""What one value costs besides its bytes."""
_SHAPE = 256
"""What one field of interleaved objects costs, however many of them there are."""

_END = 0x00
_EMPTY = 5
_OBJECT, _ARRAY = 0x03, 0x04
_STARTS = {0xF0: (_OBJECT, frozenset({_OBJECT})), 0xF1: (_OBJECT, frozenset({_OBJECT, _ARRAY}))}
_STARTS[0xF2] = (_ARRAY, _STARTS[0xF1][1])
"""Control bytes that begin interleaved objects: the type of the whole, and which types in it are taken apart."""


class Budget:
    """What decoding may still cost, in bytes of memory: hostile columns are short and mean billions of values."""

    def __init__(self, limit: int = 4 * MAX_RECORD_BYTES) -> None:
        self._left = limit

    def spend(self, cost: int) -> None:
        """Take `cost` from it.

        Raises:
            InvalidRecordError: There is not as much left.
        """
        self._left -= cost
        if self._left < 0:
            raise InvalidRecordError("a column that expands to more than a bucket can hold")


def decode_column(column: bytes, *, limit: int, budget: Budget | None = None) -> list[Value | None]:
    """Return the values of a column, in order; None where a document does not have the field.

    Args:
        column: The bytes of the binary.
        limit: How many values it may have.
        budget: What it may cost; by default four times the largest document.

    Raises:
        InvalidRecordError: It is no column, or beyond one of the two.
    """
    try:
        return _Decoder(column, limit, budget or Budget()).values()
    except (IndexError, ValueError, struct.error) as error:
        if isinstance(error, InvalidRecordError):
            raise
        raise InvalidRecordError("a column that ends early") from None


class _Stream:
    """The values of one scalar, each made from the one before it.

    Attributes:
        value: The last value; None before the first.
        pending: What was read of an interleaved stream and not asked for yet, the next one last.
    """

    def __init__(self, value: Value | None = None) -> None:
        self.pending: list[Value | None] = []
        self._start(value)

    def _start(self, value: Value | None) -> None:
        self.value = value
        self._slot: Slot = 0
        self._difference = 0
        self._number = 0

    def load(self, column: bytes, position: int, budget: Budget) -> tuple[list[Value | None], int]:
        """Return the values of the literal or the blocks at `position`, and where they end."""
        control = column[position]
        if control < 0x20 or control in (0x7F, 0xFF):
            if column[position + 1]:
                raise InvalidRecordError("a literal with a name in a column")
            end = value_end(column, control, position + 2, len(column))
            budget.spend(_STEP + end - position)
            self._start((control, column[position + 2 : end]))
            return [self.value], end
        end = position + 1 + 8 * ((control & 0xF) + 1)
        if end >= len(column):
            raise InvalidRecordError("blocks that run past their column")
        found: list[Value | None] = []
        kind, last = self.value or (0, b"")
        self._number = number(kind, last, control >> 4)
        make = maker(kind, control >> 4)
        for (block,) in struct.iter_unpack("<Q", column[position + 1 : end]):
            self._expand(block, make, found, budget)
        return found, end

    def _expand(self, block: int, make: Make, found: list[Value | None], budget: Budget) -> None:
        if self.value is None:
            numbers = slots(block, self._slot, width=64)
            budget.spend(_STEP * len(numbers))
            found.extend([None] * len(numbers))
            self._slot = numbers[-1]
            return
        kind, last = self.value
        width = 128 if kind in WIDE else 64
        mask, steady = (1 << width) - 1, kind in STEADY
        numbers = slots(block, self._slot, width=width)
        budget.spend((_STEP + len(last)) * len(numbers))
        for slot in numbers:
            if slot is None:
                found.append(None)
                continue
            if slot or steady:
                change = slot >> 1 ^ -(slot & 1)  # the sign is the lowest bit
                if steady:
                    change = self._difference = self._difference + change & mask
                self._number = self._number + change & mask
                last = make(self._number, last)
                self.value = kind, last
            found.append(self.value)
        self._slot = numbers[-1]


class _Step(NamedTuple):
    """One step in writing an object again: a field of it, or the beginning or the end of an object in it.

    Attributes:
        head: What stands before the value: the name of a field; type and name of an object, nothing for the outermost.
        stream: The field's values; None where an object begins or ends.
        begins: Whether an object begins.
        empty: Whether it may be empty: if not, it is not there when none of its fields is.
    """

    head: bytes
    stream: _Stream | None = None
    begins: bool = False
    empty: bool = False


def _shape(column: bytes, start: int, apart: frozenset[int], budget: Budget) -> tuple[list[_Step], int]:
    """Return the steps that write the objects which are like the one at `start`, and where that one ends."""
    steps: list[_Step] = [_Step(b"", begins=True)]
    ends = [_object_end(column, start, len(column))]
    empty = [False]
    position = start + 4
    while ends:
        budget.spend(_SHAPE)
        if position == ends[-1] - 1:
            position += 1
            ends.pop()
            steps.append(_Step(b"", empty=empty.pop()))
            continue
        kind, name_end = column[position], column.index(0, position + 1, ends[-1]) + 1
        stop = value_end(column, kind, name_end, ends[-1])
        if kind not in apart:
            steps.append(_Step(column[position + 1 : name_end], _Stream((kind, column[name_end:stop]))))
            position = stop
            continue
        if len(ends) == MAX_DEPTH:
            raise InvalidRecordError("interleaved objects that are nested too deeply")
        steps.append(_Step(column[position:name_end], begins=True))
        ends.append(_object_end(column, name_end, stop + 1))
        empty.append(stop - name_end == _EMPTY)
        position = name_end + 4
    return steps, position


def _object_end(column: bytes, start: int, limit: int) -> int:
    end: int = start + _LENGTH.unpack_from(column, start)[0]
    if not start + _EMPTY <= end < limit or column[end - 1]:
        raise InvalidRecordError("interleaved objects of a false length")
    return end


class _Decoder:
    def __init__(self, column: bytes, limit: int, budget: Budget) -> None:
        self._column, self._limit, self._budget = column, limit, budget
        self._position = 0

    def values(self) -> list[Value | None]:
        column, stream = self._column, _Stream()
        found: list[Value | None] = []
        while (control := column[self._position]) != _END:
            if control in _STARTS:
                self._objects(*_STARTS[control], found)
                stream = _Stream(found[-1])
            else:
                values, self._position = stream.load(column, self._position, self._budget)
                found += values
                self._check(found)
        if self._position + 1 != len(column):
            raise InvalidRecordError("a column that ends before its bytes do")
        return found

    def _check(self, found: list[Value | None]) -> None:
        if len(found) > self._limit:
            raise InvalidRecordError(f"a column of more than {self._limit:,} values")

    def _objects(self, kind: int, apart: frozenset[int], found: list[Value | None]) -> None:
        """Add the objects that were taken apart: at least one."""
        steps, self._position = _shape(self._column, self._position + 1, apart, self._budget)
        streams = [step.stream for step in steps if step.stream]
        if not streams or self._column[self._position] == _END:
            raise InvalidRecordError("interleaved objects without a field, or none of them")
        while streams[0].pending or self._column[self._position] != _END:
            built = self._object(steps)
            found.append((kind, built) if built else None)
            self._check(found)
        if any(stream.pending for stream in streams):
            raise InvalidRecordError("interleaved objects that end within one")
        self._position += 1

    def _object(self, steps: list[_Step]) -> bytes:
        self._budget.spend(_STEP * len(steps))
        built, opened = bytearray(), []
        for head, stream, begins, empty in steps:
            if stream:
                if value := self._next(stream):
                    built.append(value[0])
                    built += head + value[1]
            elif begins:
                opened.append((len(built), len(built) + len(head)))
                built += head + bytes(4)
            else:
                start, length_at = opened.pop()
                if len(built) == length_at + 4 and not empty:
                    del built[start:]
                else:
                    built.append(0)
                    _LENGTH.pack_into(built, length_at, len(built) - length_at)
        self._budget.spend(len(built))
        return bytes(built)

    def _next(self, stream: _Stream) -> Value | None:
        if not stream.pending:
            stream.pending, self._position = stream.load(self._column, self._position, self._budget)
            stream.pending.reverse()
        return stream.pending.pop()
