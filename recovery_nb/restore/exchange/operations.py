"""The driver's operations for a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson.codec_options import DatetimeConversion
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.collation import Collation

from recovery_nb.records.elements import build
from recovery_nb.restore.exchange.change import Change
from recovery_nb.restore.shape import has_empty_timestamp, replaceable
from recovery_nb.restore.target import id_filter

__all__ = ["Operation", "guarded", "inserting", "swapping"]

Operation = InsertOne[Any] | UpdateOne | ReplaceOne[Any] | DeleteOne

_ANY_DATE = DEFAULT_RAW_BSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
"""The driver decodes the top level of a replacement to see whether it is empty: a far date must not end that."""


def inserting(own: bytes, record: bytes) -> Operation:
    """Return the operation that inserts a record, or finds its `_id` taken."""
    if not has_empty_timestamp(record):
        return InsertOne(RawBSONDocument(record))
    # An insert rewrites Timestamp(0, 0) at the top level; an update's pipeline does not. It matches nothing,
    # so that the server inserts what the pipeline gives, or finds the `_id` taken.
    nothing = {"$and": [id_filter([own]), {"$nor": [{}]}]}
    return UpdateOne(nothing, _pipeline(record), upsert=True)


def swapping(change: Change, there: bytes | None) -> Sequence[Operation]:
    """Return the operations for a change within a transaction that has compared what is there."""
    if there is None:
        return [inserting(change.id, change.wanted or b"")]
    match = id_filter([change.id])
    if change.wanted is None:
        return [DeleteOne(match)]
    if not replaceable(there, change.wanted):
        return [DeleteOne(match), inserting(change.id, change.wanted)]
    return [_replacing(match, change.wanted)]


def guarded(change: Change, there: bytes) -> Operation | None:
    """Return the operation that writes only over exactly these bytes; None where no single one can.

    What takes two operations is not done without a transaction: a crash between them would lose the record.
    """
    # `$eq` holds 1 and 1.0 equal, so the size is compared too; the collection's
    # collation must not make letters equal either.
    literal = RawBSONDocument(build([(0x03, b"$literal", there)]))
    same = {"$and": [{"$eq": ["$$ROOT", literal]}, {"$eq": [{"$bsonSize": "$$ROOT"}, len(there)]}]}
    match = {"$and": [id_filter([change.id]), {"$expr": same}]}
    simple = Collation("simple")
    if change.wanted is None:
        return DeleteOne(match, collation=simple)
    return _replacing(match, change.wanted, simple) if replaceable(there, change.wanted) else None


def _replacing(match: Any, wanted: bytes, collation: Collation | None = None) -> Operation:
    """Return the operation that puts a record over another one, which must be `replaceable` by it."""
    if has_empty_timestamp(wanted):  # a replacement rewrites it as an insert does
        return UpdateOne(match, _pipeline(wanted), collation=collation)
    return ReplaceOne(match, RawBSONDocument(wanted, _ANY_DATE), collation=collation)


def _pipeline(wanted: bytes) -> list[dict[str, Any]]:
    return [{"$replaceWith": {"$literal": RawBSONDocument(wanted)}}]
