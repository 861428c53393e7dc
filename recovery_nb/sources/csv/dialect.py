"""Telling CSV from other text, and how it is written: by its header and by the width of its first rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recovery_nb.sources.csv.text import Dialect, grammar, is_text, split_cells

__all__ = ["BOM", "CONVERT", "UTF16", "CsvHead", "is_windows_1252", "looks_like_csv", "read_head"]

BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
CONVERT = "if Excel wrote it, convert a copy first: iconv -f CP1252 -t UTF-8"
"""What to do about text that is not UTF-8: nothing in a file says what it is, and Excel's is most often this."""

_ENDINGS = (".csv", ".tsv", ".tab")
_DELIMITERS = (b"\t", b",", b";", b"|")
_ROWS = 10_000
_LONGEST_NAME = 256
_MOST_WORDS = 5
_SHARE = 0.8
_BARE = 2
"""How many rows with a quote in the middle of a cell show that a program never quotes: one is damage."""

_NAME = re.compile(r"[^\W\d](?:[\w .$@#/()%&+:-]|\[[0-9]+\])*+|[$@#][\w.]+")
_DATA = re.compile(
    r"(?!(?:19|20)[0-9]{2}\Z)[-+]?[0-9]+(?:[.,][0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null|(?:ObjectId\()?[0-9a-f]{24}\)?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?"
)
_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?+(?:sep=[^\r\n]\r?\n)?+")
"""What may stand before the header: a byte order mark, and the line that tells spreadsheets the delimiter."""

_LINE_END = re.compile(rb"\r\n?|\n")
_UNLIKE = re.compile(r'[\x00-\x08\x0b-\x1f{}<>"]|^\[')


@dataclass(frozen=True, slots=True)
class CsvHead:
    """How a CSV file begins.

    Attributes:
        dialect: How it is written.
        names: The cells of its header, decoded.
        header: The header's bytes, without its line end.
        start: Where the first row after the header begins, in bytes.
    """

    dialect: Dialect
    names: tuple[str, ...]
    header: bytes
    start: int


@dataclass(frozen=True, slots=True)
class _Sample:
    """The first rows under one dialect: the header, the rows of its width, and how many others there are."""

    head: CsvHead
    good: Sequence[tuple[bytes, list[bytes]]]
    others: int

    @property
    def share(self) -> float:
        return len(self.good) / (len(self.good) + self.others) if self.good or self.others else 0.0


def looks_like_csv(head: bytes, name: str) -> bool:
    """Return whether a file that begins with `head` (some KiB) is CSV or TSV.

    Where its name ends in `.csv` or `.tsv`, a header is enough, of one column even. Else there must be several
    columns with plausible names, and rows of their number.
    """
    named = _named(name)
    if head.startswith(UTF16):
        return named
    return read_head(head, name) is not None or is_windows_1252(head, name)


def is_windows_1252(head: bytes, name: str) -> bool:
    """Return whether a file is CSV by its name and has a header that is one in Windows-1252, and none in UTF-8."""
    if not _named(name) or is_text(_LINE_END.split(head, maxsplit=1)[0]):
        return False
    try:
        return read_head(head.decode("cp1252").encode(), name) is not None
    except UnicodeDecodeError:
        return False


def read_head(head: bytes, name: str) -> CsvHead | None:
    """Return how a CSV file that begins with `head` is written; None if it is no CSV, or has no header.

    Args:
        head: How it begins: its header and, if there are any, rows.
        name: The file's name.
    """
    samples = [
        sample
        for delimiter in _DELIMITERS
        if (sample := _sample(head, delimiter)) and _is_csv(sample, named=_named(name))
    ]
    best = max(samples, key=lambda sample: (round(sample.share, 1), len(sample.head.names)), default=None)
    return best.head if best else None


def _named(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def _sample(head: bytes, delimiter: bytes) -> _Sample | None:
    """Return the first rows for a delimiter.

    Quotes are quotes, unless no cell is quoted and rows have quotes in the middle of their cells.
    """
    first = _LINE_END.search(head)
    line_end = b"\r" if first and first[0] == b"\r" else b"\n"
    strict = _rows(head, Dialect(delimiter, line_end=line_end))
    if strict and (b'"' not in head or any(b'"' in text for text, _ in strict.good)):
        return strict
    loose = _rows(head, Dialect(delimiter, quoted=False, line_end=line_end))
    bare = sum(b'"' in text for text, _ in loose.good) if loose else 0
    return loose if loose and bare >= _BARE and (not strict or loose.share > strict.share) else strict


def _rows(head: bytes, dialect: Dialect) -> _Sample | None:
    rules = grammar(dialect)
    before = _BEFORE.match(head)
    position = before.end() if before else 0
    found: CsvHead | None = None
    good: list[tuple[bytes, list[bytes]]] = []
    others = 0
    while position < len(head) and len(good) + others < _ROWS:
        match = rules.row.match(head, position) or rules.last.match(head, position)
        if not match:
            if not found:
                return None
            others += 1
            position = head.find(dialect.line_end, position) + 1 or len(head)
            continue
        position = match.end()
        if not match[1]:
            continue
        cells = split_cells(match[1], dialect)
        if not found:
            try:
                names = tuple(cell.decode() for cell in cells)
            except UnicodeDecodeError:
                return None
            found = CsvHead(dialect, names, match[1], position)
        elif len(cells) == len(found.names):
            good.append((match[1], cells))
        elif position < len(head):  # the last one may be cut
            others += 1
    return _Sample(found, good, others) if found else None


def _is_csv(sample: _Sample, *, named: bool) -> bool:
    names = sample.head.names
    if not all(len(name) <= _LONGEST_NAME and not _UNLIKE.search(name) for name in names):
        return False
    if named:
        if len(names) == 1:
            return _is_name(names[0])
        data = sum(bool(_DATA.fullmatch(name)) for name in names)
        fits = bool(sample.good) or all(map(_is_name, filter(None, names)))
        return any(names) and 2 * data <= len(names) and fits
    if len(names) == 1 or not all(map(_is_name, names)) or len(set(names)) < len(names):
        return False
    if not sample.good or sample.share < _SHARE or 2 * sum(" " in name for name in names) >= len(names):
        return False
    # What occurs again in its own column is no header.
    return not any(
        cell == name.encode() for text, cells in sample.good if text != sample.head.header
        for name, cell in zip(names, cells, strict=True)
    )  # fmt: skip


def _is_name(name: str) -> bool:
    """Say whether this is the name of a field and no sentence, path, assignment or half of a call."""
    return (
        bool(_NAME.fullmatch(name))
        and name == name.strip()
        and not name.endswith((".", ":"))
        and ": " not in name
        and "//" not in name
        and len(name.split(" ")) <= _MOST_WORDS
        and name.count("(") == name.count(")")
    )
