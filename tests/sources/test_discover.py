from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pyrage
import pytest
from backports import zstd
from bson import Binary, Int64, Timestamp
from fastcrc import crc64
from pydantic import SecretStr

from recovery_nb import Case
from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.settings import Settings
from recovery_nb.sources.archive.format import MAGIC, TERMINATOR
from recovery_nb.sources.base import Kind
from recovery_nb.sources.content import File
from recovery_nb.sources.detect import sources_of
from recovery_nb.sources.discover import Discovery, find_by_pattern, find_sources, open_source
from recovery_nb.sources.expand.age import AgeKeys
from recovery_nb.sources.expand.expanded import Expansion
from recovery_nb.sources.tree import Tree

USERS = b"".join(bson.encode({"_id": n, "name": f"user {n}"}) for n in range(20))
LINES = b"".join(b'{"_id": %d, "name": "line %d"}\n' % (n, n) for n in range(5))
ROWS = b"_id,name\n" + b"".join(b"%d,row %d\n" % (n, n) for n in range(5))
HELD = {Kind.DUMP: 20, Kind.ARCHIVE: 20, Kind.JSON: 5, Kind.JSON_LINES: 5, Kind.CSV: 5}


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return file.getvalue()


def tarred(**members: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            facts = tarfile.TarInfo(name.replace("__", "."))
            facts.size = len(data)
            archive.addfile(facts, io.BytesIO(data))
    return file.getvalue()


def an_archive(databases: Iterable[str]) -> bytes:
    """Return an archive of one collection, and, if it tells of any database, of an oplog: of a lost record of each."""
    entries = [
        {"op": "i", "ns": f"{name}.users", "ui": Binary(bytes(16), 4), "o": {"_id": "lost", "of": name},
         "ts": Timestamp(1000, number), "v": Int64(2), "wall": datetime(2025, 12, 1, tzinfo=UTC)}
        for number, name in enumerate(databases, 1)
    ]  # fmt: skip
    blocks = {("shop", "people"): USERS} | ({("", "oplog"): b"".join(map(bson.encode, entries))} if entries else {})
    data = MAGIC + bson.encode(
        {"concurrent_collections": 4, "version": "0.1", "server_version": "7", "tool_version": ""}
    )
    for database, collection in blocks:
        data += bson.encode({"db": database, "collection": collection, "metadata": "", "size": 0, "type": "collection"})
    data += TERMINATOR
    for (database, collection), records in blocks.items():
        header = {"db": database, "collection": collection, "EOF": False, "CRC": Int64(0)}
        data += bson.encode(header) + records + TERMINATOR
        (checksum,) = struct.unpack("<q", crc64.xz(records).to_bytes(8, "little"))
        data += bson.encode({**header, "EOF": True, "CRC": Int64(checksum)}) + TERMINATOR
    return data


def counts(found: Discovery, top: Path) -> dict[str, tuple[Kind, int]]:
    """Return what each source is, and how many records it has, by its path; nothing in them may be damaged."""
    assert not found.errors
    told: dict[str, tuple[Kind, int]] = {}
    for source in found.sources:
        parts = list(source.read())
        batches = [part for part in parts if isinstance(part, RecordBatch)]
        assert len(batches) == len(parts)
        told[source.path.relative_to(top).as_posix()] = (source.kind, sum(map(len, batches)))
    return told


# What only its name says to be BSON


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (zipped(more__jsonl=LINES), {"x.bson/more.jsonl": (Kind.JSON_LINES, 5)}),
        (tarred(more__csv=ROWS), {"x.bson/more.csv": (Kind.CSV, 5)}),
        (zipped(c__bson=USERS), {"x.bson": (Kind.DUMP, 20)}),
        (ROWS, {"x.bson": (Kind.CSV, 5)}),
        (LINES, {"x.bson": (Kind.JSON_LINES, 5)}),
        (b"2025-11-01T08:00:00Z INFO doc=" + LINES, {"x.bson": (Kind.LOG, 5)}),
    ],
    ids=["zip", "tar", "zip of a dump", "csv", "json lines", "log"],
)
def test_in_a_dump_a_file_is_read_as_what_it_is(content: bytes, expected: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "users.bson").write_bytes(USERS)
    (tmp_path / "x.bson").write_bytes(content)
    whole = {".": (Kind.DUMP, 20), **expected}

    assert counts(find_sources([tmp_path]), tmp_path) == whole
    assert counts(find_by_pattern([tmp_path]), tmp_path) == whole
    assert [file.name for file in open_source(tmp_path).files()] == ["users.bson"]


@pytest.mark.parametrize(
    "begin",
    [bytes(4), b"a,b\n1,2\n" * 10, b"\xff\xfe\x00\x00", b"PK\3\4"[::-1], b"\x1f", LINES * 500],
    ids=["zeros", "text", "a mark of UTF-16", "junk", "a byte", "much text"],
)
def test_bson_with_a_damaged_beginning_stays_bson(begin: bytes, tmp_path: Path) -> None:
    damaged = begin + (USERS * 200)[len(begin) :]
    (tmp_path / "users.bson").write_bytes(USERS)
    (tmp_path / "hurt.bson").write_bytes(damaged)

    (dump,) = find_sources([tmp_path]).sources
    assert [file.name for file in dump.files()] == ["hurt.bson", "users.bson"]
    assert [source.kind for source in sources_of(File.on_disk(tmp_path / "hurt.bson"))] == [Kind.BSON]


@pytest.mark.parametrize("length", [0xFEFF, 0x1D841, 0xFFFE], ids=["UTF-16", "WiredTiger", "UTF-16, big-endian"])
def test_a_record_whose_length_reads_as_another_format_s_magic_is_bson(length: int, tmp_path: Path) -> None:
    record = bson.encode({"_id": 1, "text": "x" * (length - len(bson.encode({"_id": 1, "text": ""})))})
    (tmp_path / "c.bson").write_bytes(record + USERS)
    assert len(record) == length
    assert counts(find_sources([tmp_path / "c.bson"]), tmp_path) == {"c.bson": (Kind.BSON, 21)}


def test_a_format_that_is_not_read_is_named_as_such_in_a_dump_too(tmp_path: Path) -> None:
    (tmp_path / "users.bson").write_bytes(USERS)
    (tmp_path / "x.bson").write_bytes(b"SQLite format 3\x00" + bytes(100))
    found = find_sources([tmp_path])
    assert [source.kind for source in found.sources] == [Kind.DUMP]
    assert [str(error).partition(",")[0] for error in found.errors] == [f"{tmp_path}/x.bson is an SQLite database"]


def test_in_a_dump_a_file_that_no_key_opens_stays_a_member(tmp_path: Path) -> None:
    (tmp_path / "users.bson").write_bytes(USERS)
    (tmp_path / "secret.bson").write_bytes(pyrage.passphrase.encrypt(LINES, "secret"))
    (dump,) = find_sources([tmp_path]).sources
    (damage,) = [part for part in dump.read() if isinstance(part, Damage)]
    assert (damage.member, "encrypted with age" in damage.reason) == ("secret.bson", True)


# The usual names


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("shop/users.bson", USERS, Kind.DUMP),
        ("shop/users.bson.gz", gzip.compress(USERS), Kind.DUMP),
        ("backup_20251201_103000.json", b"[%s]" % LINES.strip().replace(b"\n", b","), Kind.JSON),
        ("backup_20251201.jsonl.zst", zstd.compress(LINES), Kind.JSON_LINES),
        ("export_users.ndjson", LINES, Kind.JSON_LINES),
        ("export.jsonl.xz", lzma.compress(LINES), Kind.JSON_LINES),
        ("conversations_data.json", LINES, Kind.JSON_LINES),
        ("export_users.csv", ROWS, Kind.CSV),
        ("backup-users.csv.bz2", bz2.compress(ROWS), Kind.CSV),
        ("export_users.tsv", ROWS.replace(b",", b"\t"), Kind.CSV),
        ("backup.json.age", pyrage.passphrase.encrypt(LINES, "secret"), Kind.JSON_LINES),
        ("shop.archive", an_archive([]), Kind.ARCHIVE),
        ("mongodump.archive.gz", gzip.compress(an_archive([])), Kind.ARCHIVE),
        ("dump_2025.tar", tarred(users__bson=USERS), Kind.DUMP),
        ("mongodump.tgz", gzip.compress(tarred(users__bson=USERS)), Kind.DUMP),
        ("nightly-backup.tar.gz", gzip.compress(tarred(users__bson=USERS)), Kind.DUMP),
        ("export.tar", tarred(users__csv=ROWS), Kind.CSV),
        ("backup.zip", zipped(users__bson=USERS), Kind.DUMP),
        ("dump.zip", zipped(users__jsonl=LINES), Kind.JSON_LINES),
        ("export_all.zip", zipped(users__csv=ROWS), Kind.CSV),
    ],
)
@pytest.mark.parametrize("folder", ["", "old/2025"])
def test_every_format_is_found_by_its_usual_name(
    name: str, content: bytes, kind: Kind, folder: str, tmp_path: Path
) -> None:
    path = tmp_path / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    tree = Tree(Expansion(keys=AgeKeys(passphrase=SecretStr("secret"))))

    found = find_by_pattern([tmp_path], Settings().patterns, tree=tree)
    assert list(counts(found, tmp_path).values()) == [(kind, HELD[kind])]


def test_what_is_named_otherwise_is_left(tmp_path: Path) -> None:
    for name in ("package.json", "users.csv", "app.log", "notes.txt", "old.zip", "users.metadata.txt"):
        (tmp_path / name).write_bytes(LINES)
    found = find_by_pattern([tmp_path], Settings().patterns)
    assert (found.sources, found.errors) == ([], [])


# What lies within another source


def test_a_source_of_many_small_files_is_named_by_its_own_folder(tmp_path: Path) -> None:
    for number in range(101):
        (tmp_path / f"{number}.json").write_bytes(b'{"_id": %d, "a": 1}' % number)
    assert open_source(tmp_path / "*.json").kind is Kind.FILES
    with pytest.raises(BadInputError, match="does not exist"):
        open_source(tmp_path / "nowhere" / "*.json")


@pytest.mark.parametrize("packed", ["all.archive", "all.archive.gz", "old.tar.gz"])
def test_of_an_archive_s_oplog_the_records_of_one_database_are_restored(
    packed: str, database: Any, tmp_path: Path
) -> None:
    data = an_archive([database.name, "club"])
    data = tarred(all__archive=data) if "tar" in packed else data
    (tmp_path / packed).write_bytes(gzip.compress(data) if packed.endswith(".gz") else data)
    oplog = tmp_path / packed / ("all.archive/oplog.bson" if "tar" in packed else "oplog.bson")

    with Case.open(tmp_path / "case", database=database.uri) as case:
        scan = case.scan(tmp_path / packed)
        told = {one.path: one.records for one in scan.sources if one.kind is Kind.OPLOG}
        assert (told, scan.errors) == ({oplog / database.name: 1, oplog / "club": 1}, ())
        comparison = case.compare(oplog / database.name)
        assert comparison.counts["users"].missing == 1
        assert case.restore(case.plan(comparison)).restored == 1
    assert list(database.client[database.name].users.find()) == [{"_id": "lost", "of": database.name}]

    with Case.open(tmp_path / "case", database=database.uri) as case:
        with pytest.raises(BadInputError, match="does not exist"):
            case.compare(oplog / "nobody")
        with pytest.raises(BadInputError, match="holds 2 databases"):
            open_source(oplog)
