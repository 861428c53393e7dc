"""From the cells of a CSV row to a record: fields by the header's names, sub-documents and arrays by their dots."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.cells import Value, string
from recovery_nb.sources.csv.dialect import CONVERT
from recovery_nb.sources.csv.text import is_text
from recovery_nb.sources.csv.types import Column, HeaderError

__all__ = ["BadRowError", "RecordMaker"]

_OBJECT_ID = re.compile(rb"ObjectId\(([0-9a-f]{24})\)")
_ELEMENT = re.compile(r"\[(0|[1-9][0-9]{0,5})\]")
"""`items[0].sku`: how Compass names what mongoexport calls `items.0.sku`."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")
_MAX_DEPTH = 100
"""How deep a header may nest, as a server's documents (https://www.mongodb.com/docs/manual/reference/limits/)."""

_NULL: Value = (0x0A, b"")
_SIZE = struct.Struct("<i").pack


class BadRowError(ValueError):
    """A row that is no record."""


@dataclass(slots=True)
class _Node:
    """A field of the header: a column, or a sub-document or array of fields.

    Attributes:
        name: Its last step.
        column: The column's number; -1 for what has fields itself.
        fields: Its fields by name, in order.
        array: Whether these are elements of an array.
    """

    name: str
    column: int = -1
    fields: dict[str, _Node] = field(default_factory=dict)
    array: bool = False


class RecordMaker:
    """Makes records of the rows under one header.

    A dotted name is a field of a sub-document; where the names at one place are the numbers from 0 on, it is an
    array. An empty cell is no field: it stands for null, for "" and for a field that is missing. In an array,
    elements before others are null. A column without a name is no field either: programs number rows so.

    Args:
        columns: The header's.

    Raises:
        HeaderError: One name stands for a value and for a sub-document, or is nested too deeply.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._reads = [(bool(column.name), column.read) for column in columns]
        self._root = _tree(columns)
        self._heads = _plain_heads(self._root, len(columns)) if not any(one.read for one in columns) else ()

    def record(self, text: bytes, cells: Sequence[bytes]) -> bytes:
        """Return the record of a row; b"" where all its cells are empty.

        Args:
            text: The row.
            cells: Its cells.

        Raises:
            BadRowError: A cell does not have the type that the header states, or is no text.
        """
        if self._heads and b"\0" not in text and is_text(text):
            plain = self._plain_record(text, cells)
            if len(plain) <= MAX_RECORD_BYTES:
                return plain
        values, reason = self._values(cells)
        if reason:
            raise BadRowError(reason)
        record = _document(self._root, values)
        if record and len(record) > MAX_RECORD_BYTES:
            raise BadRowError("a record larger than a server stores (16 MiB)")
        return record or b""

    def _plain_record(self, text: bytes, cells: Sequence[bytes]) -> bytes:
        """Return the record where every column is a field without a type: nearly always, so it is quick."""
        parts: list[bytes] = []
        ids = b"ObjectId(" in text
        for head, cell in zip(self._heads, cells, strict=True):
            if cell:
                if ids and (match := _OBJECT_ID.fullmatch(cell)):
                    parts += (b"\x07", head[1:], bytes.fromhex(match[1].decode()))
                else:
                    parts += (head, _SIZE(len(cell) + 1), cell, b"\0")
        body = b"".join(parts)
        return _SIZE(len(body) + 5) + body + b"\0" if body else b""

    def partial(self, cells: Sequence[bytes]) -> bytes:
        """Return a record of those cells that can be read; b"" if none can."""
        values, _ = self._values(cells[: len(self._columns)])
        values += [None] * (len(self._columns) - len(values))
        record = _document(self._root, values) or b""
        return record if len(record) <= MAX_RECORD_BYTES else b""

    def _values(self, cells: Sequence[bytes]) -> tuple[list[Value | None], str]:
        """Return the value of each cell, and what is wrong with the first that has none."""
        values: list[Value | None] = []
        reason = ""
        for (wanted, read), cell in zip(self._reads, cells, strict=False):
            value: Value | None = None
            if cell and wanted:
                try:
                    if b"\0" in cell:
                        raise ValueError("a NUL byte")
                    value = (read or _plain)(cell) if cell.isascii() or cell.decode() else None
                except ValueError as error:
                    what = f"not UTF-8; {CONVERT}" if isinstance(error, UnicodeDecodeError) else error
                    reason = reason or f"{self._columns[len(values)].name}: {what}"
            values.append(value)
        return values, reason


def _plain_heads(root: _Node, width: int) -> tuple[bytes, ...]:
    """Return type and name of each column's field as a string, if all columns are fields in the order of the record."""
    order = [node.column for node in root.fields.values()]
    if order != list(range(width)):
        return ()
    return tuple(b"\x02" + name.encode() + b"\0" for name in root.fields)


def _plain(cell: bytes) -> Value:
    if cell[:9] == b"ObjectId(" and (match := _OBJECT_ID.fullmatch(cell)):
        return 0x07, bytes.fromhex(match[1].decode())
    return string(cell)


def _tree(columns: Sequence[Column]) -> _Node:
    root = _Node("")
    # The server stores `_id` first, wherever it stands.
    for number, column in sorted(enumerate(columns), key=lambda one: one[1].name != "_id"):
        if not column.name:
            continue
        steps = _ELEMENT.sub(r".\1", column.name).split(".")
        if not all(steps):  # "a..b" is no path
            steps = [column.name]
        if len(steps) > _MAX_DEPTH or "\0" in column.name:
            raise HeaderError(f"the column {column.name[:80]!r} has no name for a field", "rename it in a copy")
        node = root
        for step in steps:
            if node.column >= 0:
                raise _both(column.name)
            node = node.fields.setdefault(step, _Node(step))
        if node.fields or node.column >= 0:
            raise _both(column.name)
        node.column = number
    _mark_arrays(root)
    return root


def _both(name: str) -> HeaderError:
    return HeaderError(
        f"the column {name!r} and another are a value and a sub-document at one place", "rename one of them in a copy"
    )


def _mark_arrays(root: _Node) -> None:
    for node in root.fields.values():
        if node.fields:
            _mark_arrays(node)
            names = set(node.fields)
            node.array = all(map(_INDEX.fullmatch, names)) and names == {str(n) for n in range(len(names))}
            if node.array:
                node.fields = dict(sorted(node.fields.items(), key=lambda one: int(one[0])))


def _document(node: _Node, values: Sequence[Value | None]) -> bytes | None:
    """Return the document or array of a node's fields; None where all of them are empty."""
    parts: list[bytes] = []
    empty: list[bytes] = []
    for name, child in node.fields.items():
        if child.column >= 0:
            value = values[child.column]
        else:
            inner = _document(child, values)
            value = None if inner is None else (0x04 if child.array else 0x03, inner)
        head = name.encode() + b"\x00"
        if value is not None:
            parts += empty
            empty.clear()
            parts.append(bytes((value[0],)) + head + value[1])
        elif node.array:
            empty.append(bytes((_NULL[0],)) + head)
    if not parts:
        return None
    body = b"".join(parts)
    return _SIZE(len(body) + 5) + body + b"\x00"
