"""The header of a CSV file: names, and the types that mongoimport's `--columnsHaveTypes` writes behind them.

The types: https://www.mongodb.com/docs/database-tools/mongoimport/#std-option-mongoimport.--columnsHaveTypes
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recovery_nb.records.cells import Value, decimal, string
from recovery_nb.sources.csv.dates import date_reader, from_ms, from_oracle

__all__ = ["Column", "HeaderError", "columns"]

Read = Callable[[bytes], Value]
"""From a cell, which is not empty, to a value; or a `ValueError`."""

_TYPED = re.compile(r"(?s)(?P<name>.+)\.(?P<type>\w+)\((?P<argument>.*)\)")
_ESCAPED = re.compile(r"\\([\\()]?)")
_INTEGER = re.compile(rb"[-+]?[0-9]{1,40}")
_DOUBLE = re.compile(rb"(?i)[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]{1,6})?|inf(?:inity)?|nan)")
_DECIMAL = re.compile(rb"(?i)[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]{1,6})?|[-+]?inf(?:inity)?|nan")
_DIGITS = 1_000
_BINARIES: dict[str, Callable[[bytes], bytes]] = {
    "base64": lambda cell: base64.b64decode(cell, validate=True),
    "base32": base64.b32decode,
    "hex": binascii.unhexlify,
}


class HeaderError(ValueError):
    """A header that does not tell which fields the records have.

    Attributes:
        hint: What to do about it.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a CSV file.

    Attributes:
        name: The field's name, with dots where it is within a sub-document; "" for a column that is no field.
        type: The type that the header states; "" where it states none.
        read: Makes a value of a cell that is not empty; None for a plain cell.
    """

    name: str
    type: str = ""
    read: Read | None = None


def columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of a header.

    Raises:
        HeaderError: Two have one name, a type is unknown, or only some have types.
    """
    found = _columns(names)
    seen: set[str] = set()
    for column in found:
        if column.name and column.name in seen:
            raise HeaderError(f"two columns are named {column.name!r}", "rename one of them in a copy of the file")
        seen.add(column.name)
    return found


def _columns(names: Sequence[str]) -> tuple[Column, ...]:
    stated = [_TYPED.fullmatch(name) for name in names]
    if not any(match and match["type"] in _TYPES for match in stated):
        return tuple(Column(name) for name in names)
    for name, match in zip(names, stated, strict=True):
        if not match:
            raise HeaderError(f"the column {name!r} has no type, and others have", "write one behind it: .auto()")
        if match["type"] not in _TYPES:
            raise HeaderError(
                f"the column {match['name']!r} has the unknown type {match['type']!r}", f"known are {', '.join(_TYPES)}"
            )
    return tuple(_typed(match) for match in stated if match)


def _typed(match: re.Match[str]) -> Column:
    name, kind = match["name"], match["type"]
    argument = _ESCAPED.sub(r"\1", match["argument"])
    try:
        if argument and not (kind.startswith("date") or kind == "binary"):
            raise ValueError("takes no argument")
        return Column(name, kind, _TYPES[kind](argument))
    except ValueError as error:
        raise HeaderError(f"the type {kind} of the column {name!r}: {error}", "correct a copy of the file") from None


def _auto(cell: bytes) -> Value:
    if _INTEGER.fullmatch(cell):
        number = int(cell)
        if -(2**31) <= number < 2**31:
            return 0x10, struct.pack("<i", number)
        if -(2**63) <= number < 2**63:
            return 0x12, struct.pack("<q", number)
    try:
        return _double(cell)
    except ValueError:
        return string(cell)


def _double(cell: bytes) -> Value:
    if not _DOUBLE.fullmatch(cell) or len(cell) > _DIGITS:
        raise ValueError("no number")
    number = float(cell)
    if number in (float("inf"), float("-inf")) and b"i" not in cell.lower():
        raise ValueError("a number beyond a double")
    return 0x01, struct.pack("<d", number)


def _decimal(cell: bytes) -> Value:
    found = decimal(cell) if _DECIMAL.fullmatch(cell) and len(cell) <= _DIGITS else None
    if not found:
        raise ValueError("no decimal number")
    return found


def _integer(kind: int, code: str) -> Read:
    def read(cell: bytes) -> Value:
        if not _INTEGER.fullmatch(cell):
            raise ValueError("no whole number")
        try:
            return kind, struct.pack(code, int(cell))
        except struct.error:
            raise ValueError("a number that is too large") from None

    return read


def _boolean(cell: bytes) -> Value:
    lower = cell.lower()
    if lower not in (b"true", b"1", b"false", b"0"):
        raise ValueError("neither true nor false")
    return 0x08, b"\x01" if lower in (b"true", b"1") else b"\x00"


def _date(layout: str) -> Read:
    read_date = date_reader(layout)

    def read(cell: bytes) -> Value:
        try:
            return 0x09, struct.pack("<q", read_date(cell.decode()))
        except OverflowError:
            raise ValueError("a date out of range") from None

    return read


def _binary(encoding: str) -> Read:
    decode = _BINARIES.get(encoding)
    if not decode:
        raise ValueError(f"{encoding!r} is none of {', '.join(_BINARIES)}")

    def read(cell: bytes) -> Value:
        data = decode(cell)
        return 0x05, struct.pack("<i", len(data)) + b"\x00" + data

    return read


_TYPES: dict[str, Callable[[str], Read]] = {
    "auto": lambda _: _auto,
    "binary": _binary,
    "boolean": lambda _: _boolean,
    "date": _date,
    "date_go": _date,
    "date_ms": lambda layout: _date(from_ms(layout)),
    "date_oracle": lambda layout: _date(from_oracle(layout)),
    "decimal": lambda _: _decimal,
    "double": lambda _: _double,
    "int32": lambda _: _integer(0x10, "<i"),
    "int64": lambda _: _integer(0x12, "<q"),
    "string": lambda _: string,
}
