"""A window over a JSON text of any size, and where its values end: all offsets are bytes in its content.

Only brackets and strings are looked at. That a value is valid is proved by whoever converts it; here a
hostile text costs time in proportion to its length, whatever it nests or leaves open.
"""

from __future__ import annotations

import json
import re
from typing import Literal

import numpy as np

from recovery_nb.sources.content import UNKNOWN_SIZE, Content

__all__ = ["RECORD_LIMIT", "Budget", "NoEndError", "Text", "is_beginning", "is_json"]

RECORD_LIMIT = 64 * 1024 * 1024
"""The longest text of one record, in bytes: four times what a server stores."""

_CHUNK = 4 * 1024 * 1024

# Byte order marks and record separators (RFC 7464) stand between values where files were joined.
_SPACE = re.compile(rb"(?:[ \t\r\n\x1e]++|\xef\xbb\xbf)*+")
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
_SKIP = re.compile(rb'[^"{}\[\]]*+(?:' + _STRING + rb'[^"{}\[\]]*+)*+')
_BRACKET = re.compile(_SKIP.pattern + rb"[{}\[\]]")
_WHOLE_STRING = re.compile(_STRING)
_STRING_BODY = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+')
_SCALAR = re.compile(rb"(?:-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|NaN|-?Infinity)(?![-+.\w])")
_OPENING = frozenset(b"{[")
_OPEN, _CLOSE = np.frombuffer(b"{[", np.uint8), np.frombuffer(b"}]", np.uint8)
_DENSE = 1_000
"""So many brackets with nothing between them are no record: from there on they are counted in bulk."""
_STRETCH = 1024 * 1024


class Budget:
    """How much of a text may still be looked at in vain: it bounds the time that hostile text can take.

    Attributes:
        left: How many bytes. It grows with what is passed for good, up to where it began.
    """

    _MOST = 16 * 1024 * 1024
    _KEPT = 1024 * 1024
    _APART = 16 * 1024
    _GAIN = 16
    _STEP = 128  # what looking costs, however little it is that is looked at

    def __init__(self) -> None:
        self.left = self._MOST
        self._last = -self._APART

    def begin(self, pos: int) -> None:
        """Take note that a search begins here: far from the one before, some looking is always allowed."""
        if pos - self._last >= self._APART:
            self.left = max(self.left, self._KEPT)
            self._last = pos

    def spend(self, length: int) -> None:
        """Take note that so many bytes were looked at."""
        self.left -= length + self._STEP

    def gain(self, length: int) -> None:
        """Take note that so many bytes were passed."""
        self.left = min(self._MOST, self.left + self._GAIN * length)


class NoEndError(Exception):
    """A value has no end where one was looked for.

    Attributes:
        cause: "eof": the text ends first; "limit": the limit comes first; "broken": it cannot be JSON.
        reached: How far the text was looked at.
    """

    def __init__(self, cause: Literal["eof", "limit", "broken"], reached: int) -> None:
        super().__init__(cause)
        self.cause = cause
        self.reached = reached


class Text:
    """A window that moves over content.

    Attributes:
        size: The length of the content in bytes; `UNKNOWN_SIZE` before its end was met.
        data: The bytes in the window.
        base: The offset of the first of them.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self.size = UNKNOWN_SIZE
        self.data = b""
        self.base = 0

    def need(self, pos: int, length: int) -> None:
        """Have the window hold `length` bytes from `pos` on, or all to the end; what is before may go."""
        offset, have = pos - self.base, len(self.data)
        if offset >= 0 and (offset + length <= have or (offset <= have and self.base + have >= self.size)):
            return
        kept = self.data[offset:] if 0 <= offset < have else b""
        missing = max(length - len(kept), _CHUNK)
        more = self._content.read_at(pos + len(kept), missing)
        self.data, self.base = kept + more if kept else more, pos
        if len(more) < missing:
            self.size = pos + len(self.data)

    def end(self) -> int:
        """Return the length of the content; where it is still being expanded, this waits."""
        if self.size == UNKNOWN_SIZE:
            self.size = self._content.size()
        return self.size

    def slice(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` to `end`, fewer where the file ends."""
        self.need(start, end - start)
        return self.data[start - self.base : end - self.base]

    def byte(self, pos: int) -> bytes:
        """Return the byte at `pos`, or none at the end."""
        self.need(pos, 1)
        return self.data[pos - self.base : pos - self.base + 1]

    def skip_space(self, pos: int) -> int:
        """Return where the next token begins, or the end of the file."""
        while True:
            self.need(pos, 3)
            match = _SPACE.match(self.data, pos - self.base)
            assert match  # noqa: S101 - an expression that may be empty always matches
            end = self.base + match.end()
            # A byte order mark that the window's end cuts is looked at once more, whole.
            if end + 3 <= self.base + len(self.data) or self.base + len(self.data) >= self.size:
                return end
            pos = end

    def find(self, needle: bytes, pos: int, end: int | None = None) -> int:
        """Return where `needle` is next, from `pos` on and whole before `end`; -1 if nowhere."""
        end = UNKNOWN_SIZE if end is None else end
        while pos + len(needle) <= min(end, self.size):
            self.need(pos, len(needle))
            found = self.data.find(needle, pos - self.base, end - self.base)
            if found >= 0:
                return self.base + found
            pos = max(pos + 1, self.base + len(self.data) - len(needle) + 1)
        return -1

    def value_end(self, start: int, *, limit: int, keep: bool = False) -> int:
        """Return where the value that begins at `start` ends.

        Args:
            start: Where it begins.
            limit: How long it may be, in bytes.
            keep: Whether the window shall hold all of it, or may move along.

        Raises:
            NoEndError: It has no end within the limit.
        """
        first = self.byte(start)
        if first and first in b"{[":
            return self._bracket_end(start, limit=limit, keep=keep)
        if first == b'"':
            return self._string_end(start, limit=limit)
        self.need(start, 4096)
        match = _SCALAR.match(self.data, start - self.base)
        if not match or match.end() - (start - self.base) > limit:
            raise NoEndError("broken", start)
        return self.base + match.end()

    def _grow(self, start: int, pos: int, limit: int) -> None:
        """Read on, twice as much as is held from `start`, or say that there is no more."""
        reached = self.base + len(self.data)
        if reached - start >= limit:
            raise NoEndError("limit", start + limit)
        if reached >= self.size:
            raise NoEndError("eof", self.size)
        self.need(pos, min(limit - (pos - start), 2 * (reached - pos) + _CHUNK))

    def _string_end(self, start: int, *, limit: int) -> int:
        while True:
            match = _WHOLE_STRING.match(self.data, start - self.base, start - self.base + limit)
            if match:
                return self.base + match.end()
            self._check_string(start)
            self._grow(start, start, limit)

    def _check_string(self, start: int) -> None:
        """Raise if the string at `start` is not just cut by the window's end, but broken."""
        match = _STRING_BODY.match(self.data, start - self.base)
        stop = match.end() if match else 0
        left = self.data[stop : stop + 2]
        if left and left != b"\\" and not left.startswith(b'"'):
            raise NoEndError("broken", self.base + stop)

    def _bracket_end(self, start: int, *, limit: int, keep: bool) -> int:
        depth, pos, match_bracket = 0, start, _BRACKET.match
        while True:
            data, index = self.data, pos - self.base
            stop = min(len(data), start + limit - self.base)
            dense = 0
            while match := match_bracket(data, index, stop):
                dense = dense + 1 if match.end() - index == 1 else 0
                index = match.end()
                if dense >= _DENSE:
                    end, depth = _through_dense(data, index - 1, stop, depth)
                    if not depth:
                        return self.base + end
                    index, dense = end, 0
                    continue
                if data[index - 1] in _OPENING:
                    depth += 1
                else:
                    depth -= 1
                    if not depth:
                        return self.base + index
            skipped = _SKIP.match(data, index, stop)
            pos = self.base + (skipped.end() if skipped else index)
            if self.data[pos - self.base : pos - self.base + 1] == b'"':
                self._check_string(pos)
            self._grow(start, start if keep else pos, limit)


def _through_dense(data: bytes, start: int, stop: int, depth: int) -> tuple[int, int]:
    """Count the brackets of a stretch that holds no string at once, as hostile texts have millions in a row.

    Returns:
        Where the value ends and 0, or where the stretch ends and how deep it is there.
    """
    quote = data.find(b'"', start, min(stop, start + _STRETCH))
    stretch = np.frombuffer(data[start : quote if quote >= 0 else min(stop, start + _STRETCH)], np.uint8)
    steps = np.isin(stretch, _OPEN).astype(np.int64) - np.isin(stretch, _CLOSE)
    depths = depth + np.cumsum(steps)
    ends = np.flatnonzero((depths == 0) & (steps == -1))
    if len(ends):
        return start + int(ends[0]) + 1, 0
    return start + len(stretch), int(depths[-1]) if len(depths) else depth


def is_beginning(text: bytes) -> bool:
    """Return whether a text that ends early is valid JSON as far as it goes: cut, not broken."""
    try:
        _CUT_DECODER.raw_decode(text.decode("latin-1"))
    except json.JSONDecodeError as error:
        # The scanner points at the start of a literal or an escape that is cut: at most 12 bytes back.
        tail = text[error.pos :]
        return error.msg.startswith("Unterminated string") or len(tail) <= 12
    except RecursionError:
        return True
    return True


def is_json(text: bytes) -> bool:
    """Return whether a text is one JSON value, whatever its numbers and however deep as a decoder goes."""
    try:
        _, end = _CUT_DECODER.raw_decode(text.decode("latin-1"))
    except (json.JSONDecodeError, RecursionError):
        return False
    return end == len(text)


# What is decoded is thrown away: `len` costs nothing and knows no limit on digits.
_CUT_DECODER = json.JSONDecoder(object_pairs_hook=len, parse_int=len, parse_float=len)
