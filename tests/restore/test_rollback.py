"""Undoing: the former state, byte for byte, wherever the restore ended; nobody else's work is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.json_util import loads

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.restore import OnConflict, State, list_restores, make_plan, resume
from recovery_nb.restore.journal import JournalReader

from .ends import kill_when, stop_after, things
from .servers import server

VIEW = {"seen": '{"options": {"viewOn": "things", "pipeline": []}, "indexes": []}'}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with server(tmp_path_factory.mktemp("alone")) as running:
        yield running


def cut_before(journal: Path, kind: str) -> None:
    """Cut a journal before its first entry of a kind: so a process leaves it that is killed then."""
    data, start = journal.read_bytes(), 0
    for entry in bson.decode_file_iter(journal.open("rb")):
        if entry["t"] == kind:
            break
        start += len(bson.encode(entry))
    journal.write_bytes(data[:start])


def test_five_thousand_mixed_writes_leave_no_trace(bench: Any) -> None:
    before, planned = things(bench, 5_000)
    hashed = bench.client[bench.name].command("dbHash")["collections"]
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    assert (result.restored, bench.raw()) == (5_000, planned)
    assert bench.verify(result.restore_id).checked == 5_000
    undone = bench.rollback(result.restore_id)
    assert (undone.reverted, undone.skipped, undone.failed) == (5_000, 0, 0)
    assert bench.raw() == before
    assert bench.client[bench.name].command("dbHash")["collections"] == hashed
    assert bench.verify(result.restore_id).ok
    again = bench.rollback(result.restore_id)
    assert (again.already, again.reverted, bench.raw()) == (True, 0, before)


@pytest.mark.seeded(6)
def test_a_killed_restore_leaves_each_record_old_or_planned(bench: Any, seed: int) -> None:
    before, planned = things(bench, 1_200)
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
    (bench.folder / "source.bson").write_bytes(b"".join(planned))
    size = random.Random(seed).randrange(1, 150_000)
    journal = bench.restores / "any" / "journal.bson"
    kill_when(journal, size, "apply", bench.uri, str(bench.folder), str(plan.path))
    old = {bson.decode(one)["_id"]: one for one in before}
    for record in bench.raw():
        own = bson.decode(record)["_id"]
        assert record in (old.get(own), planned[own])
    assert len({bson.decode(one)["_id"] for one in bench.raw()}) == len(bench.raw())
    (info,) = list_restores(bench.restores)
    if info.state is not State.APPLYING:  # it was quicker than the kill
        assert (info.state, bench.raw()) == (State.DONE, planned)
    if seed % 3 == 0:  # go on with a new plan
        result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
        assert (result.failed, bench.raw()) == (0, planned)
        bench.rollback(result.restore_id)
    elif seed % 3 == 1:  # the rollback is killed too
        kill_when(info.path / "rollback.bson", size // 3 + 1, "rollback", bench.uri, str(bench.folder), info.id)
    undone = bench.rollback(info.id)
    assert (undone.failed, undone.skipped) == (0, 0)
    assert bench.raw() == before


def test_what_others_wrote_since_is_left_alone(bench: Any) -> None:
    before, planned = things(bench, 10)
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    collection = bench.client[bench.name].things
    collection.update_one({"_id": 0}, {"$set": {"v": "theirs"}})
    collection.delete_one({"_id": 1})
    collection.delete_one({"_id": 2})
    collection.update_one({"_id": 3}, {"$set": {"v": "theirs"}})
    assert {one.where for one in bench.verify(result.restore_id).problems} == {f"things/{n}" for n in range(4)}
    undone = bench.rollback(result.restore_id)
    assert (undone.reverted, undone.skipped, undone.unchanged, undone.failed) == (6, 3, 1, 0)
    assert {(one.key, one.reason) for one in undone.errors} == {
        ("0", "changed since the restore, by someone else"),
        ("2", "deleted since the restore, by someone else"),
        ("3", "changed since the restore, by someone else"),
    }
    forced = bench.rollback(result.restore_id, force=True)
    assert (forced.reverted, forced.unchanged) == (3, 7)
    assert bench.raw() == before


def test_what_it_refuses_is_shown_as_it_was_and_as_it_is(bench: Any) -> None:
    bench.put([{"_id": 0, "v": "live"}])
    result = bench.apply(bench.plan([{"_id": n, "v": "planned"} for n in range(2)], on_conflict=OnConflict.REPLACE))
    collection = bench.client[bench.name].things
    collection.update_one({"_id": 0}, {"$set": {"v": "theirs"}})
    collection.update_one({"_id": 1}, {"$set": {"v": "theirs"}})
    undone = bench.rollback(result.restore_id)
    shown = {(one.key, *(text and loads(text)["v"] for text in (one.planned, one.found))) for one in undone.errors}
    assert shown == {
        ("0", "live", "theirs"),
        ("1", "", "theirs"),
    }


class TestACollectionThatIsNotTheOneWrittenTo:
    @pytest.fixture
    def made(self, bench: Any) -> str:
        for name in ("things", "others"):
            bench.put([{"_id": one, "v": "live"} for one in range(3)], name)
        records = [{"_id": one, "v": "planned"} for one in range(3)]
        selected = [*bench.select(records), *bench.select(records, "others")]
        plan = make_plan(selected, bench.plans, database=bench.name, on_conflict=OnConflict.REPLACE)
        return str(bench.apply(plan).restore_id)

    def values(self, bench: Any, collection: str = "things") -> list[str]:
        return [bson.decode(one)["v"] for one in bench.raw(collection)]

    @pytest.mark.parametrize("force", [False, True])
    def test_is_left_alone_and_the_others_are_undone(self, bench: Any, made: str, force: bool) -> None:
        bench.client[bench.name].others.drop()
        undone = bench.rollback(made, force=force)
        assert (undone.reverted, undone.skipped, undone.failed) == (3, 3, 0)
        assert [(one.collection, one.reason) for one in undone.errors] == [
            ("others", "it is gone: its 3 records were left alone")
        ]
        assert (self.values(bench), bench.raw("others")) == (["live"] * 3, [])

    def test_is_not_touched_if_it_was_made_anew(self, bench: Any, made: str) -> None:
        records = bench.raw("others")
        bench.client[bench.name].others.drop()
        bench.put(records, "others")
        undone = bench.rollback(made)
        assert (undone.reverted, undone.skipped) == (3, 3)
        assert undone.errors[0].reason == "it is not that collection: its 3 records were left alone"
        assert (self.values(bench), bench.raw("others")) == (["live"] * 3, records)

    def test_is_in_nobodys_way_where_others_are_chosen(self, bench: Any, made: str) -> None:
        bench.client[bench.name].others.drop()
        undone = bench.rollback(made, keys=lambda collection, key: (collection, key) == ("things", "1"))
        assert (undone.reverted, undone.skipped, undone.errors) == (1, 0, [])
        assert self.values(bench) == ["planned", "live", "planned"]

    def test_is_refused_if_there_is_no_other(self, bench: Any, made: str) -> None:
        for name in ("things", "others"):
            records = bench.raw(name)
            bench.client[bench.name][name].drop()
            bench.put(records, name)
        with pytest.raises(ConflictError, match="is not that collection; nothing was changed"):
            bench.rollback(made)
        assert self.values(bench) == ["planned"] * 3

    def test_is_left_alone_and_a_view_of_it_is_dropped(self, bench: Any) -> None:
        made = bench.apply(bench.plan([{"_id": 1}], structures=VIEW)).restore_id
        bench.client[bench.name].things.drop()
        bench.put([{"_id": 1}])
        undone = bench.rollback(made)
        assert (undone.skipped, undone.dropped, len(bench.raw())) == (1, ["seen"], 1)


class TestAnotherDatabase:
    """One that looks like the database that a restore wrote to, and is not."""

    @pytest.fixture
    def other(self, bench: Any) -> Iterator[str]:
        """A database on the same server with the same view and the same empty collection."""
        name = f"{bench.name}x"
        database = bench.client[name]
        database.command({"create": "seen", "viewOn": "things", "pipeline": []})
        database.create_collection("empty")
        yield name
        bench.client.drop_database(name)

    def there(self, bench: Any, name: str) -> set[str]:
        return set(bench.client[name].list_collection_names()) - {"system.views"}

    @pytest.mark.parametrize("structures", [VIEW, {"empty": ""}, {**VIEW, "empty": ""}], ids=["view", "empty", "both"])
    def test_keeps_what_looks_like_what_was_made(self, bench: Any, other: str, structures: dict[str, str]) -> None:
        made = bench.apply(bench.plan([], structures=structures)).restore_id
        right, bench.uri = bench.uri, bench.uri.replace(bench.name, other)
        with pytest.raises(ConflictError, match=r"wrote to .*nothing was changed.*--db"):
            bench.rollback(made)
        assert self.there(bench, other) == {"seen", "empty"}
        bench.uri = right
        assert set(bench.rollback(made).dropped) == set(structures)
        assert self.there(bench, bench.name) == set()

    @pytest.mark.parametrize("gone", [False, True])
    def test_is_refused_where_the_journal_does_not_tell_what_was_made(self, bench: Any, other: str, gone: bool) -> None:
        """Of a restore that was killed as it made a collection; and of one that made nothing at all."""
        made = bench.apply(bench.plan([], structures={"empty": ""})).restore_id
        cut_before(bench.restores / made / "journal.bson", "created" if gone else "collection")
        list_restores(bench.restores)[0].save(State.INTERRUPTED, {})
        bench.uri = bench.uri.replace(bench.name, other)
        with pytest.raises(ConflictError, match="is another database; nothing was changed"):
            bench.rollback(made)
        assert "empty" in self.there(bench, other)

    def test_of_the_same_name_on_another_server_is_known_by_its_views(self, bench: Any, alone: Any) -> None:
        port, client = alone
        client[bench.name].command({"create": "seen", "viewOn": "things", "pipeline": []})
        made = bench.apply(bench.plan([], structures=VIEW)).restore_id
        bench.uri = f"mongodb://127.0.0.1:{port}/{bench.name}?directConnection=true"
        with pytest.raises(ConflictError, match=r"seen in .* is not that collection; nothing was changed"):
            bench.rollback(made)
        assert "seen" in client[bench.name].list_collection_names()

    def test_of_the_same_name_keeps_what_nothing_tells_apart(self, bench: Any, alone: Any) -> None:
        port, client = alone
        client[bench.name].create_collection("empty")
        made = bench.apply(bench.plan([], structures={"empty": ""})).restore_id
        cut_before(bench.restores / made / "journal.bson", "collection")
        list_restores(bench.restores)[0].save(State.INTERRUPTED, {})
        bench.uri = f"mongodb://127.0.0.1:{port}/{bench.name}?directConnection=true"
        undone = bench.rollback(made)
        assert undone.dropped == []
        assert [note.partition(":")[0] for note in undone.notes] == ["empty was left"]
        assert client[bench.name].list_collection_names() == ["empty"]

    def test_is_the_same_under_another_address(self, bench: Any) -> None:
        made = bench.apply(bench.plan([{"_id": 1}], structures=VIEW)).restore_id
        bench.uri = bench.uri.replace("127.0.0.1", "localhost")
        assert set(bench.rollback(made).dropped) == {"things", "seen"}


class TestALaterRestore:
    def two(self, bench: Any) -> tuple[str, str]:
        bench.put([{"_id": 0, "v": "live"}])
        first = bench.apply(bench.plan([{"_id": one, "v": 1} for one in range(3)], on_conflict=OnConflict.REPLACE))
        records = [{"_id": one, "v": 2} for one in range(1, 4)]
        second = bench.apply(bench.plan(records, on_conflict=OnConflict.REPLACE))
        return first.restore_id, second.restore_id

    def test_is_named_and_is_undone_first(self, bench: Any) -> None:
        first, second = self.two(bench)
        bench.client[bench.name].things.update_one({"_id": 2}, {"$set": {"v": "theirs"}})
        undone = bench.rollback(first)
        assert (undone.reverted, undone.skipped, undone.later) == (1, 2, [second])
        assert {(one.key, one.reason) for one in undone.errors} == {
            ("1", f"changed since by the restore {second}: undo that first"),
            ("2", "changed since the restore, by someone else"),
        }

    def test_that_is_undone_leaves_the_way_free(self, bench: Any) -> None:
        first, second = self.two(bench)
        bench.rollback(first)
        bench.client[bench.name].things.update_one({"_id": 0}, {"$set": {"v": "theirs"}})
        assert bench.rollback(first).skipped == 2
        assert bench.rollback(second).reverted == 3
        last = bench.rollback(first)
        assert (last.reverted, last.unchanged, last.skipped, last.already) == (2, 1, 0, False)
        assert [bson.decode(one) for one in bench.raw()] == [{"_id": 0, "v": "theirs"}]
        assert bench.rollback(first).already

    def test_that_writes_the_same_again_is_not_undone_with_the_first(self, bench: Any) -> None:
        bench.put([{"_id": 0, "v": "live"}])
        records = [{"_id": 0, "v": 1}, {"_id": 1, "v": 1}]
        first = bench.apply(bench.plan(records, on_conflict=OnConflict.REPLACE)).restore_id
        bench.client[bench.name].things.update_one({"_id": 0}, {"$set": {"v": "theirs"}})
        assert bench.rollback(first).skipped == 1
        bench.apply(bench.plan([records[1]]))
        assert (bench.rollback(first).reverted, bench.rollback(first).skipped) == (0, 1)
        assert [bson.decode(one)["v"] for one in bench.raw()] == ["theirs", 1]

    def test_does_not_hide_that_some_are_to_be_undone_by_key(self, bench: Any) -> None:
        first, second = self.two(bench)
        bench.rollback(first)
        bench.rollback(second)
        assert bench.rollback(first, keys=lambda _, key: key == "1").reverted == 1
        assert bench.rollback(first).reverted == 1
        assert [bson.decode(one) for one in bench.raw()] == [{"_id": 0, "v": "live"}]


class TestByKeys:
    def some(self, collection: str, key: str) -> bool:
        return collection == "things" and int(key) % 3 == 0

    def test_only_what_is_chosen_is_undone_and_the_rest_later(self, bench: Any) -> None:
        before, planned = things(bench, 30)
        old = {bson.decode(one)["_id"]: one for one in before}
        made = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE)).restore_id
        undone = bench.rollback(made, keys=self.some)
        assert (undone.reverted, undone.unchanged, undone.partial) == (10, 0, True)
        expected = [old.get(n) if n % 3 == 0 else planned[n] for n in range(30)]
        assert bench.raw() == [one for one in expected if one is not None]
        assert (bench.verify(made).ok, bench.verify(made).checked) == (True, 30)
        (info,) = list_restores(bench.restores)
        assert (info.state, info.counts["restored"]) == (State.DONE, 30)
        rest = bench.rollback(made)
        assert (rest.reverted, rest.unchanged) == (20, 10)
        assert bench.raw() == before
        assert bench.verify(made).ok

    def test_what_is_undone_must_stay_so_and_the_rest_as_planned(self, bench: Any) -> None:
        _, planned = things(bench, 30)
        made = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE)).restore_id
        bench.rollback(made, keys=self.some)
        collection = bench.client[bench.name].things
        collection.update_many({"_id": {"$in": [0, 1]}}, {"$set": {"v": "theirs"}})
        assert {(one.where, one.what.partition(" (")[0]) for one in bench.verify(made).problems} == {
            ("things/0", "changed: not as it was before the restore"),
            ("things/1", "changed since the restore"),
        }

    def test_a_restore_that_did_not_end_is_resumed_without_what_was_undone(self, bench: Any) -> None:
        _, planned = things(bench, 30)
        plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
        stopped = stop_after(bench, plan, 1)
        written = [n for n, one in enumerate(planned) if one in bench.raw() and n % 3 == 0]
        assert bench.rollback(stopped, keys=self.some).reverted == len(written) > 0
        assert list_restores(bench.restores)[0].state is State.INTERRUPTED
        result = resume(bench.restores / stopped, bench.uri, plan=plan, payload=bench.payload)
        assert (result.restored, result.outcomes["skipped"]) == (30 - len(written), {"rolled back": len(written)})
        assert bench.verify(stopped).ok

    def test_no_collection_is_dropped(self, bench: Any) -> None:
        made = bench.apply(bench.plan([{"_id": 0}])).restore_id
        assert (bench.rollback(made, keys=self.some).dropped, bench.raw()) == ([], [])
        assert bench.rollback(made).dropped == ["things"]


def test_views_and_time_series_that_it_made_are_dropped_if_they_hold_nothing(bench: Any) -> None:
    structures = {
        "seen": '{"options": {"viewOn": "things", "pipeline": []}, "indexes": []}',
        "series": '{"options": {"timeseries": {"timeField": "t"}}, "indexes": []}',
        "busy": '{"options": {"timeseries": {"timeField": "t"}}, "indexes": []}',
    }
    database = bench.client[bench.name]
    made = bench.apply(bench.plan([{"_id": 0}], structures=structures)).restore_id
    database.busy.insert_one({"t": datetime(2025, 1, 1, tzinfo=UTC)})
    assert set(bench.rollback(made).dropped) == {"things", "seen", "series"}
    assert database.busy.count_documents({}) == 1


def test_what_cannot_be_dropped_is_left_and_said_and_the_rest_goes(bench: Any) -> None:
    code = bson.encode({"_id": "f", "value": bson.Code("return 1")})
    selected = [*bench.select([{"_id": 1}]), *bench.select([code], "system.js"), *bench.select([{"_id": 1}], "last")]
    made = bench.apply(make_plan(selected, bench.plans, database=bench.name)).restore_id
    undone = bench.rollback(made)
    assert (undone.reverted, undone.failed, set(undone.dropped)) == (3, 0, {"things", "last"})
    (note,) = undone.notes
    assert note.startswith("system.js, which the restore had made, is empty and was left: can't drop system collection")
    assert bench.client[bench.name].list_collection_names() == ["system.js"]
    (info,) = list_restores(bench.restores)
    assert info.state is State.ROLLED_BACK
    assert bench.verify(made).ok
    assert bench.rollback(made).already


def test_every_session_that_may_have_written_is_known(bench: Any) -> None:
    made = bench.apply(bench.plan([{"_id": 0}])).restore_id
    (info,) = list_restores(bench.restores)
    bench.rollback(made)
    (after,) = list_restores(bench.restores)
    assert set(info.sessions) < set(after.sessions)


def test_what_a_rollback_removes_is_kept(bench: Any) -> None:
    _, planned = things(bench, 10)
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    bench.rollback(result.restore_id)
    kept = JournalReader(bench.restores / result.restore_id / "rollback.bson")
    assert sorted(one.before for _, batch in kept.batches() for one in batch) == sorted(planned)


def test_a_rollback_that_cannot_put_all_back_can_be_run_again(bench: Any) -> None:
    before, planned = things(bench, 10)
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    database = bench.client[bench.name]
    database.command("collMod", "things", validator={"_id": {"$ne": 4}})
    assert bench.rollback(result.restore_id).failed == 1
    database.command("collMod", "things", validator={})
    undone = bench.rollback(result.restore_id)
    assert (undone.reverted, undone.failed) == (1, 0)
    assert bench.raw() == before


def test_large_records_are_exchanged_too(bench: Any) -> None:
    size = 16 * 1024 * 1024 - 200
    old, new = bson.encode({"_id": 1, "v": b"o" * size}), bson.encode({"_id": 1, "v": b"n" * size})
    bench.put([old])
    result = bench.apply(bench.plan([new], on_conflict=OnConflict.REPLACE))
    assert (result.restored, bench.raw()) == (1, [new])
    assert bench.rollback(result.restore_id).reverted == 1
    assert bench.raw() == [old]


def test_a_torn_journal_tail_does_not_matter(bench: Any) -> None:
    before, planned = things(bench, 10)
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    path = bench.restores / result.restore_id / "journal.bson"
    path.write_bytes(path.read_bytes()[:-150])  # the end and the outcomes
    assert bench.rollback(result.restore_id).reverted == 10
    assert bench.raw() == before


def test_an_unknown_restore_names_the_known_ones(bench: Any) -> None:
    result = bench.apply(bench.plan([{"_id": 1}]))
    with pytest.raises(BadInputError, match=result.restore_id):
        bench.rollback("r20000101T000000Z-0000")
