"""Packed and encrypted backups: every source reads them, verify sees into them, other programs do too."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from recovery_nb.backups import recipients, verify_backup, write_backup
from recovery_nb.backups.manifest import load, render
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.records.batch import RecordBatch, Ref
from recovery_nb.sources.base import Kind
from recovery_nb.sources.discover import find_sources, open_source
from recovery_nb.sources.mongodb import Database

from .conftest import command, key_file, opening, public

CHANGES = 60
WAYS = [("none", False), ("zstd", False), ("gzip", False), ("none", True), ("zstd", True), ("gzip", True)]
ENDINGS = {"none": "", "zstd": ".zst", "gzip": ".gz"}


def take(database: Database, folder: Path, compression: Any, key: Path | None, **more: Any) -> Path:
    to = recipients([public(key)]) if key else []
    return write_backup(database, folder, compression=compression, recipients=to, **more).path


def tampered(backup: Path, chance: random.Random) -> tuple[Path, bytes]:
    """Change one byte of a file, and return the file and what it held."""
    file = chance.choice(sorted(file for file in backup.rglob("*") if file.is_file() and file.stat().st_size))
    content = file.read_bytes()
    at = chance.randrange(len(content))
    changed = (content[at] + chance.randrange(1, 256)) % 256
    file.write_bytes(content[:at] + bytes([changed]) + content[at + 1 :])
    return file, content


@pytest.mark.parametrize(("compression", "encrypted"), WAYS)
def test_every_way_holds_the_records_byte_for_byte(
    shop: Database, samples: Path, tmp_path: Path, identity: Path, compression: str, encrypted: bool
) -> None:
    backup = take(shop, tmp_path, compression, identity if encrypted else None)
    ending, small = ENDINGS[compression], ".gz" if compression == "gzip" else ""
    last = ".age" if encrypted else ""
    names = {file.name for file in (backup / shop.name).iterdir()}
    assert {f"users.bson{ending}{last}", f"users.metadata.json{small}{last}", f"prelude.json{small}{last}"} < names
    assert (backup / "manifest.json").is_file()

    tree = opening(identity)
    found = find_sources([backup], tree=tree)
    (source,) = found.sources
    assert not found.errors
    records: dict[str, bytes] = {}
    for part in source.read():
        assert isinstance(part, RecordBatch), part
        records[part.collection] = records.get(part.collection, b"") + b"".join(part.records)
        again = source.fetch([Ref(part.member, part.offsets[-1], part.lengths[-1])])
        assert next(iter(again)) == part.records[-1]
    dump = samples / "mongodump" / "shop"
    assert records == {file.name.removesuffix(".bson"): file.read_bytes() for file in dump.glob("*.bson")}
    assert set(source.header().options) == {file.name.split(".metadata")[0] for file in dump.glob("*.metadata.json")}
    assert source.header().taken_from == "manifest"
    verification = verify_backup(backup, tree=tree)
    assert verification.ok
    assert verification.checked > 1_994


@pytest.mark.parametrize(("compression", "encrypted"), WAYS)
def test_every_changed_byte_is_found(
    small: Database, tmp_path: Path, identity: Path, compression: str, encrypted: bool
) -> None:
    backup = take(small, tmp_path, compression, identity if encrypted else None)
    chance, tree = random.Random(f"{compression}, {encrypted}"), opening(identity)
    for _ in range(CHANGES):
        file, content = tampered(backup, chance)
        verification = verify_backup(backup, tree=tree)
        file.write_bytes(content)
        assert verification.problems, file
    assert verify_backup(backup, tree=opening(identity)).ok


def test_a_json_backup_is_packed_as_a_whole(small: Database, tmp_path: Path, identity: Path) -> None:
    plain = take(small, tmp_path, "none", None, layout="json", prefix="plain")
    backup = take(small, tmp_path, "zstd", identity, layout="json")
    assert backup.name.endswith(".json.zst.age")
    assert open_source(backup, opening(identity)).kind is Kind.JSON
    assert verify_backup(backup, tree=opening(identity)).checked == verify_backup(plain).checked == 25


def test_the_age_and_zstd_commands_give_what_a_plain_backup_holds(
    small: Database, tmp_path: Path, identity: Path
) -> None:
    age, zstd = command("age"), command("zstd")
    plain, backup = take(small, tmp_path, "none", None), take(small, tmp_path, "zstd", identity)
    unpack = f"{age} -d -i {identity} {backup}/{small.name}/users.bson.zst.age | {zstd} -dc"
    done = subprocess.run(["sh", "-c", unpack], capture_output=True, check=True)
    assert done.stdout == (plain / small.name / "users.bson").read_bytes()


def test_under_gzip_the_folder_is_as_mongodump_writes_it(shop: Database, samples: Path, tmp_path: Path) -> None:
    backup = take(shop, tmp_path, "gzip", None)
    theirs, ours = samples / "mongodump-gzip" / "shop", backup / shop.name
    assert {file.name for file in ours.iterdir()} == {file.name for file in theirs.iterdir()}
    for file in theirs.glob("*.bson.gz"):
        assert gzip.decompress((ours / file.name).read_bytes()) == gzip.decompress(file.read_bytes())
    for file in ours.glob("*.json.gz"):
        json.loads(gzip.decompress(file.read_bytes()))


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_mongorestore_restores_it(small: Database, database: Any, tmp_path: Path, compression: str) -> None:
    command = shutil.which("mongorestore")
    if not command:
        pytest.skip("needs mongorestore, which no registry of packages here has")
    backup = take(small, tmp_path, compression, None)
    other = f"{database.name}_back"
    try:
        options = ["--gzip"] if compression == "gzip" else []
        names = [f"--nsFrom={database.name}.*", f"--nsTo={other}.*", f"--nsInclude={database.name}.*"]
        subprocess.run([command, f"--uri={database.uri}", *options, *names, str(backup)], check=True)
        theirs = database.client[other]
        for name in ("users", "quotes"):
            assert list(theirs[name].find()) == list(database.client[database.name][name].find())
    finally:
        database.client.drop_database(other)


def test_the_manifest_of_an_encrypted_backup_tells_nothing_of_its_content(
    small: Database, tmp_path: Path, identity: Path
) -> None:
    plain, backup = take(small, tmp_path, "none", None), take(small, tmp_path, "none", identity)
    hashes = {entry.sha256 for entry in load(plain / "manifest.json").files.values()}
    manifest = load(backup / "manifest.json")
    assert (manifest.version, manifest.encryption, manifest.recipients, manifest.compression) == (2, "age", 1, "none")
    assert not any(known in (backup / "manifest.json").read_text() for known in hashes)
    assert public(identity) not in (backup / "manifest.json").read_text()


def test_the_wrong_key_and_no_key_are_one_line_with_the_number_of_recipients(
    small: Database, tmp_path: Path, identity: Path
) -> None:
    other = key_file(tmp_path / "other.txt")
    second = public(key_file(tmp_path / "second.txt"))
    backup = write_backup(small, tmp_path, recipients=recipients([public(identity), second])).path
    for tree, why in ((opening(other), "for another identity"), (None, "is encrypted with age")):
        with pytest.raises(BadInputError, match=why) as caught:
            verify_backup(backup, tree=tree)
        assert "encrypted with age to 2 recipients, and its records cannot be read" in caught.value.message
        assert "files are as they were written" in caught.value.message
        assert caught.value.hint == "name the identity file: RECOVERY_NB_AGE_IDENTITIES=FILE"
        assert "\n" not in str(caught.value)
    assert verify_backup(backup, tree=opening(identity)).ok
    assert verify_backup(backup, tree=opening(tmp_path / "second.txt")).ok


def test_without_the_key_what_was_changed_is_found_all_the_same(
    small: Database, tmp_path: Path, identity: Path
) -> None:
    backup = take(small, tmp_path, "zstd", identity)
    chance = random.Random(11)
    for _ in range(20):
        file, content = tampered(backup, chance)
        verification = verify_backup(backup)
        file.write_bytes(content)
        assert [problem.where for problem in verification.problems] == [
            str(backup) if file.name == "manifest.json" else str(file.relative_to(backup))
        ]


def test_damage_in_a_packed_file_is_named_by_the_file_the_offset_and_the_record(
    small: Database, tmp_path: Path
) -> None:
    """A backup of a record that no driver decodes, and that a server takes: the place is that in the unpacked file."""
    backup = take(small, tmp_path, "none", None)
    users = backup / small.name / "users.bson"
    content = bytearray(users.read_bytes())
    second = int.from_bytes(content[:4], "little")
    key = bytes(content[second + 9 : second + 21]).hex()
    content[second + 21] = 0x55
    users.write_bytes(content)
    packed = users.with_name("users.bson.gz")
    packed.write_bytes(gzip.compress(bytes(content)))
    users.unlink()
    manifest = load(backup / "manifest.json")
    moved = manifest.collections["users"].model_copy(update={"file": f"{small.name}/users.bson.gz"})
    changed = {"collections": {**manifest.collections, "users": moved}, "compression": "gzip"}
    (backup / "manifest.json").write_bytes(render(manifest.model_copy(update=changed)))
    told = {problem.where: problem.what for problem in verify_backup(backup).problems}
    what = told[f"{small.name}/users.bson.gz at offset {second}"]
    assert what.startswith("a record does not decode: ")
    assert what.endswith(f"(record 2, _id {key})")


def test_a_missing_an_extra_and_a_swapped_file_are_named(small: Database, tmp_path: Path, identity: Path) -> None:
    backup = take(small, tmp_path, "zstd", identity)
    folder, tree = backup / small.name, opening(identity)
    quotes, users = folder / "quotes.bson.zst.age", folder / "users.bson.zst.age"
    first, second = quotes.read_bytes(), users.read_bytes()
    quotes.write_bytes(second)
    users.write_bytes(first)
    told = {problem.where: problem.what for problem in reversed(verify_backup(backup, tree=tree).problems)}
    assert told[f"{small.name}/quotes.bson.zst.age"] == f"it holds what {small.name}/users.bson.zst.age should"
    quotes.unlink()
    users.write_bytes(second)
    (folder / "other.bson.zst").write_bytes(first)
    told = {problem.where: problem.what for problem in verify_backup(backup, tree=opening(identity)).problems}
    assert told[f"{small.name}/quotes.bson.zst.age"] == "it is missing"
    assert told[f"{small.name}/other.bson.zst"] == "the manifest does not know it"


def test_what_shrinks_to_almost_nothing_is_read_again_in_full(database: Any, tmp_path: Path) -> None:
    """Readers hold for hostile what expands to more than 200 times its size, once that is more than 64 MiB."""
    database.client[database.name].zeros.insert_many([{"_id": n, "pad": bytes(10_000_000)} for n in range(9)])
    opened = Database(database.uri)
    try:
        for compression in ("zstd", "gzip"):
            verification = verify_backup(take(opened, tmp_path, compression, None))
            assert verification.ok, verification.problems
    finally:
        opened.close()


def test_a_manifest_of_version_1_still_counts(small: Database, tmp_path: Path) -> None:
    backup = take(small, tmp_path, "none", None)
    path = backup / "manifest.json"
    path.write_bytes(render(load(path).model_copy(update={"version": 1})))
    value = json.loads(path.read_bytes())
    assert not {"compression", "encryption", "recipients"} & value.keys()
    assert all(entry.keys() == {"records", "bytes", "file", "consistent"} for entry in value["collections"].values())
    assert verify_backup(backup).ok
    value["compression"] = "none"
    path.write_text(json.dumps(value))
    assert not verify_backup(backup).ok


def test_an_unknown_compression_is_refused_in_one_line(small: Database, tmp_path: Path) -> None:
    with pytest.raises(RecoveryError, match=r"no compression 'lzma'; choose of none, zstd, gzip"):
        take(small, tmp_path, "lzma", None)
