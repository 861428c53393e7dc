"""What a collection is besides its records: its options and indexes, as they were, made and removed again.

Options and indexes are kept as canonical Extended JSON, so that every value comes back in its own BSON type.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import bson
import stamina
from bson import json_util
from bson.codec_options import DatetimeConversion
from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.errors import ConnectionFailure, OperationFailure

from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import CODEC, REPLIES

__all__ = [
    "BUCKETS",
    "Structure",
    "can_refuse",
    "crowding",
    "listed",
    "listed_indexes",
    "make_collection",
    "make_indexes",
    "shown",
]

BUCKETS = "system.buckets."
"""What the name of a time-series is preceded by in that of the collection that holds its records."""

_NAMESPACE_NOT_FOUND = 26
_NAMESPACE_EXISTS = 48
_INVALID_NAMESPACE = 73
_UNAUTHORIZED = 13
_DROPPED_OPTIONS = frozenset({"uuid", "autoIndexId"})
_DROPPED_INDEX_KEYS = frozenset({"ns"})
_CANONICAL = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


@dataclass(frozen=True, slots=True)
class Structure:
    """Options and indexes of a collection, a time-series or a view.

    Attributes:
        options: As `listCollections` gives them.
        indexes: As `listIndexes` gives them.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    indexes: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `{"options": {…}, "indexes": […]}` in canonical Extended JSON; "" is a collection without either.

        Raises:
            BadInputError: It is not that.
        """
        if not text:
            return cls()
        try:
            told = json.loads(text, object_pairs_hook=_typed)
            options, indexes = dict(told.get("options") or {}), list(map(dict, told.get("indexes") or []))
            bson.encode({"options": options, "indexes": indexes})
        except Exception as error:  # of what can be wrong with a value, the parsers raise a dozen kinds
            raise BadInputError(
                f"the options of a collection cannot be read: {str(error) or type(error).__name__}",
                hint="take them from another source",
            ) from None
        return cls(options, indexes)

    @property
    def kind(self) -> str:
        """What `listCollections` calls it: "collection", "timeseries" or "view"."""
        if "viewOn" in self.options:
            return "view"
        return "timeseries" if "timeseries" in self.options else "collection"


def _typed(pairs: list[tuple[str, Any]]) -> Any:
    """Return the BSON value of a JSON object. A `$regex` is a query's: canonically, a value is `$regularExpression`."""
    if any(name == "$regex" for name, _ in pairs):
        return dict(pairs)
    return json_util.object_pairs_hook(pairs, _CANONICAL)


def shown(name: str) -> str:
    """Return the name under which users know a collection: a time-series for its buckets."""
    return name.removeprefix(BUCKETS)


def can_refuse(index: Mapping[str, Any]) -> bool:
    """Return whether an index can refuse a record: if it is unique, of several fields (parallel arrays), or special.

    Such an index is built before the records come: each of them that it refuses is then told, and the others stay.
    """
    key = index.get("key")
    if not isinstance(key, Mapping):  # no server takes it
        return False
    return bool(index.get("unique")) or len(key) > 1 or any(isinstance(kind, str) for kind in key.values())


def listed(database: Database[Any], *names: str) -> dict[str, Mapping[str, Any]]:
    """Return the `listCollections` entries of these names (all, if none is named), by name.

    The driver's own listing cannot read an option with a date past the year 9999.
    """
    query = {"name": {"$in": list(names)}} if names else {}
    command = {"listCollections": 1, "filter": query}
    cursor = database.cursor_command(command, read_preference=ReadPreference.PRIMARY, codec_options=CODEC)
    return {entry["name"]: entry for entry in cursor}


def listed_indexes(database: Database[Any], name: str) -> list[Mapping[str, Any]]:
    """Return the `listIndexes` entries of a collection; the driver's own listing cannot read a far date, either.

    Where there is no such collection, there are none.
    """
    try:
        return list(
            database.cursor_command("listIndexes", name, read_preference=ReadPreference.PRIMARY, codec_options=CODEC)
        )
    except OperationFailure as error:
        if error.code == _NAMESPACE_NOT_FOUND:
            return []
        raise


def make_collection(database: Database[Any], name: str, structure: Structure, *, label: str) -> bool:
    """Create a collection, a time-series or a view; return whether it was missing.

    Args:
        database: Where, with the write concern for it.
        name: What users call it.
        structure: Its options.
        label: What to call the database in an error.

    Raises:
        BadInputError: The server does not take its name or these options.
        ConnectionFailure: The server went away and did not come back.
        OperationFailure: The user may not.
    """
    wanted = {key: _unversioned(key, value) for key, value in structure.options.items() if key not in _DROPPED_OPTIONS}
    for attempt in _attempts():
        with attempt:
            try:
                command = {"create": name, **wanted, "writeConcern": database.write_concern.document}
                database.command(command, codec_options=REPLIES)
            except OperationFailure as error:
                if error.code == _NAMESPACE_EXISTS:
                    return attempt.num > 1  # we made it, and the reply was lost
                if error.code == _UNAUTHORIZED:
                    raise
                raise _not_made(name, label, error, told=bool(wanted)) from None
    return True


def _not_made(name: str, label: str, error: OperationFailure, *, told: bool) -> BadInputError:
    """Return what a server's refusal to make a collection means: it is about its name, its options, or the server."""
    if error.code == _INVALID_NAMESPACE:
        way, hint = "", "name a --target-collection"
    elif told:
        way, hint = " with its backup's options", "create it by hand, then run the command again"
    else:
        way, hint = "", "mend what the server says, then run the command again"
    return BadInputError(f"the collection {name} cannot be created in {label}{way}: {_message(error)}", hint=hint)


def make_indexes(
    database: Database[Any], name: str, indexes: Iterable[Mapping[str, Any]], *, collated: bool
) -> list[str]:
    """Build indexes, and return what could not be built and why.

    Args:
        database: Where, with the write concern for it.
        name: What users call the collection.
        indexes: As `listIndexes` gives them; those that come with the collection are passed over.
        collated: Whether the collection has a collation, which an index without its own would take.

    Raises:
        ConnectionFailure: The server went away and did not come back.
    """
    problems = []
    for index in indexes:
        spec = {key: _unversioned(key, value) for key, value in index.items() if key not in _DROPPED_INDEX_KEYS}
        if spec.get("name") == "_id_" or spec.get("clustered"):
            continue
        if spec.get("v") not in (None, 1, 2):
            del spec["v"]
        if collated:
            spec.setdefault("collation", {"locale": "simple"})
        command = {"createIndexes": name, "indexes": [spec], "writeConcern": database.write_concern.document}
        try:
            for attempt in _attempts():
                with attempt:
                    database.command(command, codec_options=REPLIES)
        except OperationFailure as error:
            problems.append(f"index {spec.get('name')} was not built: {_message(error)}")
    return problems


def crowding(database: Database[Any], name: str, count: int, size: int, *, ours: bool) -> str:
    """Return why so many records, of so many bytes in all, cannot go into a capped collection, or "".

    Args:
        database: Where.
        name: The collection.
        count: How many records.
        size: Their bytes.
        ours: Whether we have made the collection. Others are filled to nine tenths only: somebody writes to them.
    """
    stats = database.command({"collStats": name})
    room = stats["maxSize"] if ours else stats["maxSize"] * 9 // 10
    if 0 < stats.get("max", 0) < stats["count"] + count or room < stats["size"] + size:
        return f"{name} is capped: it would push out {'' if ours else 'live '}records"
    return ""


def _attempts() -> Iterable[stamina.Attempt]:
    """A lost connection is tried again, for half a minute at most; what was done before is found done."""
    return stamina.retry_context(on=ConnectionFailure, attempts=5, wait_initial=0.2, wait_max=5.0)


def _unversioned(key: str, value: Any) -> Any:
    """Return an option without the version of the server's own collation tables, which another server may not have."""
    if key == "collation" and isinstance(value, Mapping):
        return {name: part for name, part in value.items() if name != "version"}
    return value


def _message(error: OperationFailure) -> str:
    return str((error.details or {}).get("errmsg", error.code))
