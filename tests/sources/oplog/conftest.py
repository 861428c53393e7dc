from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.records.elements import split
from recovery_nb.records.keys import key_of
from recovery_nb.sources.content import File
from recovery_nb.sources.mongodb import Database
from recovery_nb.sources.oplog.live import copy_oplog
from recovery_nb.sources.oplog.source import OplogSource

RAW = bson.CodecOptions(RawBSONDocument)
Records = dict[str, dict[bytes, bytes]]
"""By collection and key, a record's bytes."""


@dataclass(frozen=True, slots=True)
class Live:
    """A database of a real replica set."""

    uri: str
    name: str
    client: MongoClient[dict[str, Any]]

    @property
    def db(self) -> Any:
        return self.client[self.name]

    def now(self) -> Timestamp:
        return self.client.admin.command("hello")["lastWrite"]["opTime"]["ts"]

    def stored(self) -> Records:
        """What the server stores now, byte for byte."""
        names = self.db.list_collection_names(filter={"type": "collection"})
        found: Records = {}
        for name in names:
            if not name.startswith("system.") or name.startswith("system.buckets."):
                batches = self.db[name].find_raw_batches({})
                found[name] = {key_of(record) or b"": record for batch in batches for record in split(batch)}
        return found

    def stored_at(self, time: Timestamp) -> Records:
        """What the server stored at a time, of collections that are there now as they were then."""
        found = self.stored()
        for name in found:
            if "capped" not in self.db[name].options():
                concern = {"level": "snapshot", "atClusterTime": time}
                command = {"find": name, "batchSize": 1_000_000, "readConcern": concern}
                batch = self.db.command(command, codec_options=RAW)["cursor"]["firstBatch"]
                found[name] = {key_of(record.raw) or b"": record.raw for record in batch}
        return found

    def entries(self, **query: Any) -> list[RawBSONDocument]:
        return list(self.client.local.get_collection("oplog.rs", codec_options=RAW).find(query))

    def copy(self, folder: Path) -> Path:
        database = Database(self.uri)
        try:
            return copy_oplog(database, folder)
        finally:
            database.close()


@pytest.fixture
def live(database: Any) -> Live:
    return Live(database.uri, database.name, database.client)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., OplogSource]:
    """Writes entries, given as documents or bytes, to a file and opens it."""

    def write(*entries: Any, database: str = "shop", name: str = "oplog.bson") -> OplogSource:
        path = tmp_path / name
        path.write_bytes(b"".join(entry if isinstance(entry, bytes) else bson.encode(entry) for entry in entries))
        return OplogSource(File.on_disk(path), database)

    return write


@dataclass(frozen=True, slots=True)
class Told:
    """What a source told."""

    records: Records
    at: dict[tuple[str, bytes], int]
    versions: int
    damages: list[Damage]


def told(source: OplogSource) -> Told:
    """Read a source: of each record its newest version."""
    result = Told({}, {}, 0, [])
    versions = 0
    for item in source.read():
        if isinstance(item, Damage):
            result.damages.append(item)
            continue
        assert isinstance(item, RecordBatch)
        assert item.at is not None
        for record, at in zip(item.records, item.at, strict=True):
            versions += 1
            key = key_of(record) or b""
            if at > result.at.get((item.collection, key), -1):
                result.at[item.collection, key] = at
                result.records.setdefault(item.collection, {})[key] = record
    return Told(result.records, result.at, versions, result.damages)
