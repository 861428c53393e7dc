"""Replacing and removing records: comparison and write are one."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from recovery_nb.restore.exchange.change import (
    CHANGED,
    DONE,
    HELD,
    TRIES,
    UNSAFE,
    Change,
    Item,
    Outcome,
    Verdict,
    Verdicts,
    as_expected,
)
from recovery_nb.restore.exchange.errors import LostReplyError, blame, raise_if_lost, raise_if_refused, transient
from recovery_nb.restore.exchange.look import look
from recovery_nb.restore.exchange.operations import Operation, guarded, swapping
from recovery_nb.restore.target import DURABLE, Target

__all__ = ["swap", "swap_guarded", "transact"]

_READ = 1_000


def swap(target: Target, collection: str, items: Sequence[Item], verdicts: Verdicts, *, session: ClientSession) -> None:
    """Replace or remove records in one transaction; if one of them fails, find it by halving.

    Raises:
        LostReplyError: Whether it was committed is not known.
        OperationFailure: The user may not write.
    """
    if not items:
        return
    for attempt in range(TRIES):
        try:
            verdicts.update(transact(target, [(collection, items)], session=session))
            return
        except (OperationFailure, DocumentTooLarge) as error:
            raise_if_refused(error)
            if transient(error) and attempt < TRIES - 1:
                continue
            if len(items) == 1:
                verdicts[items[0][0]] = HELD if transient(error) else blame(error)[1]
                return
            break
    half = len(items) // 2
    for some in (items[:half], items[half:]):
        swap(target, collection, some, verdicts, session=session)


def transact(target: Target, work: Sequence[tuple[str, Sequence[Item]]], *, session: ClientSession) -> Verdicts:
    """Compare and write in one transaction, over all the collections of `work`.

    Raises:
        OperationFailure: A write failed; none was made. `BulkWriteError.details` has the item's place.
        LostReplyError: Whether it was committed is not known.
    """
    verdicts: Verdicts = {}
    session.start_transaction(
        read_concern=ReadConcern("snapshot"), write_concern=DURABLE, read_preference=ReadPreference.PRIMARY
    )
    try:
        for collection, items in work:
            _write(target, collection, items, verdicts, session)
        session.commit_transaction()
    except PyMongoError as error:
        if error.has_error_label("UnknownTransactionCommitResult"):
            raise LostReplyError from error
        raise_if_lost(error)
        raise
    finally:
        if session.in_transaction:
            session.abort_transaction()
    return verdicts


def _write(target: Target, collection: str, items: Sequence[Item], verdicts: Verdicts, session: ClientSession) -> None:
    found: dict[bytes, bytes] = {}
    for start in range(0, len(items), _READ):
        found |= target.read(collection, [change.id for _, change in items[start : start + _READ]], session)
    operations: list[Operation] = []
    places: list[int] = []
    for place, change in items:
        verdicts[place] = CHANGED
        there = found.get(change.place)
        if as_expected(there, change):
            verdicts[place] = DONE
            steps = swapping(change, there)
            operations.extend(steps)
            places.extend([place] * len(steps))
    if not operations:
        return
    try:
        target.collection(collection).with_options(write_concern=WriteConcern()).bulk_write(
            operations, ordered=True, session=session
        )
    except BulkWriteError as error:
        for failure in error.details["writeErrors"]:
            failure["index"] = places[failure["index"]]
        raise


def swap_guarded(
    target: Target, collection: str, items: Sequence[Item], verdicts: Verdicts, *, session: ClientSession
) -> None:
    """Replace or remove records with the comparison in each write's own filter.

    Raises:
        LostReplyError: Whether all were written is not known.
        OperationFailure: The user may not write.
    """
    if not items:
        return
    found = target.read(collection, [change.id for _, change in items])
    sent: list[Item] = []
    failures: Verdicts = {}
    for place, change in items:
        there = found.get(change.place)
        if there is None or not as_expected(there, change):
            verdicts[place] = CHANGED
            continue
        if verdict := _send_guarded(target, collection, change, there, session):
            failures[place] = verdict
        sent.append((place, change))
    for place, _ in look(target, collection, sent, verdicts):
        verdicts[place] = failures.get(place, CHANGED)


def _send_guarded(
    target: Target, collection: str, change: Change, there: bytes, session: ClientSession
) -> Verdict | None:
    """Send one guarded write, and return why it cannot have been made, if that is known."""
    operation = guarded(change, there)
    if operation is None:
        return UNSAFE
    growth = len(change.wanted or b"") - len(there)
    if growth > 0 and target.capped(collection) and (reason := target.crowded(collection, 0, growth)):
        return Verdict(Outcome.FAILED, reason)
    try:
        target.collection(collection).bulk_write([operation], session=session)
    except (OperationFailure, DocumentTooLarge) as error:
        raise_if_refused(error)
        raise_if_lost(error)
        return blame(error)[1]
    return None
