from __future__ import annotations

import gzip
import json
import random
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from recovery_nb.audit import AuditLog
from recovery_nb.backups import verify_backup, write_backup
from recovery_nb.backups.manifest import Manifest, load, render
from recovery_nb.checks import verify_target
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
    newer = load(file).model_copy(update={"version": 3})
    file.write_bytes(render(newer))
    with pytest.raises(BadInputError, match=r"newer recovery_nb .its layout is version 3, not 2"):
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


@pytest.mark.parametrize(
    ("name", "records", "vouched"),
    [
        ("mongodump.archive", 1994, True),
        ("mongodump.archive.gz", 1994, True),
        ("mongodump-gzip", 1994, True),
        ("mongodump-gzip/shop", 1994, True),
        ("mongoexport/users.csv", 250, False),
        ("mongoexport/users.canonical.jsonl", 250, False),
        ("backups/app.log", 150, False),
    ],
)
def test_every_format_is_decoded_and_said_to_have_checksums_or_none(
    samples: Path, name: str, records: int, vouched: bool
) -> None:
    verification = verify_backup(samples / name)
    assert (verification.ok, verification.checked) == (True, records)
    assert [note for note in verification.notes if "no checksums" in note] == [*verification.notes]
    assert bool(verification.notes) is not vouched


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_a_dump_within_an_archive_is_verified_as_a_whole_and_by_its_path_into_it(
    samples: Path, tmp_path: Path, ending: str
) -> None:
    packed = tmp_path / f"dump.{ending}"
    shutil.make_archive(str(tmp_path / "dump"), {"tar.gz": "gztar"}.get(ending, ending), samples, "mongodump")
    for path in (packed, packed / "mongodump", packed / "mongodump" / "shop"):
        verification = verify_backup(path)
        assert (verification.ok, verification.checked) == (True, 1994)
        assert bool(verification.notes) is (ending == "tar")
    assert verify_backup(packed / "mongodump" / "shop" / "users.bson").checked == 250
    with pytest.raises(BadInputError, match="does not exist"):
        verify_backup(packed / "nothing")


def test_damage_within_an_archive_is_named_by_its_place_there(samples: Path, tmp_path: Path) -> None:
    damaged = bytearray((samples / "mongodump/shop/users.bson").read_bytes())
    second = int.from_bytes(damaged[:4], "little")
    damaged[second + 4] = 0x55
    with zipfile.ZipFile(tmp_path / "dump.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("old/shop/users.bson", damaged)
        archive.write(samples / "mongoexport/users.csv", "users.csv")
    problems = found(tmp_path / "dump.zip")
    assert [where.split(" at ")[0] for where in problems] == ["old/shop/users.bson"]
    assert verify_backup(tmp_path / "dump.zip").checked >= 250 + 249


def test_a_checksum_that_does_not_hold_is_a_problem(samples: Path, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress((samples / "mongodump/shop/users.bson").read_bytes()))
    packed[-8] ^= 1
    (tmp_path / "users.bson.gz").write_bytes(packed)
    assert found(tmp_path / "users.bson.gz")["users.bson.gz"] == "a checksum does not hold"


def test_a_changed_byte_in_an_archive_of_mongodump_is_found_by_its_checksum(samples: Path, tmp_path: Path) -> None:
    content = (samples / "mongodump.archive").read_bytes()
    at = content.index(b"\x02name\0") + len(b"\x02name\0") + 4
    assert content[at : at + 1].isalpha()
    (tmp_path / "dump.archive").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert "a checksum does not hold" in found(tmp_path / "dump.archive").values()


def test_what_cannot_be_read_beside_what_can_is_a_problem(samples: Path, tmp_path: Path) -> None:
    shutil.copy(samples / "mongoexport/users.csv", tmp_path)
    (tmp_path / "old.sqlite").write_bytes(b"SQLite format 3\0" + bytes(100))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    verification = verify_backup(tmp_path)
    (problem,) = verification.problems
    assert "old.sqlite is an SQLite database" in problem.what
    assert verification.checked == 250
    assert "not looked at: 1" in verification.notes[-1]


def test_what_is_no_source_alone_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(BadInputError, match="holds no format that is known"):
        verify_backup(tmp_path / "picture.png")


def test_a_json_backup_that_was_compressed_is_checked_by_its_checksum(samples: Path, tmp_path: Path) -> None:
    original = (samples / "backups" / "export_spec_v1.json").read_bytes()
    changed = tmp_path / "export.json.gz"
    changed.write_bytes(gzip.compress(original.replace(b"sess-00000", b"sess-99999", 1)))
    assert found(changed) == {"export.json.gz": "its checksum does not fit its collections"}


def test_a_backup_of_ours_in_a_tar_is_said_not_to_be_held_against_its_manifest(backup: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "old.tar", "w") as archive:
        archive.add(backup, backup.name)
    for path in (tmp_path / "old.tar", next(one for one in backup.iterdir() if one.is_dir())):
        verification = verify_backup(path)
        assert verification.ok
        assert any("was not held against its manifest" in note for note in verification.notes)


def test_the_command_takes_a_path_into_an_archive(samples: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "dump"), "gztar", samples, "mongodump"))
    case = tmp_path / "case"
    audit = AuditLog(case / "audit.jsonl")

    def verified(target: Path) -> Verification:
        return verify_target(str(target), case=case, address=str, audit=audit)

    assert verified(packed / "mongodump" / "shop").checked == 1994
    with pytest.raises(BadInputError, match="does not exist"):
        verified(packed / "nothing")
    with pytest.raises(BadInputError, match="is no backup, restore, run or case"):
        verified(tmp_path / "nothing")


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
