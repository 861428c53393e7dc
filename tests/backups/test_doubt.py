"""A backup whose files are not those of its manifest is doubted as a source, collection by collection."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from recovery_nb.backups import Compression, doubted, recipients, verify_backup, write_backup
from recovery_nb.backups.doubt import records_files
from recovery_nb.backups.manifest import load, render
from recovery_nb.errors import BadInputError
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


def test_a_manifest_that_was_changed_says_nothing_of_any_file(backup: Path, small: Database, samples: Path) -> None:
    (backup / "manifest.json").write_bytes((backup / "manifest.json").read_bytes() + b" ")
    with pytest.raises(BadInputError, match="is not as it was written"):
        records_files(backup / small.name)
    assert records_files(samples / "mongodump" / "shop") is None


def test_a_manifest_of_a_newer_version_vouches_for_nothing_that_this_one_can_check(backup: Path) -> None:
    file = backup / "manifest.json"
    file.write_bytes(render(load(file).model_copy(update={"version": 9})))
    assert "a newer recovery_nb" in doubted(backup)[""].reason
    with pytest.raises(BadInputError, match="a newer recovery_nb"):
        records_files(backup)


BROKEN = (b"", b"{", b"{}", b"[]", b"null", b"\0" * 5000, b"\xff\xfe", b"[" * 100_000, b'{"name": "x"}')


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
def test_where_nothing_is_left_of_a_manifest_its_dump_still_says_that_it_had_one(
    small: Database, tmp_path: Path, compression: Compression
) -> None:
    folder = write_backup(small, tmp_path, compression=compression).path
    users = next((folder / small.name).glob("users.bson*"))
    for content in BROKEN:
        (folder / "manifest.json").write_bytes(content)
        for place in (folder, folder / small.name, users):
            assert "nothing vouches for its files" in doubted(place)[""].reason, content[:20]
            with pytest.raises(BadInputError):
                records_files(place)
        assert not verify_backup(folder).ok
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("nowhere")
    assert list(doubted(folder)) == [""]


def test_an_encrypted_dump_says_so_to_who_has_no_key(backup: Path, small: Database) -> None:
    (backup / "manifest.json").write_bytes(b"")
    assert list(doubted(backup / small.name)) == [""]


def test_a_manifest_cut_anywhere_is_doubted_with_or_without_what_the_dump_says(small: Database, tmp_path: Path) -> None:
    folder = write_backup(small, tmp_path).path
    whole = (folder / "manifest.json").read_bytes()
    for end in range(0, len(whole), 97):
        (folder / "manifest.json").write_bytes(whole[:end])
        assert list(doubted(folder / small.name)) == [""], end
    (folder / small.name / "prelude.json").unlink()
    (folder / "manifest.json").write_bytes(whole.replace(b"recovery_nb.backup", b"another"))
    assert list(doubted(folder / small.name)) == [""]


@pytest.mark.parametrize("dump", ["mongodump", "mongodump-gzip"])
def test_another_program_s_manifest_beside_a_dump_of_mongodump_is_not_about_it(
    samples: Path, tmp_path: Path, dump: str
) -> None:
    shutil.copytree(samples / dump, tmp_path / "dump")
    for place in (tmp_path / "dump", tmp_path / "dump" / "shop"):
        for content in (*BROKEN, b'{"manifest_version": 3, "version": "1", "files": [], "format": "crx"}'):
            (place / "manifest.json").write_bytes(content)
            assert doubted(tmp_path / "dump" / "shop") == {}
            assert doubted(tmp_path / "dump" / "shop" / "users.bson") == {}
            assert records_files(tmp_path / "dump" / "shop") is None
    assert verify_backup(tmp_path / "dump" / "shop").ok
    assert verify_backup(tmp_path / "dump").checked == 1994


def test_what_is_no_backup_of_ours_is_not_judged(samples: Path, tmp_path: Path) -> None:
    assert doubted(samples / "mongodump" / "shop") == {}
    (tmp_path / "manifest.json").write_text('{"format": "another"}')
    assert doubted(tmp_path) == {}
    assert doubted(tmp_path / "nowhere") == {}
