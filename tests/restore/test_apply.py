"""Applying: exactly the planned bytes, only where the database is as planned, every failure counted."""

from __future__ import annotations

import os
import random
import resource
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Timestamp, json_util
from filelock import FileLock

from recovery_nb.errors import (
    BadInputError,
    ConflictError,
    ConnectionFailedError,
    DamagedSourceError,
    RecoveryError,
)
from recovery_nb.records.elements import build, split
from recovery_nb.restore import OnConflict, State, list_restores, make_plan
from recovery_nb.restore.journal import UNSENT, JournalReader


def int_field(name: bytes, value: int) -> tuple[int, bytes, bytes]:
    return 0x10, name, value.to_bytes(4, "little")


def test_all_types_come_back_to_the_byte(bench: Any, samples: Path) -> None:
    records = split((samples / "mongodump/shop/types.bson").read_bytes())
    result = bench.apply(bench.plan(records, "types"))
    assert (result.restored, result.failed, result.success) == (34, 0, True)
    assert sorted(bench.raw("types")) == sorted(records)
    assert bench.verify(result.restore_id).ok


@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize("transaction", ["", "batch", "plan"])
def test_what_decoding_would_destroy_survives(bench: Any, present: bool, transaction: str) -> None:
    twice = build([int_field(b"_id", 1), int_field(b"a", 1), int_field(b"a", 2)])
    empty_stamp = bson.encode({"_id": 2, "at": Timestamp(0, 0), "n": -0.0})
    if present:
        bench.put([{"_id": 1, "a": 0}, {"_id": 2, "a": 0}])
    plan = bench.plan([twice, empty_stamp], on_conflict=OnConflict.REPLACE, transaction=transaction)
    result = bench.apply(plan)
    assert result.restored == 2
    assert bench.raw() == [twice, empty_stamp]


def test_an_id_that_is_a_document_with_a_name_twice_finds_its_record(bench: Any) -> None:
    own = build([int_field(b"x", 1), int_field(b"x", 2)])
    old = build([(0x03, b"_id", own), int_field(b"v", 1)])
    new = build([(0x03, b"_id", own), int_field(b"v", 2)])
    bench.put([old])
    result = bench.apply(bench.plan([new], on_conflict=OnConflict.REPLACE))
    assert (result.restored, bench.raw()) == (1, [new])


def test_by_default_what_is_there_stays(bench: Any) -> None:
    bench.put([{"_id": 1, "v": "live"}])
    result = bench.apply(bench.plan([{"_id": 1, "v": "old"}, {"_id": 2, "v": "lost"}]))
    assert (result.planned, result.restored, result.skipped, result.failed) == (1, 1, 1, 0)
    assert [bson.decode(one)["v"] for one in bench.raw()] == ["live", "lost"]


def test_merge_adds_and_changes_nothing(bench: Any) -> None:
    bench.put([{"_id": 1, "v": "live", "sub": {"a": 1}}])
    plan = bench.plan([{"_id": 1, "v": "old", "sub": {"a": 9, "b": 2}, "more": 3}], on_conflict=OnConflict.MERGE)
    result = bench.apply(plan)
    assert result.restored == 1
    assert bson.decode(bench.raw()[0]) == {"_id": 1, "v": "live", "sub": {"a": 1, "b": 2}, "more": 3}


def test_a_second_restore_of_records_without_id_finds_the_first(bench: Any) -> None:
    records = [{"v": 1}, {"v": 2}]
    assert bench.apply(bench.plan(records)).restored == 2
    again = bench.apply(bench.plan(records))
    assert (again.restored, again.skipped, len(bench.raw())) == (0, 2, 2)


def test_a_dry_run_writes_nothing(bench: Any) -> None:
    bench.put([{"_id": 1, "v": 1}])
    plan = bench.plan([{"_id": 1, "v": 2}, {"_id": 2}, {"_id": 3}], on_conflict=OnConflict.REPLACE)
    bench.put([{"_id": 3, "someone": "else"}])
    before = bench.raw()
    result = bench.apply(plan, dry_run=True)
    assert (result.dry_run, result.planned, result.restored, result.skipped) == (True, 3, 0, 1)
    assert result.outcomes == {
        "inserted": {"": 1}, "replaced": {"": 1}, "skipped": {"changed since the plan": 1},
    }  # fmt: skip
    assert bench.raw() == before
    assert not bench.restores.exists()
    assert bench.apply(plan).outcomes == result.outcomes


def test_a_mark_stamps_what_is_written_and_nothing_else(bench: Any) -> None:
    bench.put([{"_id": 1, "v": 1}, {"_id": 2, "v": 1}, {"_id": 5, "v": 5}])
    records = [{"_id": 1, "v": 2}, {"_id": 2, "w": 2}, {"v": 3}]
    plan = bench.plan(records, on_conflict=OnConflict.MERGE, mark="restored_at", marked_at=1_764_585_000_000)
    result = bench.apply(plan)
    assert result.outcomes == {"inserted": {"": 1}, "merged": {"": 1}, "skipped": {"it adds nothing": 1}}
    stamped = {one["v"]: one.get("restored_at") for one in map(bson.decode, bench.raw()) if one["_id"] != 1}
    assert stamped == {1: datetime(2025, 12, 1, 10, 30), 3: datetime(2025, 12, 1, 10, 30), 5: None}
    assert bench.verify(result.restore_id).ok
    with pytest.raises(BadInputError, match="cannot be the name"):
        bench.plan(records, mark="$at", marked_at=1)


def test_both_versions_of_a_conflict_are_kept_whole(bench: Any) -> None:
    plan = bench.plan([{"_id": 1, "v": "ours", "long": "x" * 5_000}, {"_id": 2}])
    theirs = bson.encode({"_id": 1, "v": "theirs"})
    bench.put([theirs])
    result = bench.apply(plan)
    (problem,) = result.conflicts
    assert (len(problem.planned), problem.planned[-1]) == (2_000, "…")
    (kept,) = bson.decode_all((bench.restores / result.restore_id / "conflicts.bson").read_bytes())
    assert (kept["seq"], kept["c"]) == (0, "things")
    assert bson.encode(kept["planned"]) == bench.source["things", 0]
    assert bson.encode(kept["found"]) == theirs


def test_what_is_not_even_sent_is_in_the_journal_too(bench: Any) -> None:
    plan = bench.plan([{"_id": one, "v": 1} for one in range(10)])
    bench.put([{"_id": 2, "v": 1}, {"_id": 3, "v": "theirs"}])
    bench.source["things", 4] = b"\x05\0\0\0\0"
    result = bench.apply(plan, comparison="c1")
    journal = JournalReader(bench.restores / result.restore_id / "journal.bson")
    assert [(one.seq, one.outcome, one.reason) for one in journal.passed.values()] == [
        (2, "skipped", "already there"),
        (3, "skipped", "changed since the plan"),
        (4, "failed", "the source has changed since the plan was made"),
    ]
    assert [intent.seq for _, intents in journal.batches() for intent in intents] == [0, 1, 5, 6, 7, 8, 9]
    assert (journal.last_seq, journal.header["plan"], journal.header["comparison"]) == (9, plan.digest, "c1")
    (info,) = list_restores(bench.restores)
    assert (info.comparison, info.plan_digest, len(set(info.sessions))) == ("c1", plan.digest, 4)


class TestAWholePlanAtOnce:
    def test_is_all_or_nothing(self, bench: Any) -> None:
        bench.client[bench.name].create_collection("more", validator={"n": {"$lt": 100}})
        selected = [*bench.select([{"_id": one} for one in range(30)]), *bench.select([{"_id": 1, "n": 300}], "more")]
        plan = make_plan(selected, bench.plans, database=bench.name, transaction="plan")
        foreseen = bench.apply(plan, batch=10, dry_run=True)
        result = bench.apply(plan, batch=10)
        assert (result.restored, result.failed, result.skipped) == (0, 1, 30)
        assert foreseen.outcomes == result.outcomes
        assert (bench.raw(), bench.raw("more")) == ([], [])
        assert bench.verify(result.restore_id).ok

    def test_more_than_a_transaction_takes_is_refused(self, bench: Any) -> None:
        bench.put([{"_id": "here"}])
        before = bench.raw()
        many = bench.plan([{"_id": one} for one in range(10_001)], transaction="plan")
        large = bench.plan([{"_id": one, "v": b"x" * 7_000_000} for one in range(5)], transaction="plan")
        for plan, dry_run in [(many, False), (many, True), (large, False), (large, True)]:
            with pytest.raises(BadInputError, match="more than one transaction takes"):
                bench.apply(plan, dry_run=dry_run)
        assert bench.raw() == before
        for info in list_restores(bench.restores):
            undone = bench.rollback(info.id)
            assert (undone.reverted, undone.unchanged, undone.failed) == (0, 0, 0)

    def test_that_finds_its_records_held_has_not_succeeded(self, bench: Any) -> None:
        bench.put([{"_id": one, "v": "live"} for one in range(3)])
        records = [{"_id": one, "v": "old"} for one in range(3)]
        plan = bench.plan(records, on_conflict=OnConflict.REPLACE, transaction="plan")
        with bench.client.start_session() as session, session.start_transaction():
            bench.client[bench.name].things.update_one({"_id": 1}, {"$set": {"v": "theirs"}}, session=session)
            result = bench.apply(plan)
        assert (result.restored, result.skipped, result.success) == (0, 3, False)
        assert [one.reason for one in result.errors] == [
            "nothing is written of the plan: being written by someone else"
        ]

    def test_that_finds_all_there_already_has_succeeded(self, bench: Any) -> None:
        plan = bench.plan([{"_id": 1}], transaction="plan")
        bench.put([{"_id": 1}])
        assert bench.apply(plan).success


class TestSomeoneElseWrites:
    """Their write wins, and we say so."""

    @pytest.mark.parametrize("transaction", ["", "batch", "plan"])
    def test_between_plan_and_apply(self, bench: Any, transaction: str) -> None:
        bench.put([{"_id": 1, "v": "live"}, {"_id": 2, "v": "live"}])
        records = [{"_id": one, "v": "old"} for one in (1, 2, 3, 4)]
        plan = bench.plan(records, on_conflict=OnConflict.REPLACE, transaction=transaction)
        things = bench.client[bench.name].things
        things.update_one({"_id": 1}, {"$set": {"v": "theirs"}})
        things.insert_one({"_id": 3, "v": "theirs"})
        things.insert_one({"_id": 4, "v": "old"})
        result = bench.apply(plan)
        assert (result.restored, result.skipped, result.conflicts_total) == (1, 3, 3)
        assert [(problem.key, problem.reason) for problem in result.conflicts] == [
            ("1", "changed since the plan"), ("3", "changed since the plan"), ("4", "already there"),
        ]  # fmt: skip
        assert [bson.decode(one)["v"] for one in bench.raw()] == ["theirs", "old", "theirs", "old"]

    @pytest.mark.parametrize("transaction", ["", "batch", "plan"])
    def test_between_our_read_and_our_write(self, bench: Any, transaction: str) -> None:
        bench.put([{"_id": 1, "v": 1}, {"_id": 2, "v": 1}, {"_id": 3, "v": 1}])
        records = [{"_id": one, "v": 2} for one in (1, 2, 3, 4, 5)]
        plan = bench.plan(records, on_conflict=OnConflict.REPLACE, transaction=transaction)
        things = bench.client[bench.name].things

        def meddle(writes: Any) -> list[bytes]:
            things.replace_one({"_id": 1}, {"_id": 1, "v": 1.0})  # the server holds 1 and 1.0 equal
            things.delete_one({"_id": 2})
            things.insert_one({"_id": 4, "v": "theirs"})
            return bench.payload(writes)

        result = bench.apply(plan, payload=meddle)
        assert (result.restored, result.skipped, result.failed) == (2, 3, 0)
        values = {one["_id"]: one["v"] for one in map(bson.decode, bench.raw())}
        assert isinstance(values[1], float)
        assert 2 not in values
        assert values[4] == "theirs"
        assert [(one.key, one.planned, one.found) for one in result.conflicts] == [
            ("1", '{ "_id" : { "$numberInt" : "1" }, "v" : { "$numberInt" : "2" } }',
             '{ "_id" : { "$numberInt" : "1" }, "v" : { "$numberDouble" : "1.0" } }'),
            ("2", '{ "_id" : { "$numberInt" : "2" }, "v" : { "$numberInt" : "2" } }', ""),
            ("4", '{ "_id" : { "$numberInt" : "4" }, "v" : { "$numberInt" : "2" } }',
             '{ "_id" : { "$numberInt" : "4" }, "v" : "theirs" }'),
        ]  # fmt: skip
        assert bench.rollback(result.restore_id).failed == 0
        assert isinstance(bson.decode(bench.raw()[0])["v"], float)

    def test_in_a_capped_collection_too(self, bench: Any) -> None:
        bench.client[bench.name].create_collection("things", capped=True, size=100_000)
        bench.put([{"_id": 1, "v": 1}, {"_id": 2, "v": 1}])
        plan = bench.plan([{"_id": 1, "v": 2}, {"_id": 2, "v": 2}, {"_id": 3}], on_conflict=OnConflict.REPLACE)

        def meddle(writes: Any) -> list[bytes]:
            bench.client[bench.name].things.update_one({"_id": 1}, {"$set": {"v": 7}})
            return bench.payload(writes)

        result = bench.apply(plan, payload=meddle)
        assert (result.restored, result.skipped) == (2, 1)
        assert [bson.decode(one).get("v") for one in bench.raw()] == [7, 2, None]

    def test_a_record_selected_twice_is_written_once(self, bench: Any) -> None:
        bench.put([{"_id": 1, "v": 0}])
        plan = bench.plan([{"_id": 1, "v": 1}, {"_id": 1, "v": 2}], on_conflict=OnConflict.REPLACE)
        result = bench.apply(plan)
        assert (result.restored, result.skipped) == (1, 1)
        assert bson.decode(bench.raw()[0])["v"] == 1


RECORDS = [
    {"_id": 1, "n": 1, "email": "a@x"},
    {"_id": 2, "n": 2},
    {"_id": 3, "n": 300},
    {"_id": 4, "n": 4},
    {"_id": 50, "n": 500, "email": "keep@x"},
]


class TestFailuresAreCountedRecordByRecord:
    def prepare(self, bench: Any) -> None:
        database = bench.client[bench.name]
        database.create_collection("things", validator={"n": {"$lt": 100}})
        database.things.create_index("email", unique=True, name="one_email", sparse=True)
        bench.put([{"_id": 0, "n": 0, "email": "a@x"}, {"_id": 50, "n": 1, "email": "keep@x"}])

    def test_one_by_one(self, bench: Any) -> None:
        self.prepare(bench)
        plan = bench.plan(RECORDS, on_conflict=OnConflict.REPLACE)
        foreseen = bench.apply(plan, dry_run=True)
        result = bench.apply(plan)
        assert (result.restored, result.failed, result.success) == (2, 3, False)
        assert (foreseen.failed, foreseen.success, foreseen.outcomes) == (3, False, result.outcomes)
        assert foreseen.errors == result.errors
        assert {problem.key: problem.reason for problem in result.errors} == {
            "1": "another record has its key in the unique index one_email",
            "3": "the collection's validator refuses it",
            "50": "the collection's validator refuses it",
        }
        assert [bson.decode(one)["_id"] for one in bench.raw()] == [0, 2, 4, 50]
        assert bench.verify(result.restore_id).ok

    def test_a_transaction_is_all_or_nothing(self, bench: Any) -> None:
        self.prepare(bench)
        before = bench.raw()
        good = [{"_id": one, "n": 1} for one in range(100, 110)]
        plan = bench.plan([*good, *RECORDS], on_conflict=OnConflict.REPLACE, transaction="batch")
        foreseen = bench.apply(plan, batch=10, dry_run=True)
        result = bench.apply(plan, batch=10)
        assert (result.restored, result.failed, result.skipped) == (10, 1, 4)
        assert foreseen.outcomes == result.outcomes
        assert [bson.decode(one)["_id"] for one in bench.raw()] == [0, 50, *range(100, 110)]
        assert bench.verify(result.restore_id).ok
        bench.rollback(result.restore_id)
        assert bench.raw() == before

    def test_a_record_that_the_server_cannot_take_does_not_stop_the_others(self, bench: Any) -> None:
        deep: dict[str, Any] = {}
        for _ in range(300):
            deep = {"d": deep}
        records = [{"_id": one} for one in range(20)]
        result = bench.apply(bench.plan([*records, {"_id": 99, "deep": deep}, {"_id": 100}]))
        assert (result.restored, result.failed) == (21, 1)

    def test_a_source_that_changed_or_cannot_be_read(self, bench: Any) -> None:
        plan = bench.plan([{"_id": one, "v": "x"} for one in range(6)])
        bench.source["things", 2] = bson.encode({"_id": 2, "v": "y"})

        def read(writes: Any) -> list[bytes]:
            if any(write.ref.offset == 4 for write in writes):
                raise DamagedSourceError("no record at offset 4")
            return bench.payload(writes)

        result = bench.apply(plan, payload=read)
        assert (result.restored, result.failed) == (4, 2)
        assert [problem.reason for problem in result.errors] == [
            "the source has changed since the plan was made", "no record at offset 4",
        ]  # fmt: skip


def structure(options: dict[str, Any] | None = None, indexes: Sequence[dict[str, Any]] = ()) -> str:
    """Options and indexes as a plan holds them."""
    own = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
    document = {"options": options or {}, "indexes": [own, *({"v": 2, **one} for one in indexes)]}
    return json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS)


class TestMissingCollections:
    def test_come_with_options_and_indexes(self, bench: Any) -> None:
        collated = structure(
            {"collation": {"locale": "en", "strength": 2}, "validator": {"n": {"$gte": 0}}},
            [
                {"key": {"n": 1}, "name": "n_1", "unique": True, "collation": {"locale": "simple"}},
                {"key": {"a": "no such kind"}, "name": "bad"},
            ],
        )
        plan = bench.plan([{"_id": "a", "n": 1}, {"_id": "b", "n": 2}], structures={"things": collated})
        result = bench.apply(plan)
        things = bench.client[bench.name].things
        assert things.options()["collation"]["strength"] == 2
        assert things.index_information()["n_1"]["unique"]
        assert (result.restored, result.failed, result.success) == (2, 0, False)
        assert "index bad was not built" in result.errors[0].reason

    def test_a_unique_index_is_there_before_the_records(self, bench: Any) -> None:
        unique = structure(indexes=[{"key": {"n": 1}, "name": "n_1", "unique": True}])
        records = [{"_id": one, "n": one // 2} for one in range(40)]
        plan = bench.plan(records, structures={"things": unique})
        foreseen = bench.apply(plan, batch=3, dry_run=True)
        result = bench.apply(plan, batch=3)
        assert (result.restored, result.failed, foreseen.outcomes) == (20, 20, result.outcomes)
        assert [bson.decode(one)["_id"] for one in bench.raw()] == list(range(0, 40, 2))  # the first of each pair
        assert result.outcomes == {
            "inserted": {"": 20}, "failed": {"another record has its key in the unique index n_1": 20},
        }  # fmt: skip

    def test_come_back_even_if_they_were_empty_and_views_too(self, bench: Any) -> None:
        structures = {
            "seen": structure({"viewOn": "things", "pipeline": [{"$match": {"n": 1}}]}),
            "empty": structure({"capped": True, "size": 4096}, [{"key": {"n": 1}, "name": "n_1"}]),
        }
        result = bench.apply(bench.plan([{"_id": 1, "n": 1}, {"_id": 2, "n": 2}], structures=structures))
        database = bench.client[bench.name]
        assert result.success
        assert database["empty"].options()["capped"]
        assert "n_1" in database["empty"].index_information()
        assert [one["_id"] for one in database["seen"].find()] == [1]
        assert sorted(bench.rollback(result.restore_id).dropped) == ["empty", "seen", "things"]
        assert database.list_collection_names(filter={"name": {"$ne": "system.views"}}) == []

    def test_that_exist_by_now_are_left_as_they_are(self, bench: Any) -> None:
        plan = bench.plan([{"_id": 1}], structures={"things": structure({"validator": {"n": 1}})})
        bench.client[bench.name].create_collection("things")
        result = bench.apply(plan)
        assert (result.restored, bench.client[bench.name].things.options()) == (1, {})
        assert bench.rollback(result.restore_id).dropped == []

    def test_cannot_be_made_before_anything_is_written(self, bench: Any) -> None:
        plan = bench.plan([{"_id": 1}], structures={"other": structure({"validator": {"$nonsense": 1}})})
        with pytest.raises(BadInputError, match=r"other cannot be created .*options.*create it by hand"):
            bench.apply(plan)
        assert bench.client[bench.name].list_collection_names() == []
        (info,) = list_restores(bench.restores)
        assert info.state is State.ROLLED_BACK
        assert bench.verify(info.id).ok
        assert bench.rollback(info.id).already
        bench.client[bench.name].create_collection("other")
        assert bench.apply(plan).restored == 1

    def test_stay_where_an_error_comes_after_the_first_records(self, bench: Any) -> None:
        def stop(_: object) -> None:
            raise BadInputError("the disk was taken out")

        with pytest.raises(BadInputError):
            bench.apply(bench.plan([{"_id": 1}, {"_id": 2}]), batch=1, emit=stop)
        (info,) = list_restores(bench.restores)
        written = len(bench.raw())
        assert (info.state, written > 0) == (State.INTERRUPTED, True)
        assert bench.rollback(info.id).reverted == written

    @pytest.mark.parametrize("dry_run", [True, False])
    @pytest.mark.parametrize("name", ["x" * 300, "a..b", "a.system.b", "system.foo"])
    def test_under_names_that_no_server_takes_are_refused_beforehand(
        self, bench: Any, name: str, dry_run: bool
    ) -> None:
        selected = [replace(one, collection=name) for one in bench.select([{"_id": 1}])]
        plan = make_plan(selected, bench.plans, database=bench.name)
        with pytest.raises(BadInputError, match="--target-collection"):
            bench.apply(plan, dry_run=dry_run)
        assert list_restores(bench.restores) == []

    @pytest.mark.parametrize("dry_run", [True, False])
    @pytest.mark.parametrize("own", ["admin", "config", "local"])
    def test_in_the_server_s_own_databases_are_refused(self, bench: Any, own: str, dry_run: bool) -> None:
        plan = bench.plan([{"_id": 1}])
        bench.uri = bench.uri.replace(bench.name, own)
        with pytest.raises(BadInputError, match="server's own database"):
            bench.apply(plan, dry_run=dry_run)
        assert "things" not in bench.client[own].list_collection_names()
        assert list_restores(bench.restores) == []

    def test_a_capped_collection_keeps_its_order(self, bench: Any) -> None:
        capped = structure({"capped": True, "size": 1_000_000})
        order = random.Random(1).sample(range(500), 500)
        result = bench.apply(bench.plan([{"_id": one} for one in order], structures={"things": capped}), batch=7)
        assert result.restored == 500
        assert [one["_id"] for one in bench.client[bench.name].things.find()] == order

    @pytest.mark.parametrize("transaction", ["batch", "plan"])
    @pytest.mark.parametrize("dry_run", [True, False])
    def test_that_will_be_capped_take_no_transactions(self, bench: Any, transaction: str, dry_run: bool) -> None:
        capped = structure({"capped": True, "size": 1_000_000})
        plan = bench.plan([{"_id": 1}], structures={"things": capped}, transaction=transaction)
        with pytest.raises(BadInputError, match=r"things in .* cannot be written in a transaction"):
            bench.apply(plan, dry_run=dry_run)
        assert bench.client[bench.name].list_collection_names() == []

    def test_that_sort_letters_as_equal_keep_their_own_records(self, bench: Any) -> None:
        bench.client[bench.name].create_collection("things", collation={"locale": "en", "strength": 2})
        bench.put([{"_id": "A", "v": "live"}])
        result = bench.apply(bench.plan([{"_id": "a", "v": "old"}], on_conflict=OnConflict.REPLACE))
        assert (result.restored, result.skipped) == (0, 1)
        assert bson.decode(bench.raw()[0])["v"] == "live"

    def test_created_by_a_restore_go_with_its_rollback(self, bench: Any) -> None:
        result = bench.apply(bench.plan([{"_id": 1}]))
        undone = bench.rollback(result.restore_id)
        assert (undone.reverted, undone.dropped) == (1, ["things"])
        assert "things" not in bench.client[bench.name].list_collection_names()

    def test_a_view_is_no_target(self, bench: Any) -> None:
        bench.put([{"_id": 1}], "base")
        bench.client[bench.name].create_collection("seen", viewOn="base", pipeline=[])
        with pytest.raises(BadInputError, match="view"):
            bench.apply(bench.plan([{"_id": 2}], "seen"))

    def test_a_time_series_is_no_target(self, bench: Any) -> None:
        bench.client[bench.name].create_collection("metrics", timeseries={"timeField": "t"})
        with pytest.raises(BadInputError, match="time-series"):
            bench.apply(bench.plan([{"_id": 2}], "metrics"))


class TestStopping:
    def test_two_restores_at_once(self, bench: Any) -> None:
        plan = bench.plan([{"_id": 1}])
        bench.restores.mkdir()
        with FileLock(bench.restores / ".lock"), pytest.raises(ConflictError, match="at work"):
            bench.apply(plan)
        assert bench.apply(plan).restored == 1

    def test_an_interrupt_leaves_a_journal_that_can_be_undone(self, bench: Any) -> None:
        bench.put([{"_id": one, "v": 0} for one in range(300)])
        before = bench.raw()
        plan = bench.plan([{"_id": one, "v": 1} for one in range(600)], on_conflict=OnConflict.REPLACE)

        def stop(event: Any) -> None:
            if event.done >= 40:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            bench.apply(plan, batch=10, emit=stop)
        (info,) = list_restores(bench.restores)
        assert info.state is State.INTERRUPTED
        journal = JournalReader(info.path / "journal.bson")
        assert (journal.ended, journal.settled) == (False, set(range(1, journal.last_batch + 1)))
        written = sum(len(intents) for _, intents in journal.batches()) - len(journal.left)
        assert 40 <= written == info.counts["restored"] < 600
        assert {one.outcome for one in journal.left.values()} <= {UNSENT}
        assert sum(bson.decode(one)["v"] for one in bench.raw()) == written
        assert bench.rollback(info.id).reverted == written
        assert bench.raw() == before

    def test_sigterm_ends_it_as_ctrl_c_does(self, bench: Any) -> None:
        plan = bench.plan([{"_id": one} for one in range(200)])

        def ended(rows: Any) -> list[bytes]:
            if rows.seqs[0] == 100:
                os.kill(os.getpid(), signal.SIGTERM)
            return bench.payload(rows)

        with pytest.raises(KeyboardInterrupt):
            bench.apply(plan, batch=10, payload=ended)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        (info,) = list_restores(bench.restores)
        assert (info.state, info.counts["restored"]) == (State.INTERRUPTED, len(bench.raw()))
        assert bench.rollback(info.id).reverted == info.counts["restored"]

    def test_a_journal_that_cannot_be_written_ends_it(self, bench: Any) -> None:
        plan = bench.plan([{"_id": one, "x": "y" * 100} for one in range(5_000)])
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        try:
            with pytest.raises(RecoveryError, match=r"journal.bson cannot be written"):
                bench.apply(plan, batch=100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, ignored)
        (info,) = list_restores(bench.restores)
        written = len(bench.raw())
        assert (info.state, info.counts["restored"]) == (State.INTERRUPTED, written)
        assert 0 < written < 5_000
        undone = bench.rollback(info.id)
        assert (undone.reverted, undone.failed, bench.raw()) == (written, 0, [])

    def test_a_server_that_is_not_there(self, bench: Any) -> None:
        plan = bench.plan([{"_id": 1}])
        bench.uri = "mongodb://someone:secret@127.0.0.1:9/db?serverSelectionTimeoutMS=100"
        with pytest.raises(ConnectionFailedError) as caught:
            bench.apply(plan)
        assert "secret" not in str(caught.value)
