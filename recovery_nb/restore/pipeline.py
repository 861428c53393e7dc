"""Batches on their way: into the journal, then to the server, several at a time, and back with what came of them.

One thread writes the journal, and it alone; a batch goes to the senders once it is on disk. What waits to be
written is written together and synced once. The caller prepares batches and takes back what has come of them, in
the order of the plan. How many records are under way at a time is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Protocol, Self

from pymongo.client_session import ClientSession

from recovery_nb.records.keys import canonical
from recovery_nb.restore.exchange import Change, Outcome, Verdict
from recovery_nb.restore.exchange.change import DONE
from recovery_nb.restore.journal import UNSENT, Journal, Left
from recovery_nb.restore.prepare import Prepared
from recovery_nb.restore.result import Remark
from recovery_nb.restore.target import Target

__all__ = ["SENDERS", "Done", "Pipeline", "Send", "done", "left"]

SENDERS = 3
"""How many batches are with the server at a time, where their order does not matter."""

_MOST_BATCHES = 8
_MOST_BYTES = 32 * 1024 * 1024
"""How much may be under way; one batch always may."""


class Send(Protocol):
    """Exchanges the records of a batch, as `exchange` does."""

    def __call__(
        self, target: Target, collection: str, changes: Sequence[Change], *, session: ClientSession | None = None
    ) -> list[Verdict]:
        """Return a verdict for each change."""


@dataclass(frozen=True, slots=True)
class Done:
    """A batch of which it is known, and in the journal, what came of it.

    Attributes:
        batch: The batch.
        remarks: What is to be said of its records; of those that were simply written there is none.
        sent: Whether it was sent at all.
    """

    batch: Prepared
    remarks: Sequence[Remark]
    sent: bool = True


@dataclass(slots=True)
class _Job:
    """A batch and how far it is: in the journal under `number`, and with the server, once there is one."""

    order: int
    batch: Prepared
    queue: SimpleQueue[_Job | None]
    number: int = 0
    done: Done | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    """A thread's error. `job` is the batch that it has cost; None where it cost none."""

    error: BaseException
    job: _Job | None = None


class Pipeline:
    """The batches of one restore that are under way. Leave it by an exception, and what is not yet sent is given up.

    Args:
        journal: The restore's journal. Only after `drain` may the caller write it.
        target: The database.
        send: Exchanges the records of a batch.
        sessions: A server session for what is sent in order, and one for each sender of the rest.
        take: Is called with every batch that is done, in the caller's thread and in the order of the plan.
    """

    def __init__(
        self,
        journal: Journal,
        target: Target,
        send: Send,
        *,
        sessions: Sequence[ClientSession],
        take: Callable[[Done], None],
    ) -> None:
        self._journal, self._target, self._exchange, self._take = journal, target, send, take
        self._inbox = SimpleQueue[_Job | None]()
        self._in_order, self._in_any = SimpleQueue[_Job | None](), SimpleQueue[_Job | None]()
        self._back = SimpleQueue[_Job | _Failed]()
        self._flying: dict[int, Prepared] = {}
        self._held: dict[int, Done] = {}
        self._next = self._count = self._bytes = 0
        self._stopped = False
        queues = [self._in_order, *[self._in_any] * (len(sessions) - 1)]
        self._threads = [Thread(target=self._write, name="journal", daemon=True)]
        for queue, session in zip(queues, sessions, strict=True):
            self._threads.append(Thread(target=self._send, args=(queue, session), name="sender", daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = self._stopped or kind is not None
        try:
            while self._flying:
                with suppress(Exception):  # the first error is on its way already
                    self._receive()
            for order in sorted(self._held):
                self._take(self._held[order])
        finally:
            for queue in (self._inbox, self._in_order, *[self._in_any] * (len(self._threads) - 2)):
                queue.put(None)
        for thread in self._threads:
            thread.join()

    def put(self, batch: Prepared, *, in_order: bool) -> None:
        """Let a batch go, when there is room for it.

        Args:
            batch: The batch.
            in_order: Whether it may be sent only after all before it, and before all after it.

        Raises:
            RecoveryError: The journal cannot be written.
            PyMongoError: The server went away, or refuses the user.
        """
        while not self._back.empty():
            self._receive()
        while self._flying and (len(self._flying) >= _MOST_BATCHES or self._bytes + batch.size > _MOST_BYTES):
            self._receive()
        job = _Job(self._count, batch, self._in_order if in_order else self._in_any)
        self._count += 1
        self._bytes += batch.size
        self._flying[job.order] = batch
        self._inbox.put(job)

    def drain(self) -> None:
        """Wait until nothing is under way; raise what `put` does."""
        while self._flying:
            self._receive()

    def _receive(self) -> None:
        item = self._back.get()
        job = item.job if isinstance(item, _Failed) else item
        if job is not None:
            self._bytes -= self._flying.pop(job.order).size
        if isinstance(item, _Failed):
            raise item.error
        if item.done is not None:
            self._held[item.order] = item.done
        while (done := self._held.pop(self._next, None)) is not None:
            self._next += 1
            self._take(done)

    def _write(self) -> None:
        """Write the journal, in a thread of its own."""
        broken = False
        while True:
            jobs = [self._inbox.get()]
            with suppress(Empty):
                while len(jobs) < _MOST_BATCHES:
                    jobs.append(self._inbox.get_nowait())
            known = [job for job in jobs if job is not None]
            if not broken:
                try:
                    for job in known:
                        self._enter(job)
                    if any(job.done is None for job in known):
                        self._journal.sync()
                except BaseException as error:
                    broken = self._stopped = True
                    self._back.put(_Failed(error))
            for job in known:
                if broken and job.done is None:
                    job.done = _unsent(job.batch)
                if job.done is None:
                    job.queue.put(job)
                else:
                    self._back.put(job)
            if len(known) < len(jobs):
                return

    def _enter(self, job: _Job) -> None:
        """Write a batch before it is sent, or what came of it."""
        batch = job.batch
        if job.done is not None:
            self._journal.settle(job.number, left(job.done))
        elif self._stopped:
            job.done = _unsent(batch)
        else:
            skipped = batch.skipped()
            if batch.places or skipped:
                job.number = self._journal.write(batch.intents(), skipped)
            if not batch.places:
                job.done = Done(batch, batch.remarks)

    def _send(self, queue: SimpleQueue[_Job | None], session: ClientSession) -> None:
        """Send batches, in a thread of its own."""
        while (job := queue.get()) is not None:
            try:
                job.done = _unsent(job.batch) if self._stopped else self._sent(job.batch, session)
                self._inbox.put(job)
            except BaseException as error:
                self._stopped = True
                self._back.put(_Failed(error, job))

    def _sent(self, batch: Prepared, session: ClientSession) -> Done:
        verdicts = self._exchange(self._target, batch.collection, batch.changes(), session=session)
        return done(self._target, batch, verdicts)


def _unsent(batch: Prepared) -> Done:
    return Done(batch, (), sent=False)


def done(target: Target, batch: Prepared, verdicts: Sequence[Verdict]) -> Done:
    """Return what came of a batch; of records that others were quicker to write, with both versions.

    Raises:
        PyMongoError: The server does not answer.
    """
    if all(verdict is DONE for verdict in verdicts):
        return Done(batch, batch.remarks)
    rows = batch.rows
    lost = [place for place, verdict in zip(batch.places, verdicts, strict=True) if verdict.outcome is Outcome.SKIPPED]
    found = target.read(batch.collection, [rows.ids[place] for place in lost])
    remarks = list(batch.remarks)
    for place, wanted, verdict in zip(batch.places, batch.wanted, verdicts, strict=True):
        if verdict.outcome is Outcome.SKIPPED:
            there = found.get(canonical(rows.ids[place][0], rows.ids[place][1:]), b"")
            remarks.append(Remark(place, verdict.outcome, verdict.reason, wanted, there))
        elif verdict.outcome is not Outcome.DONE or verdict.reason:
            remarks.append(Remark(place, verdict.outcome, verdict.reason))
    return Done(batch, remarks)


def left(one: Done) -> Iterator[Left]:
    """Yield what the journal says of the records of a batch that were intended and not written."""
    seqs = one.batch.rows.seqs
    if not one.sent:
        yield from (Left(seqs[place], UNSENT, "the restore was stopped") for place in one.batch.places)
        return
    before = {remark.place for remark in one.batch.remarks}
    for remark in one.remarks:
        if remark.outcome is not Outcome.DONE and remark.place not in before:
            yield Left(seqs[remark.place], remark.outcome, remark.reason)
