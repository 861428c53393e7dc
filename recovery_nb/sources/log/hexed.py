r"""Access logs of nginx: within a value, `"`, `\` and every byte that is not printable ASCII are written as `\x22`.

That is `escape=default` of https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

__all__ = ["Hexed"]

_SIGN = b"\\x22"
_OBJECT = re.compile(
    rb"\{(?:\ |\\x(?:20|0[9AaDd]))*+(?:\\x5[Cc])*+\\x22[^\"\\\r\n]*+(?:\\x[0-9A-Fa-f]{2}[^\"\\\r\n]*+)*+", re.VERBOSE
)
"""An object within a value, up to the value's end. No JSON holds its beginning: it knows no escape `\\x`."""

_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{2})")
_IN_JSON = {0x22: b'\\"', 0x5C: b"\\\\", 0x09: b"\\t", 0x0A: b"\\n", 0x0D: b"\\r"}
_CONTROL = 0x20
_MEANINGS = {
    digits: _IN_JSON.get(code, bytes([code]))
    for code in range(256)
    if code >= _CONTROL or code in _IN_JSON
    for digits in (b"%02X" % code, b"%02x" % code)
}
"""By their digits, what escapes stand for within a JSON string; other control characters are in no JSON."""


class _Span(NamedTuple):
    """A stretch that was written anew: where it begins in the new text, and where it is in the raw one."""

    begin: int
    start: int
    end: int
    shorter: int


class Hexed:
    """What a text would be if the objects in it were escaped as JSON escapes them in a string, on one line.

    Args:
        raw: The text as it stands in the log.

    Attributes:
        text: What it would be; the same where there are no such objects.
    """

    def __init__(self, raw: bytes) -> None:
        self.text, self._raw = raw, raw
        self._spans: list[_Span] = []
        self._begins: list[int] = []
        self._at = (0, 0, 0)
        if _SIGN not in raw:
            return
        parts: list[bytes] = []
        done = shorter = 0
        for found in _OBJECT.finditer(raw):
            inside = _ESCAPE.sub(_meaning, found[0])
            parts += raw[done : found.start()], inside
            begin, done = found.start() - shorter, found.end()
            shorter += len(found[0]) - len(inside)
            self._spans.append(_Span(begin, found.start(), done, shorter))
        self.text = b"".join((*parts, raw[done:]))
        self._begins = [span.begin for span in self._spans]

    def raw(self, position: int) -> int:
        """Return where in the raw text the byte at `position` stands; fastest for one position after another."""
        number = bisect_right(self._begins, position) - 1
        if number < 0:
            return position
        span = self._spans[number]
        if position + span.shorter >= span.end:
            return position + span.shorter
        last, begin, reached = self._at
        if last != number or not span.begin <= begin <= position:
            begin, reached = span.begin, span.start
        for escape in _ESCAPE.finditer(self._raw, reached, span.end):
            if begin + escape.start() - reached >= position:
                break
            begin += escape.start() - reached + len(_meaning(escape))
            reached = escape.end()
        self._at = (number, begin, reached)
        return reached + position - begin


def _meaning(escape: re.Match[bytes]) -> bytes:
    return _MEANINGS.get(escape[1]) or _MEANINGS.get(escape[1].upper(), escape[0])
