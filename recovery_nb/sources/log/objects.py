"""JSON objects within text: where they begin and end, and what of them is escaped within a string.

Brackets, strings and the names of identities are looked at, in one pass; that an object is valid is proved by whoever
converts it. A hostile text costs time in proportion to its length, whatever it nests or leaves open.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["BRACKET", "LAYERS", "STRING", "Place", "Scan", "Unescaped", "broken_at", "scan", "shallow"]

LAYERS = 3
"""How often a text may be escaped in another: a string within a string within a string."""

_MAX_DEPTH = 256
"""Brackets within brackets: a record has at most 200 levels (`MAX_DEPTH`), and the entry around it some more."""

_MAX_PLACES = 100_000
_NEAR_TOP = 16
"""Records are looked for no deeper than this within brackets: an entry, a command, a list of documents."""

STRING = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
_IDENTITY = rb'"(?:_|session_)?id"\s*+:'
_CERTAIN_IDENTITY = rb'"(?:_|session_)id"\s*+:'
_PLAIN = rb'[^"{}\[\]\n]*+'
_SKIP = re.compile(_PLAIN + rb"(?:(?!" + _IDENTITY + rb")" + STRING + _PLAIN + rb")*+")
_TOKEN = re.compile(_SKIP.pattern + rb"(?:([{}\[\]])|(\n)|(" + _CERTAIN_IDENTITY + rb")|" + _IDENTITY + rb")")
_STRING_BODY = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+')
BRACKET = re.compile(rb'[^"{}\[\]]*+(?:' + STRING + rb'[^"{}\[\]]*+)*+[{}\[\]]')
_LEAF = rb'[{\[][^"{}\[\]]*+(?:' + STRING + rb'[^"{}\[\]]*+)*+[}\]]'
_DEEP_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:(?:' + STRING + rb"|" + _LEAF + rb')[^"{}\[\]]*+)*+[{}\[\]]')
_NEXT_LINE = re.compile(
    rb'[ \t\r\n]*+(?:(")|([{\[])|[}\],:]|(?:-?\d[\d.eE+-]*+|true|false|null|NaN|-?Infinity)(?=[ \t]*+[\r\n,\]}])|\Z)'
)
_ENTRY_LINE = re.compile(rb"\n[{\[]")
_BEFORE = re.compile(rb"([\[{,:])[ \t\r\n]*+\Z")
_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_SIMPLE = {b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_OPENING = frozenset(b"{[")


class Place(NamedTuple):
    """An object that has an identity among its own fields.

    Attributes:
        start: Where it begins.
        end: Where it ends; -1 if it does not.
        above: Where each bracket around it opens, the outermost first.
        certain: Whether it has an `_id` or a `session_id`, not just an `id`.
    """

    start: int
    end: int
    above: tuple[int, ...]
    certain: bool


class Scan(NamedTuple):
    """What one pass over an object found.

    Attributes:
        end: Where it ends; -1 if it does not.
        reached: How far the text was looked at.
        cut: Whether the text ended before the object did.
        deep: Whether it is nested deeper than any record is.
        places: The objects with an identity in it, itself among them, in their order; some may not end.
        crowded: Where there were more of them than are looked at; -1 if there were not.
    """

    end: int
    reached: int
    cut: bool
    deep: bool
    places: list[Place]
    crowded: int


def scan(text: bytes, start: int, stop: int) -> Scan:  # noqa: PLR0912 - one loop, a case each kind of token
    """Look for the end of the object that begins at `start`, and for the objects with an identity in it.

    An object ends nowhere if a string holds a line break, brackets do not match, or a line follows that cannot go on
    with it: in a log that is the next entry.
    """
    opened: list[int] = []
    named: list[int] = []  # 0: no identity; 1: an id; 2: an _id or a session_id
    places: list[Place] = []
    beyond, deep, crowded, end, index = 0, False, -1, -1, start
    match_token = _TOKEN.match
    while token := match_token(text, index, stop):
        index = token.end()
        kind = token.lastindex
        if kind is None or kind == 3:
            if not beyond:
                named[-1] = max(named[-1], 2 if kind else 1)
        elif kind == 2:
            if not _goes_on(text, index - 1, stop, opened[-1]):
                return Scan(-1, index - 1, False, deep, _open(places, opened, named), crowded)
        elif text[index - 1] in _OPENING:
            if len(opened) < _MAX_DEPTH:
                opened.append(index - 1)
                named.append(0)
            else:
                beyond, deep = beyond + 1, True
        elif beyond:
            beyond -= 1
        else:
            # The brackets of a pair are two apart in ASCII.
            if text[index - 1] - text[opened[-1]] != 2:
                return Scan(-1, index - 1, False, deep, _open(places, opened, named), crowded)
            began = opened.pop()
            identity = named.pop()
            if identity and text[began] == 0x7B and len(opened) < _NEAR_TOP:
                if len(places) < _MAX_PLACES:
                    places.append(Place(began, index, tuple(opened), identity == 2))
                elif crowded < 0:
                    crowded = began
            if not opened:
                end = index
                break
    if end >= 0:
        places.sort()
        return Scan(end, end, False, deep, places, crowded)
    skipped = _SKIP.match(text, index, stop)
    index = skipped.end() if skipped else index
    body = _STRING_BODY.match(text, index, stop)
    index = body.end() if body else index
    cut = index >= stop or (index == stop - 1 and text[index : index + 1] == b"\\")
    return Scan(-1, index, cut, deep, _open(places, opened, named), crowded)


def _open(places: list[Place], opened: list[int], named: list[int]) -> list[Place]:
    """Return the objects found, with those that are open still, in their order."""
    for depth, (began, identity) in enumerate(zip(opened[:_NEAR_TOP], named[:_NEAR_TOP], strict=True)):
        if identity:
            places.append(Place(began, -1, tuple(opened[:depth]), identity == 2))
    return sorted(places)


def _goes_on(text: bytes, line_break: int, stop: int, bracket: int) -> bool:
    """Return whether the line after `line_break` can go on with what the line before it leaves open."""
    if _ENTRY_LINE.match(text, line_break, stop):
        return False
    following = _NEXT_LINE.match(text, line_break, stop)
    if not following:
        return False
    if following.lastindex is None:
        return True
    before = _BEFORE.search(text, max(0, line_break - 256), line_break)
    if not before:
        return not text[max(0, line_break - 256) : line_break].strip()
    if following[2]:
        return before[1] in (b"[", b":") or (before[1] == b"," and text[bracket : bracket + 1] == b"[")
    return True


def shallow(text: bytes, start: int = 0, stop: int | None = None) -> bytes:
    """Return an object's text without what is in the objects and lists in it.

    Args:
        text: What it stands in.
        start: Where it begins.
        stop: Where it ends at the latest.
    """
    stop = len(text) if stop is None else stop
    parts: list[bytes] = []
    depth, began, index = 0, start, start
    while token := (_DEEP_BRACKET if depth > 1 else BRACKET).match(text, index, stop):
        index = token.end()
        if text[index - 1] in _OPENING:
            depth += 1
            if depth == 2:
                parts.append(text[began:index])
        else:
            depth -= 1
            if depth == 1:
                began = index - 1
            elif depth <= 0:
                break
    if depth <= 1:
        parts.append(text[began : index if depth <= 0 else stop])
    return b"".join(parts)


_DECODER = json.JSONDecoder(object_pairs_hook=len, parse_int=len, parse_float=len)
"""What is decoded is thrown away: `len` costs nothing and knows no limit on digits."""


def broken_at(text: bytes) -> int:
    """Return where a text stops being one JSON value; -1 if it begins with a whole one."""
    try:
        _DECODER.raw_decode(text.decode("latin-1"))
    except json.JSONDecodeError as error:
        return error.pos
    except RecursionError:
        return 0
    return -1


class Unescaped:
    """What a text was before it was put into a JSON string.

    Args:
        raw: The text as it stands in the string.

    Attributes:
        text: What it stands for. An escape that JSON does not know, and half of a surrogate pair, is left as it is.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = self._shorter = 0
        pairs = raw.replace(b"\\\\", b"\0")
        text = pairs.replace(b'\\"', b'"')
        # Quotes and backslashes are most of what is escaped, and one byte shorter without.
        self._simple = b"\\" not in text and b"\0" not in raw
        self.text = text.replace(b"\0", b"\\") if self._simple else _ESCAPE.sub(lambda one: _meaning(one[0]), raw)

    def raw(self, position: int) -> int:
        """Return where in the raw text the byte at `position` stands; fastest for one position after another."""
        if position < self._at:
            self._at = self._shorter = 0
        begin, shorter = self._at + self._shorter, self._shorter
        if self._simple:
            # As many bytes went as there were escapes before: a backslash each, and a pair of them counts once.
            while (found := self._shorter + self._escapes(begin, position + shorter)) != shorter:
                shorter = found
        else:
            for escape in _ESCAPE.finditer(self._raw, begin):
                if escape.start() - shorter >= position:
                    break
                shorter += len(escape[0]) - len(_meaning(escape[0]))
        self._at, self._shorter = position, shorter
        return position + shorter

    def _escapes(self, start: int, end: int) -> int:
        return self._raw.count(b"\\", start, end) - self._raw.count(b"\\\\", start, end)


@lru_cache(maxsize=4096)
def _meaning(escape: bytes) -> bytes:
    if len(escape) == 2:
        return _SIMPLE.get(escape[1:], escape)
    try:
        return str(json.loads(b'"' + escape + b'"')).encode()
    except ValueError:  # half of a surrogate pair has no UTF-8
        return escape
