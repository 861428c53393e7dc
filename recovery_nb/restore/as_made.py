"""Whether collections that a restore made still have the options and indexes that it made them with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import bson

from recovery_nb.restore.structure import Structure, listed, listed_indexes
from recovery_nb.restore.target import Target

__all__ = ["unlike"]

_OPTIONS = (
    "capped", "size", "max", "collation", "validator", "validationLevel", "validationAction", "timeseries",
    "expireAfterSeconds", "clusteredIndex", "changeStreamPreAndPostImages", "encryptedFields",
)  # fmt: skip
_OF_CAPPED = frozenset({"size", "max"})
_DEFAULTS: Mapping[str, Any] = {
    "validationLevel": "strict", "validationAction": "error", "changeStreamPreAndPostImages": {"enabled": False},
}  # fmt: skip
"""What a server goes by where nothing else was told it."""
_IN_FORCE = {
    "validationLevel": "validator", "validationAction": "validator", "max": "capped",
    "expireAfterSeconds": "", "changeStreamPreAndPostImages": "",
}  # fmt: skip
"""The options of which the default is in force where none is told, each with the option that it goes with."""
_OF_EVERY_INDEX = frozenset(
    {
        "unique", "sparse", "hidden", "prepareUnique", "expireAfterSeconds", "partialFilterExpression", "collation",
        "wildcardProjection",
    }
)  # fmt: skip
"""What decides which records an index holds, refuses and removes: an index that is not told to be it must not be."""
_FLAGS = frozenset({"capped", "unique", "sparse", "hidden", "prepareUnique"})
_UNTOLD = frozenset({"v", "ns", "name", "key", "background", "dropDups", "safe"})
"""What an index is said to be, or to have been built like, that it need not be again."""
_IN_PARTS = frozenset({"collation", "timeseries", "clusteredIndex"})
"""Options of several parts, to which servers add those that were not told."""
_NEVER = 2**31 - 1
"""What servers make of a time to live that is not a number, and of a `max` that is taken away again."""


def unlike(target: Target, name: str, structure: str) -> Iterator[str]:
    """Yield what is not as it was made. Validators and indexes that others have added since are not looked at.

    Args:
        target: The database.
        name: A collection or a time-series in it, as users call it.
        structure: What it was made with, as a plan has it.

    Raises:
        PyMongoError: The server does not answer.
    """
    told = Structure.parse(structure)
    options = listed(target.database, name).get(name, {}).get("options", {})
    for option in _OPTIONS:
        if _holds(option, told.options) and not _same(option, options.get(option), told.options.get(option)):
            yield f"its {option} is {'not as it was' if option in options else 'gone that was'} restored"
    indexes = {index["name"]: index for index in listed_indexes(target.database, name)} if told.indexes else {}
    for index in told.indexes:
        if (own := index.get("name")) == "_id_" or index.get("clustered"):
            continue
        if own not in indexes:
            yield f"its index {own} is missing"
        elif not _same_index(indexes[own], index):
            yield f"its index {own} is not as it was restored"


def _holds(option: str, told: Mapping[str, Any]) -> bool:
    """Return whether an option was in force when the collection was made: told, or by default."""
    if option in _OF_CAPPED and not told.get("capped"):
        return False
    goes_with = _IN_FORCE.get(option)
    return _meaning(option, told.get(option)) is not None or goes_with == "" or bool(goes_with and told.get(goes_with))


def _same_index(there: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    key = told.get("key")
    if not isinstance(key, Mapping) or [*there["key"].items()] != [*key.items()]:  # the order of its fields counts
        return False
    stated = {name for name, value in told.items() if _meaning(name, value) is not None} - _UNTOLD
    return all(_same(name, there.get(name), told.get(name)) for name in stated | _OF_EVERY_INDEX)


def _same(name: str, there: Any, told: Any) -> bool:
    """Return whether something is as it was told; the server leaves out what is so by default, and adds what is."""
    found, wanted = _meaning(name, there), _meaning(name, told)
    if name == "size" and isinstance(wanted, int | float):  # servers before 6.2 round it up to a multiple of 256 bytes
        return found is not None and bool(wanted <= found < wanted + 256)
    if name in _IN_PARTS and isinstance(found, Mapping) and isinstance(wanted, Mapping):
        return all(part in found and _equal(found[part], one) for part, one in wanted.items())
    return _equal(found, wanted)


def _meaning(name: str, value: Any) -> Any:
    """Return what an option, or a property of an index, comes to; None for what is so where nothing is told."""
    if name in _FLAGS:
        return bool(value) or None
    if value is False or (not value and value != 0) or value == _DEFAULTS.get(name):
        return None
    if name == "collation" and isinstance(value, Mapping):
        return None if value.get("locale") == "simple" else {k: v for k, v in value.items() if k != "version"}
    if name == "timeseries" and isinstance(value, Mapping) and "bucketMaxSpanSeconds" not in value:
        return {"granularity": "seconds", **value}
    if name == "expireAfterSeconds" and isinstance(value, float):  # servers keep whole seconds
        return _NEVER if math.isnan(value) else int(value) if math.isfinite(value) else value
    if name == "max" and isinstance(value, int | float):
        return value if 0 < value < _NEVER else None
    return value


def _equal(one: Any, other: Any) -> bool:
    """Values of two decoders may be equal only as BSON: far dates, NaN."""
    return bool(one == other) or bson.encode({"": one}) == bson.encode({"": other})
