"""The sample shop, loaded raw into a real MongoDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.records.batch import RecordBatch
from recovery_nb.sources.content import Folder
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.mongodb import Database


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
