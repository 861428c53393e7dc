"""What a record becomes before it is written: `_id` settled, additions merged in; on bytes, never decoded."""

from __future__ import annotations

import hashlib
from collections import Counter

from recovery_nb.records.elements import (
    Element,
    InvalidRecordError,
    build,
    elements,
    id_element,
    invalid_reason,
)

__all__ = ["MAX_STORED_BYTES", "fingerprint", "has_empty_timestamp", "merged", "overlaid", "refusal", "settled"]

MAX_STORED_BYTES = 16 * 1024 * 1024
"""The largest document that a server takes from a client (BSONObjMaxUserSize)."""

_DOCUMENT, _OBJECT_ID, _TIMESTAMP = 0x03, 0x07, 0x11
_NOT_AN_ID = {0x04: "an array", 0x06: "undefined", 0x0B: "a regular expression"}
_ID = b"_id"


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


def refusal(record: bytes) -> str:
    """Return why a server must not be given this record, or "" if it may. The record is decoded in full."""
    if reason := invalid_reason(record):
        return f"not a valid record: {reason}"
    try:
        ids = sum(name == _ID for _, name, _ in elements(record))
        own = id_element(record)
    except InvalidRecordError as error:
        return f"not a valid record: {error}"
    if len(record) > MAX_STORED_BYTES:
        return f"{len(record):,} bytes are more than the 16 MiB that a server stores"
    if ids > 1:
        return "it holds _id twice"
    if own is not None and own[0] in _NOT_AN_ID:
        return f"its _id is {_NOT_AN_ID[own[0]]}, which no server takes"
    return ""


def has_empty_timestamp(record: bytes) -> bool:
    """Return whether the server would rewrite a `Timestamp(0, 0)` at this record's top level on insert."""
    if bytes(8) not in record:  # spares nearly all records the walk
        return False
    return any(kind == _TIMESTAMP and not any(value) and name != _ID for kind, name, value in elements(record))
