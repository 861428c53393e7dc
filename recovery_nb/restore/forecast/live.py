"""Whose keys are in a unique index now: the index itself is searched for those that a plan will write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument

from recovery_nb.records.elements import Element, build, id_element, split
from recovery_nb.records.keys import canonical
from recovery_nb.records.parts import in_parts
from recovery_nb.restore.forecast.indexes import Index, Keys, UnforeseenError, keys_in
from recovery_nb.restore.forecast.keys import ARRAY, DOCUMENT, NULL, Key, Path
from recovery_nb.restore.target import Target

__all__ = ["owners"]

_EQUALLY_SOUGHT = frozenset({0x01, 0x02, 0x05, 0x07, 0x08, 0x09, 0x10, 0x11, 0x12, 0x13})
"""Types of which a query for a value finds every record that has the value for a key."""
_CHUNK, _CHUNK_BYTES = 1_000, 4 * 1024 * 1024


def owners(target: Target, collection: str, index: Index, keys: Keys) -> dict[bytes, bytes]:
    """Return which records have these keys in a unique index now: the canonical form of the `_id`, by key.

    Nulls, arrays and other values of which a query means something else than the index are looked up one by
    one, by a search that begins at the key.

    Args:
        target: The database.
        collection: A collection that exists.
        index: One of its unique indexes.
        keys: The keys.

    Raises:
        UnforeseenError: The index cannot be searched.
        PyMongoError: The server does not answer.
    """
    if index.hidden:
        raise UnforeseenError("it is hidden, so that what is in the collection cannot be searched by it")
    by_query = {digest: key for digest, key in keys.items() if _sought_equally(index, key)}
    found: dict[bytes, bytes] = {}
    for chunk in _chunks(list(by_query.values())):
        _take(found, keys, index, _queried(target, collection, index, chunk), target)
    for digest, key in keys.items():
        if digest not in by_query:
            _take(found, keys, index, [_at(target, collection, index, key)], target)
    return found


def _take(found: dict[bytes, bytes], keys: Keys, index: Index, batches: Iterable[list[bytes]], target: Target) -> None:
    """Note who owns what, by the keys that the records themselves have."""
    for records in batches:
        for record, own in zip(records, keys_in(index, records, target.database), strict=True):
            if isinstance(own, str):
                continue
            element = id_element(record) or b"\x0a"
            for digest in own.keys() & keys.keys():
                found[digest] = canonical(element[0], element[1:])


def _sought_equally(index: Index, key: Key) -> bool:
    for path, value in zip(index.paths, key, strict=True):
        if any(name.isdigit() for name in path):
            return False
        plain_null = value == NULL and len(path) == 1 and not index.sparse and index.partial is None
        if value[0] not in _EQUALLY_SOUGHT and not plain_null:
            return False
    return True


def _chunks(keys: Sequence[Key]) -> Iterator[list[Key]]:
    return in_parts(keys, lambda key: sum(len(value) for _, value in key), most=_CHUNK, most_bytes=_CHUNK_BYTES)


def _queried(target: Target, collection: str, index: Index, keys: Sequence[Key]) -> Iterator[list[bytes]]:
    if len(index.paths) == 1:
        listed = build([(key[0][0], str(place).encode(), key[0][1]) for place, key in enumerate(keys)])
        wanted = _document([(_name(index.paths[0]), _document([(b"$in", (ARRAY, listed))]))])
    else:
        each = [_document([(_name(path), value) for path, value in zip(index.paths, key, strict=True)]) for key in keys]
        branches = build([(DOCUMENT, str(place).encode(), one[1]) for place, one in enumerate(each)])
        wanted = _document([(b"$or", (ARRAY, branches))])
    query: Mapping[str, Any] = RawBSONDocument(wanted[1])
    if index.partial is not None:
        query = {"$and": [index.partial, query]}
    cursor = target.collection(collection).find_raw_batches(
        query, _heads(index), hint=index.name, collation=_collation(index)
    )
    for buffer in cursor:
        yield split(buffer)


def _at(target: Target, collection: str, index: Index, key: Key) -> list[bytes]:
    """Return the first record at or after a key, in the order of the index: its own one, if there is one."""
    start = _document([(_name(path), value) for path, value in zip(index.paths, key, strict=True)])
    command: dict[str, Any] = {
        "find": collection,
        "filter": {},
        "projection": _heads(index),
        "min": RawBSONDocument(start[1]),
        "hint": index.name,
        "limit": 1,
        "singleBatch": True,
        "collation": _collation(index),
    }
    reply: Any = target.database.command(command, codec_options=DEFAULT_RAW_BSON_OPTIONS)
    return [bytes(document.raw) for document in reply["cursor"]["firstBatch"]]


def _document(fields: Sequence[tuple[bytes, tuple[int, bytes]]]) -> tuple[int, bytes]:
    parts: list[Element] = [(kind, name, value) for name, (kind, value) in fields]
    return DOCUMENT, build(parts)


def _name(path: Path) -> bytes:
    return b".".join(path)


def _heads(index: Index) -> dict[str, int]:
    """Return the projection to the fields that the index's keys are made of, and `_id`."""
    return {path[0].decode(): 1 for path in index.paths}


def _collation(index: Index) -> Mapping[str, Any]:
    """Return the collation by name: the collection may have another one, by which the index cannot be searched."""
    return index.collation or {"locale": "simple"}
