"""Which brackets of a line close what never opened in it: the rest of an object whose beginning is lost."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recovery_nb.sources.log.objects import BRACKET, STRING

__all__ = ["Brackets"]

_REACH = 64 * 1024
"""How far a line is looked at on either side."""

_JSON_BEFORE = re.compile(rb'(?:["}\]]|"\s*+:\s*+[-+\w.]++)\s*+\Z')
"""How JSON stands before a bracket that closes it; a log's own `(0, 5]` does not."""

_SOON, _FEW = 1024, 48
_TOKEN = re.compile(rb'[^"{}\[\]\n]*+(?:([{}\[\]])|' + STRING + rb"(\s*+:)?+)")
_CLOSES = re.compile(rb"[ \t]*+[}\]]")
_OPENING = frozenset(b"{[")
_IS_BRACKET = np.zeros(256, np.bool_)
_IS_BRACKET[list(b"{}[]")] = True
_STEP = np.where(np.isin(np.arange(256), list(_OPENING)), 1, -1)


class _Line(NamedTuple):
    """What is known of a line, or of a part of a long one.

    Attributes:
        start: Where it begins.
        stop: Where it ends.
        lost: The last bracket in it that closes JSON and what never opened in it; -1 for none.
        places: Where its brackets are, whatever they mean.
        depths: How many are open behind each.
        lowest: How many at least are open from each on.
    """

    start: int
    stop: int
    lost: int
    places: NDArray[np.int64]
    depths: NDArray[np.int64]
    lowest: NDArray[np.int64]


class Brackets:
    """Looks at the lines of a text, at each once."""

    def __init__(self) -> None:
        self._text, self._alone = b"", True
        self._line: _Line | None = None

    def move(self, text: bytes, *, alone: bool) -> None:
        """Go on to another text; `alone` if it begins where a line does."""
        self._text, self._alone, self._line = text, alone, None

    def lost(self, end: int) -> bool:
        """Return whether behind `end`, on its line, JSON is closed that did not open on the line."""
        return self._at(end).lost >= end

    def closed(self, end: int) -> bool:
        """Return whether behind `end`, on its line, more is closed than opened, whatever stands in quotes."""
        line = self._at(end)
        index = int(np.searchsorted(line.places, end))
        depth = line.depths[index - 1] if index else 0
        return index < len(line.places) and bool(line.lowest[index] < depth)

    def field_follows(self, end: int) -> bool:
        """Return whether soon behind `end`, on its line, a field of an object follows that did not begin since."""
        depth, stop = 0, min(len(self._text), end + _SOON)
        for _ in range(_FEW):
            token = _TOKEN.match(self._text, end, stop)
            if not token:
                break
            end = token.end()
            if token[1]:
                depth += 1 if token[1] in b"{[" else -1
            elif token[2] and depth <= 0:
                return True
        return False

    def closes_alone(self, end: int) -> bool:
        """Return whether a bracket follows directly on `end` that closes what never opened on its line."""
        following = _CLOSES.match(self._text, end)
        if not following:
            return False
        line = self._at(end)
        index = int(np.searchsorted(line.places, end))
        depths = line.depths[:index]
        return not index or bool(depths[-1] <= min(0, int(depths.min())))

    def _at(self, place: int) -> _Line:
        if not self._line or not self._line.start <= place <= self._line.stop:
            self._line = self._seen(place)
        return self._line

    def _seen(self, place: int) -> _Line:
        text = self._text
        least, most = max(0, place - _REACH), min(len(text), place + _REACH)
        start, stop = text.rfind(b"\n", least, place) + 1, text.find(b"\n", place, most)
        known = start > 0 or (least == 0 and self._alone)
        start, stop = start if known else place, most if stop < 0 else stop
        part = np.frombuffer(text, np.uint8, stop - start, start)
        places = np.flatnonzero(_IS_BRACKET[part])
        depths = np.cumsum(_STEP[part[places]])
        lowest = np.minimum.accumulate(depths[::-1])[::-1]
        return _Line(start, stop, self._lost(start, stop) if known else -1, places + start, depths, lowest)

    def _lost(self, start: int, stop: int) -> int:
        depth = lowest = 0
        last = -1
        while token := BRACKET.match(self._text, start, stop):
            start = token.end()
            depth += 1 if self._text[start - 1] in _OPENING else -1
            if depth < lowest:
                lowest = depth
                if _JSON_BEFORE.search(self._text, max(0, start - 64), start - 1):
                    last = start - 1
        return last
