"""Sources as they are found in the field: empty, cut, false, huge, not what their name says, or not readable."""

from __future__ import annotations

import json
import os
import random
import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest

from .conftest import Cli

RECORDS = [{"_id": number, "text": "x" * 50} for number in range(10)]
BSON = [bson.encode(one) for one in RECORDS]


def claiming(record: bytes, length: int) -> bytes:
    return struct.pack("<i", length) + record[4:]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.json", b"", "is empty"),
        ("blank.json", b" \n\t \r\n", "is empty"),
        ("object.json", b'{"name": "x", "version": 1}', "holds JSON but no records; expected a list"),
        ("numbers.json", b"[1,2,3]", "holds JSON but no records"),
        ("text.json", b'"text"', "no format that is known"),
        ("utf16.json", json.dumps(RECORDS).encode("utf-16"), "is UTF-16 text"),
        ("random.bin", random.Random(7).randbytes(100_000), "no format that is known"),
        ("random.json", random.Random(8).randbytes(100_000), "no format that is known"),
        ("deep.json", b"[" * 100_000, "no record can be read"),
        ("deeper.json", b'{"_id":1,"a":' + b"[" * 100_000, "no record can be read"),
        ("digits.json", b'[{"_id":1,"n":' + b"9" * 5_000 + b"}]", "an integer of 5000 digits"),
        ("empty.bson", b"", "is empty"),
        ("huge.bson", claiming(BSON[0], 2**31 - 1), "a length of 2,147,483,647 bytes, which no document has"),
    ],
)
def test_a_file_without_a_record_is_refused(plain: Cli, name: str, content: bytes, says: str) -> None:
    path = plain.folder / name
    path.write_bytes(content)
    plain.refused("scan", path.name, says=says)
    assert path.read_bytes() == content


def test_a_list_without_records_is_no_error(plain: Cli) -> None:
    (plain.folder / "none.json").write_text("[]")
    done = plain("scan", "none.json", "--json")
    assert done.code == 0
    assert done.json["filesystem"]["total_found"] == 0


def _nothing(folder: Path) -> str:
    return "nowhere.json"


def _fifo(folder: Path) -> str:
    os.mkfifo(folder / "fifo.json")
    return "fifo.json"


def _zero(folder: Path) -> str:
    return "/dev/zero"


def _loop(folder: Path) -> str:
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    return "one"


def _empty_folder(folder: Path) -> str:
    (folder / "none").mkdir()
    return "none"


def _no_source(folder: Path) -> str:
    (folder / "texts").mkdir()
    (folder / "texts" / "readme.txt").write_text("hello")
    return "texts"


def _too_long(folder: Path) -> str:
    return "x" * 300 + ".json"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_nothing, "nowhere.json does not exist"),
        (_fifo, "neither a file nor a folder"),
        (_zero, "neither a file nor a folder"),
        (_loop, "check the path"),
        (_empty_folder, "holds no backup, export or dump"),
        (_no_source, "holds no backup, export or dump"),
        (_too_long, "File name too long"),
    ],
)
def test_what_is_no_source_is_refused_and_does_not_hang(plain: Cli, make: Callable[[Path], str], says: str) -> None:
    plain.refused("scan", make(plain.folder), says=says, timeout=15)


def only_source(done: Any) -> dict[str, Any]:
    (source,) = done.json["filesystem"]["backups"] + done.json["filesystem"]["exports"]
    return dict(source)


def test_a_cut_file_gives_what_lies_before_the_cut(plain: Cli, samples: Path) -> None:
    whole = (samples / "backups" / "backup_20251201_103000.json").read_bytes()
    (plain.folder / "backup_cut.json").write_bytes(whole[:700_000])
    done = plain("scan", "backup_cut.json", "--json")
    assert done.code == 1
    source = only_source(done)
    assert source["record_count"] == 466
    (damage,) = source["damage"]
    assert whole[damage["offset"] :].lstrip().startswith(b'{\n        "_id"')
    assert "ends" in damage["reason"]
    text = plain("scan", "backup_cut.json")
    assert text.code == 1
    assert f"backup_cut.json, byte {damage['offset']:,}: the file ends" in text.out


def test_only_the_records_that_are_not_utf8_are_lost(plain: Cli) -> None:
    records = [{"_id": n, "name": "José" if n % 2 else "x"} for n in range(10)]
    text = json.dumps({"records": records}, ensure_ascii=False)
    (plain.folder / "latin.json").write_bytes(text.encode("latin-1"))
    done = plain("scan", "latin.json", "--json")
    assert done.code == 1
    source = only_source(done)
    assert source["record_count"] == 5
    assert len(source["damage"]) == 5


@pytest.mark.parametrize("length", [len(BSON[5]) + 7, len(BSON[5]) - 3, 0, -1, 2**31 - 1])
def test_a_false_length_costs_one_record(plain: Cli, length: int) -> None:
    (plain.folder / "users.bson").write_bytes(b"".join([*BSON[:5], claiming(BSON[5], length), *BSON[6:]]))
    done = plain("scan", "users.bson", "--json")
    assert done.code == 1
    assert only_source(done)["record_count"] == 9
    assert only_source(done)["damage"][0]["offset"] == sum(map(len, BSON[:5]))


def test_a_length_of_two_gigabytes_is_never_allocated(plain: Cli) -> None:
    (plain.folder / "users.bson").write_bytes(claiming(BSON[0], 2**31 - 1) + b"".join(BSON[1:]))
    done = plain("scan", "users.bson", "--json", preexec_fn=_one_gigabyte)
    assert done.code == 1, done.err
    assert only_source(done)["record_count"] == 9


def _one_gigabyte() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))


def test_what_cannot_be_entered_is_an_error_and_what_lies_beside_it_is_found(bound: Cli) -> None:
    evidence = bound.folder / "evidence"
    for name in ("a_locked", "b_open"):
        (evidence / name).mkdir(parents=True)
        (evidence / name / "backup.json").write_text(json.dumps(RECORDS))
    (evidence / "closed.json").write_text(json.dumps(RECORDS))
    (evidence / "closed.json").chmod(0)
    (evidence / "a_locked").chmod(0)
    try:
        done = bound("scan", "evidence", "--json")
        assert done.code == 1, done.text
        assert only_source(done)["name"] == "backup.json"
        errors = done.json["summary"]["errors"]
        assert any("no permission to read the folder evidence/a_locked" in line for line in errors)
        assert any("no permission to read evidence/closed.json" in line for line in errors)
        for name in ("evidence/closed.json", "evidence/a_locked", "evidence/a_locked/backup.json"):
            found = bound("scan", name)
            assert found.code == 2, found.text
            assert name in found.err
            assert found.err.count("\n") == 1
    finally:
        (evidence / "a_locked").chmod(0o700)


def test_another_case_beside_the_evidence_is_not_taken_for_evidence(
    cli: Cli, load: Callable[[], None], database: Any
) -> None:
    load()
    backup = cli("--case", "other", "backup", "--json").json["path"]
    assert cli("--case", "other", "restore", backup, "--yes").code == 0
    assert (cli.folder / "other" / "restores").is_dir()
    done = cli("recover", "--no-backup", "--json")
    assert done.code == 0, done.text
    assert [source["path"] for source in done.json["filesystem"]["backups"]] == [
        f"other/backups/{Path(backup).name}/{database.name}"
    ]
