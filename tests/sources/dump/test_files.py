from __future__ import annotations

import json
import os
import shutil
import struct
import tracemalloc
from pathlib import Path

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.errors import DamagedSourceError
from recovery_nb.records.batch import Damage, RecordBatch, Ref
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS, FileSource, Kind, Typing
from recovery_nb.sources.content import File, Folder
from recovery_nb.sources.dump.files import BsonSource, DumpSource
from recovery_nb.sources.dump.framing import looks_like_bson


def everything(source: FileSource) -> tuple[list[bytes], list[Damage]]:
    """Read a source, check that its places are right, and return its records and damages."""
    records: list[bytes] = []
    damages: list[Damage] = []
    refs: list[Ref] = []
    for part in source.read():
        if isinstance(part, Damage):
            damages.append(part)
            continue
        assert len(part) <= BATCH_RECORDS
        assert len(part) == len(part.offsets) == len(part.lengths)
        records += part.records
        refs += [Ref(part.member, *place) for place in zip(part.offsets, part.lengths, strict=True)]
    assert list(source.fetch(refs)) == records
    return records, damages


def write(path: Path, *parts: bytes) -> BsonSource:
    path.write_bytes(b"".join(parts))
    return BsonSource(File.on_disk(path))


@pytest.fixture
def conversations(samples: Path) -> list[bytes]:
    return everything(BsonSource(File.on_disk(samples / "mongodump" / "shop" / "conversations.bson")))[0]


def test_a_dump_holds_what_was_dumped(samples: Path) -> None:
    counts: dict[str, int] = {}
    source = DumpSource(Folder.on_disk(samples / "mongodump" / "shop"))
    for batch in source.read():
        assert isinstance(batch, RecordBatch)
        assert batch.member == f"{batch.collection}.bson"
        counts[batch.collection] = counts.get(batch.collection, 0) + len(batch)
    truth = json.loads((samples / "truth.json").read_text())["counts"]
    buckets = counts.pop("system.buckets.metrics")
    assert 0 < buckets < truth["metrics"]
    assert counts == {name: n for name, n in truth.items() if name not in ("metrics", "open_quotes")}
    assert (source.kind, source.typing()) == (Kind.DUMP, Typing.FULL)


def test_a_dump_says_options_indexes_and_types(samples: Path) -> None:
    header = DumpSource(Folder.on_disk(samples / "mongodump" / "shop")).header()
    assert header.taken_at is None
    assert header.origin == "shop"
    assert header.options["open_quotes"]["type"] == "view"
    assert header.options["metrics"]["type"] == "timeseries"
    assert header.options["events_capped"]["options"] == {"capped": True, "size": 200192, "max": 500}
    assert [index["name"] for index in header.options["sessions"]["indexes"]] == [
        "_id_",
        "session_id_1",
        "ttl",
    ]


def test_a_collection_is_named_by_its_metadata_else_by_its_escaped_file_name(tmp_path: Path) -> None:
    record = bson.encode({"_id": 1})
    for stem in ("a%2Fb", "cut%24hash"):
        (tmp_path / f"{stem}.bson").write_bytes(record)
    (tmp_path / "cut%24hash.metadata.json").write_text('{"indexes":[],"collectionName":"cut and longer"}')
    named = {"a%2Fb.bson": "a/b", "cut%24hash.bson": "cut and longer"}
    assert DumpSource(Folder.on_disk(tmp_path)).collections() == named
    for member, collection in named.items():
        (batch,) = BsonSource(File.on_disk(tmp_path / member)).read()
        assert isinstance(batch, RecordBatch)
        assert (batch.collection, batch.member) == (collection, "")


def test_metadata_that_cannot_be_read_is_damage_and_stops_nothing(samples: Path, tmp_path: Path) -> None:
    shutil.copytree(samples / "mongodump" / "shop", tmp_path / "shop")
    (tmp_path / "shop" / "users.metadata.json").write_text('{"indexes": [')
    source = DumpSource(Folder.on_disk(tmp_path / "shop"))
    records, damages = everything(source)
    assert len(records) == 1994
    assert [(damage.member, damage.offset) for damage in damages] == [("users.metadata.json", 0)]
    assert "users" not in source.header().options


def test_an_empty_file_is_an_empty_collection_in_a_dump_and_an_error_by_itself(tmp_path: Path) -> None:
    (tmp_path / "none.bson").touch()
    assert everything(DumpSource(Folder.on_disk(tmp_path))) == ([], [])
    with pytest.raises(DamagedSourceError, match=r"none\.bson is empty"):
        BsonSource(File.on_disk(tmp_path / "none.bson"))


@pytest.mark.parametrize("claim", [0, 4, -1, 2**31 - 1, 17 * 1024 * 1024, 5, 6, 100, 10_000, 200_000])
@pytest.mark.parametrize("which", [0, 300, 599])
def test_a_false_length_costs_one_record(conversations: list[bytes], tmp_path: Path, claim: int, which: int) -> None:
    false = struct.pack("<i", claim) + conversations[which][4:]
    before, after = conversations[:which], conversations[which + 1 :]
    records, damages = everything(write(tmp_path / "c.bson", *before, false, *after))
    decodable = [record for record in records if len(record) > 6]  # 5 and 6 may frame a stub of the false one
    assert decodable == before + after
    (damage,) = damages[-1:]
    start = sum(map(len, before))
    assert start <= damage.offset <= start + 6
    assert damage.offset + damage.length == start + len(false)


def test_a_false_length_of_two_gigabytes_is_not_allocated(tmp_path: Path) -> None:
    source = write(tmp_path / "c.bson", struct.pack("<i", 2**31 - 1), b"\x02", bytes(100))
    tracemalloc.start()
    try:
        records, (damage,) = everything(source)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert records == []
    assert (damage.offset, damage.length) == (0, 105)
    assert "2,147,483,647" in damage.reason


def test_a_cut_tail_costs_the_record_it_cuts(conversations: list[bytes], tmp_path: Path) -> None:
    whole = b"".join(conversations[:20])
    start = len(whole) - len(conversations[19])
    for size in range(start + 1, len(whole)):
        records, (damage,) = everything(write(tmp_path / "c.bson", whole[:size]))
        assert records == conversations[:19]
        assert (damage.offset, damage.length) == (start, size - start)


def test_junk_between_records_costs_none(conversations: list[bytes], tmp_path: Path) -> None:
    for junk in (b"junk", b"\x00" * 1000, b'{"_id": 1}\n' * 50, os.urandom(5000), b"_id\x00" * 10_000):
        records, damages = everything(write(tmp_path / "c.bson", *conversations[:9], junk, *conversations[9:]))
        assert records == conversations
        assert sum(damage.length for damage in damages) == len(junk)


def test_a_sub_document_of_a_damaged_record_is_not_taken_for_a_record(tmp_path: Path) -> None:
    nested = [
        bson.encode({"_id": n, "child": {"_id": n, "x": "y"}, "list": [{"_id": n}, {"_id": n, "b": 1}]})
        for n in range(50)
    ]
    false = struct.pack("<i", 2**30) + nested[20][4:]
    records, (damage,) = everything(write(tmp_path / "c.bson", *nested[:20], false, *nested[21:]))
    assert records == nested[:20] + nested[21:]
    assert damage.length == len(false)


def test_two_damages_in_a_row_cost_two_records(conversations: list[bytes], tmp_path: Path) -> None:
    parts = list(conversations)
    for which in (10, 12):
        parts[which] = struct.pack("<i", 2**30) + parts[which][4:]
    records, damages = everything(write(tmp_path / "c.bson", *parts))
    assert records == [*conversations[:10], conversations[11], *conversations[13:]]
    assert len(damages) == 2


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=30), st.integers(0), st.binary(max_size=40))
def test_whatever_is_written_over_a_file_reading_ends_and_accounts_for_every_byte(
    tmp_path_factory: pytest.TempPathFactory, values: list[bytes], at: int, noise: bytes
) -> None:
    content = bytearray(b"".join(bson.encode({"_id": n, "v": value}) for n, value in enumerate(values)))
    at %= len(content)
    content[at : at + len(noise)] = noise
    path = tmp_path_factory.getbasetemp() / "fuzzed.bson"
    path.write_bytes(content)
    covered = 0
    for part in BsonSource(File.on_disk(path)).read():
        lengths = [part.length] if isinstance(part, Damage) else part.lengths
        assert (part.offset if isinstance(part, Damage) else part.offsets[0]) == covered
        covered += sum(lengths)
    assert covered == len(content)


def test_records_larger_than_a_batch_and_many_tiny_ones_are_read(tmp_path: Path) -> None:
    large = [bson.encode({"_id": n, "v": b"x" * size}) for n, size in enumerate((BATCH_BYTES, 16_000_000, 3))]
    tiny = [bson.encode({})] * (2 * BATCH_RECORDS + 7)
    assert everything(write(tmp_path / "c.bson", *large, *tiny, *large)) == (large + tiny + large, [])


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2])
def test_a_record_that_ends_where_a_read_does_is_read_once(tmp_path: Path, beyond: int) -> None:
    around = len(bson.encode({"_id": 0, "v": b""})) + len(bson.encode({"_id": 1, "v": b""}))
    first = bson.encode({"_id": 0, "v": b"x" * 1000})
    second = bson.encode({"_id": 1, "v": b"x" * (BATCH_BYTES + beyond - around - 1000)})
    assert len(first + second) == BATCH_BYTES + beyond
    alone, followed = [first, second], [first, second, first]
    assert everything(write(tmp_path / "alone.bson", *alone)) == (alone, [])
    assert everything(write(tmp_path / "followed.bson", *followed)) == (followed, [])


def test_a_hostile_file_is_read_in_bounded_time(tmp_path: Path) -> None:
    # Every few bytes something that claims to be a large document and ends in zero.
    lure = struct.pack("<i", 1_000_000) + b"\x02_id\x00\x01\x00\x00\x00\x00"
    records, damages = everything(write(tmp_path / "c.bson", struct.pack("<i", -1), lure * 200_000))
    assert records == []
    assert sum(damage.length for damage in damages) == 4 + len(lure) * 200_000


def test_fetch_gives_records_in_the_order_asked_and_refuses_what_is_none(samples: Path) -> None:
    source = DumpSource(Folder.on_disk(samples / "mongodump" / "shop"))
    places = [
        (Ref(part.member, part.offsets[-1], part.lengths[-1]), part.records[-1])
        for part in source.read()
        if isinstance(part, RecordBatch)
    ][::-1]
    assert list(source.fetch([ref for ref, _ in places])) == [record for _, record in places]
    wrong = [
        Ref("users.bson", 1, 50),
        Ref("users.bson", 0, 2**40),
        Ref("users.bson", -1, 50),
        Ref("users.bson", 10**9, 50),
        Ref("../../truth.json", 0, 50),
        Ref("", 0, 50),
    ]
    for ref in wrong:
        with pytest.raises(DamagedSourceError):
            list(source.fetch([ref]))


def test_bson_is_told_by_its_content(samples: Path) -> None:
    for path in (samples / "mongodump" / "shop").glob("*.bson"):
        content = path.read_bytes()
        assert looks_like_bson(content[:4096], ended=len(content) <= 4096), path.name
        assert looks_like_bson(content[:64], ended=len(content) <= 64), path.name
    others = [path for path in samples.rglob("*") if path.is_file() and path.suffix != ".bson"]
    for path in others:
        content = path.read_bytes()
        assert not looks_like_bson(content[:4096], ended=len(content) <= 4096), path.name
    for head in (b"", b"\x05", b"{\n}", '{"a": 1}'.encode("utf-16-le"), bytes(4096), b"\x7fELF\x02\x01\x01"):
        assert not looks_like_bson(head, ended=True)
    assert looks_like_bson(bson.encode({}), ended=True)


@given(st.text(min_size=5))
def test_no_text_is_taken_for_bson(text: str) -> None:
    content = text.replace("\x00", " ").encode()
    assert not looks_like_bson(content, ended=True)


def test_a_path_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for make in (File.on_disk, Folder.on_disk):
        with pytest.raises(DamagedSourceError, match="cannot be read: No such file"):
            make(tmp_path / "nothing.bson")
    os.mkfifo(tmp_path / "pipe.bson")
    with pytest.raises(DamagedSourceError):
        BsonSource(File.on_disk(tmp_path / "pipe.bson"))
    assert everything(DumpSource(Folder.on_disk(tmp_path))) == ([], [])
