"""Saying how two records of one key differ, strict by BSON type, field by field."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import bson
from bson import json_util
from bson.decimal128 import Decimal128

from recovery_nb.compare.model import Change, ChangeKind, Status
from recovery_nb.records.cells import is_cell_of, parse_date
from recovery_nb.records.elements import CODEC, Element, build, elements, id_element
from recovery_nb.records.keys import canonical
from recovery_nb.records.schema import TYPE_NAMES
from recovery_nb.sources.base import Typing

__all__ = [
    "Value",
    "added",
    "change_kind",
    "diff",
    "escaped",
    "identified",
    "newer_in_database",
    "python_value",
    "show",
    "verdict",
]

_NUMBERS = frozenset({0x01, 0x10, 0x12, 0x13})
_DOCUMENT, _ARRAY, _STRING, _DATE = 0x03, 0x04, 0x02, 0x09
_TEXT_LIMIT = 200

_NOTHING = struct.pack("<i", 5) + b"\x00"
_EMPTY = {_STRING: struct.pack("<i", 1) + b"\x00", _DOCUMENT: _NOTHING, _ARRAY: _NOTHING, 0x06: b"", 0x0A: b""}
"""What an empty cell may stand for, beside a field that is not there."""

Value = tuple[int, bytes]
"""A BSON type byte and a value's bytes."""


def python_value(kind: int, value: bytes) -> object:
    """Return a value with its type (bson, PyMongo).

    Raises:
        bson.errors.BSONError: It does not decode.
    """
    body = bytes([kind]) + b"v\x00" + value
    return bson.decode(struct.pack("<i", len(body) + 5) + body + b"\x00", CODEC)["v"]


def show(value: Value | None) -> str:
    """Return a value for people: its text, cut to 200 characters, and its type unless that is a string."""
    if value is None:
        return ""
    kind, raw = value
    name = TYPE_NAMES.get(kind, f"0x{kind:02x}")
    try:
        decoded = python_value(kind, raw)
    except Exception:
        return f"(unreadable {name})"
    if isinstance(decoded, dict | list):
        text = json_util.dumps(decoded, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False)
    else:
        text = decoded.isoformat() if isinstance(decoded, datetime) else str(decoded)
    if len(text) > _TEXT_LIMIT:
        text = f"{text[:_TEXT_LIMIT]}… ({len(text):,} characters)"
    return text if kind == _STRING else f"{text} ({name})"


def _same_but_lossy(database: Value, source: Value) -> bool:
    """Whether the source's text is what `default=str` or `JSON.stringify` makes of the database's value."""
    kind, raw = database
    if kind == source[0]:
        return False
    if source[0] == _STRING:
        text = source[1][4:-1]
        if kind == _DATE:
            return bool(parse_date(text) == struct.unpack("<q", raw)[0])
        if kind == 0x07:
            return text == raw.hex().encode()
        if kind in (_STRING, _DOCUMENT, _ARRAY):
            return False
        return str(python_value(kind, raw)).encode() == text
    if source[0] in _NUMBERS and kind == 0x13:
        number = python_value(*source)
        return str(Decimal128.from_bid(raw)) == str(number)
    return source[0] == 0x0A and kind == 0x01 and not math.isfinite(struct.unpack("<d", raw)[0])


def _same_in_text(database: Value, source: Value) -> bool:
    """Whether a CSV file cannot tell the source's value from the database's."""
    kind, raw = database
    if source[0] == _STRING:
        return is_cell_of(source[1][4:-1], database)
    if source[0] == 0x0A:  # an empty cell among the elements of an array
        return _is_empty(database)
    if kind == source[0] == _DATE:  # many programs write whole seconds
        here, there = struct.unpack("<q", raw)[0], struct.unpack("<q", source[1])[0]
        return bool(there % 1000 == 0 and here // 1000 == there // 1000)
    return False


def _is_empty(value: Value) -> bool:
    return _EMPTY.get(value[0]) == value[1]


def change_kind(database: Value, source: Value, typing: Typing) -> ChangeKind:
    """Return how two values that are not the same differ.

    Args:
        database: The value in the database.
        source: The value in the source.
        typing: What the source's format keeps of types.
    """
    same_number = database[0] in _NUMBERS and source[0] in _NUMBERS and canonical(*database) == canonical(*source)
    if same_number and database[0] != source[0]:
        return ChangeKind.WIDTH
    lossy = typing in (Typing.PLAIN, Typing.TEXT)
    if lossy and (same_number or _same_but_lossy(database, source)):
        return ChangeKind.LOST_TYPE  # of the same type and yet not alike: -0.0, a NaN's payload, 7.0 and 7.00
    if typing is Typing.TEXT and _same_in_text(database, source):
        return ChangeKind.LOST_TYPE
    return ChangeKind.VALUE


def escaped(name: bytes) -> str:
    """Return a field's name as a step of a JSON Pointer (RFC 6901)."""
    return name.decode("utf-8", "replace").replace("~", "~0").replace("/", "~1")


def _compare(path: str, database: Value, source: Value, typing: Typing) -> Iterator[Change]:
    if database == source:
        return
    if database[0] == source[0] == _DOCUMENT or database[0] == source[0] == _ARRAY:
        yield from _diff(path, list(elements(database[1])), list(elements(source[1])), typing)
    else:
        yield Change(path, change_kind(database, source, typing), show(database), show(source))


def added(value: Value, typing: Typing) -> ChangeKind:
    """Return what it means that only the database has a field.

    In CSV, an empty cell stands for several values; and a column that was not exported says nothing of its field.
    """
    if typing is not Typing.TEXT:
        return ChangeKind.ADDED
    return ChangeKind.LOST_TYPE if _is_empty(value) else ChangeKind.NOT_STATED


def _diff(path: str, left: list[Element], right: list[Element], typing: Typing) -> Iterator[Change]:
    ours = {name: (kind, value) for kind, name, value in left}
    theirs = {name: (kind, value) for kind, name, value in right}
    if len(ours) != len(left) or len(theirs) != len(right):  # a field name twice: only the whole can be compared
        if left != right:
            yield Change(path, ChangeKind.VALUE, f"{len(left)} fields, some twice", f"{len(right)} fields")
        return
    for name, value in ours.items():
        here = f"{path}/{escaped(name)}"
        if name in theirs:
            yield from _compare(here, value, theirs[name], typing)
        else:
            yield Change(here, added(value, typing), show(value), "")
    for name, value in theirs.items():
        if name not in ours:
            yield Change(f"{path}/{escaped(name)}", ChangeKind.REMOVED, "", show(value))
    common = [name for name in ours if name in theirs]
    if common != [name for name in theirs if name in ours]:
        yield Change(path, ChangeKind.ORDER, "another order of fields", "")


def diff(database: bytes, source: bytes, *, typing: Typing = Typing.FULL) -> list[Change]:
    """Return how the database's record and the source's record differ, by JSON Pointer.

    Args:
        database: The BSON bytes in the database.
        source: The BSON bytes that a restore would write.
        typing: What the source's format keeps of types: what it cannot keep is `LOST_TYPE`, not `VALUE`.

    Raises:
        InvalidRecordError: One of them is not a BSON document.
    """
    return list(_diff("", list(elements(database)), list(elements(source)), typing))


def identified(candidate: bytes, current: bytes) -> bytes:
    """Return a record that has no `_id` with the one that a restore would give it: the database's.

    Raises:
        InvalidRecordError: One of them is not a BSON document.
    """
    own = id_element(current)
    if own is None or id_element(candidate) is not None:
        return candidate
    return build([(own[0], b"_id", own[1:]), *elements(candidate)])


def verdict(changes: Sequence[Change]) -> Status:
    """Return the status of two records that differ in these fields."""
    if not changes:
        return Status.IDENTICAL
    return Status.EQUIVALENT if all(change.kind.harmless for change in changes) else Status.CHANGED


def newer_in_database(database: bytes, source: bytes) -> str:
    """Return why the database's record was written after the source's copy of it, or "".

    The sign: a date at the top level that is later in the database (`updated_at`, `last_seen`, …). What an
    application wrote since the backup is not damage, and a restore leaves it alone unless it is named.
    """
    theirs = {name: value for kind, name, value in elements(source) if kind == _DATE}
    for kind, name, value in elements(database):
        if kind == _DATE and name in theirs:
            here, there = struct.unpack("<q", value)[0], struct.unpack("<q", theirs[name])[0]
            if here > there:
                label = name.decode("utf-8", "replace")
                return f"{label} is later in the database ({_when(here)}) than in the source ({_when(there)})"
    return ""


def _when(milliseconds: int) -> str:
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)).isoformat(timespec="seconds")
    except OverflowError:
        return f"{milliseconds} ms"
