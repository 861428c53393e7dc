"""Faults that a healthy server does not show: lost replies, step-downs, standalone servers, users who may only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from recovery_nb.errors import BadInputError, ConnectionFailedError
from recovery_nb.records.elements import id_element
from recovery_nb.restore import OnConflict
from recovery_nb.restore.exchange import Change, Outcome, Verdict, exchange, exchange_all, exchange_whole
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.target import Target

from .servers import replica_set, server, until_primary

DONE = Verdict(Outcome.DONE)


@pytest.fixture(scope="module")
def _faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, MongoClient[Any]]]:
    with replica_set(tmp_path_factory.mktemp("faulty"), "--setParameter", "enableTestCommands=1") as running:
        yield running


@pytest.fixture
def faulty(_faulty: tuple[int, MongoClient[Any]]) -> Iterator[tuple[int, MongoClient[Any]]]:
    """A replica set of one that fails on demand."""
    yield _faulty
    _faulty[1].admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, MongoClient[Any]]]:
    with server(tmp_path_factory.mktemp("alone")) as running:
        yield running


def move(bench: Any, server: tuple[int, MongoClient[Any]]) -> None:
    port, bench.client = server
    bench.uri = f"mongodb://127.0.0.1:{port}/{bench.name}?directConnection=true"


@pytest.mark.parametrize("transaction", [False, True])
@pytest.mark.parametrize("command", ["insert", "update", "commitTransaction", "find"])
def test_a_lost_reply_is_resolved_by_looking(bench: Any, faulty: Any, command: str, transaction: bool) -> None:
    move(bench, faulty)
    bench.put([{"_id": one, "v": "live"} for one in range(0, 40, 2)])
    before = bench.raw()
    planned = [bson.encode({"_id": one, "v": "planned"}) for one in range(40)]
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE, transaction="batch" if transaction else "")
    fault = {"failCommands": [command], "closeConnection": True, "appName": "recovery_nb"}
    bench.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 3}, "data": fault})
    result = bench.apply(plan, batch=15)
    assert (result.restored, result.skipped, result.failed) == (40, 0, 0)
    assert bench.raw() == planned
    assert bench.rollback(result.restore_id).reverted == 40
    assert bench.raw() == before


def test_a_write_that_no_majority_confirms_is_counted_and_reported(bench: Any, faulty: Any) -> None:
    move(bench, faulty)
    plan = bench.plan([{"_id": one} for one in range(5)])
    fault = {"failCommands": ["insert"], "appName": "recovery_nb",
             "writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}}  # fmt: skip
    bench.put([{"_id": "so that it exists"}])
    bench.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": fault})
    result = bench.apply(plan)
    assert (result.restored, result.failed, result.success) == (5, 0, False)
    assert "not confirmed by a majority" in result.errors[0].reason


def test_a_standalone_server(bench: Any, alone: Any) -> None:
    move(bench, alone)
    bench.put([{"_id": 1, "v": 1}, {"_id": 2, "v": 1}, {"_id": 3, "v": 1}])
    before = bench.raw()
    planned = [{"_id": one, "v": 2} for one in range(1, 6)]
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)

    def meddle(writes: Any) -> list[bytes]:
        bench.client[bench.name].things.update_one({"_id": 1}, {"$set": {"v": "theirs"}})
        return bench.payload(writes)

    with pytest.raises(BadInputError, match="standalone"):
        bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE, transaction="batch"))
    result = bench.apply(plan, payload=meddle)
    assert (result.restored, result.skipped, result.failed) == (4, 1, 0)
    undone = bench.rollback(result.restore_id)
    assert (undone.reverted, undone.failed) == (4, 0)
    assert bench.raw()[1:] == before[1:]


def test_a_user_who_may_only_read(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with server(tmp_path / "db", "--auth") as (port, client):
        client.admin.command("createUser", "root", pwd="r", roles=["root"])
        with MongoClient(f"mongodb://root:r@127.0.0.1:{port}/") as admin:
            admin.admin.command("createUser", "reader", pwd="hush", roles=["readAnyDatabase"])
            admin[bench.name].things.insert_one({"_id": 0})
        plan = bench.plan([{"_id": 1}])
        bench.uri = f"mongodb://reader:hush@127.0.0.1:{port}/{bench.name}?authSource=admin"
        with pytest.raises(ConnectionFailedError, match="not allowed") as caught:
            bench.apply(plan)
        assert "hush" not in str(caught.value)
        assert not isinstance(caught.value, PyMongoError)


def mixed(bench: Any) -> tuple[list[Change], list[bytes]]:
    """Ten records of which five are there, and what they are to become."""
    bench.put([{"_id": own, "v": "live"} for own in range(0, 10, 2)])
    there = {id_element(record): fingerprint(record) for record in bench.raw()}
    wanted = [bson.encode({"_id": own, "v": "planned"}) for own in range(10)]
    return [Change(own, there.get(own), one) for one in wanted if (own := id_element(one))], wanted


def test_a_lost_reply_to_the_making_of_a_collection(bench: Any, faulty: Any) -> None:
    move(bench, faulty)
    index = '{"v": 2, "key": {"a": 1}, "name": "a", "unique": true}'
    text = f'{{"options": {{"capped": true, "size": 4096}}, "indexes": [{index}]}}'
    fault = {"failCommands": ["create", "createIndexes"], "closeConnection": True, "appName": "recovery_nb"}
    for times in (1, 3):
        with Target(bench.uri) as target:
            bench.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": times}, "data": fault})
            assert target.create(f"after {times}", text)
            assert target.build_indexes(f"after {times}", text, unique=True) == []
        assert "a" in bench.client[bench.name][f"after {times}"].index_information()


class TestAPrimaryThatStepsDown:
    @pytest.mark.parametrize("send", [exchange, exchange_whole])
    def test_and_comes_back(self, bench: Any, faulty: Any, send: Any) -> None:
        move(bench, faulty)
        changes, wanted = mixed(bench)
        with Target(bench.uri) as target:
            bench.client.admin.command({"replSetStepDown": 1, "force": True})
            assert send(target, "things", changes) == [DONE] * 10
        assert bench.raw() == wanted

    @pytest.mark.parametrize("send", [exchange, exchange_whole])
    def test_and_stays_down(self, bench: Any, faulty: Any, send: Any) -> None:
        move(bench, faulty)
        changes, _ = mixed(bench)
        before = bench.raw()
        with Target(bench.uri, patience=0.5) as target:
            bench.client.admin.command({"replSetStepDown": 60, "force": True})
            with pytest.raises(ConnectionFailedError, match="no longer the primary") as caught:
                send(target, "things", changes)
            assert "replicaSet=" in caught.value.hint
            bench.client.admin.command({"replSetFreeze": 0})
            until_primary(bench.client)
        assert bench.raw() == before

    @pytest.mark.parametrize("code", [91, 189, 11602])
    def test_after_it_has_written(self, bench: Any, faulty: Any, code: int) -> None:
        """What it had written may be taken back, so what is there now decides."""
        move(bench, faulty)
        changes, wanted = mixed(bench)
        fault = {"failCommands": ["insert", "update"], "appName": "recovery_nb",
                 "writeConcernError": {"code": code, "errmsg": "stepped down"}}  # fmt: skip
        with Target(bench.uri) as target:
            bench.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 3}, "data": fault})
            assert exchange(target, "things", changes) == [DONE] * 10
        assert bench.raw() == wanted


class TestATransactionThatTheServerEnds:
    @pytest.mark.parametrize("code", [388, 257, 290, 225, 251])
    def test_as_too_much_has_written_nothing(self, bench: Any, faulty: Any, code: int) -> None:
        move(bench, faulty)
        changes, _ = mixed(bench)
        before = bench.raw()
        fault = {"failCommands": ["update"], "appName": "recovery_nb", "errorCode": code}
        with Target(bench.uri) as target:
            bench.client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": fault})
            with pytest.raises(BadInputError, match="more than the server takes in one transaction") as caught:
                exchange_all(target, [("things", changes)])
        assert "--transaction" in caught.value.hint
        assert bench.raw() == before

    def test_for_another_writer_is_sent_again(self, bench: Any, faulty: Any) -> None:
        move(bench, faulty)
        changes, wanted = mixed(bench)
        fault = {"failCommands": ["update"], "appName": "recovery_nb", "errorCode": 112}
        with Target(bench.uri) as target:
            bench.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 2}, "data": fault})
            assert exchange_all(target, [("things", changes)]) == [[DONE] * 10]
        assert bench.raw() == wanted

    def test_and_whose_commit_gets_no_reply_is_looked_for(self, bench: Any, faulty: Any) -> None:
        move(bench, faulty)
        changes, wanted = mixed(bench)
        fault = {"failCommands": ["commitTransaction"], "closeConnection": True, "appName": "recovery_nb"}
        with Target(bench.uri) as target:
            bench.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 3}, "data": fault})
            assert exchange_all(target, [("things", changes)]) == [[DONE] * 10]
        assert bench.raw() == wanted

    def test_of_a_record_that_is_held_by_another(self, bench: Any, faulty: Any) -> None:
        move(bench, faulty)
        changes, wanted = mixed(bench)
        with Target(bench.uri) as target, bench.client.start_session() as theirs:
            theirs.start_transaction()
            bench.client[bench.name].things.update_one({"_id": 4}, {"$set": {"v": "theirs"}}, session=theirs)
            verdicts = exchange(target, "things", changes)
            theirs.abort_transaction()
        assert verdicts[4] == Verdict(Outcome.SKIPPED, "being written by someone else")
        assert verdicts[:4] + verdicts[5:] == [DONE] * 9
        assert bench.raw() == [*wanted[:4], bson.encode({"_id": 4, "v": "live"}), *wanted[5:]]
