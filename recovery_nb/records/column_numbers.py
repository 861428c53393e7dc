"""Between a BSON value and the integer that stands for it in a column, whose differences are stored.

The format: simple8b_type_util.h of the MongoDB server.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

from recovery_nb.records.elements import InvalidRecordError

__all__ = ["STEADY", "WIDE", "Make", "maker", "number"]

Make = Callable[[int, bytes], bytes]
"""Makes the bytes of a value of its number, and of the value before it."""

WIDE = frozenset({0x02, 0x05, 0x0D, 0x13})
"""Types whose numbers have 128 bits: string, binary, code, decimal."""

STEADY = frozenset({0x07, 0x09, 0x11})
"""Types whose blocks hold the differences of differences: ObjectId, date, timestamp."""

_MASK = (1 << 64) - 1
"""Numbers are kept without a sign, and wrap around at 64 bits; at 128 those of the wide types."""

_LENGTH = struct.Struct("<i")
_DOUBLE = struct.Struct("<d")
_DOUBLE_TYPE = 0x01
_AS_INTEGER = 0x8
_SCALES = {0x9: 1.0, 0xA: 1e1, 0xB: 1e2, 0xC: 1e4, 0xD: 1e8}
"""By the upper half of a control byte: what doubles were multiplied by to be integers."""
_SAFE = 2.0**53
_OID_ORDER = (11, 3, 10, 2, 9, 1, 0)
"""An ObjectId as a number: these of its bytes, the lowest first, so that what changes most is low."""
_SMALL = 16
"""Strings and binaries of more bytes have no number."""


def number(kind: int, value: bytes, scale: int) -> int:
    """Return the number of a value; 0 for one that has none.

    Args:
        kind: Its type byte.
        value: Its bytes.
        scale: The upper half of the control byte of the blocks that are relative to it.

    Raises:
        InvalidRecordError: The value cannot be in a column with this scale.
    """
    if scale != _AS_INTEGER:
        if kind != _DOUBLE_TYPE or scale not in _SCALES:
            raise InvalidRecordError("a scale that values of this type do not have in a column")
        return _scaled(value, _SCALES[scale])
    if kind in (0x02, 0x0D):
        text = value[4:-1]
        return int.from_bytes(text, "big") if len(text) <= _SMALL and text[:1] != b"\x00" else 0
    if kind == 0x05:
        return int.from_bytes(value[5:], "little") if len(value) <= 5 + _SMALL else 0
    if kind == 0x07:
        return int.from_bytes(bytes(value[at] for at in _OID_ORDER), "little")
    if kind == 0x10:
        return int.from_bytes(value, "little", signed=True) & _MASK
    return int.from_bytes(value, "little") if kind in _MAKERS else 0


def maker(kind: int, scale: int) -> Make:
    """Return what makes values of this type of the numbers in blocks of this scale."""
    return _MAKERS.get(kind, _no_difference) if scale == _AS_INTEGER else _scaled_doubles(_SCALES[scale])


def _eight(amount: int, _last: bytes) -> bytes:
    return amount.to_bytes(8, "little")


def _sixteen(amount: int, _last: bytes) -> bytes:
    return amount.to_bytes(16, "little")


def _int32(amount: int, _last: bytes) -> bytes:
    if 1 << 31 <= amount < (1 << 64) - (1 << 31):
        raise InvalidRecordError("an integer of more than 32 bits in a column of these")
    return (amount & 0xFFFFFFFF).to_bytes(4, "little")


def _boolean(amount: int, _last: bytes) -> bytes:
    if amount > 1:
        raise InvalidRecordError("a boolean that is neither true nor false in a column")
    return bytes((amount,))


def _object_id(amount: int, last: bytes) -> bytes:
    if amount >> 56:
        raise InvalidRecordError("an ObjectId of more than 12 bytes in a column")
    made = bytearray(last)
    for at, byte in zip(_OID_ORDER, amount.to_bytes(7, "little"), strict=True):
        made[at] = byte
    return bytes(made)


def _text(amount: int, _last: bytes) -> bytes:
    text = amount.to_bytes((amount.bit_length() + 7) // 8, "big")
    return _LENGTH.pack(len(text) + 1) + text + b"\x00"


def _binary(amount: int, last: bytes) -> bytes:
    length = len(last) - 5
    if length > _SMALL or amount >> 8 * length:
        raise InvalidRecordError("a binary of another length in a column")
    return last[:5] + amount.to_bytes(length, "little")


def _no_difference(_amount: int, _last: bytes) -> bytes:
    raise InvalidRecordError("a difference between values that have none in a column")


_MAKERS: dict[int, Make] = {
    0x01: _eight,
    0x02: _text,
    0x05: _binary,
    0x07: _object_id,
    0x08: _boolean,
    0x09: _eight,
    0x0D: _text,
    0x10: _int32,
    0x11: _eight,
    0x12: _eight,
    0x13: _sixteen,
}


def _scaled(value: bytes, scale: float) -> int:
    """Return a double times `scale`, rounded half away from zero, as an integer of 64 bits."""
    scaled: float = _DOUBLE.unpack(value)[0] * scale
    if not -_SAFE <= scaled <= _SAFE:
        raise InvalidRecordError("a double beyond its scale in a column")
    whole = math.floor(scaled)
    rest = scaled - whole
    return (whole + (rest > 0.5 or (rest == 0.5 and scaled > 0))) & _MASK


def _scaled_doubles(scale: float) -> Make:
    def make(amount: int, _last: bytes) -> bytes:
        return _DOUBLE.pack((amount - (amount >> 63 << 64)) / scale)

    return make
