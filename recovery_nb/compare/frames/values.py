"""BSON values in dataframes: decoded with their types, and shown as text that is never longer than a cell."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import bson
import numpy as np
import pandas as pd
import pyarrow as pa
from bson.errors import BSONError

from recovery_nb.errors import DamagedSourceError
from recovery_nb.records.elements import CODEC

__all__ = ["ABSENT", "cut", "decoded", "ids", "objects", "text"]

ABSENT = pd.NA
"""Stands for a field that a record does not have; None is a BSON null."""

_CODEC = CODEC.with_options(unicode_decode_error_handler="replace")
"""A server may hold text that is not UTF-8, and a look at it must not fail."""
_PART = 4096
_CELL = 200
_MARGIN = 16


def objects(values: Sequence[object]) -> np.ndarray[Any, Any]:
    """Return the values as an array of objects, none of them converted: a list stays a list, a date what it is."""
    return np.fromiter(values, dtype=object, count=len(values))


def decoded(record: bytes) -> dict[str, Any]:
    """Return a record's fields with their types (bson, PyMongo): of a doubled name, the last.

    Raises:
        DamagedSourceError: It does not decode.
    """
    try:
        return bson.decode(record, _CODEC)
    except (BSONError, ValueError, OverflowError, RecursionError) as error:
        raise DamagedSourceError(f"a record does not decode: {error}", hint="compare again") from None


def ids(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """Return `_id`s with their types: ObjectId, Decimal128, Int64, datetime, DatetimeMS past the year 9999.

    Args:
        column: Of each a type byte and the value's bytes, or null where a record has none (`ABSENT`).
    """
    whole = np.empty(len(column), dtype=object)
    for start in range(0, len(column), _PART):
        elements = column.slice(start, _PART).to_pylist()
        whole[start : start + len(elements)] = objects(_values(elements))
    return whole


def _values(elements: Sequence[bytes | None]) -> list[Any]:
    """Decode many values as one array, whose names say nothing; one by one if one of them does not decode."""
    there = [element for element in elements if element]
    try:
        values = iter(_array(there))
    except DamagedSourceError:
        values = (_value(element) for element in there)
    return [next(values) if element else ABSENT for element in elements]


def _array(elements: Sequence[bytes]) -> list[Any]:
    body = b"".join([element[:1] + b"\0" + element[1:] for element in elements])
    array = struct.pack("<i", len(body) + 5) + body + b"\0"
    values: list[Any] = decoded(struct.pack("<i", len(array) + 8) + b"\x04v\0" + array + b"\0")["v"]
    if len(values) != len(elements):
        raise DamagedSourceError("an _id is not the one value that it should be", hint="compare again")
    return values


def _value(element: bytes) -> Any:
    try:
        return _array([element])[0]
    except DamagedSourceError:
        return ABSENT


def cut(value: str, *, length: int | None = None) -> str:
    """Return the beginning of a long text, and how long it is."""
    if len(value) <= _CELL:
        return value
    return f"{value[:_CELL]} … ({len(value) if length is None else length:,} characters)"


def text(value: object) -> str:
    """Return a value as the text of a cell; only as much of it is looked at as is shown."""
    if value is ABSENT or value is pd.NaT:
        return ""
    if value is None:
        return "null"
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, bytes):
        return f"{value[:_MARGIN].hex()}{'' if len(value) <= _MARGIN else ' …'} ({len(value):,} bytes)"
    if isinstance(value, Mapping | list | tuple):
        return _beginning(_pieces(value))
    return cut(str(value))


def _beginning(pieces: Iterator[str]) -> str:
    shown: list[str] = []
    room = _CELL
    for piece in pieces:
        shown.append(piece)
        room -= len(piece)
        if room < 0:
            return f"{''.join(shown)[:_CELL]} …"
    return "".join(shown)


def _pieces(value: object) -> Iterator[str]:
    """Yield a nested value's text piece by piece, so that who has enough can stop."""
    if isinstance(value, Mapping):
        yield "{"
        for number, (name, inner) in enumerate(value.items()):
            yield f"{', ' if number else ''}{cut(str(name))}: "
            yield from _pieces(inner)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "["
        for number, inner in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(inner)
        yield "]"
    else:
        yield text(value)
