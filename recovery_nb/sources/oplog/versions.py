"""What a fold makes of an operation: a version of a record, or why there is none."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from recovery_nb.records.batch import Damage
from recovery_nb.records.elements import InvalidRecordError, build, elements, id_element, value_end
from recovery_nb.records.keys import canonical
from recovery_nb.sources.oplog.entries import Operation
from recovery_nb.sources.oplog.namespaces import Collection

__all__ = [
    "ALL",
    "NOT_HELD",
    "UNFIT",
    "UNSURE",
    "Span",
    "Version",
    "entry_damage",
    "operation_damage",
    "record_key",
    "replaced",
]

NOT_HELD = "an update of a record that this oplog does not hold in full; combine it with a backup: --as-of"
UNSURE = "a record after an update that follows a damaged stretch: what is lost there may have changed it too"
UNFIT = "an update that does not fit the record before it"

_NUMBER = struct.Struct(">I").pack


class Version(NamedTuple):
    """What a record was after an operation.

    Attributes:
        collection: Its collection.
        operation: What left it so.
        at: When, as `moment` gives it.
        record: Its bytes.
        sure: Whether they are what the server stored: not after an update that follows a damaged stretch.
    """

    collection: Collection
    operation: Operation
    at: int
    record: bytes
    sure: bool


def record_key(collection: Collection, holder: bytes) -> bytes | None:
    """Return the key of a record in a `Store`; None where it has no `_id`.

    Args:
        collection: Its collection.
        holder: The record, or another document with its `_id`.

    Raises:
        InvalidRecordError: The structure is broken.
    """
    if holder[5:9] == b"_id\x00":
        kind, value = holder[4], holder[9 : value_end(holder, holder[4], 9, len(holder))]
    else:
        identifier = id_element(holder)
        if identifier is None:
            return None
        kind, value = identifier[0], identifier[1:]
    return _NUMBER(collection.number) + canonical(kind, value)


def replaced(operation: Operation) -> bytes:
    """Return the record after a replacement; before 3.6 its `_id` may stand only in `o2`.

    Raises:
        InvalidRecordError: It has none.
    """
    if id_element(operation.o) is not None:
        return operation.o
    key = id_element(operation.o2) if operation.o2 else None
    if key is None:
        raise InvalidRecordError("an update without an _id")
    return build([(key[0], b"_id", key[1:]), *elements(operation.o)])


def entry_damage(offset: int, length: int, reason: str, *, collection: str = "", partial: bytes = b"") -> Damage:
    """Return a damage of the only member there is."""
    return Damage("", offset, length, reason, collection, partial)


def operation_damage(operation: Operation, reason: str, collection: str = "") -> Damage:
    """Return the damage of an operation that gives no version."""
    return entry_damage(operation.offset, operation.length, reason, collection=collection)


@dataclass(frozen=True, slots=True)
class Span:
    """Which operations count: those after one moment and up to another.

    Attributes:
        after: The moment that is not included.
        until: The moment that is.
    """

    after: int = -1
    until: int = (1 << 63) - 1


ALL = Span()
"""Every operation."""
