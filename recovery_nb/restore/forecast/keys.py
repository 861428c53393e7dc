"""The keys that a record has in an index, as a server makes them: dotted paths, arrays, what is missing.

The rules are those of the server's BtreeKeyGenerator (src/mongo/db/index/btree_key_generator.cpp, MongoDB 6.0):
an array along a path gives a key for each of its values, an empty one gives `undefined`, what is missing gives
null; arrays along two paths are refused; a number in a path names a field or a place in an array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recovery_nb.records.elements import elements

__all__ = [
    "ARRAY",
    "NULL",
    "UNDEFINED",
    "Key",
    "KeyRefusedError",
    "Path",
    "Value",
    "hashed_path",
    "keys_of",
    "value_at",
]

Path = tuple[bytes, ...]
"""The names along a path: "a.b" is (b"a", b"b")."""
Value = tuple[int, bytes]
"""A BSON type byte and the value's bytes."""
Key = tuple[Value, ...]
"""One value for each field of an index."""

DOCUMENT, ARRAY = 0x03, 0x04
NULL: Value = (0x0A, b"")
UNDEFINED: Value = (0x06, b"")
_NOTHING = b"\x05\x00\x00\x00\x00"


class KeyRefusedError(ValueError):
    """The server makes no keys of this record and so refuses it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The value of an array that a number in a path names, where the path leads, and where the array is."""

    named: Value
    found: Value | None
    rest: Path
    array: Path


def keys_of(record: bytes, paths: Sequence[Path], *, sparse: bool = False) -> Iterator[Key]:
    """Yield the keys of a record, equal ones as often as they occur.

    Args:
        record: The record, raw and valid.
        paths: The fields of the index.
        sparse: Whether the index leaves out what has none of its fields.

    Raises:
        KeyRefusedError: The server refuses the record because of this index.
        InvalidRecordError: The record's structure is broken.
    """
    nothing: list[Value] = [NULL] * len(paths)
    return _keys(list(paths), nothing, record, (), missing=0, places=[None] * len(paths), sparse=sparse)


def value_at(document: bytes, path: Path) -> tuple[Value | None, Path]:
    """Return what a path leads to, or the first array along it, and what is then left of the path.

    Raises:
        InvalidRecordError: The document's structure is broken.
    """
    while True:
        found = _field(document, path[0])
        path = path[1:]
        if found is None or found[0] == ARRAY or not path:
            return found, path
        if found[0] != DOCUMENT:
            return None, ()
        document = found[1]


def hashed_path(record: bytes, paths: Sequence[Path]) -> None:
    """Check that no array is along the paths of a hashed index, which takes none.

    Raises:
        KeyRefusedError: There is one.
        InvalidRecordError: The record's structure is broken.
    """
    for path in paths:
        found, rest = value_at(record, path)
        if found is not None and found[0] == ARRAY:
            name = b".".join(path[: len(path) - len(rest)]).decode("utf-8", "replace")
            raise KeyRefusedError(f"hashed indexes take no arrays, and {name} is one")


def _field(document: bytes, name: bytes) -> Value | None:
    for kind, own, value in elements(document):
        if own == name:
            return kind, value
    return None


def _keys(
    paths: list[Path],
    fixed: list[Value],
    document: bytes,
    here: Path,
    *,
    missing: int,
    places: Sequence[_Place | None],
    sparse: bool,
) -> Iterator[Key]:
    """Go along all paths up to the first array, which must be one and the same for all that meet one."""
    paths, fixed = list(paths), list(fixed)
    array: Value | None = None
    where: Path = ()
    through: list[int] = []
    expands = True
    for field, path in enumerate(paths):
        if not path:
            continue
        place = places[field]
        found, rest = value_at(document, path) if place is None else _by_place(document, path[0], place)
        if found is None:
            fixed[field], paths[field] = NULL, ()
            missing += 1
            continue
        paths[field] = rest
        if found[0] != ARRAY:
            fixed[field] = found
            continue
        if place is not None and place.named[0] == ARRAY:
            expands = False  # an array within an array that a number named is a value of its own
        own = (here if place is None else place.array) + path[: len(path) - len(rest)]
        if array is None:
            array, where = found, own
        elif own != where:
            raise KeyRefusedError("arrays in two fields of one index, which cannot be indexed in parallel")
        through.append(field)
    if array is None:
        if not (sparse and missing == len(paths)):
            yield tuple(fixed)
        return
    values = [(name, (kind, value)) for kind, name, value in elements(array[1])]
    following = [_place(array[1], path, where) if values and path else None for path in paths]
    for name, value in values or [(b"", UNDEFINED)]:
        for field in through:
            if not paths[field]:
                fixed[field] = value if expands or not values else array
        inner = value[1] if value[0] == DOCUMENT else _NOTHING
        yield from _keys(paths, fixed, inner, (*where, name), missing=missing, places=following, sparse=sparse)


def _by_place(document: bytes, name: bytes, place: _Place) -> tuple[Value | None, Path]:
    if _field(document, name) is not None:
        raise KeyRefusedError("a number in an index's path names both a place in an array and a field in its values")
    return place.found, place.rest


def _place(array: bytes, path: Path, where: Path) -> _Place | None:
    named = _field(array, path[0])
    return None if named is None else _Place(named, *value_at(array, path), where)
