from __future__ import annotations

import json
import random
import struct
import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import bson
import pytest
from bson import Binary, Int64, Timestamp
from fastcrc import crc64

from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import BadInputError, DamagedSourceError
from recovery_nb.records.batch import Damage, RecordBatch, Ref
from recovery_nb.records.elements import split
from recovery_nb.scanning import catalogued
from recovery_nb.sources.archive.source import ArchiveSource, databases, looks_like_archive
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS, Kind, Typing
from recovery_nb.sources.content import File, Folder, Gap, Memory
from recovery_nb.sources.discover import find_sources, open_source
from recovery_nb.sources.dump.files import DumpSource

MAGIC = b"\x6d\xe2\x99\x81"
END = b"\xff\xff\xff\xff"

Place = tuple[str, str]


@dataclass
class Writer:
    """Writes an archive as mongodump does, and knows where everything is in it."""

    data: bytearray = field(default_factory=bytearray)
    places: dict[int, tuple[Place, bytes]] = field(default_factory=dict)
    borders: list[tuple[int, int]] = field(default_factory=list)
    sums: dict[Place, int] = field(default_factory=dict)

    def prelude(self, listed: Iterable[Place], *, kind: str = "collection", metadata: str = "") -> Writer:
        self.data += MAGIC + bson.encode(
            {"concurrent_collections": 4, "version": "0.1", "server_version": "7.0.2", "tool_version": "100.9.0"}
        )
        for database, collection in listed:
            self.data += bson.encode(
                {"db": database, "collection": collection, "metadata": metadata, "size": 0, "type": kind}
            )
        self.data += END
        self.borders.append((0, len(self.data)))
        return self

    def block(self, place: Place, records: Iterable[bytes]) -> Writer:
        self._header(place, ends=False, checksum=0)
        for record in records:
            self.places[len(self.data)] = (place, record)
            self.data += record
            self.sums[place] = crc64.xz(record, self.sums.get(place, 0))
        self.borders.append((len(self.data), len(self.data) + 4))
        self.data += END
        return self

    def end(self, *places: Place) -> Writer:
        for place in places:
            self._header(place, ends=True, checksum=self.sums.pop(place, 0))
            self.data += END
            self.borders[-1] = (self.borders[-1][0], len(self.data))
        return self

    def _header(self, place: Place, *, ends: bool, checksum: int) -> None:
        start = len(self.data)
        signed = struct.unpack("<q", struct.pack("<Q", checksum))[0]
        self.data += bson.encode({"db": place[0], "collection": place[1], "EOF": ends, "CRC": Int64(signed)})
        self.borders.append((start, len(self.data)))


def documents(count: int, *, first: int = 0, **fields: object) -> list[bytes]:
    return [bson.encode({"_id": first + n, "text": f"number {n} " + "x" * (n % 90), **fields}) for n in range(count)]


def in_memory(data: bytes, gaps: Iterable[Gap] = ()) -> File:
    class Content(Memory):
        pass

    content = Content(data)
    content.gaps = list(gaps)
    return File(Path("old.archive"), "old.archive", len(data), 0.0, Path("old.archive"), lambda: content)


@dataclass
class Found:
    records: dict[str, list[bytes]] = field(default_factory=dict)
    places: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)

    def unowned(self) -> list[bytes]:
        return [damage.partial for damage in self.damages if "collection is not known" in damage.reason]


def everything(source: ArchiveSource, parts: Iterable[RecordBatch | Damage] | None = None) -> Found:
    """Read a source, check that all its places can be fetched again, and return what it holds."""
    found = Found()
    refs: list[Ref] = []
    records: list[bytes] = []
    for part in source.read() if parts is None else parts:
        if isinstance(part, Damage):
            found.damages.append(part)
            if part.partial:
                refs.append(Ref("", part.offset, part.length, partial=True))
                records.append(part.partial)
            continue
        assert 0 < len(part) <= BATCH_RECORDS
        assert part.member == ""
        found.records.setdefault(part.collection, []).extend(part.records)
        for record, offset, length in zip(part.records, part.offsets, part.lengths, strict=True):
            found.places[offset] = (part.collection, record)
            refs.append(Ref("", offset, length))
            records.append(record)
    assert list(source.fetch(refs)) == records
    return found


def shop() -> Writer:
    """Three collections whose blocks take turns, as several threads of mongodump write them."""
    a, b, c = ("shop", "a"), ("shop", "b"), ("shop", "c")
    writer = Writer().prelude([a, b, c])
    writer.block(a, documents(40, kind="a")).block(b, documents(30, kind="b")).block(a, documents(40, first=40))
    writer.block(c, documents(30, kind="c")).end(c).block(a, documents(40, first=80)).end(a)
    return writer.block(b, documents(40, first=30, kind="b")).end(b)


def test_an_archive_holds_what_was_dumped(samples: Path) -> None:
    found = everything(ArchiveSource(File.on_disk(samples / "mongodump.archive")))
    truth = json.loads((samples / "truth.json").read_text())["counts"]
    counts = {name: len(records) for name, records in found.records.items()}
    assert counts.pop("system.buckets.metrics") == 3
    assert counts == {name: n for name, n in truth.items() if name not in ("metrics", "open_quotes")}
    assert found.damages == []


def test_its_records_are_byte_for_byte_those_of_a_dump_to_a_folder(samples: Path) -> None:
    source = ArchiveSource(File.on_disk(samples / "mongodump.archive"))
    records = everything(source).records
    assert records
    for name, found in records.items():
        assert found == split((samples / "mongodump" / "shop" / f"{name}.bson").read_bytes())
    assert source.doubted == set()


def test_it_says_of_itself_what_a_dump_to_a_folder_says(samples: Path) -> None:
    source = ArchiveSource(File.on_disk(samples / "mongodump.archive"))
    folder = DumpSource(Folder.on_disk(samples / "mongodump" / "shop")).header()
    header = source.header()
    assert header.options == folder.options
    assert (header.version, header.origin) == (folder.version, folder.origin)
    assert (source.kind, source.typing(), source.database, source.has_oplog) == (
        Kind.ARCHIVE, Typing.FULL, "shop", False,
    )  # fmt: skip


def test_an_archive_is_told_by_its_content(samples: Path) -> None:
    archive = (samples / "mongodump.archive").read_bytes()
    assert looks_like_archive(archive[:1024])
    assert looks_like_archive(b"\0\0\0\0" + archive[4:1024])
    assert looks_like_archive(archive[1000:50_000])
    for other in ("mongodump/shop/sessions.bson", "mongodump/shop/attachments.chunks.bson", "backups/app.log"):
        assert not looks_like_archive((samples / other).read_bytes()[:65536])
    assert not looks_like_archive(bson.encode({"_id": 1, "data": archive[:60_000]}))
    assert not looks_like_archive(b"")


def test_an_archive_of_several_databases_is_read_one_by_one() -> None:
    writer = Writer().prelude([("shop", "users"), ("club", "users"), ("club", "games")])
    shop_users, club_users, games = documents(3), documents(4), documents(5)
    writer.block(("shop", "users"), shop_users).block(("club", "users"), club_users).block(("club", "games"), games)
    file = in_memory(bytes(writer.end(("shop", "users"), ("club", "users"), ("club", "games")).data))
    assert databases(file.open()) == ["shop", "club"]
    assert everything(ArchiveSource(file, "shop")).records == {"users": shop_users}
    assert everything(ArchiveSource(file, "club")).records == {"users": club_users, "games": games}
    with pytest.raises(BadInputError, match="collection users in shop and in club"):
        ArchiveSource(file)
    with pytest.raises(BadInputError, match="it holds shop, club"):
        ArchiveSource(file, "other")


def test_each_database_of_an_archive_is_a_source_and_so_is_its_oplog(tmp_path: Path) -> None:
    entry = {"ts": Timestamp(9, 1), "op": "i", "ns": "club.users", "v": Int64(2), "o": {"_id": 1}, "wall": 1}
    writer = Writer().prelude([("shop", "users"), ("club", "users"), ("", "oplog")])
    writer.block(("shop", "users"), documents(3)).block(("club", "users"), documents(4))
    writer.block(("", "oplog"), [bson.encode(entry)])
    (tmp_path / "all.archive").write_bytes(writer.end(("shop", "users"), ("club", "users"), ("", "oplog")).data)

    scan = catalogued(find_sources([tmp_path]), Catalog(tmp_path / "catalog"))
    assert {(one.path.name, one.kind, one.records) for one in scan.sources} == {
        ("shop", Kind.ARCHIVE, 3),
        ("club", Kind.ARCHIVE, 4),
        ("oplog.bson", Kind.OPLOG, 1),
    }
    assert (scan.errors, scan.copies) == ((), ())
    assert open_source(tmp_path / "all.archive" / "club").path.name == "club"


def test_several_databases_are_read_as_one_if_no_collections_share_a_name() -> None:
    writer = Writer().prelude([("shop", "users"), ("club", "games")])
    writer.block(("shop", "users"), documents(3)).block(("club", "games"), documents(5))
    file = in_memory(bytes(writer.end(("shop", "users"), ("club", "games")).data))
    assert everything(ArchiveSource(file)).records == {"users": documents(3), "games": documents(5)}


def test_two_databases_that_turn_out_to_share_a_name_must_be_chosen_from() -> None:
    writer = Writer().block(("shop", "users"), documents(3)).block(("club", "users"), documents(5))
    file = in_memory(bytes(writer.end(("shop", "users"), ("club", "users")).data))
    with pytest.raises(BadInputError, match="collection users in shop and in club"):
        list(ArchiveSource(file).read())
    assert everything(ArchiveSource(file, "club")).records == {"users": documents(5)}


def test_the_oplog_is_in_no_database_and_read_by_itself() -> None:
    entries = [bson.encode({"op": "i", "ns": "shop.users", "o": {"_id": n}, "ts": n}) for n in range(7)]
    writer = Writer().prelude([("shop", "users"), ("", "oplog")]).block(("shop", "users"), documents(3))
    writer.block(("", "oplog"), entries).end(("shop", "users"), ("", "oplog"))
    file = in_memory(bytes(writer.data))
    assert databases(file.open()) == ["shop"]
    source = ArchiveSource(file)
    assert source.has_oplog
    assert everything(source).records == {"users": documents(3)}
    assert everything(source, source.read_oplog()).records == {"oplog": entries}


def test_blocks_that_take_turns_keep_each_collections_order() -> None:
    source = ArchiveSource(in_memory(bytes(shop().data)))
    found = everything(source)
    assert found.damages == []
    assert found.records["a"] == documents(40, kind="a") + documents(40, first=40) + documents(40, first=80)
    assert found.records["b"] == documents(30, kind="b") + documents(40, first=30, kind="b")


def test_a_time_series_is_read_as_its_buckets_and_a_view_has_no_records() -> None:
    writer = Writer().prelude([("shop", "metrics")], kind="timeseries", metadata='{"type": "timeseries"}')
    writer.block(("shop", "system.buckets.metrics"), documents(2)).end(("shop", "system.buckets.metrics"))
    source = ArchiveSource(in_memory(bytes(writer.data)))
    assert everything(source).records == {"system.buckets.metrics": documents(2)}
    assert everything(source).damages == []
    assert source.header().options == {"metrics": {"type": "timeseries"}}
    view = ArchiveSource(in_memory(bytes(Writer().prelude([("shop", "open")], kind="view").data)))
    assert (everything(view).records, everything(view).damages) == ({}, [])


def test_records_that_were_changed_within_are_told_by_the_checksum() -> None:
    writer = shop()
    offset = next(offset for offset, (place, _) in writer.places.items() if place == ("shop", "c"))
    at = writer.data.index(b"number", offset)
    writer.data[at : at + 6] = b"NUMBER"
    source = ArchiveSource(in_memory(bytes(writer.data)))
    found = everything(source)
    assert source.doubted == {"c"}
    (damage,) = found.damages
    assert "can be read, but their checksum is wrong" in damage.reason
    assert damage.collection == "c"
    assert {name: len(records) for name, records in found.records.items()} == {"a": 120, "b": 70, "c": 30}


def test_an_archive_inside_a_record_is_part_of_the_record(samples: Path) -> None:
    inner = (samples / "mongodump.archive").read_bytes()
    records = [bson.encode({"_id": n, "data": inner[n * 200_000 :][:255_000]}) for n in range(5)]
    writer = Writer().prelude([("files", "chunks")]).block(("files", "chunks"), records).end(("files", "chunks"))
    found = everything(ArchiveSource(in_memory(bytes(writer.data))))
    assert found.records == {"chunks": records}
    assert found.damages == []


def test_a_record_with_a_false_length_costs_only_itself() -> None:
    for value in (b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x40\x00\x00\x00", b"\x00\x04\x00\x00"):
        writer = shop()
        offset, (_, record) = list(writer.places.items())[50]
        writer.data[offset : offset + 4] = value
        source = ArchiveSource(in_memory(bytes(writer.data)))
        found = everything(source)
        del writer.places[offset]
        assert found.places == {at: (place[1], whole) for at, (place, whole) in writer.places.items()}
        damage = found.damages[0]
        assert (damage.offset, damage.length, damage.collection) == (offset, len(record), "b")
        assert damage.partial == record
        assert source.doubted == {"b"}


def test_a_shortened_record_that_leads_to_what_looks_like_another_costs_only_itself() -> None:
    place, length = ("s", "c"), 60
    small = bson.encode({"_id": 1})
    bait = struct.pack("<i", length) + b"\x10a\x00" + bytes(length - 7 - len(small)) + small
    records = documents(10)
    records[5] = bson.encode({"_id": 5, "text": "number 5", "in": Binary(bait[:-1])})
    stop = len(records[4]) - 7 + len(records[5]) - length  # the bait ends where the record ends that it is in
    records[4] = struct.pack("<i", stop) + records[4][4:-7]
    writer = Writer().prelude([place]).block(place, records).end(place)
    offsets = list(writer.places)
    found = everything(ArchiveSource(in_memory(bytes(writer.data))))
    assert found.places == {at: (place[1], whole) for at, (_, whole) in writer.places.items() if at != offsets[4]}


def test_a_length_that_leads_to_a_number_which_looks_like_the_end_of_a_block_costs_one_record() -> None:
    place = ("s", "c")
    writer = Writer().prelude([place]).block(place, documents(30, big=Int64(-1))).end(place)
    offset, target = list(writer.places)[5], list(writer.places)[20]
    target = writer.data.index(4 * b"\xff", target) + 1
    writer.data[offset : offset + 4] = struct.pack("<i", target - offset)
    found = everything(ArchiveSource(in_memory(bytes(writer.data))))
    assert found.places == {at: (place[1], whole) for at, (_, whole) in writer.places.items() if at != offset}


def test_a_record_that_took_the_first_bytes_of_the_next_costs_only_itself() -> None:
    place = ("s", "c")
    records = documents(10, ratio=1.5)
    lost = records[5]
    records[5] = lost[:-9] + lost[-7:]
    writer = Writer().prelude([place]).block(place, records).end(place)
    offset = list(writer.places)[5]
    found = everything(ArchiveSource(in_memory(bytes(writer.data))))
    assert found.places == {at: (place[1], whole) for at, (_, whole) in writer.places.items() if at != offset}


def test_the_length_of_a_record_that_leads_into_another_block_moves_no_record_there() -> None:
    writer = shop()
    offsets = list(writer.places)
    offset = offsets[38]  # near the end of the first block
    for target in offsets[41:60]:
        data = bytearray(writer.data)
        data[offset : offset + 4] = struct.pack("<i", target - offset)
        found = everything(ArchiveSource(in_memory(bytes(data))))
        assert found.places == {at: (place[1], rec) for at, (place, rec) in writer.places.items() if at != offset}


def test_a_block_whose_header_is_lost_belongs_to_the_one_collection_that_lacks_it() -> None:
    writer = shop()
    header = writer.data.index(b"\x02db\0\x05\0\0\0shop\0\x02collection\0\x02\0\0\0c\0\x08EOF") - 4
    writer.data[header : header + 50] = bytes(50)
    source = ArchiveSource(in_memory(bytes(writer.data)))
    found = everything(source)
    assert found.places == {offset: (place[1], record) for offset, (place, record) in writer.places.items()}
    assert source.doubted == set()


def test_where_two_collections_could_own_a_record_it_is_shown_and_not_filed() -> None:
    writer = shop()
    data = bytearray(writer.data)
    places = list(writer.places.items())
    data[places[5][0] : places[5][0] + 4] = bytes(4)  # so a's checksum cannot hold
    border = writer.data.index(b"\x02db\0\x05\0\0\0shop\0\x02collection\0\x02\0\0\0c\0\x08EOF") - 4
    data[border : border + 50] = bytes(50)
    found = everything(ArchiveSource(in_memory(bytes(data))))
    lost = [record for place, record in writer.places.values() if place[1] == "c"]
    assert found.unowned() == lost
    assert all("a, c" in damage.reason for damage in found.damages if "not known" in damage.reason)
    assert set(found.records) == {"a", "b"}


def test_a_name_in_a_header_that_nothing_else_confirms_is_not_believed() -> None:
    writer = shop()
    header = writer.data.index(b"collection\0\x02\0\0\0c\0\x08EOF") + 15
    writer.data[header] = ord("k")
    source = ArchiveSource(in_memory(bytes(writer.data)))
    found = everything(source)
    assert set(found.records) == {"a", "b", "c"}
    assert found.places == {offset: (place[1], record) for offset, (place, record) in writer.places.items()}
    assert any("k, which the archive does not list" in damage.reason for damage in found.damages)


def test_a_collection_that_a_damaged_prelude_misnames_is_read_all_the_same() -> None:
    writer = shop()
    at = writer.data.index(b"\x02collection\0\x02\0\0\0c\0\x02metadata") + 16
    writer.data[at] = ord("k")
    found = everything(ArchiveSource(in_memory(bytes(writer.data))))
    assert found.places == {offset: (place[1], record) for offset, (place, record) in writer.places.items()}


def test_what_is_missing_at_the_end_is_said_for_each_collection() -> None:
    writer = shop()
    offset = list(writer.places)[100]
    found = everything(ArchiveSource(in_memory(bytes(writer.data[: offset + 20]))))
    assert len(found.places) == 100
    cut, *ends = found.damages
    assert (cut.offset, cut.length) == (offset, 20)
    assert "is cut" in cut.reason
    assert [(end.collection, end.length) for end in ends] == [("a", -1), ("b", -1), ("c", -1)]


def test_damage_near_a_cut_end_is_read_through() -> None:
    writer = Writer().prelude([("shop", "a")])
    big = bson.encode({"_id": -1, "text": "z" * 30_000})
    writer.block(("shop", "a"), [*documents(20), big])
    offsets = list(writer.places)
    data = bytearray(writer.data[: offsets[20] + 20_000])
    data[offsets[18] : offsets[18] + 4] = b"\xff\xff\xff\x7f"
    found = everything(ArchiveSource(in_memory(bytes(data))))
    assert list(found.places) == offsets[:18] + offsets[19:20]
    assert [damage.offset for damage in found.damages] == [offsets[18], offsets[20], len(data)]


def test_an_archive_whose_beginning_is_lost_gives_the_rest() -> None:
    writer = shop()
    offset = list(writer.places)[10]
    source = ArchiveSource(in_memory(bytes(writer.data[offset + 7 :])))
    found = everything(source)
    rest = {at - offset - 7: (place[1], record) for at, (place, record) in writer.places.items() if at > offset}
    assert found.places == rest
    assert source.header().origin == "shop"
    assert found.damages[0].offset == 0


def test_nothing_is_read_over_a_gap_of_what_was_expanded() -> None:
    writer = shop()
    places = list(writer.places.items())
    inside = places[60][0] + 10
    between = places[45][0]
    gaps = [Gap(between, "frame 3 is broken"), Gap(inside, "frame 5 is broken")]
    found = everything(ArchiveSource(in_memory(bytes(writer.data), gaps)))
    assert {damage.reason for damage in found.damages} >= {"frame 3 is broken"}
    assert places[60][0] not in found.places
    assert found.places == {at: (place[1], rec) for at, (place, rec) in places if at != places[60][0]}


@pytest.mark.parametrize(
    "data", [b"", MAGIC, MAGIC + b"\x05\0\0\0\0", b"\xff" * 1000, bytes(5000), b"PK\3\4" + bytes(90)]
)
def test_what_is_no_archive_gives_no_records_and_no_error(data: bytes) -> None:
    source = ArchiveSource(in_memory(data))
    assert everything(source).records == {}
    assert source.header().options == {}
    assert databases(Memory(data)) == []


def test_a_record_that_is_no_more_there_is_an_error() -> None:
    source = ArchiveSource(in_memory(bytes(shop().data)))
    with pytest.raises(DamagedSourceError, match="holds no record of 50 bytes at offset 1,000 any more"):
        list(source.fetch([Ref("", 1000, 50)]))


def test_memory_is_bounded_whatever_the_archives_size(tmp_path: Path) -> None:
    path = tmp_path / "big.archive"
    place = ("shop", "big")
    records = documents(20_000, text="y" * 1000)
    with path.open("wb") as file:
        writer = Writer().prelude([place])
        for _ in range(3):
            writer.block(place, records)
            file.write(writer.data)
            writer.data.clear()
        file.write(writer.end(place).data)
    del writer, records
    tracemalloc.start()
    count = sum(len(part) for part in ArchiveSource(File.on_disk(path)).read() if not isinstance(part, Damage))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 60_000
    assert peak < 6 * BATCH_BYTES


def test_hostile_input_takes_no_more_than_linear_time() -> None:
    small = bson.encode({"_id": 1})
    inputs = [
        MAGIC + (b"\x00\x10\x00\x00\x07_id\x00" * 100_000),
        MAGIC + (struct.pack("<i", 1 << 20) + b"\x02db\x00") * 100_000,
        bytes(Writer().prelude([("s", "c")]).block(("s", "c"), [small]).data[:-4]) + (b"\x08EOF\x00" * 200_000),
        bytes(Writer().prelude([("s", "c")]).block(("s", "c"), [small + b"\x01"] * 5_000).data),
    ]
    borders = Writer()
    for number in range(3000):
        borders.block(("s", f"c{number}"), [small])
        borders.data += b"junk" + small
    inputs.append(bytes(borders.data))
    for data in inputs:
        started = time.process_time()
        for _ in ArchiveSource(in_memory(data)).read():
            pass
        assert time.process_time() - started < 10


def test_an_archive_of_many_small_blocks_is_read_at_the_pace_of_its_size() -> None:
    places = [("shop", f"c{n:05}") for n in range(3000)]
    writer = Writer().prelude(places)
    for place in places:
        writer.block(place, documents(2)).end(place)
    started = time.process_time()
    found = everything(ArchiveSource(in_memory(bytes(writer.data))))
    assert time.process_time() - started < 10
    assert (len(found.records), found.damages) == (3000, [])


def sample_archive(samples: Path) -> Writer:
    """Some records of each collection of the samples, in blocks that take turns, and the last in one of its own."""
    names = ["conversations", "sessions", "quotes", "users", "types"]
    records = {name: split((samples / "mongodump" / "shop" / f"{name}.bson").read_bytes())[:60] for name in names}
    writer = Writer().prelude([("shop", name) for name in names])
    for part in range(3):
        for name in names[:-1]:
            writer.block(("shop", name), records[name][part * 20 :][:20])
            if part == 2:
                writer.end(("shop", name))
    return writer.block(("shop", "types"), records["types"]).end(("shop", "types"))


@dataclass(frozen=True)
class Harm:
    """What was done to an archive.

    Attributes:
        data: What is left.
        start, stop: The bytes of the original that were touched; `start` is `stop` where some were put in.
        shift: How far what is behind them has moved.
    """

    data: bytes
    start: int
    stop: int
    shift: int

    def now(self, offset: int) -> int:
        return offset + (self.shift if offset >= self.stop else 0)

    def touches(self, start: int, stop: int) -> bool:
        return start < max(self.stop, self.start + 1) and self.start < stop and not self.start == self.stop == start


def harmed(data: bytes, kind: str, chance: random.Random) -> Harm:
    at = chance.randrange(len(data))
    span = min(chance.choice([1, 4, 16, 64, 512, 4096]), len(data) - at)
    junk = chance.randbytes(span)
    match kind:
        case "bit":
            flipped = bytes([data[at] ^ 1 << chance.randrange(8)])
            return Harm(data[:at] + flipped + data[at + 1 :], at, at + 1, 0)
        case "zeros":
            return Harm(data[:at] + bytes(span) + data[at + span :], at, at + span, 0)
        case "overwritten":
            return Harm(data[:at] + junk + data[at + span :], at, at + span, 0)
        case "inserted":
            return Harm(data[:at] + junk + data[at:], at, at, span)
        case "removed":
            return Harm(data[:at] + data[at + span :], at, at + span, -span)
        case "tail":
            return Harm(data[:at], at, len(data), 0)
        case _:
            return Harm(data[at:], 0, at, -at)


@pytest.mark.seeded(30)
@pytest.mark.parametrize("kind", ["bit", "zeros", "overwritten", "inserted", "removed", "tail", "head"])
def test_damage_costs_only_what_it_touches(samples: Path, kind: str, seed: int) -> None:
    writer = sample_archive(samples)
    harm = harmed(bytes(writer.data), kind, random.Random(f"{kind} {seed}"))
    found = everything(ArchiveSource(in_memory(harm.data)))

    whole = {
        harm.now(offset): (place[1], record)
        for offset, (place, record) in writer.places.items()
        if not harm.touches(offset, offset + len(record))
    }
    foreign = {offset: kept for offset, kept in found.places.items() if whole.get(offset) != kept}
    new_stop = harm.stop + harm.shift
    for offset, (_, record) in foreign.items():
        assert offset not in whole
        assert offset < max(new_stop, harm.start + 1)
        assert offset + len(record) > min(harm.start, new_stop)

    unfiled = {d.offset: d.partial for d in found.damages if "collection is not known" in d.reason}
    lost = {offset: record for offset, (_, record) in whole.items() if offset not in found.places}
    assert {offset: unfiled.get(offset) for offset in lost} == lost
    if kind != "head" and not any(harm.touches(*border) for border in writer.borders):
        assert lost == {}
    assert len(lost) <= len(writer.places) // 5, "no more than the rest of one block"


@pytest.mark.seeded(40)
def test_several_damages_never_make_a_wrong_record(samples: Path, seed: int) -> None:
    writer = sample_archive(samples)
    chance = random.Random(seed)
    data, touched = bytes(writer.data), []
    for _ in range(4):
        harm = harmed(data, chance.choice(["bit", "zeros", "overwritten"]), chance)
        data = harm.data
        touched.append(harm)
    found = everything(ArchiveSource(in_memory(data)))
    whole = {
        offset: (place[1], record)
        for offset, (place, record) in writer.places.items()
        if not any(harm.touches(offset, offset + len(record)) for harm in touched)
    }
    for offset, kept in found.places.items():
        assert whole.get(offset) == kept or any(harm.touches(offset, offset + len(kept[1])) for harm in touched)
    for offset, (_, record) in whole.items():
        unfiled = next((damage.partial for damage in found.damages if damage.offset == offset), None)
        assert offset in found.places or unfiled == record
