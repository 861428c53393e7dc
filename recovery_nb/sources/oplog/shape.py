"""What both forms of updates stand on: where the fields of a document are, and how arrays grow."""

from __future__ import annotations

import struct
from collections import Counter

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, elements, value_end

__all__ = [
    "ARRAY",
    "DOCUMENT",
    "INT32",
    "NULL",
    "Layout",
    "UnfitUpdateError",
    "Value",
    "array_fields",
    "array_index",
    "deeper",
    "document_of",
    "element",
    "layout",
    "nulls",
    "repeated",
    "spliced",
]

INT32 = struct.Struct("<i")
DOCUMENT, ARRAY = 0x03, 0x04

_UNPACK = INT32.unpack_from
_OTHER = -99
_SIZES = [_OTHER] * 256
"""By type: how long a value is; or, less than 0, -1 less by how much it is longer than the length it begins with."""
for _kind, _size in {0x01: 8, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8}.items():
    _SIZES[_kind] = _size
for _kind, _size in {0x02: 4, DOCUMENT: 0, ARRAY: 0, 0x05: 5}.items():
    _SIZES[_kind] = -1 - _size

Value = tuple[int, bytes]
"""A BSON type byte and a value's bytes."""

NULL: Value = (0x0A, b"")

_MAX_PADDING = 1_500_000
"""How many nulls a server puts at most between an array's end and an element that is set behind it
(kMaxPaddingAllowed in src/mongo/db/update/path_support.h)."""


class UnfitUpdateError(ValueError):
    """An update that this record cannot have received, or of a kind that is not known."""


Layout = dict[bytes, tuple[int, int, int]]
"""By name, a field's type, and where its value begins and ends. Its element begins `len(name) + 2` bytes before."""


def layout(buffer: bytes, start: int, end: int) -> tuple[Layout, bool]:
    """Return where the fields of the document in `buffer[start:end]` are, in order, and whether each name is its own.

    Of several fields of one name the last is returned. Nothing is copied.

    Raises:
        InvalidRecordError: The document's structure is broken.
    """
    found: Layout = {}
    position, last, count = start + 4, end - 1, 0
    if end - start < 5 or _UNPACK(buffer, start)[0] != end - start or buffer[last]:
        raise InvalidRecordError("a document with a false length")
    index, sizes, unpack = buffer.index, _SIZES, _UNPACK
    try:
        while position < last:
            kind = buffer[position]
            value = index(0, position + 1, end) + 1
            size = sizes[kind]
            if size >= 0:
                stop = value + size
            elif size != _OTHER and (length := unpack(buffer, value)[0]) > 0:
                stop = value + length - size - 1
            else:
                stop = value_end(buffer, kind, value, end)
            if stop > last:
                raise InvalidRecordError("a value that runs past its document")
            found[buffer[position + 1 : value - 1]] = kind, value, stop
            position = stop
            count += 1
    except (ValueError, IndexError, struct.error) as error:
        raise error if isinstance(error, InvalidRecordError) else InvalidRecordError("a broken element") from None
    return found, count == len(found)


def repeated(buffer: bytes, start: int, end: int) -> set[bytes]:
    """Return the names that more than one field of a document has."""
    counts = Counter(name for _, name, _ in elements(buffer[start:end]))
    return {name for name, count in counts.items() if count > 1}


def element(name: bytes, value: Value) -> bytes:
    """Return the bytes of one element."""
    return bytes((value[0],)) + name + b"\x00" + value[1]


def document_of(parts: list[bytes]) -> bytes:
    """Return the document of elements that are already bytes."""
    body = b"".join(parts)
    return INT32.pack(len(body) + 5) + body + b"\x00"


def spliced(buffer: bytes, start: int, end: int, *, cuts: list[tuple[int, int, bytes]], tail: list[bytes]) -> bytes:
    """Return a document in which stretches are replaced by others.

    Args:
        buffer: It holds the document.
        start: Where the document begins.
        end: Where it ends.
        cuts: Where each stretch begins and ends, and what comes in its place.
        tail: Elements that come at the end.

    Raises:
        UnfitUpdateError: Two stretches overlap.
    """
    parts: list[bytes] = []
    position = start + 4
    for cut, stop, instead in sorted(cuts):
        if cut < position:
            raise UnfitUpdateError("an update that changes one field twice")
        parts += (buffer[position:cut], instead)
        position = stop
    return document_of([*parts, buffer[position : end - 1], *tail])


def deeper(depth: int) -> int:
    """Return the next depth.

    Raises:
        UnfitUpdateError: No record is as deep.
    """
    if depth > MAX_DEPTH:
        raise UnfitUpdateError(f"an update nested more than {MAX_DEPTH} levels deep")
    return depth + 1


def array_index(name: bytes) -> int:
    """Return the place in an array that a name means.

    Raises:
        UnfitUpdateError: It is none that an array in a record can have.
    """
    if not name.isdigit() or len(name) > 9 or int(name) > MAX_RECORD_BYTES:
        raise UnfitUpdateError("an update of an element that no array can have")
    return int(name)


def array_fields(buffer: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """Return type, begin and end of each value of the array in `buffer[start:end]`.

    Raises:
        UnfitUpdateError: Its elements are not named 0, 1, …: what a server makes of it depends on its version.
        InvalidRecordError: Its structure is broken.
    """
    fields, unique = layout(buffer, start, end)
    if not unique or any(name != b"%d" % number for number, name in enumerate(fields)):
        raise UnfitUpdateError("an update of an array whose elements are not numbered from 0 on")
    return list(fields.values())


def nulls(start: int, stop: int) -> list[bytes]:
    """Return the elements that a server puts between an array's end, `start`, and what is set behind it.

    Raises:
        UnfitUpdateError: No server puts as many.
    """
    if stop - start > _MAX_PADDING:
        raise UnfitUpdateError("an update far behind the end of its array")
    return [element(b"%d" % number, NULL) for number in range(start, stop)]
