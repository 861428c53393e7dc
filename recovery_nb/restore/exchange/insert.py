"""Inserting what must be absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure

from recovery_nb.records.elements import REPLIES
from recovery_nb.restore.exchange.change import ALREADY_THERE, DONE, TAKEN, Item, Outcome, Verdict, Verdicts
from recovery_nb.restore.exchange.errors import (
    blame,
    failure_of,
    id_taken,
    raise_if_lost,
    raise_if_refused,
    unconfirmed,
)
from recovery_nb.restore.exchange.operations import inserting
from recovery_nb.restore.shape import has_empty_timestamp
from recovery_nb.restore.target import DURABLE, Target

__all__ = ["insert"]

_Failures = list[tuple[int, Mapping[str, Any]]]
"""Write errors by the position of their item."""
_UNCONFIRMED = Verdict(Outcome.DONE, "written, but not confirmed by a majority of the members")


def insert(
    target: Target,
    collection: str,
    items: Sequence[Item],
    verdicts: Verdicts,
    *,
    session: ClientSession,
    again: bool,
) -> None:
    """Insert records, in their order.

    Args:
        target: The database.
        collection: Where they go. Into a capped one they go only if they push nothing out.
        items: The changes; each expects nothing.
        verdicts: Takes what came of each.
        session: The driver's session.
        again: Whether an earlier try may have written some of them.

    Raises:
        LostReplyError: Whether all were written is not known.
        OperationFailure: The user may not write.
    """
    if not items:
        return
    if target.capped(collection):
        size = sum(len(change.wanted or b"") for _, change in items)
        if reason := target.crowded(collection, len(items), size):
            verdicts.update((place, Verdict(Outcome.FAILED, reason)) for place, _ in items)
            return
    try:
        failures, confirmed = _send(target, collection, items, session)
    except (OperationFailure, DocumentTooLarge) as error:
        # One record can make the server refuse the whole message (one nested too deeply): find it.
        raise_if_refused(error)
        if len(items) == 1:
            verdicts[items[0][0]] = blame(error)[1]
            return
        half = len(items) // 2
        for some in (items[:half], items[half:]):
            insert(target, collection, some, verdicts, session=session, again=True)
        return
    taken: list[Item] = []
    for position, failure in failures:
        if id_taken(failure):
            taken.append(items[position])
        else:
            verdicts[items[position][0]] = failure_of(failure)
    open_places = {place for place, _ in taken}
    written = DONE if confirmed else _UNCONFIRMED
    for place, _ in items:
        if place not in open_places:
            verdicts.setdefault(place, written)
    _settle_taken(target, collection, taken, verdicts, again=again)


def _settle_taken(target: Target, collection: str, taken: Sequence[Item], verdicts: Verdicts, *, again: bool) -> None:
    """Give those whose `_id` is taken their verdict: an earlier try of ours may have taken it."""
    found = target.read(collection, [change.id for _, change in taken])
    for place, change in taken:
        if found.get(change.place) != change.wanted:
            verdicts[place] = TAKEN
        else:
            verdicts[place] = DONE if again else ALREADY_THERE


def _send(target: Target, collection: str, items: Sequence[Item], session: ClientSession) -> tuple[_Failures, bool]:
    """Send records, and return what was refused and whether a majority confirmed the others."""
    into = target.collection(collection)
    records = [change.wanted or b"" for _, change in items]
    if not any(map(has_empty_timestamp, records)):
        # `insert_many` costs more for each record. What it would send again after a lost reply, we look at.
        reply = target.database.command(
            {"insert": collection, "documents": list(map(RawBSONDocument, records)), "ordered": False},
            session=session, writeConcern=DURABLE.document, codec_options=REPLIES,
        )  # fmt: skip
        unconfirmed_by = [reply["writeConcernError"]] if "writeConcernError" in reply else []
        if "writeErrors" in reply or unconfirmed_by:
            details = {"writeErrors": reply.get("writeErrors", []), "writeConcernErrors": unconfirmed_by}
            return _failures(BulkWriteError(details))
        return [], True
    operations = [inserting(change.id, change.wanted or b"") for _, change in items]
    if not target.capped(collection):
        try:
            into.bulk_write(operations, ordered=False, session=session)
        except BulkWriteError as error:
            return _failures(error)
        return [], True
    # The driver sorts unordered operations by their kind, and ends an ordered run at its first refusal.
    failures: _Failures = []
    confirmed = True
    start = 0
    while start < len(operations):
        try:
            into.bulk_write(operations[start:], ordered=True, session=session)
            break
        except BulkWriteError as error:
            more, majority = _failures(error)
            confirmed &= majority
            if not more:  # all was written, and not confirmed
                break
            failures.extend((start + position, failure) for position, failure in more)
            start = failures[-1][0] + 1
    return failures, confirmed


def _failures(error: BulkWriteError) -> tuple[_Failures, bool]:
    raise_if_refused(error)
    raise_if_lost(error)
    return [(failure["index"], failure) for failure in error.details["writeErrors"]], not unconfirmed(error)
