"""Walking through the blocks of an archive, whole or damaged."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from fastcrc import crc64

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.elements import invalid_reason
from recovery_nb.sources.archive.format import BORDER_TAIL, TERMINATOR, Namespace, border
from recovery_nb.sources.archive.prelude import Prelude
from recovery_nb.sources.archive.search import Search, Window, swallows
from recovery_nb.sources.archive.steps import Closed, Ended, Judge, Lost, Opened, Run, Step
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS
from recovery_nb.sources.content import Content

__all__ = ["walk"]

_LENGTH = struct.Struct("<i")
_SMALLEST = 5
_LOOKED_BACK = 16
_FIRST_STRIDE = 4 * 1024


def walk(content: Content, prelude: Prelude, judge: Judge) -> Iterator[Step]:
    """Yield what stands in the blocks, in order.

    A document is told by its length prefix and last byte. Where that fails, and where a document has swallowed
    others, reading goes on behind the document if its end can be told (`Search.extent`), else at the next document
    or namespace header. If its end is sure, the block is still the same. Else a border of blocks may be lost, and what
    follows may be anybody's until the next header, unless the judge knows whose. Nothing is read across a gap.

    Args:
        content: The archive.
        prelude: What stands before the blocks.
        judge: Who is asked what the archive does not say.
    """
    return _Walk(content, prelude, judge).steps()


class _Walk:
    def __init__(self, content: Content, prelude: Prelude, judge: Judge) -> None:
        self._window, self._judge = Window(content), judge
        self._search = Search(self._window)
        if any(not entry.namespace.database for entry in prelude.listings):
            self._search.learn_oplog()
        self._sums: dict[Namespace, int] = {}
        self._at = prelude.end
        self._inside = False
        self._namespace: Namespace | None = None
        self._place = -1
        self._clean = False
        self._stride = BATCH_BYTES  # how far is read at once: little behind damage, as there may be more
        self._begin = b""  # how the first document of the block begins, or the first behind damage
        self._wrong = ""  # what is wrong at `_at`; "" for nothing
        if not prelude.at_border:
            self._orphaned()

    def steps(self) -> Iterator[Step]:
        while True:
            self._wrong = ""
            yield from self._block() if self._inside else self._border()
            if self._wrong:
                yield self._resumed()
            elif not self._window.need(self._at, 1):
                if not self._window.gap:
                    break
                self._wrong = self._window.gap.reason
                yield self._resumed(at_gap=True)
        yield Ended(self._at, self._clean and not self._inside)

    def _border(self) -> Iterator[Step]:
        """Read a namespace header, and behind the last of a namespace the terminator."""
        document = self._document() or self._mended()
        if not document:
            self._wrong = "bytes that are no header of a block" if self._window.need(self._at, 1) else ""
            return
        if document[:4] != self._window.read(self._at, 4):
            yield Lost(self._at, 4, "a false length of the header of a block", None, -1, sure=True, record=False)
        found = border(document)
        after = self._at + len(document)
        ended = found is not None and found.ends and self._window.read(after, 4) == TERMINATOR
        if found is None or (found.ends and not ended and not found.checksum):
            self._wrong = "a damaged header of a block"
        elif not self._judge.credible(found.namespace):
            self._wrong = f"the header of a block of {found.namespace}, which the archive does not list"
        elif found.ends:
            holds = self._sums.pop(found.namespace, 0) == found.checksum
            yield Closed(found.namespace, self._at, len(document), holds)
            self._at = after + len(TERMINATOR) * ended
            self._clean = ended
            if not ended and self._window.need(self._at, 1):
                self._wrong = "the end of a block, without its mark"
        else:
            self._namespace, self._place, self._inside, self._clean = found.namespace, -1, True, False
            self._at, self._begin = after, b""
            yield Opened(found.namespace, after - len(document))

    def _mended(self) -> bytes:
        """Return the namespace header that stands here with a false length; b"" if none does."""
        extent = self._search.extent(self._at)
        if not extent:
            return b""
        length = extent.stop - self._at
        document = _LENGTH.pack(length) + self._window.read(self._at + 4, length - 4)
        return document if border(document) else b""

    def _document(self) -> bytes:
        """Return the document that stands here by its length prefix and last byte; b"" if none does."""
        have = self._window.need(self._at, _SMALLEST)
        if have < _SMALLEST:
            return b""
        (length,) = _LENGTH.unpack_from(self._window.data, self._at - self._window.base)
        if not _SMALLEST <= length <= MAX_RECORD_BYTES or self._window.need(self._at, length) < length:
            return b""
        document = self._window.read(self._at, length)
        return b"" if document[-1] else document

    def _block(self) -> Iterator[Step]:
        """Read documents up to the terminator, or to where something is wrong."""
        wanted = _SMALLEST
        while True:
            have = self._window.need(self._at, wanted)
            most = max(self._stride, wanted)
            ended, have = self._window.ended and have <= most, min(have, most)
            start = self._at - self._window.base
            records, stop = _split(self._window.data, start, start + have)
            offsets = list(accumulate(map(len, records), initial=self._at))
            left, end = start + have - stop, offsets[-1]
            offsets.pop()
            if self._window.data[stop : stop + 4] == TERMINATOR:
                yield from self._run(records, offsets, end, failed=False)
                if not self._wrong and self._at == end:
                    self._at, self._inside = end + len(TERMINATOR), False
                return
            length = _LENGTH.unpack_from(self._window.data, stop)[0] if left >= 4 else _SMALLEST
            more = left < length <= MAX_RECORD_BYTES
            if len(records) == BATCH_RECORDS or (more and not ended):
                # The last one is read again: what follows it will tell whether its length was true.
                if len(records) > 1:
                    last = offsets[-1]
                    yield from self._run(records[:-1], offsets[:-1], last, failed=False)
                    if self._wrong or not self._inside:
                        return
                wanted = (end - self._at) + length
                continue
            self._stride = _FIRST_STRIDE
            yield from self._run(records, offsets, end, failed=True)
            if self._wrong or not self._inside:
                return
            if left:
                self._wrong = _reason(length, left, cut=more)
            return

    def _run(self, records: list[bytes], offsets: list[int], end: int, *, failed: bool) -> Iterator[Run]:
        """Yield documents that stand back to back up to `end`, and move there; or to the first that is none."""
        start = self._at
        stop = self._suspect(records, offsets, end, failed=failed)
        if stop < len(records):
            end = offsets[stop]
            records, offsets = records[:stop], offsets[:stop]
        self._at = end
        if not records:
            return
        self._search.learn(records)
        if self._namespace:
            data = memoryview(self._window.data)[start - self._window.base : end - self._window.base]
            self._sums[self._namespace] = crc64.xz(data, self._sums.get(self._namespace, 0))
        yield Run(self._namespace, self._place, records, offsets)

    def _suspect(self, records: list[bytes], offsets: list[int], end: int, *, failed: bool) -> int:
        """Return the number of the first of these that is no record of this block; how many they are if all are.

        It is a header of a block whose terminator is lost, or has swallowed one or other documents.
        """
        data, base = self._window.data, self._window.base
        start, stop = self._at - base, end - base
        found = len(records)
        hit, seen = data.find(BORDER_TAIL, start, stop), -1
        while hit >= 0:
            number = bisect_right(offsets, base + hit) - 1
            if number > seen:
                seen = number
                if border(records[number]):
                    self._inside = False
                    return number
                if invalid_reason(records[number]):
                    found = number
                    break
            hit = data.find(BORDER_TAIL, hit + 1, stop)
        if records and not self._begin:
            self._begin = records[0][4 : records[0].find(0, 5) + 1]
        if len(self._begin) > 2 and data.count(self._begin, start, stop) != len(records):
            for number, record in enumerate(records[:found]):
                if swallows(record, self._begin) and invalid_reason(record):
                    found = number
                    break
        if failed and found == len(records):
            found = self._false(records, offsets)
        elif found < len(records):
            found = self._astray(records, offsets, found)
        self._stride = min(2 * self._stride, BATCH_BYTES)
        if found < len(records) and self._search.affords(len(records[found])):
            self._stride = _FIRST_STRIDE
            self._wrong = "a record with a false length"
            return found
        return len(records)

    def _false(self, records: list[bytes], offsets: list[int]) -> int:
        """Return the number of the first record that led astray, to something that is none; or how many they are.

        Of the last ones, that is one that does not decode and has another inside; or that stands behind one that does
        not decode, and begins as no other does: a field of a record which was swallowed in part. Or it is the last
        one, if another begins in it.
        """
        astray = False
        for number in range(max(0, len(records) - _LOOKED_BACK), len(records)):
            record, offset = records[number], offsets[number]
            if invalid_reason(record):
                astray = True
                end = offset + len(record)
                if self._search.next(offset + 1, end) < end:
                    return number
            elif astray and not self._search.known(record):
                return number
        if records:
            end = offsets[-1] + len(records[-1])
            at = self._search.next(offsets[-1] + 1, end)
            if at < end and at + _LENGTH.unpack(self._window.read(at, 4))[0] > end:
                return len(records) - 1
        return len(records)

    def _astray(self, records: list[bytes], offsets: list[int], number: int) -> int:
        """Return the number of the record that led to this false one: a false length of its own can be why."""
        while number and invalid_reason(records[number - 1]):
            end = offsets[number]
            if self._search.next(offsets[number - 1] + 1, end) == end:
                break
            number -= 1
        return number

    def _resumed(self, *, at_gap: bool = False) -> Lost:
        """Return the stretch that begins here, and go on behind it."""
        start, inside, namespace, place = self._at, self._inside, self._namespace, self._place
        extent = None if at_gap else self._search.extent(start)
        sure = extent is not None and extent.sure
        end = extent.stop if extent else self._search.next(start if at_gap else start + 1)
        self._at, self._clean, self._begin = end, False, b""
        self._window.leave_gap(end)
        if not (sure and inside):
            document = self._document()
            if document and border(document):
                self._inside = False
            elif self._window.need(end, 1) or self._window.gap:
                self._orphaned()
        if not inside:
            namespace, place, sure = None, -1, False
        return Lost(start, end - start, self._wrong, namespace, place, sure=sure, record=inside and not at_gap)

    def _orphaned(self) -> None:
        """Go on within a block whose header is lost."""
        self._inside, self._place = True, self._at
        self._namespace = self._judge.owner(self._at)


def _split(data: bytes, start: int, end: int) -> tuple[list[bytes], int]:
    """Cut documents off `data` from `start` on; return them, and where the first thing stands that is none."""
    records: list[bytes] = []
    append, unpack = records.append, _LENGTH.unpack_from
    at, last = start, end - _SMALLEST
    while at <= last:
        (length,) = unpack(data, at)
        stop = at + length
        # A negative or tiny length fails on its own; a huge one runs past the buffer.
        if length < _SMALLEST or stop > end or data[stop - 1]:
            break
        append(data[at:stop])
        at = stop
        if len(records) == BATCH_RECORDS:
            break
    return records, at


def _reason(length: int, left: int, *, cut: bool) -> str:
    if cut:
        return f"a record of {length:,} bytes is cut: what is left of it are {left:,} bytes"
    if not _SMALLEST <= length <= MAX_RECORD_BYTES:
        return f"a length of {length:,} bytes, which no document has"
    return f"a length of {length:,} bytes, at the end of which no document ends"
