"""A backup held against the database as it is now: every record that differs is named, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recovery_nb.backups import recipients, verify_backup, write_backup
from recovery_nb.errors import BadInputError, ConnectionFailedError
from recovery_nb.sources.mongodb import Database

from .conftest import opening, public


def told(path: Path, uri: str, **more: Any) -> dict[str, str]:
    verification = verify_backup(path, live=uri, **more)
    assert verification.ok is (not verification.problems)
    return {problem.where: problem.what for problem in verification.problems}


def test_a_database_that_did_not_change_is_the_same(everything: Database, database: Any, tmp_path: Path) -> None:
    backup = write_backup(everything, tmp_path, compression="zstd").path
    verification = verify_backup(backup, live=database.uri)
    assert verification.ok, verification.problems
    assert any(note.startswith("compared with ") for note in verification.notes)


def test_each_record_that_differs_is_named_with_its_file_and_offset(
    small: Database, database: Any, tmp_path: Path, identity: Path
) -> None:
    backup = write_backup(small, tmp_path, compression="zstd", recipients=recipients([public(identity)])).path
    store = database.client[database.name]
    store.quotes.delete_one({"_id": 3})
    store.quotes.update_one({"_id": 5}, {"$set": {"amount": "other"}})
    store.quotes.replace_one({"_id": 6}, {"_id": 6.0, "amount": 9.0})
    store.quotes.insert_one({"_id": "new"})
    each = 30  # bytes of a record
    file = f"{small.name}/quotes.bson.zst.age"
    assert told(backup, database.uri, tree=opening(identity)) == {
        f"{file} at offset {3 * each}": "the database does not have this record (_id 3)",
        f"{file} at offset {5 * each}": "the database has another version of this record (_id 5)",
        f"{file} at offset {6 * each}": "the database has another version of this record (_id 6)",
        "quotes": "the backup does not have a record of the database (_id new)",
    }


def test_options_indexes_and_collections_that_differ_are_named(
    everything: Database, database: Any, tmp_path: Path
) -> None:
    backup = write_backup(everything, tmp_path).path
    store = database.client[database.name]
    store.checked.drop_index("odd")
    store.command({"collMod": "empty", "validator": {"a": {"$type": "int"}}})
    store.clustered.drop()
    store.drop_collection("seen")
    store.later.insert_one({"_id": 1})
    name = everything.name
    assert told(backup, database.uri) == {
        f"{name}/checked.metadata.json": "checked has other indexes in the database",
        f"{name}/empty.metadata.json": "empty has other options in the database",
        f"{name}/clustered.metadata.json": "the database has no such collection or view",
        f"{name}/seen.metadata.json": "the database has no such collection or view",
        f"{name}/clustered.bson": "the database has no clustered, nor any of its 3 records",
    }
    assert "in the database, and not in the backup: later" in verify_backup(backup, live=database.uri).notes


def test_a_thousand_differences_are_listed_and_the_rest_counted(database: Any, tmp_path: Path) -> None:
    store = database.client[database.name]
    store.users.insert_many([{"_id": n} for n in range(2_500)])
    opened = Database(database.uri)
    backup = write_backup(opened, tmp_path).path
    opened.close()
    store.users.delete_many({"_id": {"$gte": 300}})
    verification = verify_backup(backup, live=database.uri)
    assert len(verification.problems) == 1_000
    assert verification.notes[-1] == "1,200 more problems are not listed"


def test_what_has_no_manifest_and_a_server_that_is_not_there_are_one_line(
    small: Database, database: Any, samples: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInputError, match="no backup with a manifest") as caught:
        verify_backup(samples / "mongodump", live=database.uri)
    assert "compare" in caught.value.hint
    with pytest.raises(ConnectionFailedError, match="does not answer"):
        verify_backup(write_backup(small, tmp_path).path, live="mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=100")
