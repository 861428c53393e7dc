"""Finding the next BSON document behind damage, and telling it from one that is a field of a damaged record.

Both decode. But documents stand back to back, and what follows one that is embedded goes on with the record it is in:
more fields, and the NUL byte that ends it, and then the next record. So what follows tells, and not how it begins.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice

import numpy as np

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, elements, invalid_reason, value_end
from recovery_nb.sources.content import UNKNOWN_SIZE, Content

__all__ = ["SMALLEST", "View", "looks_like_document", "next_document", "reaching"]

SMALLEST = 5
"""The length of an empty document, in bytes."""

_LENGTH = struct.Struct("<i")
_TYPES = frozenset((*range(0x01, 0x14), 0x7F, 0xFF))
_NAME_BYTES = 256
_HEAD = SMALLEST + _NAME_BYTES
_WINDOW = 4 * 1024 * 1024
_VIEW = 64 * 1024
_ALLOWANCE = 64 * 1024 * 1024
"""How many bytes of candidates a search may read beyond 16 times what it has passed: it bounds its time."""

_FIELD = re.compile(rb"(?s)[\x01-\x13\x7f\xff](?<=[\x00\x01].)(?=[ -~\x80-\xff]{1,64}\x00)")
"""The type and name of a first field, behind a length: what a document that is not empty begins with."""

_EMBEDDED = re.compile(rb"[\x03\x04\x0f][ -~\x80-\xff]{1,64}\x00\Z")
_IN_BINARY = re.compile(rb"(?s)\x05[ -~\x80-\xff]{1,64}\x00(....).\Z")
_BEFORE = 72
_CHAIN = 10_000
"""No more documents in a row are looked at: as many are in no field."""

_CLOSELY = 64
"""So many of them are looked at closely, and of the others the last."""

_FEW = 4
"""More documents in a row are in a field only if they are in a binary."""

_UNSOUND = 4
_CONVINCING = 2
"""So many fields in a row behind a document are no accident: it is one of them, though their end was not found."""

_NESTED = 8
"""More NUL bytes in a row do not end documents that are in each other: they are a span that was zeroed."""

_ALIKE = 3
"""So many first fields of one name tell documents of one kind."""

_ZEROED = bytes(_NESTED + 1)

_MAX_FIELDS = 100_000
"""No more fields are read in a row."""


def looks_like_document(head: bytes, left: int) -> bool:
    """Say whether a document of at most `left` bytes may begin so: a length in bounds, a type, a field name."""
    if len(head) < SMALLEST:
        return False
    (length,) = _LENGTH.unpack_from(head)
    if not SMALLEST <= length <= min(left, MAX_RECORD_BYTES):
        return False
    if length == SMALLEST:
        return head[4] == 0
    return head[4] in _TYPES and _is_name(head[SMALLEST : SMALLEST + _NAME_BYTES])


def _is_name(text: bytes) -> bool:
    """Say whether a field's name begins so; where it is long, its end need not be there."""
    name, ended, _ = text.partition(b"\x00")
    if not name or not (ended or len(name) >= _NAME_BYTES):
        return False
    try:
        return name[: _NAME_BYTES - 4].decode().isprintable()
    except UnicodeDecodeError:
        return False


def next_document(content: Content, start: int, *, stop: int = UNKNOWN_SIZE, past: int = 0) -> int:
    """Return where the next document begins, from `start` on and before `stop`; else `stop`, or where the content ends.

    An empty document is found only behind another.

    Args:
        content: Where to look. The time is bounded, whatever it holds.
        start: The first place to look at.
        stop: The first place not to look at.
        past: Where it has to end at the earliest.
    """
    allowance, window = _ALLOWANCE, start
    view = View(content)
    while window < stop:
        buffer = content.read_at(window, _WINDOW + SMALLEST + _HEAD)
        allowance += 16 * len(buffer)
        at = SMALLEST - 1
        while found := _FIELD.search(buffer, at):
            at = found.start() + 1
            candidate = window + found.start() - 4
            if candidate >= stop or candidate >= window + _WINDOW:
                break
            length = view.document(candidate)
            if not length or length > allowance or candidate + length < past:
                continue
            allowance -= length
            if view.is_sound(candidate, candidate + length):
                if view.is_record(candidate, candidate + length):
                    return candidate
                at = max(at, candidate + length - window + 4)
        if len(buffer) < _WINDOW + SMALLEST + _HEAD:
            return min(stop, window + len(buffer))
        window += max(_WINDOW, at - 4)
    return stop


def reaching(record: bytes, end: int) -> Iterator[int]:
    """Yield the places within a record where a document may begin whose length leads to `end`, in no order."""
    for phase in range(1, 5):
        lengths = np.frombuffer(record, "<i4", max(0, end - phase) // 4, phase)
        left = np.arange(end - phase, SMALLEST - 1, -4)
        yield from (phase + 4 * np.flatnonzero(lengths[: len(left)] == left)).tolist()


class View:
    """Looks at content here and there, most often a little further on."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._base, self._data = 0, b""
        self._inside: set[int] = set()  # where fields of damaged records end

    def _head(self, position: int) -> bytes:
        offset = position - self._base
        if not 0 <= offset <= len(self._data) - _HEAD - SMALLEST:
            self._base, self._data, offset = position, self._content.read_at(position, _VIEW), 0
        return self._data[offset : offset + _HEAD + SMALLEST]

    def document(self, position: int) -> int:
        """Return the length of what may be a document by its beginning and its last byte; 0 if it is none."""
        head = self._head(position)
        if not looks_like_document(head, MAX_RECORD_BYTES):
            return 0
        (length,) = _LENGTH.unpack_from(head)
        return int(length) if self._content.read_at(position + length - 1, 1) == b"\x00" else 0

    def is_sound(self, start: int, end: int) -> bool:
        """Return whether a document decodes, and no gap parts it."""
        return not (self._parted(start, end) or invalid_reason(self._content.read_at(start, end - start)))

    def is_record(self, start: int, end: int) -> bool:
        """Return whether a document that decodes stands for itself, and is no field of a damaged record."""
        if end in self._inside:
            return False
        ends = [start, end]
        while end - start <= MAX_RECORD_BYTES and len(ends) < _CHAIN and (length := self.document(end)):
            if len(ends) < _CLOSELY and not self.is_sound(end, end + length):
                break
            if self._parted(end, end + length):
                return True
            end += length
            ends.append(end)
        if end - start > MAX_RECORD_BYTES or len(ends) == _CHAIN:
            return True
        for _ in range(_UNSOUND):  # the last ones may have a wrong length, and what follows them is no sign then
            if len(ends) == 2 or self.is_sound(ends[-2], ends[-1]):
                break
            ends.pop()
        if len(ends) <= _FEW and self._goes_on(ends[-1]) and not (start == 0 and self._is_parted(ends[-2], ends[-1])):
            self._remember(ends[1:])
            return False
        before = self._content.read_at(max(0, start - _BEFORE), min(start, _BEFORE))
        binary = _IN_BINARY.search(before)
        if binary and ends[1] - start <= (size := _LENGTH.unpack(binary[1])[0]) <= MAX_RECORD_BYTES:
            self._remember([end for end in ends[1:] if end <= start + size])
            return False
        return not (len(ends) == 2 and _EMBEDDED.search(before))

    def _parted(self, start: int, end: int) -> bool:
        return any(start < gap.position < end for gap in self._content.gaps)

    def _goes_on(self, position: int) -> bool:
        """Return whether fields of another document follow one, and then another record or nothing."""
        start, fields, closed = position, [position], 0
        while position - start <= MAX_RECORD_BYTES and closed < MAX_DEPTH and len(fields) < _MAX_FIELDS:
            head = self._head(position)
            if head.startswith(_ZEROED):
                break
            if head[:1] == b"\x00":
                position, closed = position + 1, closed + 1
                if not self._head(position) or self.document(position):
                    self._remember(fields)
                    return True
                continue
            if not head or head[0] not in _TYPES or not _is_name(head[1 : 1 + _NAME_BYTES]):
                break
            offset = position - self._base
            try:
                stop = value_end(self._data, head[0], self._data.index(0, offset + 1) + 1, UNKNOWN_SIZE)
            except (InvalidRecordError, ValueError, IndexError, struct.error):
                break
            position = self._base + stop
            fields.append(position)
        if len(fields) > _CONVINCING:
            self._remember(fields)
            return True
        return False

    def _is_parted(self, start: int, end: int) -> bool:
        """Return whether only a few zeros part a document from one with the same fields.

        They would end what it is in, too, if it were embedded. But at the beginning of a file a record is more likely.
        """
        for following in range(end, end + _NESTED + 1):
            if length := self.document(following):
                return self._names(start, end - start) == self._names(following, length)
            if self._head(following)[:1] != b"\x00":
                break
        return False

    def _names(self, start: int, length: int) -> list[bytes]:
        """Return the names of a document's first fields."""
        try:
            found = elements(self._content.read_at(start, length))
            return [name for _, name, _ in islice(found, _ALIKE)]
        except InvalidRecordError:
            return []

    def _remember(self, ends: list[int]) -> None:
        if len(self._inside) > _MAX_FIELDS:
            self._inside.clear()
        self._inside.update(ends)
