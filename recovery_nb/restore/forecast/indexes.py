"""Indexes that can refuse a record, and the keys by which they do."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pymongo.database import Database

from recovery_nb.records.keys import canonical
from recovery_nb.restore.forecast.collation import comparison_keys, strings_of, translated
from recovery_nb.restore.forecast.keys import Key, KeyRefusedError, Path, hashed_path, keys_of

__all__ = ["MOST_KEYS", "Index", "Keys", "UnforeseenError", "keys_in", "path_of", "unlike_simple"]

MOST_KEYS = 250_000
"""Of a record with more keys in one index than this, collisions are not foreseen: memory is bounded."""
MOST_REPEATED = 5_000_000
"""Nor of one with more than this, if equal ones are counted too: time is bounded."""

_HASHED = "hashed"
_OTHER_KINDS = frozenset({"2d", "2dsphere", "geoHaystack", "text"})
_SHORT = 40

Keys = Mapping[bytes, Key]
"""The keys of one record in one index, by what is equal exactly for keys that the server holds equal."""


class UnforeseenError(Exception):
    """What an index will do cannot be told; the message says why."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index that can refuse a record.

    Attributes:
        name: Its name.
        paths: Its fields.
        unique: Whether it refuses a key that it has.
        sparse: Whether it leaves out records that have none of its fields.
        hashed: Whether it is hashed: those refuse arrays.
        hidden: Whether the server's planner leaves it alone: then it cannot be searched.
        partial: The query that a record must match to be in it; None for all records.
        collation: How its strings compare; None: by their bytes.
    """

    name: str
    paths: tuple[Path, ...]
    unique: bool
    sparse: bool = False
    hashed: bool = False
    hidden: bool = False
    partial: Mapping[str, Any] | None = None
    collation: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Self | None:
        """Read an index as `listIndexes` gives it; None for one that refuses nothing, and for that of `_id`.

        Raises:
            UnforeseenError: It refuses what cannot be told here: geometry, text.
        """
        kinds = dict(spec.get("key", {}))
        name = str(spec.get("name", ""))
        if name == "_id_" or spec.get("clustered") or any("$**" in field for field in kinds):
            return None
        if special := sorted({kind for kind in kinds.values() if isinstance(kind, str)} & _OTHER_KINDS):
            raise UnforeseenError(f"it is of the kind {special[0]}")
        paths = tuple(map(path_of, kinds))
        hashed = _HASHED in kinds.values()
        unique = bool(spec.get("unique"))
        by_place = any(name.isdigit() for path in paths for name in path)
        if not (unique or hashed or by_place or len(paths) > 1):
            return None
        return cls(
            name, paths, unique, bool(spec.get("sparse")), hashed, bool(spec.get("hidden")),
            spec.get("partialFilterExpression"), unlike_simple(spec.get("collation")),
        )  # fmt: skip


def path_of(field: str) -> Path:
    """Return the names along a dotted path."""
    return tuple(field.encode().split(b"."))


def unlike_simple(collation: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return a collation, or None for the one that compares bytes."""
    return None if not collation or collation.get("locale") == "simple" else dict(collation)


def keys_in(index: Index, records: Sequence[bytes], database: Database[Any]) -> list[Keys | str]:
    """Return the keys of each record in an index, or why the server makes none of it.

    Raises:
        InvalidRecordError: A record's structure is broken.
        UnforeseenError: The server does not tell how strings compare, or a record has too many keys.
        PyMongoError: The server does not answer.
    """
    made: list[set[Key] | str] = []
    for record in records:
        try:
            made.append(_made(index, record))
        except KeyRefusedError as error:
            made.append(str(error))
    strings = _comparison_keys(index, made, database)
    return [keys if isinstance(keys, str) else {_digest(key, strings): key for key in keys} for keys in made]


def _made(index: Index, record: bytes) -> set[Key]:
    if index.hashed:
        hashed_path(record, index.paths)
        return set()
    keys: set[Key] = set()
    for number, key in enumerate(keys_of(record, index.paths, sparse=index.sparse)):
        if index.unique:
            keys.add(key)
        if len(keys) > MOST_KEYS or number > MOST_REPEATED:
            raise UnforeseenError(f"a record has more than {MOST_KEYS:,} keys in it")
    return keys


def _comparison_keys(
    index: Index, made: Iterable[set[Key] | str], database: Database[Any]
) -> Mapping[bytes, bytes] | None:
    if index.collation is None:
        return None
    keys = (key for keys in made if not isinstance(keys, str) for key in keys)
    told = comparison_keys(
        database, (text for key in keys for value in key for text in strings_of(value)), index.collation
    )
    if told is None:
        raise UnforeseenError("the server does not tell how strings compare in it")
    return told


def _digest(key: Key, strings: Mapping[bytes, bytes] | None) -> bytes:
    parts = []
    for value in key:
        part = canonical(*(value if strings is None else translated(value, strings)))
        parts.append(struct.pack("<I", len(part)) + part)
    whole = b"".join(parts)
    return whole if len(whole) <= _SHORT else b"\xff" * 4 + hashlib.sha256(whole).digest()
