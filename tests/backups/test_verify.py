from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from recovery_nb.backups import verify_backup, write_backup
from recovery_nb.backups.manifest import Manifest, load, render
from recovery_nb.errors import BadInputError
from recovery_nb.sources.mongodb import Database
from recovery_nb.verification import Verification

CHANGES = 150


@pytest.fixture
def backup(small: Database, tmp_path: Path) -> Path:
    return write_backup(small, tmp_path).path


def found(path: Path) -> dict[str, str]:
    verification = verify_backup(path)
    assert verification.ok is (not verification.problems)
    told: dict[str, str] = {}
    for problem in verification.problems:
        told.setdefault(problem.where, problem.what)
    return told


def test_every_changed_byte_of_a_backup_is_found(backup: Path) -> None:
    chance = random.Random(20251201)
    files = sorted(file for file in backup.rglob("*") if file.is_file())
    for _ in range(CHANGES):
        file = chance.choice(files)
        content = file.read_bytes()
        at = chance.randrange(len(content))
        changed = (content[at] + chance.randrange(1, 256)) % 256
        file.write_bytes(content[:at] + bytes([changed]) + content[at + 1 :])
        try:
            assert not verify_backup(backup).ok, f"{file.name} at {at}: {content[at]} became {changed}"
        finally:
            file.write_bytes(content)
    assert verify_backup(backup).ok


def test_every_changed_byte_of_the_manifest_is_found(backup: Path) -> None:
    file = backup / "manifest.json"
    content = file.read_bytes()
    for at in range(len(content)):
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert found(backup), f"offset {at}"


def test_missing_extra_swapped_cut_and_linked_files_are_named(backup: Path, small: Database) -> None:
    folder = backup / small.name
    quotes, users = folder / "quotes.bson", folder / "users.bson"
    name = f"{small.name}/quotes.bson"
    original = quotes.read_bytes()

    quotes.unlink()
    assert found(backup) == {name: "it is missing"}
    quotes.write_bytes(original[:-10])
    assert found(backup)[name] == f"it has {len(original) - 10} bytes; {len(original)} were written"
    quotes.write_bytes(original)

    (folder / "other.bson").write_bytes(original)
    assert found(backup) == {f"{small.name}/other.bson": "the manifest does not know it"}
    (folder / "other.bson").unlink()

    quotes.rename(folder / "x")
    users.rename(quotes)
    (folder / "x").rename(users)
    assert found(backup)[name] == f"it holds what {small.name}/users.bson should"
    users.rename(folder / "x")
    quotes.rename(users)
    (folder / "x").rename(quotes)

    elsewhere = backup.parent / "elsewhere.bson"
    quotes.rename(elsewhere)
    quotes.symlink_to(elsewhere)
    assert found(backup) == {name: "it is not a file of its own"}


def test_a_damaged_record_is_named_by_its_offset(backup: Path, small: Database) -> None:
    file = backup / small.name / "users.bson"
    content = bytearray(file.read_bytes())
    second = int.from_bytes(content[:4], "little")
    content[second + 4] = 0x55
    file.write_bytes(content)
    problems = found(backup)
    assert "SHA-256 differs" in problems[f"{small.name}/users.bson"]
    assert problems[f"{small.name}/users.bson at offset {second}"].startswith("a record does not decode")


def test_a_manifest_of_a_newer_version_is_one_clear_line(backup: Path) -> None:
    file = backup / "manifest.json"
    newer = load(file).model_copy(update={"version": 2})
    file.write_bytes(render(newer))
    with pytest.raises(BadInputError, match=r"newer recovery_nb .its layout is version 2, not 1"):
        verify_backup(backup)


def test_a_manifest_survives_being_read_and_written(backup: Path) -> None:
    file = backup / "manifest.json"
    manifest = load(file)
    assert isinstance(manifest, Manifest)
    assert render(manifest) == file.read_bytes()


def test_a_manifest_that_is_none_is_a_problem(backup: Path) -> None:
    for content in (b"", b"[]", b"{}", b"null", b"\xff", b'{"manifest_sha256": 1}', b"[" * 100_000):
        (backup / "manifest.json").write_bytes(content)
        assert list(found(backup)) == [str(backup)]


def test_a_mongodump_folder_is_decoded_and_has_no_checksums(samples: Path, tmp_path: Path) -> None:
    shutil.copytree(samples / "mongodump", tmp_path / "dump")
    for path in (tmp_path / "dump", tmp_path / "dump" / "shop"):
        verification = verify_backup(path)
        assert (verification.ok, verification.checked) == (True, 1994)
        assert "no checksums" in verification.notes[0]
    users = tmp_path / "dump" / "shop" / "users.bson"
    users.write_bytes(users.read_bytes()[:-1])
    (where,) = found(tmp_path / "dump")
    assert where.startswith("shop/users.bson at offset ")


def test_the_specifications_file_is_checked_by_its_checksum(samples: Path, tmp_path: Path) -> None:
    original = samples / "backups" / "export_spec_v1.json"
    verification = verify_backup(original)
    assert (verification.ok, verification.checked) == (True, 120)
    changed = tmp_path / "export.json"
    changed.write_bytes(original.read_bytes().replace(b"sess-00000", b"sess-99999", 1))
    assert found(changed) == {"export.json": "its checksum does not fit its collections"}
    changed.write_bytes(original.read_bytes().replace(b'"total_records": 120', b'"total_records": 121'))
    assert found(changed) == {"export.json": "it states 121 records and holds 120"}


def test_an_older_file_without_a_checksum_is_said_to_have_none(samples: Path) -> None:
    verification = verify_backup(samples / "backups" / "backup_20251201_103000.json")
    assert verification.ok
    assert "no checksums" in verification.notes[0]


def test_what_is_no_backup_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is no backup"):
        verify_backup(tmp_path)
    with pytest.raises(BadInputError, match="does not exist"):
        verify_backup(tmp_path / "nothing")


def test_a_verification_is_plain_data(backup: Path) -> None:
    (backup / "extra").write_text("")
    verification = verify_backup(backup)
    assert isinstance(verification, Verification)
    assert json.loads(json.dumps(verification.as_dict())) == {
        "target": str(backup),
        "ok": False,
        "checked": verification.checked,
        "problems": [{"what": "the manifest does not know it", "where": "extra"}],
        "notes": [],
    }
