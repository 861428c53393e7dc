"""What can refuse a record in a collection: as the server has it, or as a plan will make it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from recovery_nb.errors import BadInputError, MissingRequirementError
from recovery_nb.restore.forecast.indexes import Index, UnforeseenError, path_of, unlike_simple
from recovery_nb.restore.forecast.keys import Path
from recovery_nb.restore.forecast.validators import Validator
from recovery_nb.restore.structure import BUCKETS, Structure, can_refuse, listed, listed_indexes, shown
from recovery_nb.restore.target import Target
from recovery_nb.sources.oracle import can_match, matching

__all__ = ["Entry", "RuleBook", "Rules"]

_OLD = "the server is older than MongoDB 5.1"
_ID = "_id_"


@dataclass(frozen=True, slots=True)
class Entry:
    """An index and the number under which its keys are noted; `is_id` marks that of `_id`."""

    number: int
    index: Index
    is_id: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What can refuse a record in one collection.

    Attributes:
        number: The number under which its records are noted.
        exists: Whether there is such a collection, with records that may be in the way.
        capped: Whether it keeps the order and the room of its records.
        in_transactions: Whether it can be written in transactions.
        validator: Its validator; None where nothing is refused.
        entries: Its indexes in the server's order: the first that refuses a record is the one that is named.
        shard_key: The fields of its shard key; empty where it is not sharded.
    """

    number: int
    exists: bool
    capped: bool
    in_transactions: bool
    validator: Validator | None
    entries: tuple[Entry, ...]
    shard_key: tuple[Path, ...] = ()


class RuleBook:
    """Reads the rules of collections.

    Args:
        target: The database.
        structures: Of the collections that are missing there: options and indexes, as a plan has them.
        note: Is told what cannot be foreseen.

    Raises:
        PyMongoError: The server does not answer.
    """

    def __init__(self, target: Target, structures: Mapping[str, str], note: Callable[[str], None]) -> None:
        self._target = target
        self._structures = structures
        self._note = note
        self._asks = can_match(target.database)
        self._collections, self._entries = count(), count()

    def read(self, collection: str) -> Rules:
        """Return the rules of a collection.

        Raises:
            BadInputError: Its structure in the plan cannot be read.
            PyMongoError: The server does not answer.
        """
        target, exists = self._target, self._target.exists(collection)
        if exists:
            options = listed(target.database, collection).get(collection, {}).get("options", {})
            specs: Iterable[Mapping[str, Any]] = listed_indexes(target.database, collection)
        else:
            told = Structure.parse(self._structures.get(shown(collection), ""))
            options, specs = told.options, filter(can_refuse, told.indexes)
        buckets = collection.startswith(BUCKETS)
        if buckets and not exists:
            options = {}  # the validator of the buckets is the server's own
        capped = bool(options.get("capped"))
        if capped and not exists:
            self._note(f"{collection}: whether all records have room in this capped collection")
        return Rules(
            number=next(self._collections),
            exists=exists,
            capped=capped,
            in_transactions=target.takes_transactions(collection) and not capped,
            validator=self._validator(collection, options),
            entries=() if buckets else tuple(self._read_indexes(collection, options, specs)),
            shard_key=self._shard_key(collection) if exists else (),
        )

    def _validator(self, collection: str, options: Mapping[str, Any]) -> Validator | None:
        validator = Validator.of(options)
        if validator is None:
            return None
        try:
            matching(self._target.database, [], validator.query, collation=validator.collation)
        except MissingRequirementError:
            self._note(f"{collection}: what its validator refuses ({_OLD})")
            return None
        except BadInputError as error:
            self._note(f"{collection}: what its validator refuses ({error.message})")
            return None
        return validator

    def _read_indexes(
        self, collection: str, options: Mapping[str, Any], specs: Iterable[Mapping[str, Any]]
    ) -> Iterable[Entry]:
        if collation := unlike_simple(options.get("collation")):
            # Elsewhere `_id`s that the server holds equal have the same canonical form, and need no search.
            own = Index(_ID, (path_of("_id"),), unique=True, collation=collation)
            yield from self._entry(collection, own, is_id=True)
        for spec in specs:
            try:
                index = Index.of(spec)
            except UnforeseenError as error:
                self._note(f"{collection}: what the index {spec.get('name')} refuses ({error})")
                continue
            if index is not None:
                yield from self._entry(collection, index, is_id=False)

    def _entry(self, collection: str, index: Index, *, is_id: bool) -> Iterable[Entry]:
        asked = index.partial is not None or (index.collation is not None and index.unique)
        if asked and not self._asks:
            self._note(f"{collection}: what the index {index.name} refuses ({_OLD})")
        else:
            yield Entry(next(self._entries), index, is_id)

    def _shard_key(self, collection: str) -> tuple[Path, ...]:
        if not self._target.client.is_mongos:
            return ()
        namespace = f"{self._target.database.name}.{collection}"
        found = self._target.client["config"]["collections"].find_one({"_id": namespace, "dropped": {"$ne": True}})
        return tuple(map(path_of, found["key"])) if found else ()
