"""Exchanging records: each write only if exactly the expected bytes are there at the write itself.

Inserts lean on the unique index of `_id`. Where a record is replaced or removed, it is read, compared byte
for byte and written within one transaction, which the server aborts if anyone else wrote it meanwhile. A
server or a collection that takes no transactions gets the comparison as part of the write's own filter
instead. Where a reply is lost, the database is looked at: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, InsertOne, ReadPreference, ReplaceOne, UpdateOne
from pymongo.collation import Collation
from pymongo.errors import BulkWriteError, ConnectionFailure, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from recovery_nb.records.elements import build
from recovery_nb.records.keys import canonical
from recovery_nb.restore.shape import fingerprint, has_empty_timestamp
from recovery_nb.restore.target import DURABLE, Target, id_filter

__all__ = ["Change", "Outcome", "Verdict", "exchange", "exchange_whole"]

_TRIES = 4
_DUPLICATE_KEY, _VALIDATION, _WRITE_CONFLICT = 11000, 121, 112
_REFUSED_USER = frozenset({13, 18, 8000})
_INDEX_NAME = re.compile(r"index: (\S+)")
_CHANGED = "changed while restoring"
_HELD = "being written by someone else"
_UNCONFIRMED = "written, but not confirmed by a majority of the members"
_Operation = InsertOne[Any] | UpdateOne | ReplaceOne[Any] | DeleteOne


class Outcome(StrEnum):
    """What came of one write."""

    DONE = "restored"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Change:
    """One record to be exchanged.

    Attributes:
        id: Type byte and value bytes of the `_id`.
        expected: SHA-256 of what must be there, None where nothing may be.
        wanted: What is to be there, raw; None where the record is to be removed.
    """

    id: bytes
    expected: bytes | None
    wanted: bytes | None

    @property
    def place(self) -> bytes:
        """The canonical form of the `_id`."""
        return canonical(self.id[0], self.id[1:])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one change, and why if it was not written (or not confirmed)."""

    outcome: Outcome
    reason: str = ""


_DONE = Verdict(Outcome.DONE)
_Item = tuple[int, Change]
_Verdicts = dict[int, Verdict]


class _LostReplyError(Exception):
    """Whether the server wrote is not known."""


def exchange(target: Target, collection: str, changes: Sequence[Change]) -> list[Verdict]:
    """Make every change that can be made, each on its own, and return a verdict for each.

    Raises:
        ConnectionFailure: The server went away and did not come back; nothing is known of this batch.
        OperationFailure: The user may not write.
    """
    verdicts: _Verdicts = {}
    todo = list(enumerate(changes))
    guarded = not target.transactional or target.capped(collection)
    for attempt in range(_TRIES):
        try:
            inserts = [item for item in todo if item[1].expected is None]
            others = [item for item in todo if item[1].expected is not None]
            _insert(target, collection, inserts, verdicts, again=attempt > 0)
            (_swap_guarded if guarded else _swap)(target, collection, others, verdicts)
            break
        except (ConnectionFailure, _LostReplyError) as error:
            if attempt == _TRIES - 1:
                raise ConnectionFailure("the connection was lost again and again") from error
            todo = _look(target, collection, [item for item in todo if item[0] not in verdicts], verdicts)
    return [verdicts[place] for place in range(len(changes))]


def exchange_whole(target: Target, collection: str, changes: Sequence[Change]) -> list[Verdict]:
    """Make all changes in one transaction, or none of them; records that others changed are left out.

    Raises:
        ConnectionFailure: The server went away and did not come back; nothing is known of this batch.
        OperationFailure: The user may not write.
    """
    items = list(enumerate(changes))
    verdicts: _Verdicts = {}
    for attempt in range(_TRIES):
        try:
            verdicts = _transact(target, collection, items)
            break
        except (ConnectionFailure, _LostReplyError) as error:
            verdicts = {}
            if not _look(target, collection, items, verdicts):
                break
            if attempt == _TRIES - 1:
                raise ConnectionFailure("the connection was lost again and again") from error
        except OperationFailure as error:
            _raise_if_refused(error)
            if _transient(error) and attempt < _TRIES - 1:
                continue
            failed, verdict = _blame(error)
            others = Verdict(Outcome.SKIPPED, f"its batch was taken back: {verdict.reason}")
            return [verdict if failed in (None, place) else others for place in range(len(changes))]
    return [verdicts[place] for place in range(len(changes))]


def _insert(target: Target, collection: str, items: Sequence[_Item], verdicts: _Verdicts, *, again: bool) -> None:
    """Insert what must be absent. `again`: an earlier try may have written some of it."""
    if not items:
        return
    taken: list[_Item] = []
    try:
        if any(has_empty_timestamp(change.wanted or b"") for _, change in items):
            operations = [_operation(change) for _, change in items]
            target.collection(collection).bulk_write(operations, ordered=False, session=target.session)
        else:
            records = [RawBSONDocument(change.wanted or b"") for _, change in items]
            target.collection(collection).insert_many(records, ordered=False, session=target.session)
    except BulkWriteError as error:
        failures: list[Mapping[str, Any]] = error.details["writeErrors"]
        _raise_if_refused_each(failures, error)
        for failure in failures:
            place, change = items[failure["index"]]
            if failure["code"] == _DUPLICATE_KEY and _index_of(failure) == "_id_":
                taken.append((place, change))
            else:
                verdicts[place] = _failure(failure)
        if error.details["writeConcernErrors"]:
            _settle(items, verdicts, but=taken, verdict=Verdict(Outcome.DONE, _UNCONFIRMED))
    except (OperationFailure, DocumentTooLarge) as error:
        # One record can make the server refuse the whole message (one nested too deeply): find it.
        _raise_if_refused(error)
        if len(items) == 1:
            verdicts[items[0][0]] = _blame(error)[1]
            return
        half = len(items) // 2
        _insert(target, collection, items[:half], verdicts, again=True)
        _insert(target, collection, items[half:], verdicts, again=True)
        return
    _settle(items, verdicts, but=taken, verdict=_DONE)
    if taken:
        found = target.read(collection, [change.id for _, change in taken])
        for place, change in taken:
            same = found.get(change.place) == change.wanted
            reason = "already there" if same else "another record took its _id while restoring"
            verdicts[place] = _DONE if same and again else Verdict(Outcome.SKIPPED, reason)


def _settle(items: Sequence[_Item], verdicts: _Verdicts, *, but: Sequence[_Item], verdict: Verdict) -> None:
    open_places = {place for place, _ in but}
    for place, _ in items:
        if place not in open_places:
            verdicts.setdefault(place, verdict)


def _swap(target: Target, collection: str, items: Sequence[_Item], verdicts: _Verdicts) -> None:
    """Replace or remove records in one transaction; if one of them fails, find it by halving."""
    if not items:
        return
    for attempt in range(_TRIES):
        try:
            verdicts.update(_transact(target, collection, items))
            return
        except (OperationFailure, DocumentTooLarge) as error:
            _raise_if_refused(error)
            if _transient(error) and attempt < _TRIES - 1:
                continue
            if len(items) == 1:
                held = Verdict(Outcome.SKIPPED, _HELD)
                verdicts[items[0][0]] = held if _transient(error) else _blame(error)[1]
                return
            break
    half = len(items) // 2
    _swap(target, collection, items[:half], verdicts)
    _swap(target, collection, items[half:], verdicts)


def _transact(target: Target, collection: str, items: Sequence[_Item]) -> _Verdicts:
    """Compare and write in one transaction.

    Raises:
        OperationFailure: A write failed; none was made. `BulkWriteError.details` has the item's place.
        _LostReplyError: Whether it was committed is not known.
    """
    verdicts: _Verdicts = {}
    places: list[int] = []
    session = target.session
    session.start_transaction(
        read_concern=ReadConcern("snapshot"), write_concern=DURABLE, read_preference=ReadPreference.PRIMARY
    )
    try:
        operations = _matching(target, collection, items, verdicts, places)
        if operations:
            target.collection(collection).with_options(write_concern=WriteConcern()).bulk_write(
                operations, ordered=True, session=session
            )
        session.commit_transaction()
    except BulkWriteError as error:
        for failure in error.details["writeErrors"]:
            failure["index"] = places[failure["index"]]
        raise
    except PyMongoError as error:
        if error.has_error_label("UnknownTransactionCommitResult"):
            raise _LostReplyError from error
        raise
    finally:
        if session.in_transaction:
            session.abort_transaction()
    verdicts.update((place, _DONE) for place in places)
    return verdicts


def _matching(
    target: Target,
    collection: str,
    items: Sequence[_Item],
    verdicts: _Verdicts,
    places: list[int],
) -> list[_Operation]:
    """Return the writes for the items that are as expected; the others get their verdict."""
    found = target.read(collection, [change.id for _, change in items], target.session)
    operations = []
    for place, change in items:
        there = found.get(change.place)
        if (None if there is None else fingerprint(there)) == change.expected:
            operations.append(_operation(change))
            places.append(place)
        else:
            verdicts[place] = Verdict(Outcome.SKIPPED, _CHANGED)
    return operations


def _swap_guarded(target: Target, collection: str, items: Sequence[_Item], verdicts: _Verdicts) -> None:
    """Replace or remove records with the comparison in each write's own filter."""
    if not items:
        return
    found = target.read(collection, [change.id for _, change in items])
    sent: list[_Item] = []
    failures: dict[int, Verdict] = {}
    for place, change in items:
        there = found.get(change.place)
        if there is None or fingerprint(there) != change.expected:
            verdicts[place] = Verdict(Outcome.SKIPPED, _CHANGED)
            continue
        sent.append((place, change))
        try:
            target.collection(collection).bulk_write([_operation(change, there)], session=target.session)
        except (OperationFailure, DocumentTooLarge) as error:
            _raise_if_refused(error)
            failures[place] = _blame(error)[1]
    for place, _ in _look(target, collection, sent, verdicts):
        verdicts[place] = failures.get(place, Verdict(Outcome.SKIPPED, _CHANGED))


def _look(target: Target, collection: str, items: Sequence[_Item], verdicts: _Verdicts) -> list[_Item]:
    """Give every change its verdict from what is there now; return those that are still as expected."""
    found = target.read(collection, [change.id for _, change in items])
    same = []
    for place, change in items:
        there = found.get(change.place)
        if there == change.wanted:
            verdicts[place] = _DONE
        elif (None if there is None else fingerprint(there)) == change.expected:
            same.append((place, change))
        else:
            verdicts[place] = Verdict(Outcome.SKIPPED, _CHANGED)
    return same


def _operation(change: Change, there: bytes | None = None) -> _Operation:
    """Return the write for a change; with `there`, only if these bytes are still there."""
    if there is None and change.expected is None and not has_empty_timestamp(change.wanted or b""):
        return InsertOne(RawBSONDocument(change.wanted or b""))
    match: Any = id_filter([change.id])
    simple = None
    if there is not None:
        # `$eq` holds 1 and 1.0 equal, so the size is compared too; the collection's
        # collation must not make letters equal either.
        literal = RawBSONDocument(build([(0x03, b"$literal", there)]))
        same = {"$and": [{"$eq": ["$$ROOT", literal]}, {"$eq": [{"$bsonSize": "$$ROOT"}, len(there)]}]}
        match, simple = {"$and": [match, {"$expr": same}]}, Collation("simple")
    if change.wanted is None:
        return DeleteOne(match, collation=simple)
    wanted = RawBSONDocument(change.wanted)
    if has_empty_timestamp(change.wanted):
        # Inserts and replacements rewrite Timestamp(0, 0) at the top level; a pipeline does not.
        # As an insert it matches nothing, so that the server inserts it or finds the `_id` taken.
        if change.expected is None:
            match = {"$and": [match, {"$nor": [{}]}]}
        return UpdateOne(
            match, [{"$replaceWith": {"$literal": wanted}}], upsert=change.expected is None, collation=simple
        )
    return ReplaceOne(match, wanted, collation=simple)


def _transient(error: Exception) -> bool:
    codes = {getattr(error, "code", None)}
    if isinstance(error, BulkWriteError):
        codes |= {failure["code"] for failure in error.details["writeErrors"]}
    labelled = isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")
    return labelled or _WRITE_CONFLICT in codes


def _raise_if_refused(error: Exception) -> None:
    if isinstance(error, BulkWriteError):
        _raise_if_refused_each(error.details["writeErrors"], error)
    elif isinstance(error, OperationFailure) and error.code in _REFUSED_USER:
        raise error


def _raise_if_refused_each(failures: Sequence[Mapping[str, Any]], error: BulkWriteError) -> None:
    for failure in failures:
        if failure["code"] in _REFUSED_USER:
            raise OperationFailure(str(failure["errmsg"]), failure["code"]) from error


def _index_of(failure: Mapping[str, Any]) -> str:
    found = _INDEX_NAME.search(failure["errmsg"])
    return found[1] if found else "of unknown name"


def _failure(failure: Mapping[str, Any]) -> Verdict:
    code = failure["code"]
    if code == _DUPLICATE_KEY:
        reason = f"another record has its key in the unique index {_index_of(failure)}"
    elif code == _VALIDATION:
        reason = "the collection's validator refuses it"
    else:
        reason = f"the server refuses it: {failure['errmsg']}"
    return Verdict(Outcome.FAILED, reason)


def _blame(error: Exception) -> tuple[int | None, Verdict]:
    """Return which item an error is about (None: not said) and its verdict."""
    if isinstance(error, BulkWriteError) and error.details["writeErrors"]:
        failure = error.details["writeErrors"][0]
        return failure["index"], _failure(failure)
    if isinstance(error, DocumentTooLarge):
        return None, Verdict(Outcome.FAILED, "too large to be replaced safely on a server without transactions")
    text = (error.details or {}).get("errmsg", error.code) if isinstance(error, OperationFailure) else error
    return None, Verdict(Outcome.FAILED, f"the server refuses it: {text}")
