"""How strings compare under a collation: the keys that a server's own collator makes of them.

A unique index with a collation holds two strings equal if their comparison keys are. Only a server with the same
tables can make these, so it is asked: sorted as for a merge, each document comes with its `$sortKey`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo.database import Database
from pymongo.errors import OperationFailure

from recovery_nb.records.elements import build, elements, find_element
from recovery_nb.restore.forecast.keys import ARRAY, DOCUMENT, Value

__all__ = ["comparison_keys", "strings_of", "translated"]

_STRING = 0x02
_CHUNK_BYTES, _CHUNK = 1024 * 1024, 5_000
_REFUSED_USER = frozenset({13, 18, 8000})


def comparison_keys(
    database: Database[Any], strings: Iterable[bytes], collation: Mapping[str, Any]
) -> dict[bytes, bytes] | None:
    """Return the comparison key of each string; None where the server does not tell them.

    Args:
        database: Any database of the server; it need not exist.
        strings: The value bytes of BSON strings.
        collation: As an index's `collation` says it.

    Raises:
        PyMongoError: The server does not answer, or refuses the user.
    """
    raw = database.with_options(codec_options=DEFAULT_RAW_BSON_OPTIONS)
    found: dict[bytes, bytes] = {}
    for chunk in _chunks(strings):
        documents = [RawBSONDocument(build([(_STRING, b"s", string)])) for string in chunk]
        pipeline: list[Mapping[str, Any]] = [
            {"$documents": {"$literal": documents}},
            {"$sort": {"s": 1}},
            {"$project": {"s": 1, "key": {"$meta": "sortKey"}}},
        ]
        try:
            with raw.aggregate(pipeline, collation=dict(collation), fromMongos=True, needsMerge=True) as cursor:
                told = [bytes(document.raw) for document in cursor]
        except OperationFailure as error:
            if error.code in _REFUSED_USER:
                raise
            return None
        for document in told:
            string, key = find_element(document, "s"), find_element(document, "key.0")
            if string is None or key is None or key[0] != _STRING:
                return None
            found[string[1]] = key[1]
    return found


def strings_of(value: Value) -> Iterator[bytes]:
    """Yield the strings in a value, as deep as they may be; those are what a collation translates."""
    kind, content = value
    if kind == _STRING:
        yield content
    elif kind in (DOCUMENT, ARRAY):
        for inner, _, part in elements(content):
            yield from strings_of((inner, part))


def translated(value: Value, keys: Mapping[bytes, bytes]) -> Value:
    """Return the value with comparison keys in place of its strings."""
    kind, content = value
    if kind == _STRING:
        return kind, keys[content]
    if kind in (DOCUMENT, ARRAY):
        parts = [(inner, name, translated((inner, part), keys)[1]) for inner, name, part in elements(content)]
        return kind, build(parts)
    return value


def _chunks(strings: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    size = 0
    for string in dict.fromkeys(strings):
        if chunk and (len(chunk) == _CHUNK or size + len(string) > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(string)
        size += len(string)
    if chunk:
        yield chunk
