"""Cutting CSV into rows of one width, and finding the next row after one that is broken.

A row is broken where a quote stands in the middle of a cell or is never closed, and where it has more or fewer cells
than the header. Behind it, reading goes on at the next line that is a row. Such a line may also be part of a text in
the broken row that held several lines: so its first cell must look like those before it, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from recovery_nb.sources.content import Content, Gap
from recovery_nb.sources.csv.text import Dialect, grammar, split_cells
from recovery_nb.sources.json.text import RECORD_LIMIT

__all__ = ["Row", "Stretch", "read_rows"]

_CHUNK = 4 * 1024 * 1024
_LEARNED = 1_000
_FEW = 16
_ENOUGH = 20
_SHOWN = 64
_RUN = re.compile(rb"(?P<h>[0-9A-Fa-f]{8,})|(?P<n>[0-9]+)|(?P<a>[^\W\d_]+|[\x80-\xff]+)")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the right width.

    Attributes:
        offset: Where it begins, in bytes.
        text: Its bytes, without the line end.
        cells: Its cells, without quotes.
    """

    offset: int
    text: bytes
    cells: list[bytes]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes that are no row of this file.

    Attributes:
        offset: Where they begin.
        length: How many they are, line ends included.
        reason: What is wrong, for a person.
    """

    offset: int
    length: int
    reason: str


@dataclass(slots=True)
class _Likeness:
    """What the first thousand rows have in common, to tell a row from a part of one.

    Attributes:
        rows: How many were looked at.
        forms: Of their first cells.
        beginnings: The lengths of their first cells.
        endings: Their last cells; no more than a few, for it is these that tell anything.
        lengths: The lengths of their last cells.
    """

    rows: int = 0
    forms: set[bytes] = field(default_factory=set)
    beginnings: set[int] = field(default_factory=set)
    endings: set[bytes] = field(default_factory=set)
    lengths: set[int] = field(default_factory=set)

    def learn(self, cells: list[bytes]) -> None:
        self.rows += 1
        if len(self.forms) <= _FEW:
            self.forms.add(_form(cells[0]))
        if len(self.endings) <= _FEW:
            self.endings.add(cells[-1])
        self.beginnings.add(len(cells[0]))
        self.lengths.add(len(cells[-1]))

    def begins(self, cell: bytes) -> bool:
        """Whether a row may begin with this cell; where all forms occur, any may."""
        return not self.forms or len(self.forms) > _FEW or _form(cell) in self.forms

    def ends(self, cell: bytes) -> bool:
        """Whether a row that has no line end is whole with this last cell: half of a text or a number looks whole, too.

        It is if the column holds few values or values of one length; in a file of few rows it is believed.
        """
        return self.rows < _ENOUGH or self._surely_ends(cell)

    def _surely_ends(self, cell: bytes) -> bool:
        if len(self.endings) <= _FEW:
            return cell in self.endings
        return {len(cell)} == self.lengths

    def joined(self, cell: bytes) -> int:
        """Return how long the first cell of a row is that this cell ends with; 0 if nothing proves that it does.

        So it is where two rows lost the line end between them, if all first cells have one length and form, and what
        is before is a last cell. The line end may also have become another byte; or all was zeroed up to this row.
        """
        if self.rows < _ENOUGH or len(self.forms) != 1 or len(self.beginnings) != 1:
            return 0
        (length,) = self.beginnings
        before = cell[: max(0, len(cell) - length)]
        whole = self._surely_ends(before) or self._surely_ends(before[:-1]) or before.endswith(b"\0")
        return length if whole and length and self.begins(cell[-length:]) else 0


def _form(cell: bytes) -> bytes:
    """Return a cell's form: runs of letters, of digits and of hexadecimal digits, and what is between them."""
    return _RUN.sub(lambda match: (match.lastgroup or "").encode(), cell[:_SHOWN])


def read_rows(content: Content, dialect: Dialect, *, start: int, width: int) -> Iterator[Row | Stretch]:
    """Yield the rows of a file and what is none, in order; empty lines are passed over.

    Memory is bounded by 4 MiB and the longest row, which may have 64 MiB; time by the length of the content.

    Args:
        content: The file.
        dialect: How its rows are written.
        start: Where the first row after the header begins, in bytes.
        width: How many cells a row has.
    """
    return iter(_Rows(content, dialect, start=start, width=width))


class _Rows:
    """A window that moves over the content: `_data` begins at `_base`, and the next row at `_data[_at]`."""

    def __init__(self, content: Content, dialect: Dialect, *, start: int, width: int) -> None:
        self._content, self._dialect, self._width = content, dialect, width
        self._rules = grammar(dialect)
        self._base, self._at, self._data = start, 0, b""
        self._ended = False
        self._gap: Gap | None = None
        self._passed = 0
        self._likeness = _Likeness()

    def __iter__(self) -> Iterator[Row | Stretch]:
        match_row, width = self._rules.row.match, self._width
        self._more()
        self._learn()
        while True:
            match = match_row(self._data, self._at)
            if not match:
                if self._more():
                    continue
                if self._at >= len(self._data) and not self._gap:
                    return
                yield from self._end()
                continue
            start, text = self._base + self._at, match[1]
            if not text:
                self._at = match.end()
                continue
            cells = split_cells(text, self._dialect)
            if len(cells) == width and not (b"\0" in text and self._joined(text, cells)):
                self._at = match.end()
                yield Row(start, text, cells)
            elif self._dialect.line_end in text:
                yield self._skip(self._width_reason(cells))
            else:
                length = self._joined(text, cells) or match.end() - self._at
                yield Stretch(start, length, self._width_reason(cells))
                self._at += length

    def _learn(self) -> None:
        """Look ahead at the first rows, without moving."""
        position = 0
        while self._likeness.rows < _LEARNED and position < len(self._data):
            match = self._rules.row.match(self._data, position)
            cells = split_cells(match[1], self._dialect) if match else []
            if len(cells) == self._width and match and match[1] and b"\0" not in match[1]:
                self._likeness.learn(cells)
            position = match.end() if match else self._data.find(self._dialect.line_end, position) + 1
            if not position:
                return

    def _joined(self, text: bytes, cells: list[bytes]) -> int:
        """Return where the last of several rows begins that lost the line end before it; 0 where it is not sure."""
        first = len(cells) - self._width
        if first < 0 or not (length := self._likeness.joined(cells[first])):
            return 0
        joined = next(islice(self._rules.cell.finditer(text + self._dialect.delimiter), first, None))
        return joined.end() - 1 - length if joined[1] is None else 0

    def _width_reason(self, cells: list[bytes]) -> str:
        return f"a row of {len(cells):,} cells under a header of {self._width:,}"

    def _end(self) -> Iterator[Row | Stretch]:
        """Yield what stands after the last line end, or the broken row that begins here."""
        if self._gap and self._data.find(self._dialect.line_end, self._at) < 0:
            yield self._cross(self._gap)
            return
        match = self._rules.last.match(self._data, self._at) if self._ended and not self._gap else None
        cells = split_cells(match[1], self._dialect) if match else []
        if not match or (len(cells) != self._width and self._dialect.line_end in match[1]):
            yield self._skip(self._width_reason(cells) if match else self._reason())
            return
        start, length = self._base + self._at, len(self._data) - self._at
        if len(cells) != self._width:
            yield Stretch(start, length, f"the file ends within a row of {len(cells):,} cells; it has {self._width:,}")
        elif not self._likeness.ends(cells[-1]):
            yield Stretch(start, length, "the file ends without a line end: its last row may be cut")
        else:
            yield Row(start, match[1], cells)
        self._at = len(self._data)

    def _reason(self) -> str:
        if not self._rules.beginning.match(self._data, self._at):
            return "a quote within a cell, or a broken line end"
        if self._ended:
            return "a quote that is never closed"
        return f"a row without an end within {RECORD_LIMIT // 2**20} MiB"

    def _more(self) -> bool:
        """Read on if what stands at the window's end may become a row; whether anything came."""
        held = len(self._data) - self._at
        if self._ended or held > RECORD_LIMIT or not self._rules.beginning.match(self._data, self._at):
            return False
        return self._read(max(_CHUNK, min(held, RECORD_LIMIT - held)))

    def _read(self, length: int) -> bool:
        """Let go of what is before the next row and read on, up to a gap of the content at most."""
        end = self._base + len(self._data)
        found = self._content.read_at(end, length)
        self._data, self._base, self._at = self._data[self._at :] + found, self._base + self._at, 0
        self._ended = len(found) < length
        gaps = self._content.gaps
        while self._passed < len(gaps) and gaps[self._passed].position < self._base:
            self._passed += 1
        if self._passed < len(gaps) and gaps[self._passed].position <= end + len(found):
            self._gap, self._ended = gaps[self._passed], True
            self._data = self._data[: self._gap.position - self._base]
        return bool(found)

    def _cross(self, gap: Gap) -> Stretch:
        """Go on behind a gap: what is before it is half a row, and so is what comes first after it."""
        start = self._base + self._at
        self._data, self._base, self._at, self._gap, self._ended = b"", gap.position, 0, None, False
        self._passed += 1
        return self._skip(gap.reason, start=start)

    def _skip(self, reason: str, *, start: int = -1) -> Stretch:
        """Move to the next line that is a row, or to the end."""
        start = self._base + self._at if start < 0 else start
        while self._next_line():
            while not (match := self._rules.row.match(self._data, self._at)) and self._more():
                pass
            match = match or (self._rules.last.match(self._data, self._at) if self._ended else None)
            if match and match[1]:
                cells = split_cells(match[1], self._dialect)
                if len(cells) == self._width and self._likeness.begins(cells[0]):
                    break
        return Stretch(start, self._base + self._at - start, reason)

    def _next_line(self) -> bool:
        """Move behind the next line end; whether there is one before the end, or before a gap."""
        while (found := self._data.find(self._dialect.line_end, self._at)) < 0:
            self._at = len(self._data)
            if self._ended or not self._read(_CHUNK):
                return False
        self._at = found + 1
        return True
