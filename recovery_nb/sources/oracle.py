"""A server asked which records a query matches, without a collection and without a write.

`$documents` hands the records to the server, `$match` gives back those that match, in their order and to the bit.
So validators, filters of partial indexes and queries mean exactly what they mean to the server.
https://www.mongodb.com/docs/manual/reference/operator/aggregation/documents/ (since MongoDB 5.1)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo.database import Database
from pymongo.errors import OperationFailure

from recovery_nb.errors import BadInputError, MissingRequirementError

__all__ = ["can_match", "matching"]

_SINCE = [5, 1]
_CHUNK_BYTES = 8 * 1024 * 1024
_CHUNK_RECORDS = 10_000
_UNKNOWN_STAGE = 40324
_NOT_THE_QUERY = frozenset({13, 18, 8000})
"""Errors that say something about the user and nothing about the query."""


def can_match(database: Database[Any]) -> bool:
    """Return whether the server can be asked: MongoDB 5.1 or newer.

    Raises:
        PyMongoError: The server does not answer.
    """
    answer = database.client.admin.command("buildInfo")
    return list(answer["versionArray"])[:2] >= _SINCE


def matching(
    database: Database[Any],
    records: Sequence[bytes],
    query: Mapping[str, Any],
    *,
    collation: Mapping[str, Any] | None = None,
) -> list[bool]:
    """Return for each record whether the query matches it. Nothing is written, and no collection is looked at.

    Args:
        database: Any database of the server; it need not exist.
        records: The records, raw and valid, each of at most 16 MiB.
        query: What `find` takes, but for `$where`, `$text` and `$near`.
        collation: How strings compare, as a collection's or an index's `collation` says it; None: by their bytes.

    Raises:
        BadInputError: The server does not take the query, or cannot evaluate it for one of the records.
        MissingRequirementError: The server is older than MongoDB 5.1.
        PyMongoError: The server does not answer, or refuses the user.
    """
    raw = database.with_options(codec_options=DEFAULT_RAW_BSON_OPTIONS)
    compared = dict(collation) if collation else None
    verdicts: list[bool] = []
    for chunk in _chunks(records):
        sent = {"$literal": [RawBSONDocument(record) for record in chunk]}
        pipeline: list[Mapping[str, Any]] = [{"$documents": sent}, {"$match": query}]
        try:
            with raw.aggregate(pipeline, collation=compared) as cursor:
                matched = iter([bytes(document.raw) for document in cursor])
        except OperationFailure as error:
            raise _explain(error) or error from None
        # What matches is a subsequence of what was sent, and records of the same bytes match alike.
        following = next(matched, None)
        for record in chunk:
            verdicts.append(same := record == following)
            if same:
                following = next(matched, None)
    return verdicts


def _chunks(records: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut the records into what one message holds; the empty chunk, too, has the query checked."""
    start, size = 0, 0
    for place, record in enumerate(records):
        if place > start and (size + len(record) > _CHUNK_BYTES or place - start == _CHUNK_RECORDS):
            yield records[start:place]
            start, size = place, 0
        size += len(record)
    yield records[start:]


def _explain(error: OperationFailure) -> Exception | None:
    """Return what an answer says about the query; None if it is about something else."""
    if error.code in _NOT_THE_QUERY:
        return None
    if error.code == _UNKNOWN_STAGE:
        return MissingRequirementError(
            "the server cannot be asked which records match", hint="use a server of MongoDB 5.1 or newer"
        )
    message = str((error.details or {}).get("errmsg", error.code))
    return BadInputError(f"the server does not take this query: {message}", hint="check it with find in mongosh")
