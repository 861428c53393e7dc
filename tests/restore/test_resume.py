"""Going on with a restore: wherever it ended, the planned state is reached, and nothing is written twice."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import bson
import pytest

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.restore import OnConflict, Plan, RestoreResult, State, list_restores, resume
from recovery_nb.restore.journal import JournalReader

from .ends import StopError, kill_when, stop_after, things


def go_on(bench: Any, plan: Plan, restore_id: str = "", **more: Any) -> RestoreResult:
    name = restore_id or list_restores(bench.restores)[-1].id
    return resume(bench.restores / name, bench.uri, **{"plan": plan, "payload": bench.payload, **more})


def cut_journal(bench: Any, restore_id: str, entries: Iterable[str]) -> None:
    """Take from a journal's end on what a kill would have left out: everything from the last entry of these kinds."""
    path = bench.restores / restore_id / "journal.bson"
    data, end, start = path.read_bytes(), 0, 0
    for entry in bson.decode_file_iter(path.open("rb")):
        if entry["t"] in entries:
            end = start
        start += len(bson.encode(entry))
    path.write_bytes(data[:end])


@pytest.mark.parametrize("transaction", ["", "batch"])
def test_an_interrupted_restore_is_finished_and_counted_as_a_whole(bench: Any, transaction: str) -> None:
    before, planned = things(bench, 100)
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE, transaction=transaction)
    stopped = stop_after(bench, plan, 4)
    result = go_on(bench, plan, batch=10)
    assert (result.restore_id, result.planned, result.restored) == (stopped, 100, 100)
    assert (result.success, result.outcomes) == (True, {"inserted": {"": 50}, "replaced": {"": 50}})
    assert bench.raw() == planned
    assert bench.verify(stopped).ok
    undone = bench.rollback(stopped)
    assert (undone.reverted, undone.unchanged, undone.failed) == (100, 0, 0)
    assert bench.raw() == before


def test_it_may_be_interrupted_again_and_again(bench: Any) -> None:
    before, planned = things(bench, 100)
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
    stopped = stop_after(bench, plan, 1)
    interrupted = 0
    while interrupted < 20:
        calls = iter(range(1))

        def payload(rows: Any, calls: Any = calls) -> list[bytes]:
            if next(calls, None) is None:
                raise StopError
            return list(bench.payload(rows))

        try:
            found = go_on(bench, plan, payload=payload, batch=10)
            break
        except StopError:
            interrupted += 1
    assert interrupted
    assert found.restored == 100
    assert bench.raw() == planned
    assert (bench.verify(stopped).ok, bench.verify(stopped).checked) == (True, 100)
    assert bench.rollback(stopped).reverted == 100
    assert bench.raw() == before


def test_what_was_under_way_is_looked_at(bench: Any) -> None:
    before, planned = things(bench, 30)
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE, transaction="batch")  # so that the last one ends last
    done = bench.apply(plan, batch=10).restore_id
    cut_journal(bench, done, ["outcomes"])  # what came of the last batch is not known
    (info,) = list_restores(bench.restores)
    info.save(State.APPLYING, {})
    collection = bench.client[bench.name].things
    collection.update_one({"_id": 21}, {"$set": {"v": "theirs"}})
    collection.delete_one({"_id": 23})  # an insert: as it was before
    result = go_on(bench, plan)
    assert (result.restored, result.skipped, result.failed) == (29, 1, 0)
    assert [one.key for one in result.conflicts] == ["21"]
    assert [bson.decode(one)["v"] for one in bench.raw()].count("theirs") == 1
    assert bench.verify(done).ok
    assert bench.rollback(done).reverted == 29
    assert len(bench.raw()) == len(before) + 1


def test_a_plan_of_one_transaction_is_still_all_or_nothing(bench: Any) -> None:
    before, planned = things(bench, 40)
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE, transaction="plan")

    def payload(rows: Any) -> list[bytes]:
        if rows.seqs[0] >= 20:
            raise StopError
        return list(bench.payload(rows))

    with pytest.raises(StopError):
        bench.apply(plan, payload=payload, batch=10)
    assert bench.raw() == before
    assert go_on(bench, plan, batch=10).restored == 40
    assert bench.raw() == planned


def test_what_the_plan_itself_leaves_is_counted_once(bench: Any) -> None:
    bench.put([{"_id": one, "v": "live"} for one in range(0, 40, 2)])
    plan = bench.plan([{"_id": one, "v": "planned"} for one in range(40)])  # what is there is skipped
    stopped = stop_after(bench, plan, 2, batch=5)
    result = go_on(bench, plan, batch=5)
    assert (result.restored, result.skipped, result.conflicts_total) == (20, 20, 20)
    again = go_on(bench, plan, stopped)
    assert (again.restored, again.skipped, again.planned) == (20, 20, 20)
    assert again.notes == ("the restore had ended before: there was nothing to do",)


def test_missing_collections_get_their_indexes_and_views_at_last(bench: Any) -> None:
    index = '{"v": 2, "key": {"n": 1}, "name": "n", "unique": true}'
    plain = '{"v": 2, "key": {"m": 1}, "name": "m"}'
    structures = {
        "things": f'{{"options": {{}}, "indexes": [{index}, {plain}]}}',
        "seen": '{"options": {"viewOn": "things", "pipeline": []}, "indexes": []}',
        "empty": '{"options": {"capped": true, "size": 4096}, "indexes": []}',
    }
    plan = bench.plan([{"_id": one, "n": one} for one in range(30)], structures=structures)
    stopped = stop_after(bench, plan, 1)
    database = bench.client[bench.name]
    assert "seen" not in database.list_collection_names()
    assert go_on(bench, plan).success
    assert {"n", "m"} <= set(database.things.index_information())
    assert {"seen", "empty", "things"} <= set(database.list_collection_names())
    undone = bench.rollback(stopped)
    assert (undone.reverted, set(undone.dropped)) == (30, {"seen", "empty", "things"})
    assert database.list_collection_names() in ([], ["system.views"])


@pytest.mark.parametrize("end", ["resume", "rollback"])
@pytest.mark.parametrize("name", ["things", "seen"])
def test_a_kill_between_making_a_collection_and_writing_that_down(bench: Any, name: str, end: str) -> None:
    structures = {
        "things": '{"options": {"validator": {"n": {"$gte": {"$numberInt": "0"}}}}, "indexes": []}',
        "seen": '{"options": {"viewOn": "things", "pipeline": []}, "indexes": []}',
    }
    plan = bench.plan([{"_id": 1, "n": 1}], structures=structures)
    made = bench.apply(plan).restore_id
    if name == "things":
        bench.client[bench.name].things.delete_many({})
        bench.client[bench.name].drop_collection("seen")
    path = bench.restores / made / "journal.bson"
    data, place, start = path.read_bytes(), 0, 0
    for entry in bson.decode_file_iter(path.open("rb")):
        if entry["t"] == "collection" and entry["c"] == name:
            place = start
        start += len(bson.encode(entry))
    path.write_bytes(data[:place])
    (info,) = list_restores(bench.restores)
    info.save(State.APPLYING, {})
    if end == "resume":
        assert go_on(bench, plan).restored == 1
        assert set(JournalReader(path).collections) == {"things", "seen"}
    assert "seen" in bench.rollback(made).dropped or name == "things"
    assert set(bench.client[bench.name].list_collection_names()) <= {"system.views"}


def test_an_empty_collection_that_is_not_as_ours_would_be_is_left(bench: Any) -> None:
    plan = bench.plan([{"_id": 1}])
    made = bench.apply(plan).restore_id
    path = bench.restores / made / "journal.bson"
    cut_journal(bench, made, ["collection"])
    bench.client[bench.name].drop_collection("things")
    bench.client[bench.name].create_collection("things", capped=True, size=4096)
    bench.client[bench.name].things.create_index("theirs")
    (info,) = list_restores(bench.restores)
    info.save(State.INTERRUPTED, {})
    assert JournalReader(path).created == ["things"]
    assert bench.rollback(made).dropped == []


def test_a_source_that_has_changed_costs_its_records(bench: Any) -> None:
    _, planned = things(bench, 30)
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)

    def payload(rows: Any) -> list[bytes]:
        if 29 in rows.seqs:
            raise StopError
        return list(bench.payload(rows))

    with pytest.raises(StopError):
        bench.apply(plan, payload=payload, batch=10)
    bench.source["things", 29] = bson.encode({"_id": 29, "v": "another"})
    result = go_on(bench, plan)
    assert (result.restored, result.failed) == (29, 1)
    assert [(one.key, one.reason) for one in result.errors] == [
        ("29", "the source has changed since the plan was made")
    ]


class TestRefused:
    def test_another_plan(self, bench: Any) -> None:
        _, planned = things(bench, 30)
        stopped = stop_after(bench, bench.plan(planned, on_conflict=OnConflict.REPLACE), 1)
        with pytest.raises(BadInputError, match=f"applies the plan .*rollback {stopped}"):
            go_on(bench, bench.plan(planned[:10], on_conflict=OnConflict.REPLACE), stopped)

    def test_what_was_rolled_back(self, bench: Any) -> None:
        _, planned = things(bench, 30)
        plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
        stopped = stop_after(bench, plan, 1)
        bench.rollback(stopped)
        with pytest.raises(ConflictError, match="was rolled back"):
            go_on(bench, plan)

    def test_another_database(self, bench: Any) -> None:
        _, planned = things(bench, 30)
        plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
        stop_after(bench, plan, 1)
        right, bench.uri = bench.uri, bench.uri.replace(bench.name, bench.name + "x")
        bench.client[bench.name + "x"].things.insert_one({"_id": 1})
        try:
            with pytest.raises(ConflictError, match=r"is not that collection; nothing was changed.*--db"):
                go_on(bench, plan)
        finally:
            bench.client.drop_database(bench.name + "x")
        bench.uri = right
        assert go_on(bench, plan).restored == 30

    @pytest.mark.parametrize("begun", [False, True])
    def test_another_database_of_which_no_collection_tells(self, bench: Any, begun: bool) -> None:
        plan = bench.plan([{"_id": 1}])
        made = bench.apply(plan).restore_id
        if begun:
            cut_journal(bench, made, ["collection"])
        else:
            (bench.restores / made / "journal.bson").unlink()
        (info,) = list_restores(bench.restores)
        info.save(State.INTERRUPTED, {})
        bench.uri = bench.uri.replace(bench.name, bench.name + "x")
        with pytest.raises(ConflictError, match="is another database; nothing was changed"):
            go_on(bench, plan)
        assert bench.name + "x" not in bench.client.list_database_names()

    def test_a_journal_that_was_changed(self, bench: Any) -> None:
        _, planned = things(bench, 60)
        plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
        stopped = stop_after(bench, plan, 4)
        path = bench.restores / stopped / "journal.bson"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] + b"!" + whole[len(whole) // 2 + 1 :])
        with pytest.raises(ConflictError, match=f"is damaged from byte .*rollback {stopped}"):
            go_on(bench, plan)
        assert bench.rollback(stopped).failed == 1
        path.write_bytes(whole)
        assert bench.rollback(stopped).failed == 0


@pytest.mark.seeded(3)
def test_a_killed_restore_is_finished(bench: Any, seed: int) -> None:
    before, planned = things(bench, 1_200)
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
    (bench.folder / "source.bson").write_bytes(b"".join(planned))
    journal = bench.restores / "any" / "journal.bson"
    kill_when(journal, random.Random(seed).randrange(1, 150_000), "apply", bench.uri, str(bench.folder), str(plan.path))
    result = go_on(bench, plan)
    assert (result.restored, result.failed, bench.raw()) == (1_200, 0, planned)
    assert bench.verify(result.restore_id).ok
    assert bench.rollback(result.restore_id).reverted == 1_200
    assert bench.raw() == before
