"""Rows and cells of CSV (RFC 4180) as bytes: what a row is, and the cells of one.

A quote opens a cell only at its very beginning, and closes it only at its very end. A row with any other quote is
broken: a quote was lost or has come in, and no one can tell where its cells end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

__all__ = ["Dialect", "Grammar", "grammar", "is_text", "leading_cells", "split_cells"]


@dataclass(frozen=True, slots=True)
class Dialect:
    r"""How a file writes its rows.

    Attributes:
        delimiter: What stands between two cells: one byte.
        quoted: Whether cells may be quoted; where a program never quotes, a quote is a character like any other.
        line_end: The last byte of a row: b"\n", also after b"\r"; or b"\r" alone.
    """

    delimiter: bytes
    quoted: bool = True
    line_end: bytes = b"\n"


@dataclass(frozen=True, slots=True)
class Grammar:
    """The expressions of a dialect. None of them looks at a byte twice.

    Attributes:
        row: A whole row with its line end; group 1 is what stands before that.
        last: A whole row that ends where the text ends, without a line end; group 1 likewise.
        beginning: What may become a row if more text follows.
        cell: A cell and the delimiter after it; group 1 is the inside of a quoted one, group 2 a plain one.
    """

    row: re.Pattern[bytes]
    last: re.Pattern[bytes]
    beginning: re.Pattern[bytes]
    cell: re.Pattern[bytes]


@cache
def grammar(dialect: Dialect) -> Grammar:
    """Return the expressions of a dialect."""
    delimiter = re.escape(dialect.delimiter)
    plain = rb"[^" + (rb'"' if dialect.quoted else rb"") + delimiter + rb"\r\n]*+"
    opened = rb'"[^"]*+(?:""[^"]*+)*+'
    cell = rb"(?:" + opened + rb'"|' + plain + rb")" if dialect.quoted else plain
    cells = rb"(?:" + cell + delimiter + rb")*+"
    line_end = rb"\r" if dialect.line_end == b"\r" else rb"\r?\n"
    cut = rb"(?:" + opened + rb'(?:"\r?)?|' + plain + rb"\r?)" if dialect.quoted else plain + rb"\r?"
    inside = rb'(?:"([^"]*+(?:""[^"]*+)*+)"|(' + plain + rb"))" if dialect.quoted else rb"(?:((?!))|(" + plain + rb"))"
    return Grammar(
        row=re.compile(rb"(" + cells + cell + rb")" + line_end),
        last=re.compile(rb"(" + cells + cell + rb")\r?\Z"),
        beginning=re.compile(cells + cut + rb"\Z"),
        cell=re.compile(inside + delimiter),
    )


def split_cells(row: bytes, dialect: Dialect) -> list[bytes]:
    """Return the cells of a well-formed row, without their quotes; it has no line end."""
    if not dialect.quoted or b'"' not in row:
        return row.split(dialect.delimiter)
    return [_cell(match) for match in grammar(dialect).cell.finditer(row + dialect.delimiter)]


def leading_cells(text: bytes, dialect: Dialect) -> list[bytes]:
    """Return the leading cells of a broken row that are whole: those before a delimiter, or before its line end.

    Args:
        text: What is left of it, with all that follows.
        dialect: How it is written.
    """
    rules = grammar(dialect)
    if whole := rules.row.match(text):
        return split_cells(whole[1], dialect)
    cells, position = [], 0
    while match := rules.cell.match(text, position):
        cells.append(_cell(match))
        position = match.end()
    return cells


def _cell(match: re.Match[bytes]) -> bytes:
    inside, plain = match.groups()
    return plain if inside is None else inside.replace(b'""', b'"')


def is_text(data: bytes) -> bool:
    """Return whether bytes are text in UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
