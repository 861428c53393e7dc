"""What a record becomes before it is written, and which no server takes; all on bytes."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Iterator

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import (
    Element,
    InvalidRecordError,
    build,
    elements,
    id_element,
    invalid_reason,
)

__all__ = [
    "MAX_STORED_BYTES",
    "MAX_STORED_LEVELS",
    "fingerprint",
    "hard",
    "has_empty_timestamp",
    "has_field",
    "marked",
    "merged",
    "overlaid",
    "refusal",
    "replaceable",
    "settled",
]

MAX_STORED_BYTES = 16 * 1024 * 1024
"""The largest document that a server takes from a client (BSONObjMaxUserSize)."""

MAX_STORED_LEVELS = 180
"""How deep documents and arrays in a stored record may be nested (BSONDepth::getMaxDepthForUserStorage)."""

_AS_MILLISECONDS: CodecOptions[dict[str, object]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
_DOCUMENT, _ARRAY, _OBJECT_ID, _DATE, _TIMESTAMP = 0x03, 0x04, 0x07, 0x09, 0x11
_REFERENCE = frozenset({b"$ref", b"$id", b"$db"})
_NOT_AN_ID = {0x04: "an array", 0x06: "undefined", 0x0B: "a regular expression"}
_ID = b"_id"
_EMPTY = b"\x05\0\0\0\0"
"""A document without a field: on one level more than any other value, the server takes it."""


def fingerprint(record: bytes) -> bytes:
    """Return the SHA-256 of a record's BSON bytes."""
    return hashlib.sha256(record).digest()


def settled(record: bytes, known_id: bytes | None = None) -> bytes:
    """Return the record with its `_id` first, where the server would put it.

    A record without one takes `known_id` (type byte and value bytes: that of the record it stands for in the
    database), else an ObjectId derived from its own bytes, so that a second restore finds the first.

    Raises:
        InvalidRecordError: The document's structure is broken.
    """
    if record[5:9] == b"_id\x00":
        return record
    parts = list(elements(record))
    place = next((index for index, (_, name, _) in enumerate(parts) if name == _ID), None)
    if place is not None:
        return build([parts[place], *parts[:place], *parts[place + 1 :]])
    own = known_id or bytes([_OBJECT_ID]) + fingerprint(record)[:12]
    return build([(own[0], _ID, own[1:]), *parts])


def merged(current: bytes, addition: bytes) -> bytes:
    """Return `current` with the fields it lacks, taken from `addition`; what is present keeps every bit.

    Sub-documents are merged likewise, arrays never. A name that stands twice on either side is not entered.

    Raises:
        InvalidRecordError: The structure of one of them is broken.
    """
    mine, theirs = list(elements(current)), list(elements(addition))
    have = Counter(name for _, name, _ in mine)
    once = Counter(name for _, name, _ in theirs)
    offered = {name: value for kind, name, value in theirs if kind == _DOCUMENT and once[name] == 1}
    parts: list[Element] = []
    for kind, name, value in mine:
        if kind == _DOCUMENT and have[name] == 1 and name in offered and name != _ID:
            parts.append((kind, name, merged(value, offered[name])))
        else:
            parts.append((kind, name, value))
    parts.extend(element for element in theirs if element[1] not in have)
    return build(parts)


def overlaid(current: bytes, statement: bytes) -> bytes:
    """Return `current` with every field as `statement` has it; fields that only `current` has stay.

    Sub-documents are treated likewise, arrays are taken whole. A name that stands twice on either side is not entered.

    Raises:
        InvalidRecordError: The structure of one of them is broken.
    """
    mine, theirs = list(elements(current)), list(elements(statement))
    have, once = Counter(name for _, name, _ in mine), Counter(name for _, name, _ in theirs)
    stated = {name: (kind, value) for kind, name, value in theirs if once[name] == 1}
    parts: list[Element] = []
    for kind, name, value in mine:
        new = stated.get(name) if have[name] == 1 else None
        if new is None or name == _ID:
            parts.append((kind, name, value))
        elif kind == new[0] == _DOCUMENT:
            parts.append((kind, name, overlaid(value, new[1])))
        else:
            parts.append((new[0], name, new[1]))
    parts.extend(element for element in theirs if element[1] not in have)
    return build(parts)


def has_field(record: bytes, field: str) -> bool:
    """Return whether the record has a top-level field of this name.

    Raises:
        InvalidRecordError: The document's structure is broken.
    """
    name = field.encode("utf-8", "replace")
    return name in record and any(own == name for _, own, _ in elements(record))


def marked(record: bytes, field: str, millis: int) -> bytes:
    """Return the record with a top-level date called `field`: in place of one of that name, else at the end.

    A plan marks no record that has the field already (`has_field`): what it holds would be lost.

    Args:
        record: The record.
        field: The date's name.
        millis: The date, in milliseconds since 1970 (UTC).

    Raises:
        BadInputError: No date can have that name.
        InvalidRecordError: The document's structure is broken.
    """
    try:
        name = field.encode()
    except UnicodeEncodeError:
        name = b""
    if not name or name == _ID or name.startswith(b"$") or b"." in name or b"\0" in name:
        raise BadInputError(
            f"{field!r} cannot be the name of a mark", hint="give a plain field name, such as restored_at"
        )
    mark = (_DATE, name, struct.pack("<q", millis))
    parts: list[Element] = []
    there = False
    for element in elements(record):
        if element[1] != name:
            parts.append(element)
        elif not there:
            parts.append(mark)
            there = True
    return build(parts if there else [*parts, mark])


def refusal(record: bytes) -> str:
    """Return why a server must not be given this record, or "" if it may. The record is decoded in full."""
    if reason := invalid_reason(record):
        return f"not a valid record: {reason}"
    try:
        ids = sum(name == _ID for _, name, _ in elements(record))
        own = id_element(record)
        reserved = own is not None and own[0] == _DOCUMENT and _has_reserved_name(own[1:])
        deep = _too_deep(record)
    except InvalidRecordError as error:
        return f"not a valid record: {error}"
    if len(record) > MAX_STORED_BYTES:
        return f"{len(record):,} bytes are more than the 16 MiB that a server stores"
    if deep:
        return f"it is nested more than {MAX_STORED_LEVELS} levels deep, which no server stores"
    if ids > 1:
        return "it holds _id twice"
    if own is not None and own[0] in _NOT_AN_ID:
        return f"its _id is {_NOT_AN_ID[own[0]]}, which no server takes"
    if reserved:
        return "its _id has a field whose name begins with $, which no server takes"
    return ""


def replaceable(there: bytes, wanted: bytes) -> bool:
    """Return whether one update may put a record over another one; else it takes a delete and an insert.

    Raises:
        InvalidRecordError: The structure of one of them is broken.
    """
    return not hard(wanted) and not (has_empty_timestamp(wanted) and hard(there))


def hard(record: bytes) -> bool:
    """Return whether an update or a replacement must not put this record over another one.

    A server refuses names that begin with `$` at the top level of a replacement. And it ends itself over the
    difference of two records of which one has a name twice, at any depth (an invariant in
    document_diff_serialization.cpp, seen with 6.0). It takes the difference where an update's pipeline gives the
    new record, which is how a `Timestamp(0, 0)` is kept: then neither of the two must be hard (`replaceable`).

    Raises:
        InvalidRecordError: The document's structure is broken.
    """
    if b"$" in record and any(name.startswith(b"$") for _, name, _ in elements(record)):
        return True
    if _comes_back(record):  # as nearly all do, in a fraction of the time that walking takes
        return False
    for level in _levels(record):
        for document in level:
            names = [name for _, name, _ in elements(document)]
            if len(set(names)) < len(names):
                return True
    return False


def _comes_back(record: bytes) -> bool:
    """Return whether decoding and encoding gives the same bytes, as no record with a name twice can."""
    try:
        decoded = bson.decode(record, _AS_MILLISECONDS)
        return bson.encode(decoded) == record
    except Exception:  # whatever cannot be decoded is walked
        return False


def _has_reserved_name(document: bytes) -> bool:
    """Return whether a name in it begins with `$`, at any depth; a reference's (DBRef) are left to the server."""
    names = (name for level in _levels(document) for one in level for _, name, _ in elements(one))
    return any(name.startswith(b"$") and name not in _REFERENCE for name in names)


def _too_deep(record: bytes) -> bool:
    if record.count(b"\x03") + record.count(b"\x04") <= MAX_STORED_LEVELS:  # spares nearly all records the walk
        return False
    return sum(any(len(one) > len(_EMPTY) for one in level) for level in _levels(record)) > MAX_STORED_LEVELS


def _levels(record: bytes) -> Iterator[list[bytes]]:
    """Yield the documents and arrays in a record, level by level, to one level too many."""
    level = [record]
    for _ in range(MAX_STORED_LEVELS + 2):
        yield level
        level = [value for one in level for kind, _, value in elements(one) if kind in (_DOCUMENT, _ARRAY)]
        if not level:
            return


def has_empty_timestamp(record: bytes) -> bool:
    """Return whether the server would rewrite a `Timestamp(0, 0)` at this record's top level on insert."""
    # Its type; the NUL of its name, and its own: this spares nearly all records the walk.
    if b"\x11" not in record or bytes(9) not in record:
        return False
    return any(kind == _TIMESTAMP and not any(value) and name != _ID for kind, name, value in elements(record))
