"""What a backup holds besides documents: all that it takes to make the same database again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import MongoClient

from recovery_nb.backups import verify_backup, write_backup
from recovery_nb.backups.manifest import load
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.errors import ConnectionFailedError
from recovery_nb.events import Event
from recovery_nb.records.batch import RecordBatch
from recovery_nb.records.elements import elements
from recovery_nb.records.extended_json import to_bson
from recovery_nb.sources.content import Folder
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.mongodb import Database

SERVERS = ("system.views", "system.buckets.series")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoClient[Any]]:
    """Another server: what is the same there came from the backup alone."""
    with EmbeddedMongod(tmp_path_factory.mktemp("elsewhere")) as server, MongoClient(server.uri()) as client:
        yield client


def described(store: Any) -> dict[str, tuple[bytes, list[bytes]]]:
    """By collection, its options and its indexes, each to the byte."""
    found = {}
    for entry in store.cursor_command("listCollections", codec_options=DEFAULT_RAW_BSON_OPTIONS):
        fields = {name: value for _, name, value in elements(entry.raw)}
        name = entry["name"]
        if name not in SERVERS:
            listed = [] if entry["type"] == "view" else store.cursor_command(
                "listIndexes", name, codec_options=DEFAULT_RAW_BSON_OPTIONS
            )  # fmt: skip
            found[name] = (fields[b"type"] + fields[b"options"], [index.raw for index in listed])
    return found


def hashes(store: Any) -> dict[str, str]:
    return dict(store.command("dbHash")["collections"])


def made_again(backup: Path, name: str, store: Any) -> None:
    """Make a database of the files of a backup, with nothing else: options, records, indexes, in this order."""
    described = {}
    for path in sorted((backup / name).glob("*.metadata.json")):
        metadata = to_bson(path.read_bytes())
        fields = {field: (kind, value) for kind, field, value in elements(metadata)}
        collection = RawBSONDocument(metadata)["collectionName"]
        described[collection] = [RawBSONDocument(i.raw) for i in RawBSONDocument(metadata)["indexes"]]
        options = RawBSONDocument(fields[b"options"][1]) if b"options" in fields else {}
        if collection != "system.js":
            store.command({"create": collection, **options})
    for part in DumpSource(Folder.on_disk(backup / name)).read():
        assert isinstance(part, RecordBatch)
        store[part.collection].insert_many(map(RawBSONDocument, part.records), bypass_document_validation=True)
    for collection, indexes in described.items():
        if more := [index for index in indexes if index["name"] != "_id_"]:
            store.command({"createIndexes": collection, "indexes": more})


def test_a_database_of_every_kind_comes_back_with_the_same_hashes_options_and_indexes(
    everything: Database, database: Any, elsewhere: MongoClient[Any], tmp_path: Path
) -> None:
    result = write_backup(everything, tmp_path)
    assert verify_backup(result.path).ok
    store, other = database.client[database.name], elsewhere[database.name]
    made_again(result.path, database.name, other)
    try:
        assert described(other) == described(store)
        assert hashes(other) == hashes(store)
        order = [record["_id"] for record in store.ring.find()]
        assert [record["_id"] for record in other.ring.find()] == order
    finally:
        elsewhere.drop_database(database.name)


def test_every_kind_is_named_in_the_manifest(everything: Database, tmp_path: Path) -> None:
    result = write_backup(everything, tmp_path)
    kinds = {name: entry.kind for name, entry in load(result.path / "manifest.json").collections.items()}
    assert kinds == {
        "checked": "collection",
        "clustered": "clustered",
        "empty": "collection",
        "papers.chunks": "collection",
        "papers.files": "collection",
        "ring": "capped",
        "system.buckets.series": "timeseries",
        "system.js": "collection",
    }
    assert result.collections["system.js"] == 1
    assert result.collections["empty"] == 0
    assert (result.path / everything.name / "seen.metadata.json").is_file()


def test_a_time_series_has_the_uuid_by_which_an_oplog_calls_it(
    everything: Database, database: Any, tmp_path: Path
) -> None:
    backup = write_backup(everything, tmp_path).path
    options = DumpSource(Folder.on_disk(backup / everything.name)).header().options
    (buckets,) = database.client[database.name].list_collections(filter={"name": "system.buckets.series"})
    assert options["series"]["uuid"] == bytes(buckets["info"]["uuid"]).hex()


def test_a_capped_collection_is_read_at_one_moment_while_it_evicts(database: Any, tmp_path: Path) -> None:
    store = database.client[database.name]
    store.create_collection("ring", capped=True, size=40_000_000)
    store.users.insert_one({"_id": 1})
    for start in range(0, 30_000, 1_000):
        store.ring.insert_many([{"_id": n, "pad": "x" * 1_000} for n in range(start, start + 1_000)])
    done, written = threading.Event(), [30_000]

    def fill() -> None:
        while not done.is_set():
            store.ring.insert_many([{"_id": n, "pad": "x" * 1_000} for n in range(written[0], written[0] + 500)])
            written[0] += 500

    opened, events = Database(database.uri), list[tuple[Event, int]]()

    def hear(event: Event) -> None:
        events.append((event, written[0]))
        if event.what == "ring" and event.done:
            while written[0] < events[-1][1] + 2_000:  # what is read next has been evicted since
                time.sleep(0.001)  # between looks, until it has

    writer = threading.Thread(target=fill)
    writer.start()
    try:
        result = write_backup(opened, tmp_path, emit=hear)
    finally:
        done.set()
        writer.join()
        opened.close()
    ids = [record["_id"] for record in bson.decode_all((result.path / database.name / "ring.bson").read_bytes())]
    assert ids == list(range(ids[0], ids[0] + len(ids))), "none is missing, and they are in their order"
    during = [count for event, count in events if event.what == "ring"]
    assert ids[-1] < during[0] + 500, "what came after it was begun is not in it"
    assert during[-1] > during[0] + 2_000, "nothing was written meanwhile: the test shows nothing"
    notes = [event.note for event, _ in events if event.note]
    assert notes == ["capped: read at a moment of its own, after that of the others"]
    assert not result.consistent


def test_where_no_transaction_is_allowed_a_capped_collection_is_read_all_the_same(
    everything: Database, database: Any, tmp_path: Path
) -> None:
    opened, notes = Database(f"{database.uri}&readPreference=secondaryPreferred"), list[str]()
    result = write_backup(opened, tmp_path, emit=lambda event: notes.append(event.note))
    opened.close()
    assert "capped: read after the others, and not at one moment" in notes
    assert result.collections["ring"] == database.client[database.name].ring.count_documents({})


def test_a_moment_that_the_server_no_longer_keeps_is_one_line_with_a_way_on(tmp_path: Path) -> None:
    with EmbeddedMongod(tmp_path / "mongod") as server, MongoClient(server.uri("shop")) as client:
        store = client.shop
        store.first.insert_one({"_id": 1})
        store.second.insert_many([{"_id": n, "pad": "x" * 1_000} for n in range(1_000)])
        client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=0)
        opened = Database(server.uri("shop"))

        def write_on(event: Event) -> None:
            if event.what != "first" or event.done:
                return
            until = time.monotonic() + 30
            with opened.snapshot() as kept:
                while time.monotonic() < until:
                    store.second.update_many({}, {"$inc": {"n": 1}})
                    try:
                        list(opened.read("second", kept))
                    except ConnectionFailedError:
                        return

        with pytest.raises(ConnectionFailedError, match="no longer keeps the moment") as caught:
            write_backup(opened, tmp_path / "backups", emit=write_on)
        opened.close()
        assert "minSnapshotHistoryWindowInSeconds" in caught.value.hint
        assert list((tmp_path / "backups").iterdir()) == []


def test_a_file_in_gridfs_that_is_not_whole_is_a_problem(everything: Database, database: Any, tmp_path: Path) -> None:
    database.client[database.name]["papers.chunks"].delete_one({"n": 1})
    backup = write_backup(everything, tmp_path).path
    (problem,) = verify_backup(backup).problems
    assert "the file a.txt" in problem.what
    assert problem.where == f"{everything.name}/papers.files.bson at offset 0"
    only = write_backup(everything, tmp_path, collections=["papers.files"]).path
    assert verify_backup(only).ok, "its chunks were not asked for"


def test_a_database_of_time_series_alone_is_read_at_one_point_in_time(database: Any, tmp_path: Path) -> None:
    store = database.client[database.name]
    store.create_collection("m", timeseries={"timeField": "t"})
    store["m"].insert_one({"t": datetime(2025, 1, 1, tzinfo=UTC), "v": 1})
    with closing(Database(database.uri)) as opened:
        taken = write_backup(opened, tmp_path)
    assert taken.consistent
    assert taken.cluster_time is not None
