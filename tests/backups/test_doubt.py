"""A backup whose files are not those of its manifest is doubted as a source, collection by collection."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery_nb.backups import doubted, recipients, write_backup
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


def test_what_is_no_backup_of_ours_is_not_judged(samples: Path, tmp_path: Path) -> None:
    assert doubted(samples / "mongodump" / "shop") == {}
    (tmp_path / "manifest.json").write_text('{"format": "another"}')
    assert doubted(tmp_path) == {}
    assert doubted(tmp_path / "nowhere") == {}
