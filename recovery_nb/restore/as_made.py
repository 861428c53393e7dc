"""Whether collections that a restore made still have the options and indexes that it made them with."""

from __future__ import annotations

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
_UNTOLD = frozenset({"v", "ns", "name", "key", "background", "dropDups", "safe"})
"""What an index is said to be, or to have been built like, that it need not be again."""


def unlike(target: Target, name: str, structure: str) -> Iterator[str]:
    """Yield what is not as it was made. Options and indexes that others have added since are not looked at.

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
        if option in _OF_CAPPED and not told.options.get("capped"):
            continue
        if not _has(options, option, told.options.get(option)):
            yield f"its {option} is {'not as it was' if option in options else 'gone that was'} restored"
    indexes = {index["name"]: index for index in listed_indexes(target.database, name)} if told.indexes else {}
    for index in told.indexes:
        if (own := index.get("name")) == "_id_" or index.get("clustered"):
            continue
        if own not in indexes:
            yield f"its index {own} is missing"
        elif not _same(indexes[own], index):
            yield f"its index {own} is not as it was restored"


def _same(there: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    key = told.get("key")
    if not isinstance(key, Mapping) or [*there["key"].items()] != [*key.items()]:  # the order of its fields counts
        return False
    return all(_has(there, name, value) for name, value in told.items() if name not in _UNTOLD)


def _has(there: Mapping[str, Any], name: str, value: Any) -> bool:
    """Return whether something is as it was told; the server leaves out what is so by default, and adds what is."""
    if name == "collation" and isinstance(value, Mapping):
        value = {} if value.get("locale") == "simple" else {k: v for k, v in value.items() if k != "version"}
    if not value and value != 0:
        return True
    if name not in there:
        return value is False
    found = there[name]
    if name == "size":  # which servers before 6.2 round up to a multiple of 256 bytes
        return not isinstance(value, int | float) or bool(value <= found < value + 256)
    if name in ("collation", "timeseries", "clusteredIndex") and isinstance(found, Mapping):
        return all(part in found and _equal(found[part], one) for part, one in value.items())
    return _equal(found, value)


def _equal(one: Any, other: Any) -> bool:
    """Values of two decoders may be equal only as BSON: far dates, NaN."""
    return bool(one == other) or bson.encode({"": one}) == bson.encode({"": other})
