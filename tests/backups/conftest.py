"""What backups are taken of: the sample shop, loaded raw into a real MongoDB, and a collection of each kind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pyrage
import pytest
from bson import Code, DatetimeMS, Decimal128, Int64, Regex
from bson.raw_bson import RawBSONDocument
from gridfs import GridFSBucket
from pymongo import MongoClient

from recovery_nb.records.batch import RecordBatch
from recovery_nb.sources.content import Folder
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.expanded import Expansion
from recovery_nb.sources.mongodb import Database
from recovery_nb.sources.tree import Tree


def load(client: MongoClient[Any], name: str, dump: Path) -> None:
    """Load a dump as it is: collections with their options and indexes, records byte for byte."""
    source = DumpSource(Folder.on_disk(dump))
    for collection, metadata in source.header().options.items():
        client[name].command({"create": collection, **dict(metadata.get("options") or {})})
        indexes = [index for index in metadata["indexes"] if index["name"] != "_id_"]
        if indexes:
            client[name].command({"createIndexes": collection, "indexes": indexes})
    for batch in source.read():
        assert isinstance(batch, RecordBatch)
        documents = [RawBSONDocument(record) for record in batch.records]
        client[name][batch.collection].insert_many(documents, bypass_document_validation=True)


@pytest.fixture
def shop(database: Any, samples: Path) -> Iterator[Database]:
    load(database.client, database.name, samples / "mongodump" / "shop")
    opened = Database(database.uri)
    yield opened
    opened.close()


@pytest.fixture
def small(database: Any) -> Iterator[Database]:
    """Two collections of a few records."""
    database.client[database.name].quotes.insert_many([{"_id": n, "amount": n * 1.5} for n in range(20)])
    database.client[database.name].users.insert_many([{"_id": bson.ObjectId(), "n": n} for n in range(5)])
    opened = Database(database.uri)
    yield opened
    opened.close()


@pytest.fixture
def everything(database: Any) -> Iterator[Database]:
    """A collection of each kind that a server has, with options and indexes of every BSON type that they can hold."""
    store = database.client[database.name]
    far, wide = DatetimeMS(1 << 60), Int64(5)
    store.create_collection(
        "checked",
        validator={"$or": [{"n": {"$gt": wide}}, {"when": {"$lt": far}}, {"name": Regex("^A", "xi")}, {"r": 1.0}]},
        validationLevel="moderate",
        collation={"locale": "de", "strength": 2},
    )
    partial = {"n": {"$gt": Int64(1)}, "price": {"$lt": Decimal128("9.50")}}
    index = {"name": "odd", "key": {"b": Int64(-1), "a": 1.0}, "unique": True, "partialFilterExpression": partial}
    store.command({"createIndexes": "checked", "indexes": [index]})
    store.checked.insert_many([{"_id": n, "n": Int64(n + 10), "a": n} for n in range(5)])
    store.create_collection("empty", validator={"a": {"$type": "string"}})
    store.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    store.clustered.insert_many([{"_id": n} for n in range(3)])
    store.create_collection("ring", capped=True, size=4096, max=100)
    store.ring.insert_many([{"_id": -n, "n": n} for n in range(120)])
    store.create_collection("series", timeseries={"timeField": "at", "metaField": "who", "granularity": "minutes"})
    start = datetime(2025, 12, 1, tzinfo=UTC)
    store.series.insert_many([{"at": start + timedelta(minutes=n), "who": n % 3, "v": n} for n in range(50)])
    store.create_collection("seen", viewOn="checked", pipeline=[{"$match": {"n": {"$gte": Int64(0)}}}])
    store["system.js"].insert_one({"_id": "twice", "value": Code("function (n) { return 2 * n }")})
    GridFSBucket(store, bucket_name="papers").upload_from_stream("a.txt", b"x" * 700_000)
    opened = Database(database.uri)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a secret key, as `age-keygen` writes it."""
    return key_file(tmp_path_factory.mktemp("keys") / "first.txt")


def key_file(path: Path) -> Path:
    identity = pyrage.x25519.Identity.generate()
    path.write_text(f"# public key: {identity.to_public()}\n{identity}\n")
    return path


def public(path: Path) -> str:
    return path.read_text().split()[3]


def opening(*identities: Path) -> Tree:
    """What opens packed files, and those that are encrypted to these keys."""
    return Tree(Expansion(keys=AgeKeys(identities)))


def command(name: str) -> str:
    """Return where a command is; a test without it is skipped, or fails where `.ci/run` has brought it in."""
    found = shutil.which(name)
    if not found:
        required = os.environ.get("RECOVERY_NB_COMMANDS") == "required"
        (pytest.fail if required else pytest.skip)(f"needs the command {name}")
    return found
