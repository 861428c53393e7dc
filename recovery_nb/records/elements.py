"""Walking the elements of a BSON document without decoding their values (bsonspec.org, version 1.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from recovery_nb.records.batch import MAX_RECORD_BYTES

__all__ = [
    "CODEC",
    "MAX_DEPTH",
    "REPLIES",
    "Element",
    "InvalidRecordError",
    "build",
    "elements",
    "find_element",
    "id_element",
    "invalid_reason",
    "split",
    "split_array",
    "value_end",
]

Element = tuple[int, bytes, bytes]
"""A BSON type byte, a field name as UTF-8, and the value's bytes."""

CODEC: CodecOptions[dict[str, object]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
"""Decoding that refuses no valid date: those past year 9999 come as `DatetimeMS`."""

REPLIES = CODEC.with_options(unicode_decode_error_handler="replace")
"""Decoding of a server's replies: of a key that an error quotes 150 bytes are kept, and characters cut in two."""

MAX_DEPTH = 200
"""How deep a server lets documents be nested (BSONDepth::kDefaultMaxAllowableDepth); inserts end at 180."""

_LENGTH = struct.Struct("<i").unpack_from
_FIXED = {
    0x01: 8,
    0x06: 0,
    0x07: 12,
    0x08: 1,
    0x09: 8,
    0x0A: 0,
    0x10: 4,
    0x11: 8,
    0x12: 8,
    0x13: 16,
    0x7F: 0,
    0xFF: 0,
}
_STRINGS = frozenset({0x02, 0x0D, 0x0E})
_SIZED = {0x03: 5, 0x04: 5, 0x0F: 14}
"""Types whose value begins with its whole length, and how long it is at least."""
_ID_FIRST = b"\x07_id\x00"


class InvalidRecordError(ValueError):
    """Bytes that are not a BSON document."""


def split(buffer: bytes) -> list[bytes]:
    """Split BSON documents that stand back to back.

    Raises:
        InvalidRecordError: A length prefix is out of bounds, or the last document is cut.
    """
    records: list[bytes] = []
    position, end = 0, len(buffer)
    while position < end:
        if end - position < 5:
            raise InvalidRecordError(f"{end - position} stray bytes at offset {position}")
        (length,) = _LENGTH(buffer, position)
        if not 5 <= length <= MAX_RECORD_BYTES or position + length > end or buffer[position + length - 1]:
            raise InvalidRecordError(f"a false length of {length:,} bytes at offset {position}")
        records.append(buffer[position : position + length])
        position += length
    return records


def split_array(array: bytes) -> list[bytes]:
    """Split a BSON array of documents, whose names are "0", "1", … (the batch of a server's reply).

    Raises:
        InvalidRecordError: It is not such an array.
    """
    records: list[bytes] = []
    position, end, digits, next_power = 4, len(array) - 1, 1, 10
    try:
        while position < end:
            if len(records) == next_power:
                digits, next_power = digits + 1, next_power * 10
            start = position + digits + 2  # the type byte, the name, its NUL
            (length,) = _LENGTH(array, start)
            position = start + length
            if array[start - 1] or not 5 <= length <= MAX_RECORD_BYTES or position > end or array[position - 1]:
                raise InvalidRecordError(f"a false length of {length:,} bytes at offset {start}")
            records.append(array[start:position])
    except (struct.error, IndexError):
        raise InvalidRecordError(f"an array that ends at offset {position}") from None
    return records


def _length(record: bytes, start: int, *, least: int) -> int:
    length: int = _LENGTH(record, start)[0]
    if length < least:
        raise InvalidRecordError(f"a length of {length:,} bytes at offset {start}, which no value has")
    return length


def value_end(record: bytes, kind: int, start: int, end: int) -> int:
    """Return where the value that begins at `start` ends, in a document that ends at `end`.

    Raises:
        InvalidRecordError: The type is unknown, or the value runs past its document.
    """
    if (size := _FIXED.get(kind)) is not None:
        stop = start + size
    elif kind in _STRINGS:
        stop = start + 4 + _length(record, start, least=1)
    elif (least := _SIZED.get(kind)) is not None:
        stop = start + _length(record, start, least=least)
    elif kind == 0x05:
        stop = start + 5 + _length(record, start, least=0)
    elif kind == 0x0B:
        stop = record.index(0, record.index(0, start) + 1) + 1
    elif kind == 0x0C:
        stop = start + 4 + _length(record, start, least=1) + 12
    else:
        raise InvalidRecordError(f"unknown type 0x{kind:02x} at offset {start}")
    if stop >= end:
        raise InvalidRecordError(f"a value at offset {start} runs past its document")
    return stop


def elements(record: bytes) -> Iterator[Element]:
    """Yield the top-level elements of a document, in order, duplicates included.

    Raises:
        InvalidRecordError: The document's structure is broken.
    """
    position, end = 4, len(record)
    if end < 5 or _LENGTH(record)[0] != end or record[-1]:
        raise InvalidRecordError(f"{end:,} bytes whose length prefix and last byte are not those of a document")
    try:
        while position < end - 1:
            kind = record[position]
            name_end = record.index(0, position + 1)
            stop = value_end(record, kind, name_end + 1, end)
            yield kind, record[position + 1 : name_end], record[name_end + 1 : stop]
            position = stop
    except (ValueError, IndexError, struct.error) as error:
        if isinstance(error, InvalidRecordError):
            raise
        raise InvalidRecordError(f"an element at offset {position} runs past its document") from None


def find_element(record: bytes, path: str) -> tuple[int, bytes] | None:
    """Return type and value of the first field at `path` ("a.b" steps into sub-documents), or None."""
    head, _, rest = path.partition(".")
    whole, step = path.encode(), head.encode()
    for kind, name, value in elements(record):
        if name == whole:
            return kind, value
        if rest and name == step and kind in (0x03, 0x04):
            return find_element(value, rest)
    return None


def id_element(record: bytes) -> bytes | None:
    """Return the `_id` as its type byte and value bytes; None where the document has none.

    Raises:
        InvalidRecordError: The document's structure is broken.
    """
    if record[4:9] == _ID_FIRST and len(record) > 21:
        return b"\x07" + record[9:21]
    found = find_element(record, "_id")
    return None if found is None else bytes([found[0]]) + found[1]


def build(parts: list[Element]) -> bytes:
    """Return the document made of these elements."""
    body = b"".join(bytes([kind]) + name + b"\x00" + value for kind, name, value in parts)
    return struct.pack("<i", len(body) + 5) + body + b"\x00"


def invalid_reason(record: bytes) -> str:
    """Decode a document in full and return why it is not valid, or "" if it is.

    Raw acceptance by length and terminator passes most corrupt documents; a full decode rejects them.
    """
    try:
        bson.decode(record, CODEC)
    except Exception as error:
        if isinstance(error, RecursionError) or "recursion depth" in str(error):
            return "nested more levels deep than can be decoded"
        return str(error) or type(error).__name__
    return ""
