"""What a batch of a plan comes to: what is there now, the exact bytes that will be, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import stamina
from pymongo.errors import ConnectionFailure

from recovery_nb.errors import RecoveryError
from recovery_nb.records.elements import InvalidRecordError, id_element, split
from recovery_nb.records.keys import canonical
from recovery_nb.restore.exchange import Change, Outcome
from recovery_nb.restore.journal import Intents, Left
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.result import Remark
from recovery_nb.restore.rows import WRITING, Action, Rows
from recovery_nb.restore.shape import fingerprint, marked, merged, overlaid, settled
from recovery_nb.restore.target import Target, id_filter

__all__ = ["Payload", "Prepared", "by_the_plan", "is_empty", "prepare", "written"]

Payload = Callable[[Rows], Sequence[bytes]]
"""Reads the records of some rows of one collection again from their sources: as planned, in order.

`Rows` is a sequence of `Write`s, too; its columns are quicker.
"""

_NOT_AS_PLANNED = "the source has changed since the plan was made"
_SINCE = "changed since the plan"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that may be sent.

    Attributes:
        rows: All rows of the batch, those that are not sent included.
        places: The places among them of what is sent.
        currents: What is there now, raw, of each that is sent; None where nothing is.
        wanted: What will be there, raw, of each that is sent.
        remarks: What is to be said of the others.
        size: How many bytes of memory it takes, about.
    """

    rows: Rows
    places: Sequence[int]
    currents: Sequence[bytes | None]
    wanted: Sequence[bytes]
    remarks: Sequence[Remark]
    size: int

    @property
    def collection(self) -> str:
        """Where it goes; "" where nothing is sent."""
        return self.rows.collections[self.places[0]] if self.places else ""

    def intents(self) -> Intents:
        """Return what the journal says of it."""
        sent = self._sent()
        return Intents(
            self.collection, sent.seqs, sent.keys, sent.actions, sent.ids, self.currents,
            sent.afters,
        )  # fmt: skip

    def skipped(self) -> list[Left]:
        """Return what the journal says of the records that were to be written and are not sent."""
        return [
            Left(self.rows.seqs[one.place], one.outcome, one.reason)
            for one in self.remarks
            if self.rows.actions[one.place] in WRITING
        ]

    def changes(self) -> list[Change]:
        """Return what is to be exchanged."""
        sent = self._sent()
        return list(map(Change, sent.ids, sent.befores, self.wanted))

    def _sent(self) -> Rows:
        return self.rows if len(self.places) == len(self.rows) else self.rows.take(self.places)


def written(rows: Rows) -> str:
    """Return the collection that a batch writes to, "" for none."""
    return next((name for name, action in zip(rows.collections, rows.actions, strict=True) if action in WRITING), "")


def is_empty(target: Target, collection: str) -> bool:
    """Return whether a collection holds no record; one that does not exist holds none.

    Raises:
        PyMongoError: The server does not answer.
    """
    return not collection or not _ids(target, collection, {}, most=1)


def prepare(target: Target, plan: Plan, rows: Rows, payload: Payload, *, fresh: bool) -> Prepared:
    """Look at what is there, read the records again, and return what can be sent.

    Args:
        target: The database.
        plan: The plan.
        rows: A batch of it.
        payload: Reads its records.
        fresh: Whether the collection was empty when the restore came to it: then there is nothing to look at, and an
            insert finds out if someone else has been quicker.

    Raises:
        PyMongoError: The server does not answer.
    """
    remarks: list[Remark] = []
    places: Sequence[int] = range(len(rows))
    if not WRITING.issuperset(rows.actions):
        places = [place for place, action in enumerate(rows.actions) if action in WRITING]
        remarks = [by_the_plan(rows, place) for place in sorted({*range(len(rows))} - {*places})]
    currents: Sequence[bytes | None] = [None] * len(places)
    found = {} if fresh or not places else _found(target, rows, places)
    if found or rows.befores.count(None) < len(rows):
        places, currents, more = _as_planned(plan, rows, places, found, payload)
        remarks += more
    asked = rows if len(places) == len(rows) else rows.take(places)
    wanted = _wanted(plan, asked, currents, _read_again(payload, asked))
    if str in set(map(type, wanted)):
        sent = [number for number, one in enumerate(wanted) if isinstance(one, bytes)]
        remarks += [
            Remark(place, Outcome.FAILED, one)
            for place, one in zip(places, wanted, strict=True)
            if isinstance(one, str)
        ]
        places, currents = [places[number] for number in sent], [currents[number] for number in sent]
        wanted = [wanted[number] for number in sent]
    return Prepared(rows, places, currents, cast("Sequence[bytes]", wanted), remarks, sum(rows.sizes))


def by_the_plan(rows: Rows, place: int) -> Remark:
    """Return what is to be said of a row that the plan itself does not write."""
    outcome = Outcome.FAILED if rows.actions[place] is Action.REFUSE else Outcome.SKIPPED
    return Remark(place, outcome, rows.reasons[place])


def _as_planned(
    plan: Plan, rows: Rows, places: Sequence[int], found: Mapping[bytes, bytes], payload: Payload
) -> tuple[list[int], list[bytes | None], list[Remark]]:
    """Return the places of what is there as the plan expects it, what that is, and what is to be said of the others."""
    ready: list[int] = []
    currents: list[bytes | None] = []
    remarks: list[Remark] = []
    changed: list[tuple[int, bytes | None]] = []
    for place in places:
        current = found.get(canonical(rows.ids[place][0], rows.ids[place][1:]))
        there = None if current is None else fingerprint(current)
        if there == rows.afters[place]:
            remarks.append(Remark(place, Outcome.SKIPPED, "already there"))
        elif there == rows.befores[place]:
            ready.append(place)
            currents.append(current)
        else:
            changed.append((place, current))
    return ready, currents, [*remarks, *_conflicts(plan, rows, changed, payload)]


def _found(target: Target, rows: Rows, places: Sequence[int]) -> dict[bytes, bytes]:
    """Return the records that are there now, by the canonical form of their `_id`."""
    collection = rows.collections[places[0]]
    held = [rows.ids[place] for place in places if rows.befores[place] is not None]
    absent = [rows.ids[place] for place in places if rows.befores[place] is None]
    # Of what should be absent only the `_id`s are asked for, which an index tells.
    return target.read(collection, held + _taken(target, collection, absent))


def _taken(target: Target, collection: str, ids: Sequence[bytes]) -> list[bytes]:
    """Return those of these `_id`s that are in use."""
    return _ids(target, collection, id_filter(ids)) if ids else []


def _ids(target: Target, collection: str, query: Mapping[str, Any], *, most: int = 0) -> list[bytes]:
    """Return the `_id`s of the records that answer to a query, `most` of them; a lost connection is tried again."""
    found: list[bytes] = []
    for attempt in stamina.retry_context(on=ConnectionFailure, attempts=5, wait_initial=0.2, wait_max=5.0):
        with attempt:
            cursor = target.collection(collection).find_raw_batches(query, {"_id": 1}).limit(most)
            found = [id_element(record) or b"\x0a" for buffer in cursor for record in split(buffer)]
    return found


def _conflicts(plan: Plan, rows: Rows, lost: Sequence[tuple[int, bytes | None]], payload: Payload) -> Iterator[Remark]:
    """Yield what is to be said of records that others have written since the plan was made: both versions."""
    planned = _read_again(payload, rows.take([place for place, _ in lost]))
    for (place, current), record in zip(lost, planned, strict=True):
        ours = b""
        if isinstance(record, bytes):
            # What a merge would have made of the record as it was cannot be told any more.
            with suppress(InvalidRecordError):
                ours = _stamped(plan, settled(record, rows.ids[place]))
        yield Remark(place, Outcome.SKIPPED, _SINCE, ours, current or b"")


def _wanted(
    plan: Plan, rows: Rows, currents: Sequence[bytes | None], records: Sequence[bytes | str]
) -> Sequence[bytes | str]:
    """Return the bytes that will be there of each row, or why they cannot be had."""
    prints = [sha256(one).digest() if isinstance(one, bytes) else None for one in records]
    if prints == rows.afters:  # nearly always: the source's bytes are the planned ones
        return records
    return [
        record if isinstance(record, str) or same == after else _made(plan, action, own, after, record, current)
        for action, own, after, current, record, same in zip(
            rows.actions, rows.ids, rows.afters, currents, records, prints, strict=True
        )
    ]


def _made(plan: Plan, action: Action, own: bytes, after: bytes, record: bytes, current: bytes | None) -> bytes | str:
    """Return what a source's record becomes in the database, or that it is not what was planned."""
    try:
        record = settled(record, own)
        if action is Action.MERGE and current is not None:
            record = merged(current, record)
        elif action is Action.OVERLAY and current is not None:
            record = overlaid(current, record)
        record = _stamped(plan, record)
    except InvalidRecordError:
        return _NOT_AS_PLANNED
    return record if fingerprint(record) == after else _NOT_AS_PLANNED


def _stamped(plan: Plan, record: bytes) -> bytes:
    return marked(record, plan.mark, plan.marked_at) if plan.mark else record


def _read_again(payload: Payload, rows: Rows) -> Sequence[bytes | str]:
    """Read planned records; if a batch cannot be read, find out by halving which of its records cannot, and why."""
    if not rows:
        return []
    try:
        return payload(rows)
    except RecoveryError as error:
        if len(rows) == 1:
            return [str(error)]
    half = len(rows) // 2
    return [*_read_again(payload, rows[:half]), *_read_again(payload, rows[half:])]
