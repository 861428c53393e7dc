"""Faults that a healthy server does not show: lost replies, a standalone server, a user who may only read."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from recovery_nb.embedded import find_mongod
from recovery_nb.errors import BadInputError, ConnectionFailedError
from recovery_nb.restore import OnConflict


def start(folder: Path, *more: str) -> tuple[subprocess.Popen[bytes], int, MongoClient[Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(find_mongod()), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1",
               "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", *more]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client: MongoClient[Any] = MongoClient(port=port, directConnection=True)
    client.admin.command("ping")
    return process, port, client


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, MongoClient[Any]]]:
    """A replica set of one that fails on demand."""
    process, port, client = start(
        tmp_path_factory.mktemp("faulty"), "--replSet", "rs", "--setParameter", "enableTestCommands=1"
    )
    client.admin.command("replSetInitiate", {"_id": "rs", "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]})
    deadline = time.monotonic() + 30
    while not client.admin.command("hello").get("isWritablePrimary") and time.monotonic() < deadline:
        pass
    client.close()
    with MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true") as fresh:
        yield port, fresh
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, MongoClient[Any]]]:
    process, port, client = start(tmp_path_factory.mktemp("alone"))
    yield port, client
    client.close()
    process.kill()
    process.wait()


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
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
    fault = {"failCommands": [command], "closeConnection": True, "appName": "recovery_nb"}
    bench.client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 3}, "data": fault})
    result = bench.apply(plan, transaction=transaction, batch=15)
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
    plan = bench.plan([{"_id": one, "v": 2} for one in range(1, 6)], on_conflict=OnConflict.REPLACE)

    def meddle(writes: Any) -> list[bytes]:
        bench.client[bench.name].things.update_one({"_id": 1}, {"$set": {"v": "theirs"}})
        return bench.payload(writes)

    with pytest.raises(BadInputError, match="standalone"):
        bench.apply(plan, transaction=True)
    result = bench.apply(plan, payload=meddle)
    assert (result.restored, result.skipped, result.failed) == (4, 1, 0)
    undone = bench.rollback(result.restore_id)
    assert (undone.reverted, undone.failed) == (4, 0)
    assert bench.raw()[1:] == before[1:]


def test_a_user_who_may_only_read(bench: Any, tmp_path: Path) -> None:
    process, port, client = start(tmp_path_db(tmp_path), "--auth")
    try:
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
    finally:
        client.close()
        process.kill()
        process.wait()


def tmp_path_db(folder: Path) -> Path:
    (folder / "db").mkdir()
    return folder / "db"
