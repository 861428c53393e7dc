"""What identifies a record: keys that are equal exactly when the server holds them equal."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from uuid import UUID

from bson.decimal128 import Decimal128

from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, elements, find_element, id_element

__all__ = ["DEFAULT_KEY", "canonical", "key_of", "key_text"]

DEFAULT_KEY = ("_id",)

_NUMBERS = frozenset({0x01, 0x10, 0x12, 0x13})
_INT64 = range(-(2**63), 2**63)
_WHOLE = 0x10
_EXACT = Context(prec=800)
"""Enough digits for the longest double, so that two keys never look the same."""
_OTHER_NUMBER = 0x14
"""No BSON type has this byte: what follows is the number as text, a fraction in hexadecimal, "nan" or "inf"."""


def _number(kind: int, value: bytes) -> bytes:
    """1, 1L, 1.0 and Decimal128("1.00") are one value to the server; so are 0.0 and -0.0, and all NaN."""
    if kind == 0x10:
        exact = Fraction(struct.unpack("<i", value)[0])
    elif kind == 0x12:
        exact = Fraction(struct.unpack("<q", value)[0])
    elif kind == 0x01:
        (number,) = struct.unpack("<d", value)
        if math.isnan(number) or math.isinf(number):
            return b"\x14" + repr(number).encode()
        exact = Fraction(number)
    else:
        decimal = Decimal128.from_bid(value).to_decimal()
        if decimal.is_nan() or decimal.is_infinite():
            return b"\x14" + (b"nan" if decimal.is_nan() else repr(float(decimal)).encode())
        exact = Fraction(decimal)
    if exact.denominator == 1 and exact.numerator in _INT64:
        return bytes([_WHOLE]) + struct.pack(">q", exact.numerator)
    return f"\x14{exact.numerator:x}/{exact.denominator:x}".encode()


def canonical(kind: int, value: bytes, *, depth: int = 0) -> bytes:
    """Return bytes that are equal for two values exactly when a server's `_id` index holds them equal.

    Numbers compare by value, symbols as strings, documents field by field in order, arrays without their names.

    Args:
        kind: The BSON type byte.
        value: The value's bytes.
        depth: How deep the value is nested.

    Raises:
        InvalidRecordError: The value's structure is broken, or deeper than any server stores.
    """
    if kind in _NUMBERS:
        return _number(kind, value)
    if kind in (0x02, 0x0E):
        return b"\x02" + value[4:-1]
    if kind in (0x03, 0x04):
        if depth > MAX_DEPTH:
            raise InvalidRecordError(f"nested more than {MAX_DEPTH} levels deep")
        parts = [bytes([kind])]
        for inner_kind, field, inner in elements(value):
            name = b"" if kind == 0x04 else field
            inner_key = canonical(inner_kind, inner, depth=depth + 1)
            parts.append(struct.pack("<II", len(name), len(inner_key)) + name + inner_key)
        return b"".join(parts)
    if kind == 0x0F:  # code with a scope: the scope compares as a document does
        code = 8 + struct.unpack_from("<i", value, 4)[0]
        return b"\x0f" + value[4:code] + canonical(0x03, value[code:], depth=depth + 1)
    return bytes([kind]) + value


def key_of(record: bytes, fields: Sequence[str] = DEFAULT_KEY) -> bytes | None:
    """Return the key of a record, or None where it lacks one of the fields.

    Raises:
        InvalidRecordError: The document's structure is broken.
    """
    if len(fields) == 1:
        if fields[0] == "_id":
            found = id_element(record)
            return None if found is None else canonical(found[0], found[1:])
        single = find_element(record, fields[0])
        return None if single is None else canonical(*single)
    parts = []
    for field in fields:
        found_field = find_element(record, field)
        if found_field is None:
            return None
        part = canonical(*found_field)
        parts.append(struct.pack("<I", len(part)) + part)
    return b"\x04" + b"".join(parts)


def _parts(key: bytes) -> Iterator[bytes]:
    position = 1
    while position < len(key):
        (length,) = struct.unpack_from("<I", key, position)
        yield key[position + 4 : position + 4 + length]
        position += 4 + length


def _fields(key: bytes) -> Iterator[tuple[str, bytes]]:
    position = 1
    while position < len(key):
        name_length, length = struct.unpack_from("<II", key, position)
        name_end = position + 8 + name_length
        yield key[position + 8 : name_end].decode("utf-8", "replace"), key[name_end : name_end + length]
        position = name_end + length


def _number_text(body: bytes) -> str:
    numerator, slash, denominator = body.decode().partition("/")
    if not slash:
        return numerator
    exact = _EXACT.divide(Decimal(int(numerator, 16)), Decimal(int(denominator, 16)))
    return str(exact.normalize(_EXACT))


def key_text(key: bytes, fields: Sequence[str] = DEFAULT_KEY) -> str:
    """Return a canonical key for people and for keys files.

    A string, an ObjectId, an integer and a date stand as they are; a key of several fields is joined
    with " | ".
    """
    if len(fields) > 1:
        return " | ".join(key_text(part) for part in _parts(key))
    kind, body = key[0], key[1:]
    if kind == _WHOLE:
        return str(struct.unpack(">q", body)[0])
    if kind == _OTHER_NUMBER:
        return _number_text(body)
    if kind == 0x02:
        return body.decode("utf-8", "replace")
    if kind == 0x07:
        return body.hex()
    if kind == 0x09:
        return _date(struct.unpack("<q", body)[0])
    if kind in (0x03, 0x04):
        if kind == 0x04:
            return f"[{', '.join(key_text(value) for _, value in _fields(key))}]"
        return "{" + ", ".join(f"{name}: {key_text(value)}" for name, value in _fields(key)) + "}"
    if kind == 0x05 and body[4] in (3, 4) and len(body) == 21:
        return str(UUID(bytes=body[5:]))
    if kind == 0x08:
        return "true" if body[0] else "false"
    return "null" if kind == 0x0A else f"0x{key.hex()}"


def _date(milliseconds: int) -> str:
    if not -62_135_596_800_000 <= milliseconds <= 253_402_300_799_999:
        return f"{milliseconds} ms"
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
