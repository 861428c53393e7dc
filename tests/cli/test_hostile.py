"""A folder in which everything that can be wrong with files is: each is one line, and what is sound is read."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import bson
import pytest

RECORDS = [{"_id": n, "name": f"n{n}"} for n in range(30)]


def tar_of(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.fixture
def evidence(plain: Any) -> Path:
    folder = plain.folder / "evidence"
    folder.mkdir()
    (folder / "sound.json").write_text(json.dumps(RECORDS))
    return folder


def found(done: Any) -> dict[str, int]:
    files = done.json["filesystem"]
    return {one["path"]: one["record_count"] for one in files["backups"] + files["exports"]}


def test_each_is_reported_in_one_line_and_the_scan_goes_on(plain: Any, evidence: Path) -> None:
    os.mkfifo(evidence / "pipe.json")
    (evidence / "link.json").symlink_to("sound.json")
    (evidence / "away.json").symlink_to("/dev/zero")
    (evidence / "bomb.json.gz").write_bytes(gzip.compress(b"[" + b" " * 300_000_000))
    (evidence / "deep.json").write_text('{"_id":1,"a":' + "[" * 10_000 + "]" * 10_000 + "}\n")
    (evidence / "digits.json").write_text('[{"_id":1,"n":' + "7" * 1_000_000 + '},{"_id":2}]')
    (evidence / "width.csv").write_text("_id,name\n1,a\n2\n3,c\n4,d,e\n5,f\n")
    (evidence / "secret.json.age").write_bytes(b"age-encryption.org/v1\n-> X25519 abc\nabc\n--- abc\n" + bytes(100))
    (evidence / "shop.sqlite").write_bytes(b"SQLite format 3\x00" + bytes(4000))
    (evidence / "shop.sql").write_text("-- MySQL dump 10.13\nCREATE TABLE `a` (`b` int);\n")
    (evidence / "collection-0.wt").write_bytes(b"\x41\xd8\x01\x00" + bytes(4092))
    tar_of(evidence / "astray.tar.gz", {"../../up.json": json.dumps(RECORDS[:7]).encode(), "/root.json": b'{"_id":1}'})
    done = plain("scan", "evidence", "--json", timeout=120)
    assert done.code == 1, done.err
    assert done.err.count("Traceback") == 0
    counts = found(done)
    assert counts["evidence/sound.json"] == 30
    assert counts["evidence/digits.json"] == 1
    assert counts["evidence/width.csv"] == 3
    assert counts["evidence/astray.tar.gz/up.json"] == 7
    assert counts["evidence/astray.tar.gz/root.json"] == 1
    reports = [*done.json["summary"]["errors"]]
    for one in done.json["filesystem"]["backups"] + done.json["filesystem"]["exports"]:
        reports += [f"{one['path']}: {damage['reason']}" for damage in one["damage"]]
    for name, what in {
        "pipe.json": "is a pipe",
        "link.json": "symbolic link",
        "away.json": "symbolic link",
        "bomb.json.gz": "times its size",
        "deep.json": "deep",
        "digits.json": "",
        "width.csv": "",
        "secret.json.age": "encrypted with age",
        "shop.sqlite": "SQLite",
        "shop.sql": "SQL",
        "collection-0.wt": "WiredTiger",
        "astray.tar.gz": "leads out of the archive",
    }.items():
        lines = [line for line in reports if name in line and what in line]
        assert lines, (name, reports)
        assert all("\n" not in line for line in lines)
    assert not (plain.folder.parent / "up.json").exists()


def test_archives_within_archives_are_folders(plain: Any, evidence: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("shop/users.bson", b"".join(map(bson.encode, RECORDS)))
        archive.writestr("shop/users.metadata.json", '{"indexes":[],"collectionName":"users","type":"collection"}')
    tar_of(evidence / "all.tgz", {"old/inner.zip": inner.getvalue(), "old/copy.json": json.dumps(RECORDS).encode()})
    done = plain("scan", "evidence", "--json")
    assert done.code == 0, done.text
    assert found(done) == {"evidence/sound.json": 30, "evidence/all.tgz/old/inner.zip/shop": 30}
    assert done.json["filesystem"]["copies"] == [
        {"path": "evidence/all.tgz/old/copy.json", "of": "evidence/sound.json"}
    ]
    for path in ("evidence/all.tgz/old/inner.zip/shop", "evidence/all.tgz/old/inner.zip", "evidence/all.tgz"):
        assert sum(found(plain("scan", path, "--json")).values()) >= 30
    plain.refused("scan", "evidence/all.tgz/old/nothing", says="does not exist")


def test_very_many_small_files_are_one_source(plain: Any, evidence: Path) -> None:
    many = evidence / "many"
    many.mkdir()
    for number in range(2_000):
        (many / f"{number:05}.json").write_text(json.dumps({"_id": number, "session_id": f"s{number}"}))
    (many / "00007.json").write_text('{"_id": 7, "broken')
    done = plain("scan", "evidence", "--json")
    assert found(done)["evidence/many/*.json"] == 1_999
    (damage,) = next(
        one["damage"] for one in done.json["filesystem"]["backups"] if one["path"] == "evidence/many/*.json"
    )
    assert damage["member"] == "00007.json"


def test_a_gzip_without_its_head_gives_the_members_behind(plain: Any, evidence: Path) -> None:
    lines = [json.dumps(one).encode() + b"\n" for one in RECORDS]
    packed = b"".join(gzip.compress(b"".join(lines[start : start + 10])) for start in (0, 10, 20))
    (evidence / "cut.jsonl.gz").write_bytes(packed[15:])
    done = plain("scan", "evidence/cut.jsonl.gz", "--json")
    assert done.code == 1
    assert found(done) == {"evidence/cut.jsonl.gz": 20}


def test_what_is_left_of_a_damaged_record_comes_back_only_if_it_is_named(cli: Any, database: Any) -> None:
    whole = [bson.encode({"_id": n, "name": f"n{n}", "text": "x" * 50, "last": n}) for n in range(5)]
    cut = whole[2][:40] + b"\xff" * (len(whole[2]) - 40)
    (cli.folder / "people.bson").write_bytes(b"".join([*whole[:2], cut, *whole[3:]]))
    people = database.client[database.name].people
    people.insert_one({"_id": 0, "name": "n0", "text": "x" * 50, "last": 0})
    done = cli("compare", "people.bson", "--json", "--out", "differences.jsonl")
    assert (
        done.json["collections"]["people"] | {"identical": 1, "missing": 3, "corrupt": 1}
        == (done.json["collections"]["people"])
    )
    done = cli("restore", "people.bson", "--yes", "--json")
    assert done.json["restored"] == 3
    assert people.find_one({"_id": 2}) is None
    (cli.folder / "plain.keys").write_text("2\n")
    cli.refused("restore", "people.bson", "--keys", "plain.keys", "--yes", says="none of the 1 keys")
    (cli.folder / "named.keys").write_text('{"key": 2, "partial": true}\n')
    done = cli("restore", "people.bson", "--keys", "named.keys", "--yes", "--json")
    assert (done.code, done.json["restored"]) == (0, 1), done.text
    assert people.find_one({"_id": 2}) == {"_id": 2, "name": "n2"}
