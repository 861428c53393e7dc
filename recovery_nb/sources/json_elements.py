"""The records of one JSON list, or of a sequence of JSON values such as JSON Lines.

Where a record ends is guessed from what parted the two before it, and proved by converting the text:
whatever converts as exactly one object is one. Where the guess fails, the brackets are counted. Where a
record is broken, the search goes on at the next place that looks like the beginning of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import NamedTuple

from recovery_nb.records.batch import Damage
from recovery_nb.records.extended_json import NotARecordError
from recovery_nb.sources.json_text import RECORD_LIMIT, NoEndError, Text, is_beginning

__all__ = ["Elements", "Found", "Walker"]

_REACH = 64 * 1024
_PATIENCE = 8
_SPACE = rb"(?:[ \t\r\n\x1e]|\xef\xbb\xbf)*+"
_GAP = re.compile(_SPACE + rb",?" + _SPACE + rb"(?=\{)")
_OPENING = re.compile(rb'\{\s*"[^"\\]{0,200}"\s*:')
_KINDS = {b'"': "a string", b"[": "a list", b"t": "a boolean", b"f": "a boolean", b"n": "null"}


class Found(NamedTuple):
    """One record.

    Attributes:
        collection: The collection it is filed under; "" where none is named.
        offset: Where its text begins, in bytes.
        length: How long that is, in bytes.
        value: What it was converted to.
    """

    collection: str
    offset: int
    length: int
    value: bytes


Walker = Generator[Found | Damage, None, int]
"""Yields records and damages in their order, and returns the offset at which it stopped."""


class _Border(NamedTuple):
    """What parts two records: `end`, whose byte 0 closes one and whose byte `step` opens the next."""

    end: bytes
    step: int


def _border(gap: bytes, opening: bytes) -> _Border:
    # No string holds a raw line break, and what is nested deeper is indented deeper. On one line, the
    # name of the first field tells records from what is nested in them.
    return _Border(b"}" + gap + (b"{" if b"\n" in gap else opening), len(gap) + 1)


class Elements:
    """Reads the records of one list, or of a sequence of values.

    Args:
        text: The file.
        collection: The collection that the records belong to.
        convert: Turns the text of one object into what is wanted of it, or raises `NotARecordError`.
        in_list: Whether a bracket closes them; a sequence goes on to the end of the file.
    """

    def __init__(self, text: Text, collection: str, *, convert: Callable[[bytes], bytes], in_list: bool) -> None:
        self._text = text
        self._collection = collection
        self._convert = convert
        self._in_list = in_list
        self._border: _Border | None = None
        self._line_start = b"" if in_list else b"\n{"
        self._last = 0
        self._hits = self._misses = 0
        # How far a search for an end went in vain: before that, none goes further than the next beginning.
        self._searched = 0

    def read(self, pos: int) -> Walker:
        """Read from `pos` on, the first byte after the opening bracket if there is one."""
        text = self._text
        while True:
            began, pos = pos, text.skip_space(pos)
            self._note_line(began, pos)
            byte = text.byte(pos)
            if not byte:
                if self._in_list:
                    yield self._damage(began, text.size, "the file ends before its list is closed")
                return pos
            if byte == b"]" and self._in_list:
                return pos + 1
            if byte == b",":
                pos += 1
                continue
            if byte == b"{" and self._border:
                pos = yield from self._read_guessing(pos, self._border)
            pos = yield from self._read_counting(pos, byte)

    def _read_guessing(self, pos: int, border: _Border) -> Walker:
        """Read records as long as the border between the last two is where the next one ends."""
        text, convert, collection = self._text, self._convert, self._collection
        end, step = border.end, border.step
        while True:
            reach = _REACH + 4 * self._last
            text.need(pos, reach)
            data, base = text.data, text.base
            first = index = pos - base
            while (found := data.find(end, index, index + reach)) >= 0:
                try:
                    value = convert(data[index : found + 1])
                except NotARecordError:
                    found = -2
                    break
                yield Found(collection, base + index, found + 1 - index, value)
                self._last = found + 1 - index
                self._hits += 1
                index = found + step
            pos = base + index
            if found == -1 and index > first and base + len(data) < text.size:
                continue
            self._misses += 1
            if self._misses > _PATIENCE + self._hits // 4:
                self._border = None
            return pos

    def _read_counting(self, pos: int, byte: bytes) -> Walker:
        """Read one element, whatever it is, and return where it ends."""
        text = self._text
        try:
            end = text.value_end(pos, limit=self._limit(pos), keep=True)
        except NoEndError as error:
            self._searched = max(self._searched, error.reached)
            return (yield from self._recover(pos, error))
        if byte != b"{":
            yield self._damage(pos, end, f"{_KINDS.get(byte, 'a number')} where a record is expected")
            return end
        try:
            value = self._convert(text.slice(pos, end))
        except NotARecordError as error:
            if not error.well_formed:
                self._searched = max(self._searched, end)
                following = self._next_start(pos, end)
                end = end if following < 0 else following
            yield self._damage(pos, end, error.reason)
            return end
        yield Found(self._collection, pos, end - pos, value)
        self._last = end - pos
        self._learn(end)
        return end

    def _recover(self, pos: int, error: NoEndError) -> Walker:
        """Leave a record that has no end, for the next one that can be told."""
        text = self._text
        if error.cause == "eof" and text.size - pos <= RECORD_LIMIT and is_beginning(text.slice(pos, text.size)):
            yield self._damage(pos, text.size, "the file ends inside a record")
            return text.size
        following = self._next_start(pos, text.size)
        if following < 0 and error.cause == "limit":
            try:
                following = text.value_end(pos, limit=text.size)
            except NoEndError:
                following = -1
        end = text.size if following < 0 else following
        reason = "invalid JSON: a value that does not end"
        if error.cause == "limit" and end - pos > RECORD_LIMIT:
            reason = f"more than {RECORD_LIMIT >> 20} MiB without the end of a record"
        yield self._damage(pos, end, reason)
        return end

    def _limit(self, pos: int) -> int:
        if pos >= self._searched:
            return RECORD_LIMIT
        following = self._next_start(pos, pos + RECORD_LIMIT)
        return following - pos if following > 0 else RECORD_LIMIT

    def _next_start(self, pos: int, end: int) -> int:
        """Return where the next record, or the space before it, seems to begin; -1 where nothing tells."""
        needle, lead = self._line_start, 0
        if needle == b"\n{" and self._in_list:
            # Nothing is indented here: the first field must tell records from what is nested in them.
            opening = _OPENING.match(self._text.slice(pos, pos + 256))
            needle = b"\n" + opening[0] if opening else needle
        elif not needle and self._border:
            needle, lead = self._border.end, 1
        found = self._text.find(needle, pos, end) if needle else -1
        return found if found < 0 else found + lead

    def _note_line(self, began: int, pos: int) -> None:
        """Keep how far the line of a record is indented: the next ones begin in the same way."""
        space = self._text.data[max(0, began - self._text.base) : pos - self._text.base]
        if self._in_list and b"\n" in space:
            self._line_start = space[space.rindex(b"\n") :] + b"{"

    def _learn(self, end: int) -> None:
        """Learn what parts this record from the next one."""
        if self._border or self._misses > _PATIENCE + self._hits // 4:
            return
        text = self._text
        text.need(end - 1, 4096)
        gap = _GAP.match(text.data, end - text.base)
        if gap:
            opening = _OPENING.match(text.data, gap.end())
            if opening or b"\n" in gap[0]:
                self._border = _border(gap[0], opening[0] if opening else b"")

    def _damage(self, start: int, end: int, reason: str) -> Damage:
        return Damage("", start, end - start, reason, self._collection)
