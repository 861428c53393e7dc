"""Preparing: what is looked at, what is read again, and the exact bytes that come of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson import Int64
from pymongo.monitoring import CommandListener

from recovery_nb.errors import DamagedSourceError
from recovery_nb.restore import OnConflict, Plan, Rows
from recovery_nb.restore.prepare import Prepared, prepare
from recovery_nb.restore.target import Target


@pytest.fixture
def target(bench: Any) -> Iterator[Target]:
    with Target(bench.uri) as opened:
        yield opened


def prepared(bench: Any, target: Target, plan: Plan, **more: Any) -> Prepared:
    (rows,) = plan.batches(1_000, 1 << 24)
    return prepare(target, plan, rows, **{"payload": bench.payload, "fresh": False, **more})


def test_what_is_as_planned_is_sent_with_what_was_there_before(bench: Any, target: Target) -> None:
    bench.put([{"_id": 1, "v": "live"}])
    plan = bench.plan([{"_id": 1, "v": "old"}, {"_id": 2}], on_conflict=OnConflict.REPLACE)
    batch = prepared(bench, target, plan)
    assert (batch.collection, list(batch.places), batch.remarks) == ("things", [0, 1], [])
    assert batch.currents == [bson.encode({"_id": 1, "v": "live"}), None]
    assert batch.wanted == [bson.encode({"_id": 1, "v": "old"}), bson.encode({"_id": 2})]
    assert [(one.key, one.action, one.before) for one in batch.intents()] == [
        ("1", "replace", bson.encode({"_id": 1, "v": "live"})), ("2", "insert", None),
    ]  # fmt: skip
    assert [one.expected is None for one in batch.changes()] == [False, True]


def test_what_others_have_written_is_left_with_both_versions(bench: Any, target: Target) -> None:
    plan = bench.plan([{"_id": 1, "v": 1}, {"_id": 2, "v": 2}, {"_id": 3, "v": 3}])
    theirs = bson.encode({"_id": Int64(1), "v": "theirs"})  # the server holds 1 and 1L to be one
    bench.put([theirs, {"_id": 3, "v": 3}])
    batch = prepared(bench, target, plan)
    assert list(batch.places) == [1]
    assert [(one.place, one.reason, one.planned, one.found) for one in batch.remarks] == [
        (2, "already there", b"", b""),
        (0, "changed since the plan", bson.encode({"_id": 1, "v": 1}), theirs),
    ]
    assert {(one.seq, one.reason) for one in batch.skipped()} == {(0, "changed since the plan"), (2, "already there")}


def test_what_the_plan_leaves_is_told_and_not_journaled(bench: Any, target: Target) -> None:
    bench.put([{"_id": 1, "v": "live"}])
    batch = prepared(bench, target, bench.plan([{"_id": 1, "v": "old"}, {"_id": 2}]))
    assert [(one.place, one.reason) for one in batch.remarks] == [(0, "the database holds another version")]
    assert batch.skipped() == []
    assert [one.seq for one in batch.intents()] == [1]


def test_a_batch_of_which_nothing_is_sent(bench: Any, target: Target) -> None:
    bench.put([{"_id": 1, "v": "live"}])
    batch = prepared(bench, target, bench.plan([{"_id": 1, "v": "old"}]))
    assert (batch.collection, len(batch.intents()), batch.changes()) == ("", 0, [])


class Commands(CommandListener):
    """What is asked of the server."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def started(self, event: Any) -> None:
        if event.command_name == "find":
            self.asked.append(event.command)

    def succeeded(self, event: Any) -> None:
        """Nothing more is told."""

    def failed(self, event: Any) -> None:
        """Nothing more is told."""


def test_of_what_should_be_absent_only_the_ids_are_asked_for_and_nothing_where_we_made_the_collection(
    bench: Any, target: Target
) -> None:
    plan = bench.plan([{"_id": one, "v": "x" * 500} for one in range(50)])
    listener = Commands()
    with Target(bench.uri) as watched:
        watched.client.close()
        client: Any = type(watched.client)(bench.uri, document_class=dict, event_listeners=[listener])
        watched.database = client[bench.name]
        assert len(prepared(bench, watched, plan, fresh=False).places) == 50
        assert [one["projection"] for one in listener.asked] == [{"_id": 1}]
        assert len(prepared(bench, watched, plan, fresh=True).places) == 50
        assert len(listener.asked) == 1
        client.close()


class TestReadingAgain:
    def test_finds_by_halving_which_records_cannot_be_read(self, bench: Any, target: Target) -> None:
        plan = bench.plan([{"_id": one} for one in range(256)])
        asked = []

        def read(rows: Rows) -> list[bytes]:
            asked.append(len(rows))
            if 77 in rows.offsets:
                raise DamagedSourceError("no record at offset 77")
            return list(bench.payload(rows))

        batch = prepared(bench, target, plan, payload=read)
        assert [(one.place, one.reason) for one in batch.remarks] == [(77, "no record at offset 77")]
        assert len(batch.wanted) == 255
        assert len(asked) == 17  # the whole, and two halves on each of eight levels

    @pytest.mark.parametrize("on_conflict", [OnConflict.REPLACE, OnConflict.MERGE])
    def test_takes_no_other_bytes_than_the_planned(self, bench: Any, target: Target, on_conflict: OnConflict) -> None:
        bench.put([{"_id": 1, "v": 1}])
        plan = bench.plan([{"_id": 1, "w": 2}, {"_id": 2, "w": 2}, {"_id": 3}], on_conflict=on_conflict)
        bench.source["things", 0] = bson.encode({"_id": 1, "w": 3})
        bench.source["things", 1] = b"\x07\0\0\0no\0"
        batch = prepared(bench, target, plan)
        reason = "the source has changed since the plan was made"
        assert [(one.place, one.reason) for one in batch.remarks] == [(0, reason), (1, reason)]
        assert batch.wanted == [bson.encode({"_id": 3})]

    def test_makes_of_a_merge_and_a_mark_what_was_planned(self, bench: Any, target: Target) -> None:
        bench.put([{"_id": 1, "v": 1}])
        plan = bench.plan([{"_id": 1, "w": 2}, {"w": 3}], on_conflict=OnConflict.MERGE, mark="at", marked_at=0)
        merged, made = map(bson.decode, prepared(bench, target, plan).wanted)
        assert list(merged) == ["_id", "v", "w", "at"]
        assert list(made) == ["_id", "w", "at"]
