"""The pipeline: nothing is sent before it is on disk, what comes back is in order, and an error ends it at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import ConnectionFailure

from recovery_nb.restore.exchange import Change, Verdict, exchange
from recovery_nb.restore.journal import UNSENT, Journal, JournalReader
from recovery_nb.restore.pipeline import Done, Pipeline
from recovery_nb.restore.prepare import Prepared, prepare
from recovery_nb.restore.target import Target


class Line:
    """A journal, a target, and the batches of a plan of 200 records, ten in each."""

    def __init__(self, bench: Any, folder: Path, target: Target) -> None:
        self.bench, self.target = bench, target
        self.path = folder / "journal.bson"
        self.taken: list[Done] = []
        bench.client[bench.name].create_collection("things")
        self.plan = bench.plan([{"_id": one} for one in range(200)])

    def batches(self) -> Iterator[Prepared]:
        for rows in self.plan.batches(10, 1 << 20):
            yield prepare(self.target, self.plan, rows, self.bench.payload, fresh=False)

    def run(self, send: Any, *, in_order: bool = False) -> None:
        sessions = [self.target.session, *(self.target.new_session() for _ in range(3))]
        with (
            Journal(self.path, {}) as journal,
            Pipeline(journal, self.target, send, sessions=sessions, take=self.taken.append) as line,
        ):
            for batch in self.batches():
                line.put(batch, in_order=in_order)
            line.drain()


@pytest.fixture
def line(bench: Any, tmp_path: Path) -> Iterator[Line]:
    with Target(bench.uri) as target:
        yield Line(bench, tmp_path, target)


def test_each_batch_is_in_the_journal_before_it_is_sent(line: Line) -> None:
    seen: list[bool] = []

    def send(target: Target, collection: str, changes: Sequence[Change], *, session: Any) -> list[Verdict]:
        journaled = {own for _, intents in JournalReader(line.path).batches() for own in intents.ids}
        seen.append({change.id for change in changes} <= journaled)
        return exchange(target, collection, changes, session=session)

    line.run(send)
    assert seen == [True] * 20
    assert len(line.bench.raw()) == 200


def test_what_comes_back_is_in_the_order_of_the_plan(line: Line) -> None:
    second = threading.Event()

    def send(target: Target, collection: str, changes: Sequence[Change], *, session: Any) -> list[Verdict]:
        first = changes[0].id == b"\x10\0\0\0\0"
        if first:
            assert second.wait(20)  # the first batch comes back after the second
        verdicts = exchange(target, collection, changes, session=session)
        if not first:
            second.set()
        return verdicts

    line.run(send)
    assert [done.batch.rows.seqs[0] for done in line.taken] == list(range(0, 200, 10))
    assert JournalReader(line.path).settled == set(range(1, 21))


def test_in_order_one_batch_is_with_the_server_at_a_time(line: Line) -> None:
    order: list[int] = []
    busy = threading.Lock()

    def send(target: Target, collection: str, changes: Sequence[Change], *, session: Any) -> list[Verdict]:
        assert busy.acquire(blocking=False)
        order.append(changes[0].id[1])
        try:
            return exchange(target, collection, changes, session=session)
        finally:
            busy.release()

    line.run(send, in_order=True)
    assert order == list(range(0, 200, 10))


def test_senders_write_at_once_each_in_a_session_of_its_own(line: Line) -> None:
    together = threading.Barrier(3, timeout=20)
    sessions = set()
    first = iter(range(3))

    def send(target: Target, collection: str, changes: Sequence[Change], *, session: Any) -> list[Verdict]:
        if next(first, None) is not None:
            together.wait()
        sessions.add(bytes(session.session_id["id"]))
        return exchange(target, collection, changes, session=session)

    line.run(send)
    assert len(sessions) == 3


def test_an_error_of_a_sender_is_raised_and_what_was_not_sent_is_said(line: Line) -> None:
    def send(target: Target, collection: str, changes: Sequence[Change], *, session: Any) -> list[Verdict]:
        if changes[0].id[1] == 30:
            raise ConnectionFailure("gone")
        return exchange(target, collection, changes, session=session)

    with pytest.raises(ConnectionFailure, match="gone"):
        line.run(send)
    journal = JournalReader(line.path)
    (unknown,) = {number for number, _ in journal.batches()} - journal.settled
    assert unknown == 4
    unsent = {seq for seq, left in journal.left.items() if left.outcome == UNSENT}
    intended = {seq for _, intents in journal.batches() for seq in intents.seqs}
    there = {int.from_bytes(record[9:13], "little") for record in line.bench.raw()}
    assert there == intended - unsent - set(range(30, 40))
    assert {seq for done in line.taken if done.sent for seq in done.batch.rows.seqs} == there


def test_when_it_is_left_no_thread_is_left_behind(line: Line) -> None:
    before = threading.active_count()
    line.run(exchange)
    assert threading.active_count() <= before + 1  # the driver's own, which watches the server
