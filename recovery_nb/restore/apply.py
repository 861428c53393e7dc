"""Applying a plan: read what is there, journal it, write, and say what came of every record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.records.elements import InvalidRecordError
from recovery_nb.records.keys import canonical
from recovery_nb.reports.html import facts
from recovery_nb.restore.files import RestoreInfo, State, dead_sessions, locked, new_restore
from recovery_nb.restore.journal import Intent, Journal, Left
from recovery_nb.restore.plan import Action, Plan, Write
from recovery_nb.restore.shape import fingerprint, merged, overlaid, settled
from recovery_nb.restore.target import Target
from recovery_nb.restore.writer import Change, Outcome, Verdict, exchange, exchange_whole
from recovery_nb.sources.mongodb import explained

__all__ = ["LISTED", "Payload", "Problem", "RestoreResult", "apply"]

Payload = Callable[[Sequence[Write]], Sequence[bytes]]
"""Reads the records of some writes again from their sources: their bytes as they were planned, in order."""

LISTED = 1_000
"""How many errors and how many conflicts a result lists; it counts them all."""

_BATCH_BYTES = 16 * 1024 * 1024
_NOT_AS_PLANNED = "the source has changed since the plan was made"


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong with one record, or with a collection (`key` is "")."""

    collection: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What came of a restore.

    Attributes:
        restore_id: Its id; "" for a dry run.
        plan_digest: The digest of the plan.
        success: Whether no record failed and everything else was done too.
        dry_run: Whether nothing was to be written.
        planned: How many records the plan inserts, replaces or merges.
        restored: How many were written.
        skipped: How many were left as they are: by the plan, or because others had written them since.
        failed: How many could not be written, those that the plan refuses included.
        errors: The first thousand problems: failed records, indexes that were not built.
        errors_total: How many problems there are.
        conflicts: The first thousand records left as they are, by the plan or because they have changed since.
        conflicts_total: How many of those there are.
    """

    restore_id: str
    plan_digest: str
    success: bool
    dry_run: bool
    planned: int
    restored: int
    skipped: int
    failed: int
    errors: list[Problem] = field(default_factory=list)
    errors_total: int = 0
    conflicts: list[Problem] = field(default_factory=list)
    conflicts_total: int = 0

    @property
    def summary(self) -> dict[str, object]:
        """The facts at a glance."""
        return {
            "restore": self.restore_id or "(a dry run: nothing was written)",
            "plan": self.plan_digest,
            "planned": self.planned,
            "restored": self.restored,
            "skipped": self.skipped,
            "failed": self.failed,
        }

    def _repr_html_(self) -> str:
        """Show them in a notebook, without a script."""
        return facts(self.summary)


@dataclass(slots=True)
class _Count:
    """What has come of the records so far."""

    restored: int = 0
    skipped: int = 0
    failed: int = 0
    errors: list[Problem] = field(default_factory=list)
    errors_total: int = 0
    conflicts: list[Problem] = field(default_factory=list)
    conflicts_total: int = 0

    def planned_out(self, write: Write) -> None:
        if write.action is Action.REFUSE:
            self.take(write, Verdict(Outcome.FAILED, write.reason))
        else:
            self.take(write, Verdict(Outcome.SKIPPED, write.reason))

    def take(self, write: Write, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.SKIPPED:
            self.skipped += 1
            self.conflicts_total += 1
            if len(self.conflicts) < LISTED:
                self.conflicts.append(Problem(write.collection, write.key_text, verdict.reason))
            return
        if verdict.outcome is Outcome.FAILED:
            self.failed += 1
        else:
            self.restored += 1
        if verdict.reason:
            self.problem(Problem(write.collection, write.key_text, verdict.reason))

    def problem(self, problem: Problem) -> None:
        self.errors_total += 1
        if len(self.errors) < LISTED:
            self.errors.append(problem)

    def counts(self) -> dict[str, int]:
        return {"restored": self.restored, "skipped": self.skipped, "failed": self.failed}

    def result(self, plan: Plan, *, restore_id: str, dry_run: bool) -> RestoreResult:
        return RestoreResult(
            restore_id, plan.digest, self.errors_total == 0, dry_run, plan.to_write, self.restored,
            self.skipped, self.failed, self.errors, self.errors_total, self.conflicts, self.conflicts_total,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A write that is as planned on both sides: what is there, and what will be."""

    write: Write
    current: bytes | None
    wanted: bytes

    def intent(self) -> Intent:
        write = self.write
        return Intent(write.seq, write.collection, write.key_text, write.action, write.id, self.current, write.after)

    def change(self) -> Change:
        return Change(self.write.id, self.write.before, self.wanted)


def apply(
    plan: Plan,
    uri: str,
    *,
    payload: Payload,
    folder: Path,
    transaction: bool = False,
    dry_run: bool = False,
    batch: int = 1_000,
    emit: Emit = silent,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> RestoreResult:
    """Write what the plan says, and only where the database is as it was when the plan was made.

    Args:
        plan: The plan.
        uri: The database, `mongodb://host:port/NAME`.
        payload: Reads planned records again from their sources.
        folder: The case's folder of restores; one restore at a time works in it.
        transaction: Each batch is written as a whole or not at all.
        dry_run: Check every precondition and every source, write nothing.
        batch: The most records of a batch; 16 MiB of records end one too.
        emit: Is told how far it is.
        options: By collection, the `options` and `indexes` of a dump's metadata; for missing collections.

    Raises:
        BadInputError: A target is a view or a time-series; or transactions are asked for and there are none.
        ConflictError: Another restore is at work in this folder.
        ConnectionFailedError: The server went away or refuses the user. What was written is in the journal:
            run the command again with a new plan, or roll the restore back.
    """
    known = options or {}
    with explained(uri), Target(uri) as target:
        writing = [name for name, counts in plan.collections.items() if any(map(_is_write, counts))]
        target.check(writing, known)
        if transaction and not target.transactional:
            raise BadInputError(
                f"{target.label} is a standalone server and has no transactions",
                hint="leave out --transaction, or make the server a replica set",
            )
        count = _Count()
        if dry_run:
            for writes in _batches(plan, batch, count):
                _prepare(target, writes, payload, count)
            return count.result(plan, restore_id="", dry_run=True)
        with locked(folder):
            target.end_sessions(dead_sessions(folder))
            info = new_restore(folder, plan_digest=plan.digest, database=target.label, session=target.session_id)
            try:
                _run(plan, target, info, count, payload=payload, batch=batch, emit=emit, options=known,
                     send=exchange_whole if transaction else exchange)  # fmt: skip
            except BaseException:
                info.save(State.INTERRUPTED, count.counts())
                raise
            info.save(State.DONE, count.counts())
        return count.result(plan, restore_id=info.id, dry_run=False)


def _is_write(action: Action) -> bool:
    return action not in (Action.SKIP, Action.REFUSE)


def _run(
    plan: Plan,
    target: Target,
    info: RestoreInfo,
    count: _Count,
    *,
    payload: Payload,
    batch: int,
    emit: Emit,
    options: Mapping[str, Mapping[str, Any]],
    send: Callable[[Target, str, Sequence[Change]], list[Verdict]],
) -> None:
    header = {"version": 1, "restore": info.id, "plan": plan.digest, "database": info.database}
    created = []
    entered: set[str] = set()
    done = 0
    with Journal(info.path / "journal.bson", header) as journal:
        for writes in _batches(plan, batch, count):
            collection = writes[0].collection
            if not target.exists(collection):
                journal.created(collection)
                target.create(collection, options.get(collection, {}).get("options", {}))
                created.append(collection)
            if collection not in entered:
                entered.add(collection)
                journal.collection(collection, target.uuid(collection))
            prepared = _prepare(target, writes, payload, count)
            if prepared:
                number = journal.intend(one.intent() for one in prepared)
                verdicts = send(target, collection, [one.change() for one in prepared])
                left = []
                for one, verdict in zip(prepared, verdicts, strict=True):
                    count.take(one.write, verdict)
                    if verdict.outcome is not Outcome.DONE:
                        left.append(Left(one.write.seq, verdict.outcome, verdict.reason))
                journal.settle(number, left)
            done += len(writes)
            emit(Event("restore", collection, done, plan.to_write))
        for collection in created:
            for reason in target.build_indexes(collection, options.get(collection, {}).get("indexes", [])):
                count.problem(Problem(collection, "", reason))
        journal.end(count.counts())


def _batches(plan: Plan, most: int, count: _Count) -> Iterator[list[Write]]:
    """Yield runs of writes to one collection; rows that write nothing are counted in passing."""
    batch: list[Write] = []
    size = 0
    for write in plan.writes():
        if not write.writes:
            count.planned_out(write)
            continue
        full = len(batch) == most or size + write.size > _BATCH_BYTES
        if batch and (full or write.collection != batch[0].collection):
            yield batch
            batch, size = [], 0
        batch.append(write)
        size += write.size
    if batch:
        yield batch


def _prepare(target: Target, writes: Sequence[Write], payload: Payload, count: _Count) -> list[_Prepared]:
    """Return the writes whose precondition holds and whose source still gives the planned bytes."""
    found = target.read(writes[0].collection, [write.id for write in writes])
    ready: list[tuple[Write, bytes | None]] = []
    seen: set[bytes] = set()
    for write in writes:
        place = canonical(write.id[0], write.id[1:])
        current = found.get(place)
        there = None if current is None else fingerprint(current)
        if there == write.after:
            reason = "already there"
        elif there != write.before:
            reason = "changed since the plan"
        elif place in seen:
            reason = "selected twice: the plan writes this _id already"
        else:
            seen.add(place)
            ready.append((write, current))
            continue
        count.take(write, Verdict(Outcome.SKIPPED, reason))
    prepared = []
    for (write, current), planned in zip(ready, _read_again(payload, [write for write, _ in ready]), strict=True):
        wanted = planned if isinstance(planned, Verdict) else _as_planned(write, current, planned)
        if isinstance(wanted, Verdict):
            count.take(write, wanted)
        else:
            prepared.append(_Prepared(write, current, wanted))
    return prepared


def _read_again(payload: Payload, writes: Sequence[Write]) -> Iterable[bytes | Verdict]:
    """Read planned records; if a batch cannot be read, find out which of its records cannot."""
    if not writes:
        return []
    try:
        return payload(writes)
    except RecoveryError as error:
        if len(writes) == 1:
            return [Verdict(Outcome.FAILED, str(error))]
        return [one for write in writes for one in _read_again(payload, [write])]


def _as_planned(write: Write, current: bytes | None, planned: bytes) -> bytes | Verdict:
    try:
        wanted = settled(planned, write.id)
        if write.action is Action.MERGE and current is not None:
            wanted = merged(current, wanted)
        elif write.action is Action.OVERLAY and current is not None:
            wanted = overlaid(current, wanted)
    except InvalidRecordError:
        return Verdict(Outcome.FAILED, _NOT_AS_PLANNED)
    return wanted if fingerprint(wanted) == write.after else Verdict(Outcome.FAILED, _NOT_AS_PLANNED)
