"""BSON values as text for one cell of a table: never longer than the cell, and never decoded beyond what is shown."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

from bson.datetime_ms import DatetimeMS

from recovery_nb.browse.masking import HIDDEN, Veil
from recovery_nb.compare.explain import Value, escaped, python_value
from recovery_nb.records.elements import InvalidRecordError, elements
from recovery_nb.records.schema import TYPE_NAMES

__all__ = ["Cell", "cell", "type_name"]

_MOST = 500
_DEEPEST = 6
"""How many levels of a value are shown in one cell; what is deeper is `…`."""
_FIELDS = 100
_SCALAR = 4_096
"""No number, date or key is longer: what is longer is shown as the bytes it begins with."""

_DOUBLE, _STRING, _DOCUMENT, _ARRAY, _BINARY, _DATE = 0x01, 0x02, 0x03, 0x04, 0x05, 0x09
_TEXTS = frozenset({_STRING, 0x0D, 0x0E})
_UUIDS = (3, 4)
_PLAIN_NAN = struct.pack("<d", float("nan"))


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of a field.

    Attributes:
        text: The value, cut to 500 characters; it says so then. "" where it is masked.
        type: Its BSON type, by the name that the server's `$type` has for it.
        masked: Whether the value is hidden.
    """

    text: str
    type: str
    masked: bool = False


def type_name(kind: int) -> str:
    """Return the name of a BSON type byte."""
    return TYPE_NAMES.get(kind, f"0x{kind:02x}")


def cell(value: Value, path: str, veil: Veil, *, start: int = 0) -> Cell:
    """Return a value as it is shown.

    Args:
        value: The value.
        path: Its JSON Pointer.
        veil: What is hidden of its record.
        start: Where a long string is shown from, in bytes: before its first difference from another.
    """
    if veil.hides(path):
        return Cell("", type_name(value[0]), masked=True)
    return Cell(_cut(_text(value, path, veil, depth=0, start=start)), type_name(value[0]))


def _text(value: Value, path: str, veil: Veil, *, depth: int, start: int = 0) -> str:
    kind, raw = value
    if kind in _TEXTS:
        return _string(raw[4:-1], start)
    if kind == _BINARY:
        return _binary(raw)
    if kind in (_DOCUMENT, _ARRAY):
        return _container(value, path, veil, depth)
    if len(raw) > _SCALAR:
        return _bytes(raw)
    try:
        decoded = python_value(kind, raw)
    except Exception:  # whatever a driver says of it
        return f"unreadable: {_bytes(raw)}"
    if kind == _DOUBLE and decoded != decoded and raw != _PLAIN_NAN:  # noqa: PLR0124 - only NaN differs from itself
        return f"nan, bits {raw[::-1].hex()}"
    if kind == _DATE:
        return f"{int(decoded)} ms" if isinstance(decoded, DatetimeMS) else decoded.isoformat(timespec="milliseconds")  # type: ignore[attr-defined]  # a datetime
    if kind in (0x06, 0x0A):
        return type_name(kind)
    return ("true" if decoded else "false") if isinstance(decoded, bool) else str(decoded)


def _string(raw: bytes, start: int) -> str:
    # A character has four bytes at most. What is no UTF-8 is shown byte by byte, so that no two strings look alike.
    text = raw[start : start + _MOST * 4 + 4].decode("utf-8", "backslashreplace")
    before = f"… from byte {start:,}: " if start else ""
    return f"{before}{text[:_MOST]}… ({len(raw):,} bytes)" if len(text) > _MOST else before + text


def _binary(raw: bytes) -> str:
    subtype, body = raw[4], raw[5:]
    if subtype in _UUIDS and len(body) == 16:
        return f"{UUID(bytes=body)} (subtype {subtype})"
    return f"subtype {subtype}, {_bytes(body)}"


def _bytes(raw: bytes) -> str:
    shown = raw[: _MOST // 4]
    return f"{len(raw):,} bytes: {shown.hex()}{'…' if len(shown) < len(raw) else ''}"


def _container(value: Value, path: str, veil: Veil, depth: int) -> str:
    """Return a document or an array, its first fields, until the cell is full."""
    kind, raw = value
    parts: list[str] = []
    size = 0
    try:
        for number, (inner, name, part) in enumerate(elements(raw)):
            if depth == _DEEPEST or number == _FIELDS or size > _MOST:
                parts.append("…")
                break
            step = escaped(name)
            here = f"{path}/{step}"
            shown = HIDDEN if veil.hides(here) else _shown((inner, part), here, veil, depth)
            parts.append(shown if kind == _ARRAY else f"{_label(name)}: {shown}")
            size += len(parts[-1])
    except InvalidRecordError:
        parts.append("… unreadable")
    inside = ", ".join(parts)
    return f"[{inside}]" if kind == _ARRAY else f"{{{inside}}}"


def _label(name: bytes) -> str:
    return name[: _MOST * 4].decode("utf-8", "backslashreplace")


def _shown(value: Value, path: str, veil: Veil, depth: int) -> str:
    text = _text(value, path, veil, depth=depth + 1)
    if value[0] == _STRING:
        return f'"{text}"'
    typed = value[0] in (_DOUBLE, 0x08, 0x0A, 0x10, _DOCUMENT, _ARRAY)
    return text if typed else f"{text} ({type_name(value[0])})"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST + 40 else f"{text[:_MOST]}… (cut)"
