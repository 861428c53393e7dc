"""A backup whose files are not those of its manifest is doubted as a source, collection by collection."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery_nb.backups import doubted, recipients, write_backup
from recovery_nb.backups.doubt import records_files
from recovery_nb.sources.mongodb import Database

from .conftest import public


@pytest.fixture
def backup(small: Database, tmp_path: Path, identity: Path) -> Path:
    return write_backup(small, tmp_path, compression="zstd", recipients=recipients([public(identity)])).path


def reasons(folder: Path) -> dict[str, str]:
    return {name: one.reason for name, one in doubted(folder).items()}


def test_a_backup_as_it_was_written_is_not_doubted(backup: Path, small: Database) -> None:
    assert doubted(backup) == doubted(backup / small.name) == doubted(backup / small.name / "users.bson.zst.age") == {}


def test_swapped_changed_missing_and_additional_files_are_doubted_by_collection(backup: Path, small: Database) -> None:
    folder = backup / small.name
    quotes, users = folder / "quotes.bson.zst.age", folder / "users.bson.zst.age"
    first, second = quotes.read_bytes(), users.read_bytes()
    quotes.write_bytes(second)
    users.write_bytes(first)
    assert all(one.exchanged and one.root == backup for one in doubted(folder).values())
    assert reasons(folder) == {
        "quotes": f"{quotes}: it holds what {small.name}/users.bson.zst.age should",
        "users": f"{users}: it holds what {small.name}/quotes.bson.zst.age should",
    }
    quotes.write_bytes(first)
    users.unlink()
    (folder / "oth%2Fer.bson").write_bytes(b"")
    assert not any(one.exchanged for one in doubted(backup).values())
    assert reasons(backup) == {
        "oth/er": f"{folder / 'oth%2Fer.bson'}: the manifest does not know it",
        "users": f"{users}: it is missing",
    }
    users.write_bytes(second)
    (folder / "oth%2Fer.bson").unlink()
    metadata = folder / "users.metadata.json.age"
    metadata.write_bytes(metadata.read_bytes()[:-1])
    assert list(doubted(backup)) == ["users"]


def test_a_manifest_that_was_changed_leaves_nothing_to_vouch_for_any_file(backup: Path, small: Database) -> None:
    manifest = backup / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"records": 5', b'"records": 6'))
    (name,) = doubted(backup / small.name)
    assert name == ""
    assert "nothing vouches for its files" in doubted(backup)[""].reason


def test_each_file_of_records_is_held_against_the_manifest_and_no_description_is_taken_for_one(
    backup: Path, small: Database
) -> None:
    folder = backup / small.name
    users, metadata = folder / "users.bson.zst.age", folder / "quotes.metadata.json.age"
    users.write_bytes(users.read_bytes()[:-1])
    metadata.write_bytes(metadata.read_bytes()[:-1])
    files = records_files(folder)
    assert files is not None
    assert files == records_files(users)
    cut, whole = files["users.bson"], files["quotes.bson"]
    assert (cut.name, cut.collection) == (f"{small.name}/users.bson.zst.age", "users")
    assert (cut.is_sound(), cut.is_cut(), cut.packed, cut.encrypted) == (False, True, True, True)
    assert (whole.is_sound(), whole.is_cut()) == (True, False)

    users.write_bytes(users.read_bytes() + b"more")
    assert (cut.is_sound(), cut.is_cut()) == (False, False)
    users.unlink()
    users.symlink_to(folder / whole.name)
    assert not cut.is_sound(), "a link leads anywhere"


def test_no_file_is_held_against_a_manifest_that_was_changed(backup: Path, small: Database, samples: Path) -> None:
    (backup / "manifest.json").write_bytes((backup / "manifest.json").read_bytes() + b" ")
    assert records_files(backup / small.name) is None
    assert records_files(samples / "mongodump" / "shop") is None


def test_what_is_no_backup_of_ours_is_not_judged(samples: Path, tmp_path: Path) -> None:
    assert doubted(samples / "mongodump" / "shop") == {}
    (tmp_path / "manifest.json").write_text('{"format": "another"}')
    assert doubted(tmp_path) == {}
    assert doubted(tmp_path / "nowhere") == {}
