"""Copying the oplog of a real server, and what servers say that have none or do not show it."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Timestamp
from pymongo import MongoClient

from recovery_nb.embedded import find_mongod
from recovery_nb.errors import BadInputError, ConnectionFailedError
from recovery_nb.events import Event
from recovery_nb.records.batch import moment
from recovery_nb.records.elements import split
from recovery_nb.sources.content import File
from recovery_nb.sources.mongodb import Database
from recovery_nb.sources.oplog.live import copy_oplog
from recovery_nb.sources.oplog.source import OplogSource

from .conftest import Live, told


@contextmanager
def server(folder: Path, *more: str) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    (folder / "db").mkdir()
    command = [str(find_mongod()), "--dbpath", str(folder / "db"), "--port", str(port), "--bind_ip", "127.0.0.1",
               "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "32", *more]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with MongoClient[Any](port=port, directConnection=True) as client:
            client.admin.command("ping")
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A replica set with users: `root`, and `reader`, who may read every database but the server's own."""
    folder = tmp_path_factory.mktemp("guarded")
    key = folder / "key"
    key.write_text("c2VjcmV0" * 4)
    key.chmod(0o600)
    with server(folder, "--replSet", "rs", "--keyFile", str(key), "--setParameter", "enableTestCommands=1") as port:
        with MongoClient[Any](port=port, directConnection=True) as client:
            members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
            client.admin.command("replSetInitiate", {"_id": "rs", "members": members})
            deadline = time.monotonic() + 30
            while not client.admin.command("hello").get("isWritablePrimary") and time.monotonic() < deadline:
                pass
            client.admin.command("createUser", "root", pwd="r", roles=["root", "__system"])
        with MongoClient[Any](f"mongodb://root:r@127.0.0.1:{port}/?directConnection=true") as client:
            client.admin.command("createUser", "reader", pwd="hush", roles=["readAnyDatabase"])
            client.shop.a.insert_one({"_id": 1})
        yield port


def test_a_copy_holds_the_entries_of_one_database_byte_for_byte(live: Live, tmp_path: Path) -> None:
    live.db.a.insert_many({"_id": number} for number in range(20))
    live.client["test_another"].a.insert_one({"_id": "not ours"})
    with live.client.start_session() as session, session.start_transaction():
        live.db.a.insert_one({"_id": "in"}, session=session)
    events: list[Event] = []
    path = copy_oplog(Database(live.uri), tmp_path / "copies", emit=events.append)
    live.client.drop_database("test_another")
    entries = split(path.read_bytes())
    originals = {entry["ts"]: entry.raw for entry in live.entries()}
    assert [originals[bson.decode(entry)["ts"]] for entry in entries] == entries
    assert b"not ours" not in path.read_bytes()
    assert len(told(OplogSource(File.on_disk(path))).records["a"]) == 21
    assert events[-1].done == len(entries)
    assert path.parent.parent == tmp_path / "copies"
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["manifest.json", "oplog.bson"]


def test_the_manifest_says_what_the_copy_is_and_which_time_it_tells_of(live: Live, tmp_path: Path) -> None:
    live.db.a.insert_one({"_id": 1})
    live.client["test_another"].a.insert_one({"_id": "later"})
    path = live.copy(tmp_path)
    manifest = json.loads((path.parent / "manifest.json").read_text())
    live.client.drop_database("test_another")
    assert (manifest["format"], manifest["database"]) == ("recovery_nb.oplog", live.name)
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest["entries"] == len(split(path.read_bytes()))
    source = OplogSource(File.on_disk(path))
    assert source.database == live.name
    assert source.window == (moment(*manifest["first"]), moment(*manifest["last"]))
    last = bson.decode(split(path.read_bytes())[-1])["ts"]
    assert source.window[1] > moment(last.time, last.inc)


def test_a_standalone_server_has_none(tmp_path: Path) -> None:
    with server(tmp_path) as port:
        database = Database(f"mongodb://127.0.0.1:{port}/shop")
        with pytest.raises(BadInputError, match="standalone server has none; use a backup"):
            copy_oplog(database, tmp_path / "out")
        database.close()
    assert not (tmp_path / "out").exists()


def test_a_user_who_may_not_read_it_is_told_which_role_is_missing(guarded: int, tmp_path: Path) -> None:
    database = Database(f"mongodb://reader:hush@127.0.0.1:{guarded}/shop?authSource=admin&directConnection=true")
    with pytest.raises(
        ConnectionFailedError, match='may not read the oplog; grant it the role read on "local"'
    ) as caught:
        copy_oplog(database, tmp_path)
    database.close()
    assert "hush" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_said(live: Live, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="cannot be written to"):
        live.copy(tmp_path / "file" / "inside")


def test_prepared_transactions_of_a_real_server(guarded: int, tmp_path: Path) -> None:
    uri = f"mongodb://root:r@127.0.0.1:{guarded}/shop?authSource=admin&directConnection=true"
    commits: dict[str, Timestamp] = {}
    with MongoClient[Any](uri) as client:
        for name in ("commitTransaction", "abortTransaction"):
            with client.start_session() as session:
                session.start_transaction()
                client.shop.a.insert_one({"_id": name, "x": 1}, session=session)
                client.shop.a.update_one({"_id": name}, {"$inc": {"x": 1}}, session=session)
                prepared = client.admin.command("prepareTransaction", session=session)["prepareTimestamp"]
                client.shop.b.insert_one({"_id": f"while {name}"})
                when = {"commitTimestamp": prepared} if name == "commitTransaction" else {}
                client.admin.command({name: 1, **when}, session=session)
                commits[name] = prepared
        client.shop.a.update_one({"_id": "commitTransaction"}, {"$inc": {"x": 1}})
    database = Database(uri)
    path = copy_oplog(database, tmp_path)
    database.close()
    versions = [
        (bson.decode(record), at)
        for batch in OplogSource(File.on_disk(path)).read()
        for record, at in zip(batch.records, batch.at or [], strict=True)
        if b"Transaction\x00\x10x" in record
    ]
    stamp = commits["commitTransaction"]
    assert [record["x"] for record, _ in versions] == [2, 3]
    assert versions[0][1] == moment(stamp.time, stamp.inc)
