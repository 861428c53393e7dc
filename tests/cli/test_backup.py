"""Backups by command line: how they are packed, who can open them, and how a changed one is found out."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pyrage
import pytest
from bson.raw_bson import RawBSONDocument

from recovery_nb import Case

from .conftest import Cli, half_written

SECRET = "the patient's name is Ada"
RECORDS = [bson.encode({"_id": n, "note": f"{SECRET} {n}", "of": -0.0}) for n in range(50)]
ENDINGS = {"zstd": ".bson.zst", "gzip": ".bson.gz", "none": ".bson"}


@pytest.fixture
def users(database: Any) -> Any:
    found = database.client[database.name]["users"]
    found.insert_many([RawBSONDocument(one) for one in RECORDS])
    return found


def taken(cli: Cli) -> Path:
    """Take a backup without the command."""
    with Case.open(cli.case, database=cli.db) as case:
        return case.backup().path


@pytest.mark.parametrize("compression", ENDINGS)
def test_a_backup_is_packed_as_asked_and_holds_every_byte(cli: Cli, users: Any, compression: str) -> None:
    done = cli("backup", "--compression", compression, "--json")

    assert done.code == 0, done.text
    assert (done.json["compression"], done.json["recipients"], done.json["records"]) == (compression, 0, 50)
    (file,) = Path(done.json["path"]).rglob("users.bson*")
    assert file.name == f"users{ENDINGS[compression]}"
    if compression != "zstd":
        stored = file.read_bytes()
        assert (gzip.decompress(stored) if compression == "gzip" else stored) == b"".join(RECORDS)
    with Case.open(cli.case, database=cli.db) as case:
        assert case.compare(done.json["path"]).counts["users"].identical == 50
    assert half_written(cli.case) == []


@pytest.fixture
def identities(tmp_path: Path) -> list[tuple[Path, str]]:
    """Two files with secret keys, and their public keys."""
    found = []
    for name in ("first", "second"):
        key = pyrage.x25519.Identity.generate()
        (tmp_path / name).write_text(f"# a comment\n{key}\n")
        found.append((tmp_path / name, str(key.to_public())))
    return found


def test_an_encrypted_backup_is_opened_by_any_of_its_recipients_and_by_nobody_else(
    cli: Cli, users: Any, content: Callable[[], dict[str, str]], identities: list[tuple[Path, str]]
) -> None:
    original = content()
    (first, first_public), (second, second_public) = identities
    (cli.folder / "colleagues.txt").write_text(f"# who may read it\n\n{second_public}\n")
    done = cli(
        "backup",
        "--age-recipient",
        first_public,
        "--age-recipient",
        "colleagues.txt",
        "--compression",
        "none",
        "--json",
    )
    assert done.code == 0, done.text
    assert done.json["recipients"] == 2
    backup = Path(done.json["path"])
    assert (backup / users.database.name / "users.bson.age").is_file()
    assert not [path for path in backup.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]

    users.delete_many({"_id": {"$lt": 20}})
    cli.refused("compare", backup, says="RECOVERY_NB_AGE_IDENTITIES")
    found = cli("compare", backup, "--json", env={"RECOVERY_NB_AGE_IDENTITIES": str(first)})
    assert found.json["collections"]["users"]["missing"] == 20
    restored = cli("restore", backup, "--yes", "--json", env={"RECOVERY_NB_AGE_IDENTITIES": str(second)})
    assert (restored.code, restored.json["restored"]) == (0, 20)
    assert restored.json["verification"]["ok"]
    assert content() == original
    checked = cli("verify", backup, "--live", "--json", env={"RECOVERY_NB_AGE_IDENTITIES": str(second)})
    assert (checked.code, checked.json["problems"]) == (0, [])


@pytest.mark.parametrize("as_file", [False, True], ids=["as the key itself", "as its file"])
def test_a_secret_key_given_by_mistake_is_repeated_nowhere(
    cli: Cli, users: Any, identities: list[tuple[Path, str]], as_file: bool
) -> None:
    path = identities[0][0]
    secret = path.read_text().split()[-1]
    done = cli.refused("backup", "--age-recipient", str(path) if as_file else secret, says="is a secret key")

    assert secret not in done.text
    holding = [file for file in cli.folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
    assert holding == [path]


def test_a_live_verification_tells_whether_the_database_is_still_as_it_was_backed_up(cli: Cli, users: Any) -> None:
    backup = taken(cli)
    clean = cli("verify", backup, "--live", "--json")
    assert (clean.code, clean.json["ok"], clean.json["problems"]) == (0, True, [])

    users.delete_one({"_id": 1})
    users.update_one({"_id": 2}, {"$set": {"of": 0.0}})  # it was -0.0: only the bytes differ
    users.insert_one({"_id": "new"})
    found = cli("verify", backup, "--live", "--json")
    assert (found.code, found.json["ok"]) == (1, False)
    told = sorted(one["what"] for one in found.json["problems"])
    assert told == [
        "the backup does not have a record of the database (_id new)",
        "the database does not have this record (_id 1)",
        "the database has another version of this record (_id 2)",
    ]


def test_a_backup_with_a_file_of_another_one_is_not_trusted_in_silence(cli: Cli, users: Any) -> None:
    older = taken(cli)
    users.update_one({"_id": 3}, {"$set": {"note": "corrected"}})
    newer = taken(cli)
    users.delete_many({})
    swapped = newer / users.database.name / "users.bson.zst"
    swapped.write_bytes((older / users.database.name / "users.bson.zst").read_bytes())

    scanned = cli("scan", newer, "--json")
    assert scanned.code == 1
    (error,) = scanned.json["summary"]["errors"]
    assert "not as it was backed up" in error
    assert str(swapped) in error
    assert error.endswith(f"verify {newer}")
    done = cli("restore", newer, "--yes", "--json")
    assert (done.code, done.json["restored"], done.json["skipped"]) == (1, 0, 50), "held until they are named"
    assert [str(swapped) in line for line in done.json["unread"]] == [True]
    checked = cli("verify", newer, "--json")
    assert checked.code == 1
    assert any("users.bson.zst" in one["where"] for one in checked.json["problems"])


def test_what_json_does_not_keep_is_said_by_the_backup_and_by_the_restore(cli: Cli, users: Any) -> None:
    users.create_index("note", unique=True)
    done = cli("backup", "--format", "json", "--json")
    assert done.code == 0, done.text
    (note,) = done.json["notes"]
    assert "users" in note
    assert "index" in note

    users.drop()
    restored = cli("restore", done.json["path"], "--yes", "--json")
    assert restored.json["restored"] == 50
    assert any("no indexes or options" in one and "users" in one for one in restored.json["notes"])
