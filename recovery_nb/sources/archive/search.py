"""Finding where reading can go on in a damaged archive."""

from __future__ import annotations

import heapq
import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.elements import InvalidRecordError, invalid_reason, value_end
from recovery_nb.records.salvage import MAX_FIELDS
from recovery_nb.sources.archive.format import TERMINATOR, border, listing
from recovery_nb.sources.base import BATCH_BYTES
from recovery_nb.sources.content import Content, Gap
from recovery_nb.sources.dump.resync import View, reaching

__all__ = ["Extent", "Search", "Window", "swallows"]

_LENGTH = struct.Struct("<i")
_SMALLEST = 5
_TYPES = frozenset((*range(0x01, 0x14), 0x7F, 0xFF))
_NAME_BYTES = 64
_HEAD = _SMALLEST + _NAME_BYTES + 1
_LOOKS = (4 * 1024, 256 * 1024, MAX_RECORD_BYTES)
_FIRST_LOOK = 4 * 1024
_EMBEDDED = re.compile(rb"[\x03\x04\x0f][^\x00]{1,64}\x00\Z")
_BEFORE = 66
_ALLOWANCE = 64 * 1024 * 1024
"""How many bytes of candidates a search may decode beyond 16 times what it has passed: it bounds its time."""
_LEARNED = 16
_ONE_BY_ONE = 16
"""Of more places in a record where another may begin, all are looked at together: hostile ones hold thousands."""
_position = attrgetter("position")


class Window:
    """The stretch of content that is in memory: it moves along with the reading, and never reaches over a gap.

    Attributes:
        content: The content.
        base: Where it begins in the content.
        data: Its bytes.
        gap: The gap at which it ends, if one does end it.
        ended: Whether nothing follows it: the content or a gap ends it.
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self.base, self.data, self.ended = 0, b"", False
        self.gap: Gap | None = None

    def need(self, at: int, length: int) -> int:
        """Have `length` bytes from `at` on in memory, and return how many there are; fewer only where it has ended."""
        have = self.base + len(self.data) - at
        if not (self.base <= at and (have >= length or (self.ended and have >= 0))):
            wanted = length + BATCH_BYTES
            data = self.content.read_at(at, wanted)
            self.gap = self._gap(at, at + len(data))
            self.ended = self.gap is not None or len(data) < wanted
            self.base, self.data = at, data[: self.gap.position - at] if self.gap else data
        return self.base + len(self.data) - at

    def read(self, at: int, length: int) -> bytes:
        """Return `length` bytes from `at` on without moving; fewer where the content or a gap ends them."""
        start = at - self.base
        if start >= 0 and start + length <= len(self.data):
            return self.data[start : start + length]
        data = self.content.read_at(at, length)
        gap = self._gap(at, at + len(data))
        return data[: gap.position - at] if gap else data

    def raw(self, at: int, length: int) -> bytes:
        """Return `length` bytes from `at` on, over gaps too; fewer only where the content ends."""
        return self.content.read_at(at, length)

    def leave_gap(self, at: int) -> None:
        """Forget what is before the gap that ends the window, if reading goes on at `at`, right behind it."""
        if self.gap and self.gap.position == at:
            self.base, self.data, self.gap, self.ended = at, b"", None, False

    def crosses(self, start: int, stop: int) -> bool:
        """Say whether a gap is between these places, the second of which was read."""
        return self._gap(start, stop - 1) is not None

    def gap_at(self, at: int) -> Gap | None:
        """Return the gap at `at`, if one is there."""
        return self._gap(at - 1, at)

    def _gap(self, start: int, stop: int) -> Gap | None:
        """Return the first gap behind `start` and not behind `stop`."""
        gaps = self.content.gaps
        number = bisect_right(gaps, start, key=_position)
        return gaps[number] if number < bisect_left(gaps, stop + 1, key=_position) else None


class Extent(NamedTuple):
    """Where a damaged document ends.

    Attributes:
        stop: Where.
        sure: Whether nothing else can be in it: no other record, and no border of a block. That is not sure if its
            length is possible and quite another: its two halves may be of two documents, with all between them gone.
    """

    stop: int
    sure: bool


class Search:
    """Looks for documents in content of which nothing is known to be whole. Its time is bounded, whatever it holds.

    Args:
        window: The content.
        prelude: Whether documents of the prelude are looked for too.
    """

    def __init__(self, window: Window, *, prelude: bool = False) -> None:
        self._window, self._prelude = window, prelude
        self._view = View(window.content)
        self._allowance, self._reached = _ALLOWANCE, 0
        self._begins = {b"_id"}

    def learn(self, records: list[bytes]) -> None:
        """Note with which field records begin: the oplog's begin with no `_id`."""
        for record in records[:: max(1, len(records) // 8)]:
            name = record[5 : record.find(0, 5)]
            if 0 < len(name) <= _NAME_BYTES and len(self._begins) < _LEARNED:
                self._begins.add(name)

    def known(self, record: bytes) -> bool:
        """Say whether a record begins as others did."""
        return record[5 : record.find(0, 5)] in self._begins

    def learn_oplog(self) -> None:
        """Expect documents of an oplog, whatever the version of the server."""
        self._begins |= {b"op", b"ts", b"lsid"}

    def extent(self, at: int) -> Extent | None:
        """Return where the document at `at` ends though its length or its last byte is wrong; None if nothing tells.

        Its length tells if it leads to where another one stands, and only its last byte is wrong. Its own fields tell
        if they lead there, and decode.
        """
        head = self._window.read(at, 4)
        (length,) = _LENGTH.unpack(head) if len(head) == 4 else (0,)
        possible = _SMALLEST <= length <= MAX_RECORD_BYTES
        if possible and self._window.read(at + length - 1, 1) not in (b"", b"\x00"):
            stop = at + int(length)
            if self._stands(stop, ended=False) and not self._window.crosses(at, stop):
                return Extent(stop, sure=True)
        for size in _LOOKS:
            data = self._afford(at, size)
            end = _end(data)
            if end:
                whole = not invalid_reason(_LENGTH.pack(end) + data[4:end]) and self._stands(at + end, ended=True)
                return Extent(at + end, sure=not possible or (length ^ end).bit_count() == 1) if whole else None
            if len(data) < size:
                break
        return None

    def next(self, start: int, stop: int | None = None) -> int:
        """Return where the next document stands from `start` on and before `stop`; else `stop` or the content's end.

        It is a namespace header, or begins with `_id` or as records before it did, and decodes.
        """
        names = sorted({name + b"\x00" for name in self._begins} | {b"db\x00"})
        size, at = _FIRST_LOOK, start
        while stop is None or at < stop:
            data = self._window.raw(at, size + _HEAD)
            for hit in heapq.merge(*(_hits(data, name) for name in names)):
                if hit >= size or (stop is not None and at + hit >= stop):
                    break
                if self._plausible(data[hit : hit + _HEAD]) and self._is_record(at + hit):
                    return at + hit
            if len(data) < size + _HEAD:
                return at + len(data) if stop is None else min(stop, at + len(data))
            at += size
            size = min(2 * size, BATCH_BYTES)
        return stop

    def affords(self, size: int) -> bool:
        """Say whether that many bytes may be looked at once more: not so if that was often, and the way made short."""
        if size > self._allowance:
            return False
        self._allowance -= size
        return True

    def _afford(self, at: int, size: int) -> bytes:
        """Return bytes to look at closely; none where that is not affordable."""
        if at > self._reached:
            self._allowance += 16 * (at - self._reached)
            self._reached = at
        if size > self._allowance:
            return b""
        data = self._window.read(at, size)
        self._allowance -= len(data)
        return data

    def _document(self, at: int) -> bytes:
        """Return the document that stands at `at` and decodes; b"" if none does."""
        head = self._window.read(at, _HEAD)
        if not self._plausible(head):
            return b""
        (length,) = _LENGTH.unpack_from(head)
        last = self._window.read(at + length - 1, 1)
        document = self._afford(at, length) if last == b"\x00" else b""
        return document if len(document) == length and not invalid_reason(document) else b""

    def _stands(self, at: int, *, ended: bool) -> bool:
        """Say whether a terminator, a header or a record is at `at`, or, where `ended` allows it, nothing more."""
        if self._window.gap_at(at):
            return False
        head = self._window.read(at, 4)
        if head == TERMINATOR:  # as numbers in records are, too
            return not self._window.raw(at + 4, 1) or border(self._document(at + 4)) is not None
        if ended and not self._window.raw(at, 1):
            return True
        document = self._document(at)
        return self.known(document) or border(document) is not None or (self._prelude and listing(document) is not None)

    def _is_record(self, at: int) -> bool:
        """Say whether a document stands here for itself, and is no field of a damaged one."""
        document = self._document(at)
        if not document:
            return False
        if document[5:8] == b"db\x00" and b"db" not in self._begins:
            return border(document) is not None or (self._prelude and listing(document) is not None)
        after = at + len(document)
        if not self._view.is_record(at, after):
            return False
        following = self._window.read(after, _HEAD)
        if following[:4] == TERMINATOR or self._plausible(following) or not self._window.raw(after, 1):
            return True
        start = max(0, at - _BEFORE)
        return not _EMBEDDED.search(self._window.raw(start, at - start))

    @staticmethod
    def _plausible(head: bytes) -> bool:
        """Say whether a document may begin so: a length in bounds, a type, a field name."""
        if len(head) < _SMALLEST:
            return False
        (length,) = _LENGTH.unpack_from(head)
        if length == _SMALLEST:
            return head[4] == 0
        return _SMALLEST < length <= MAX_RECORD_BYTES and head[4] in _TYPES and len(head) > 6 and head[5] >= 0x20


def _hits(data: bytes, name: bytes) -> Iterator[int]:
    """Yield where a document with this first name may begin."""
    hit = data.find(name, _SMALLEST)
    while hit >= 0:
        yield hit - _SMALLEST
        hit = data.find(name, hit + 1)


def _end(data: bytes) -> int:
    """Return where the document at the front of `data` ends by its own fields; 0 if that cannot be told."""
    at, limit = 4, len(data)
    try:
        for _ in range(MAX_FIELDS):
            kind = data[at]
            if not kind:
                return at + 1
            at = value_end(data, kind, data.index(0, at + 1) + 1, limit)
    except (InvalidRecordError, ValueError, IndexError, struct.error):
        pass
    return 0


def swallows(record: bytes, begin: bytes) -> bool:
    """Say whether a document that begins so is in a record and ends where it does.

    In a true record something always follows what is inside it: its own last byte.
    """
    if record.count(begin, 5) > _ONE_BY_ONE:
        return any(record.startswith(begin, place + 4) for place in reaching(record, len(record)))
    hit = record.find(begin, 5)
    while hit >= 0:
        if _LENGTH.unpack_from(record, hit - 4)[0] == len(record) - (hit - 4):
            return True
        hit = record.find(begin, hit + 1)
    return False
