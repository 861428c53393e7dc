"""The records of one JSON list, or of a sequence of JSON values such as JSON Lines.

Where a record ends is guessed from what parted the two before it, and proved by converting the text:
whatever converts as exactly one object is one. Where the guess fails, the brackets are counted. Where a
record is broken, the search goes on at the next one that is in no other (`resync`).
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import suppress
from typing import NamedTuple, Protocol

from recovery_nb.records.batch import Damage
from recovery_nb.records.extended_json import NotARecordError
from recovery_nb.records.salvage import leading_json_fields
from recovery_nb.sources.content import UNKNOWN_SIZE
from recovery_nb.sources.json.resync import Resync
from recovery_nb.sources.json.text import RECORD_LIMIT, Budget, NoEndError, Text, is_beginning

__all__ = ["Converter", "Elements", "Found", "Walker"]

_REACH = 64 * 1024
_LITTLE = 1024
_PATIENCE = 8
_TOGETHER = 64
_SPACE = rb"(?:[ \t\r\n\x1e]|\xef\xbb\xbf)*+"
_GAP = re.compile(_SPACE + rb",?" + _SPACE + rb"(?=\{)")
_OPENING = re.compile(rb'\{\s*"[^"\\]{0,200}"\s*:')
_GIANT = 8
"""What is more than so many times as long as the record before it may hold others of its list."""

_NO_ELEMENT = (b":", b"}")
"""What follows the name or the value of a field: what stands there is a part of a broken record."""

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


class Converter(Protocol):
    """Turns the text of objects into what is wanted of them."""

    def __call__(self, text: bytes, /) -> bytes:
        """Convert one object.

        Raises:
            NotARecordError: The text is not exactly one, or it cannot be converted.
        """

    def together(self, texts: list[bytes], /) -> list[bytes] | None:
        """Convert several, which is quicker; None where any of them must be converted alone."""


def _border(gap: bytes, opening: bytes) -> _Border:
    # No string holds a raw line break, and what is nested deeper is indented deeper. On one line, the
    # name of the first field tells records from what is nested in them.
    return _Border(b"}" + gap + (b"{" if b"\n" in gap else opening), len(gap) + 1)


class Elements:
    """Reads the records of one list, or of a sequence of values.

    Args:
        text: The file.
        collection: The collection that the records belong to.
        convert: Turns the text of objects into what is wanted of them.
        closing: The brackets that close what they are in; b"" for a sequence, which goes on to the end of the file.
            None where the damage that hid its beginning left open which of both it is.
        budget: How much may be looked at in vain.

    Attributes:
        resync: What it learns from records, and finds the next one with behind damage.
    """

    def __init__(
        self,
        text: Text,
        collection: str,
        *,
        convert: Converter,
        closing: bytes | None,
        budget: Budget | None = None,
    ) -> None:
        self._text = text
        self._collection = collection
        self._convert = convert
        self._closing = closing
        self._budget = budget or Budget()
        self.resync = Resync(text, closing, self._budget)
        self._border: _Border | None = None
        self._last = 0
        self._hits = self._misses = 0
        self._alone = 0  # so many records are converted one by one, since some of those before had to be

    def read(self, pos: int) -> Walker:
        """Read from `pos` on, the first byte after the opening bracket if there is one."""
        text = self._text
        while True:
            began, pos = pos, text.skip_space(pos)
            byte = text.byte(pos)
            if not byte:
                if self._closing:
                    yield self._damage(began, text.size, "the file ends before its list is closed")
                return pos
            if byte == b"]" and self._closing != b"" and self._may_end(pos + 1):
                return pos + 1
            if byte == b",":
                pos += 1
                continue
            if byte == b"{" and self._border:
                pos = yield from self._read_guessing(pos, self._border)
            began = pos
            pos = yield from self._read_counting(pos, byte)
            self._budget.gain(pos - began)

    def _read_guessing(self, pos: int, border: _Border) -> Walker:
        """Read records as long as the border between the last two is where the next one ends."""
        text, convert, collection = self._text, self._convert, self._collection
        end, step = border.end, border.step
        while True:
            reach = _REACH + 4 * self._last
            text.need(pos, reach)
            data, base = text.data, text.base
            first = index = pos - base
            while not (self.resync.learning or self._alone):
                places, values = self._together(data, index, reach, border)
                for (start, stop), value in zip(places, values, strict=True):
                    yield Found(collection, base + start, stop - start, value)
                if not values:
                    break
                self._hits += len(values)
                self._last = places[-1][1] - places[-1][0]
                index = places[-1][1] - 1 + step
            while (found := data.find(end, index, index + reach)) >= 0:
                try:
                    value = convert(data[index : found + 1])
                except NotARecordError:
                    found = -2
                    break
                if self.resync.learning and not self.resync.learn(base + index, base + found + 1):
                    found = -2
                    break
                yield Found(collection, base + index, found + 1 - index, value)
                self._last = found + 1 - index
                self._hits += 1
                self._alone = max(0, self._alone - 1)
                index = found + step
            pos = base + index
            if found == -1 and index > first and base + len(data) < text.size:
                continue
            self._misses += 1
            if self._misses > _PATIENCE + self._hits // 4:
                self._border = None
            return pos

    def _together(
        self, data: bytes, index: int, reach: int, border: _Border
    ) -> tuple[list[tuple[int, int]], list[bytes]]:
        """Return where the next records begin and end in the window, and what they are; nothing if any is none."""
        places: list[tuple[int, int]] = []
        while len(places) < _TOGETHER and (found := data.find(border.end, index, index + reach)) >= 0:
            places.append((index, found + 1))
            index = found + border.step
        values = self._convert.together([data[start:stop] for start, stop in places]) if places else None
        if values is None:
            self._alone = 4 * len(places)
            return [], []
        return places, values

    def _read_counting(self, pos: int, byte: bytes) -> Walker:
        """Read one element, whatever it is, and return where it ends."""
        text = self._text
        try:
            end = text.value_end(pos, limit=self._limit(pos), keep=True)
            following = text.byte(text.skip_space(end)) if byte != b"{" else b""
            if following in _NO_ELEMENT or (byte == b'"' and self._closing and following not in (b",", b"]", b"")):
                raise NoEndError("broken", end)
        except NoEndError as error:
            self._budget.spend(4 * (error.reached - pos))
            return (yield from self._recover(pos, error))
        if byte != b"{":
            yield self._damage(pos, end, f"{_KINDS.get(byte, 'a number')} where a record is expected")
            return end
        try:
            value = self._convert(text.slice(pos, end))
        except NotARecordError as error:
            if not error.well_formed:
                behind = self.resync.next_record(pos + 1, usual=self._last)
                if behind >= 0 and (behind < end or not self.resync.ends(pos, end)):
                    end = behind
            elif (inside := self._swallowed(pos, end)) >= 0:
                end = inside
            yield self._damage(pos, end, error.reason)
            return end
        if (inside := self._swallowed(pos, end)) >= 0:
            yield self._damage(pos, inside, "a record that does not end: the next one begins in it")
            return inside
        if self.resync.learning and not self.resync.learn(pos, end):
            return (yield from self._recover(pos, NoEndError("broken", end)))
        yield Found(self._collection, pos, end - pos, value)
        self._last = end - pos
        self._learn(end)
        return end

    def _swallowed(self, pos: int, end: int) -> int:
        """Return where in what seems to be a record the next of its list begins; -1 if it is a record.

        Where the bracket is lost that closed a record, those behind it become a part of it, and so does the end of
        the list. Then what follows has no place in a list.
        """
        text, border = self._text, self._border
        if not (border and self._closing and self._budget.left > 0 and end - pos > _GIANT * self._last):
            return -1
        if text.find(border.end, pos, end) < 0:
            return -1
        following = text.skip_space(end)
        byte = text.byte(following)
        if byte == b"]" or (byte == b"," and not self.resync.is_name(text.skip_space(following + 1))):
            return -1
        self._budget.spend(4 * (end - pos))
        return self.resync.next_record(pos + 1, stop=end, usual=self._last)

    def _limit(self, pos: int) -> int:
        """Return how far the end of a value is looked for: where many had none, no further than the next line."""
        if self._budget.left > 0:
            return RECORD_LIMIT
        line = self._text.find(b"\n{", pos, pos + RECORD_LIMIT)
        return max(line - pos, 1) if line >= 0 else _LITTLE

    def _recover(self, pos: int, error: NoEndError) -> Walker:
        """Leave a record that has no end, for the next one that can be told."""
        text = self._text
        cut = error.cause == "eof" and self._may_be_cut(pos)
        following = self.resync.next_record(pos + 1, usual=self._last, cut=cut)
        if following < 0 and cut:
            yield self._damage(pos, text.end(), "the file ends inside a record")
            return text.end()
        if error.cause == "limit" and (following < 0 or following - pos > RECORD_LIMIT):
            with suppress(NoEndError):
                following = text.value_end(pos, limit=UNKNOWN_SIZE)
        end = text.end() if following < 0 else following
        reason = "invalid JSON: a value that does not end"
        if error.cause == "limit" and end - pos > RECORD_LIMIT:
            reason = f"more than {RECORD_LIMIT >> 20} MiB without the end of a record"
        yield self._damage(pos, end, reason)
        return end

    def _may_end(self, pos: int) -> bool:
        """Return whether what follows a closing bracket does not say that it closed a list in a record."""
        return self._closing != b"]" or self._text.byte(self._text.skip_space(pos)) not in (b",", b"}", b"]", b":")

    def _may_be_cut(self, pos: int) -> bool:
        """Return whether the rest of the text is valid as far as it goes."""
        length = self._text.end() - pos
        if length > RECORD_LIMIT or self._budget.left <= 0:
            return False
        self._budget.spend(length)
        return is_beginning(self._text.slice(pos, pos + length))

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
        begun = self._text.byte(start) == b"{"
        partial = leading_json_fields(self._text.slice(start, min(end, start + RECORD_LIMIT))) if begun else b""
        return Damage("", start, end - start, reason, self._collection, partial)
