from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.headless import RunResult, run_notebook

PASSWORD = "open-Sesame-42"
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
COLLECTIONS = ("conversations", "sessions", "quotes", "users")
MISSING = 120
"""How many conversations were deleted."""


@dataclass(frozen=True)
class Shop:
    """A database that has lost records, and a folder with what is left of them.

    Attributes:
        uri: Its address, with a password.
        records: The database.
        evidence: A dump, a JSON backup without types and a copy of it, a CSV file, and an export that is cut short.
        case: The case's folder.
        before: The time just before the loss, as `--as-of` takes it.
    """

    uri: str
    records: Any
    evidence: Path
    case: Path
    before: str = ""

    def run(self, notebook: str, **parameters: object) -> RunResult:
        return run_notebook(notebook, parameters, out=self.case / "runs", database=self.uri, case=self.case)


def fill(database: Any, dump: Path) -> None:
    """Load a dump."""
    for name in COLLECTIONS:
        records = bson.decode_file_iter((dump / f"{name}.bson").open("rb"), bson.CodecOptions(RawBSONDocument))
        database[name].insert_many(records)


def lose(database: Any) -> None:
    """Delete conversations, drop the quotes, damage a few sessions, and leave a mark in one user's name."""
    first = [record["_id"] for record in database["conversations"].find({}, {"_id": 1}).sort("started_at").skip(200)]
    database["conversations"].delete_many({"_id": {"$in": first[:MISSING]}})
    database["quotes"].drop()
    some = [record["_id"] for record in database["sessions"].find({}, {"_id": 1}).limit(3)]
    database["sessions"].update_many({"_id": {"$in": some}}, {"$set": {"session_note": HOSTILE}})


@pytest.fixture(scope="module")
def shop(mongod: EmbeddedMongod, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    evidence = folder / "evidence"
    dump = evidence / "dump" / "shop"
    dump.mkdir(parents=True)
    for name in COLLECTIONS:
        for path in (samples / "mongodump" / "shop").glob(f"{name}.*"):
            shutil.copy(path, dump)
    backup = samples / "backups" / "backup_20251201_103000.json"
    shutil.copy(backup, evidence)
    (evidence / "again").mkdir()
    (evidence / "again" / f"{backup.name}.gz").write_bytes(gzip.compress(backup.read_bytes()))
    shutil.copy(samples / "mongoexport" / "users.csv", evidence)
    (evidence / "export_cut.json").write_bytes(backup.read_bytes()[:150_000])
    name = f"shop_{folder.name}"
    with MongoClient[Any](mongod.uri()) as client:
        client.admin.command("createUser", name, pwd=PASSWORD, roles=["root"])
        fill(client[name], dump)
        now = client.admin.command("ping")["operationTime"]
        lose(client[name])
        uri = mongod.uri(name).replace("mongodb://", f"mongodb://{name}:{PASSWORD}@") + "&authSource=admin"
        yield Shop(uri, client[name], evidence, folder / "case", f"{now.time}:{now.inc}")
        client.drop_database(name)
        client.admin.command("dropUser", name)
