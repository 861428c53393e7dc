from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path

import bson
import pyarrow.parquet as pq
import pytest

from recovery_nb.catalog.digest import digest_of
from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import BadInputError, DamagedSourceError
from recovery_nb.events import Event
from recovery_nb.records.elements import split
from recovery_nb.records.keys import key_of
from recovery_nb.sources.base import Typing
from recovery_nb.sources.discover import open_source


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog")


def bson_file(path: Path, *documents: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(one if isinstance(one, bytes) else bson.encode(one) for one in documents))  # type: ignore[arg-type]  # documents are dictionaries
    return path


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_source_is_described_by_what_is_in_it(catalog: Catalog, samples: Path) -> None:
    entry = catalog.scan(open_source(samples / "backups" / "backup_20251201_103000.json"))

    assert entry.collections == {"conversations": 600, "sessions": 600, "quotes": 300}
    assert (entry.records, entry.whole, entry.typing) == (1_500, True, Typing.PLAIN)
    assert entry.taken_from.startswith("timestamp")
    assert len(entry.samples) == 3
    assert entry.fields["quotes"]["_id"] == 200
    assert catalog.entry(entry.id) == entry
    assert catalog.entries() == [entry]


def test_each_record_has_a_row_with_its_place_key_and_fingerprint(catalog: Catalog, samples: Path) -> None:
    import hashlib

    path = samples / "mongodump" / "shop" / "types.bson"
    records = split(path.read_bytes())
    table = pq.read_table(catalog.table(catalog.scan(open_source(path))))

    assert table["fingerprint"].to_pylist() == [hashlib.sha256(record).digest() for record in records]
    assert table["key"].to_pylist() == [key_of(record) for record in records]
    content = path.read_bytes()
    places = zip(table["offset"].to_pylist(), table["length"].to_pylist(), strict=True)
    assert [content[offset : offset + length] for offset, length in places] == records


def test_a_second_scan_of_an_unchanged_source_changes_nothing(catalog: Catalog, samples: Path) -> None:
    first = catalog.scan(open_source(samples / "mongodump" / "shop"))
    before = state(catalog.folder)

    assert catalog.scan(open_source(samples / "mongodump" / "shop")) == first
    assert state(catalog.folder) == before


def test_changed_content_is_another_source_and_the_old_finding_stays(catalog: Catalog, tmp_path: Path) -> None:
    path = bson_file(tmp_path / "c.bson", {"_id": 1})
    first = catalog.scan(open_source(path))
    bson_file(path, {"_id": 2})
    second = catalog.scan(open_source(path))

    assert first.id != second.id
    assert catalog.entry(first.id) == first
    assert {entry.id for entry in catalog.entries()} == {first.id, second.id}


def test_the_same_content_in_two_places_is_one_source(catalog: Catalog, tmp_path: Path) -> None:
    path = bson_file(tmp_path / "one" / "c.bson", {"_id": 1})
    (tmp_path / "two").mkdir()
    copy = Path(shutil.copy2(path, tmp_path / "two" / "c.bson"))

    assert catalog.scan(open_source(path)).id == catalog.scan(open_source(copy)).id
    assert len(catalog.entries()) == 1


def test_a_dumps_digest_covers_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "dump"
    bson_file(folder / "a.bson", {"_id": 1})
    bson_file(folder / "b.bson", {"_id": 2})
    whole = digest_of(open_source(folder))
    (folder / "b.bson").rename(folder / "c.bson")

    assert digest_of(open_source(folder)) != whole


def test_damage_is_in_the_entry_and_the_rest_is_read(catalog: Catalog, tmp_path: Path) -> None:
    path = bson_file(tmp_path / "c.bson", {"_id": 1}, {"_id": 2}, b"\xff" * 20, {"_id": 3})
    entry = catalog.scan(open_source(path))

    assert entry.records == 3
    assert not entry.whole
    assert [(one.offset, one.length, one.collection) for one in entry.damage] == [(28, 20, "c")]


def test_a_record_that_is_broken_behind_its_id_does_not_stop_a_scan(catalog: Catalog, tmp_path: Path) -> None:
    broken = bson.encode({"_id": bson.ObjectId(), "v": "text"}).replace(
        b"\x05\x00\x00\x00text", b"\x55\x00\x00\x00text"
    )

    assert catalog.scan(open_source(bson_file(tmp_path / "c.bson", broken, {"_id": 1}))).records == 2


def test_an_id_that_is_cut_is_damage(catalog: Catalog, tmp_path: Path) -> None:
    cut = b"\x0e\x00\x00\x00\x07_id\x00abcd\x00"
    entry = catalog.scan(open_source(bson_file(tmp_path / "c.bson", {"_id": 1}, cut, {"_id": 2})))

    assert (entry.records, len(entry.damage)) == (2, 1)


def test_an_id_nested_beyond_every_server_is_damage(catalog: Catalog, tmp_path: Path) -> None:
    from recovery_nb.records.elements import build

    deep = bson.encode({"a": 1})
    for _ in range(3_000):
        deep = build([(0x03, b"_id", deep)])
    entry = catalog.scan(open_source(bson_file(tmp_path / "c.bson", {"_id": 1}, deep, {"_id": 2})))

    assert entry.records == 2
    assert "levels deep" in entry.damage[0].reason


def test_more_damage_than_an_entry_holds_is_counted(catalog: Catalog, tmp_path: Path) -> None:
    good, bad = bson.encode({"_id": 1}), b"\x0e\x00\x00\x00\x07_id\x00abcd\x00"
    entry = catalog.scan(open_source(bson_file(tmp_path / "c.bson", *([good, bad] * 1_500), good)))

    assert entry.records == 1_501
    assert len(entry.damage) == 1_001
    assert entry.damage[-1].reason == "500 more stretches that cannot be read"


def test_a_file_without_any_record_is_refused_and_leaves_nothing(catalog: Catalog, tmp_path: Path) -> None:
    path = bson_file(tmp_path / "c.bson", b"\xff" * 100)

    with pytest.raises(DamagedSourceError, match=r"no record can be read from .*c.bson"):
        catalog.scan(open_source(path))
    assert not list(catalog.folder.glob("*"))
    assert not list(catalog.folder.glob(".*"))


def test_an_unknown_id_is_refused(catalog: Catalog) -> None:
    with pytest.raises(BadInputError, match="knows no source"):
        catalog.entry("0123456789abcdef")


def test_what_changes_while_it_is_read_is_not_catalogued(catalog: Catalog, tmp_path: Path) -> None:
    path = bson_file(tmp_path / "c.bson", *({"_id": n, "v": "x" * 1_000} for n in range(20_000)))

    def append(event: Event) -> None:
        with path.open("ab") as file:
            file.write(bson.encode({"_id": "late"}))

    with pytest.raises(BadInputError, match="changed while it was read"):
        catalog.scan(open_source(path), emit=append)
    assert catalog.entries() == []


def test_what_goes_away_while_it_is_read_is_not_catalogued(catalog: Catalog, tmp_path: Path) -> None:
    path = bson_file(tmp_path / "c.bson", *({"_id": n, "v": "x" * 1_000} for n in range(20_000)))

    with pytest.raises(BadInputError, match="went away"):
        catalog.scan(open_source(path), emit=lambda event: path.unlink(missing_ok=True))
    assert catalog.entries() == []


def test_the_same_content_has_one_id_however_it_is_packed_and_another_if_it_is_named_otherwise(
    catalog: Catalog, tmp_path: Path
) -> None:
    plain = bson_file(tmp_path / "users.bson", {"_id": 1}, {"_id": 2})
    entry = catalog.scan(open_source(plain))
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "users.bson.gz").write_bytes(gzip.compress(plain.read_bytes()))
    other = bson_file(tmp_path / "orders.bson", {"_id": 1}, {"_id": 2})

    assert catalog.scan(open_source(tmp_path / "again" / "users.bson.gz")).id == entry.id
    assert catalog.scan(open_source(other)).digest == entry.digest
    assert catalog.scan(open_source(other)).id != entry.id


def test_a_wrong_checksum_of_the_compression_is_kept_in_mind(catalog: Catalog, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(b"".join(bson.encode({"_id": n}) for n in range(100))))
    packed[-8] ^= 1
    (tmp_path / "c.bson.gz").write_bytes(packed)
    entry = catalog.scan(open_source(tmp_path / "c.bson.gz"))

    assert entry.records == 100
    assert entry.checksum_ok is False
    assert not entry.whole


def test_buckets_are_counted_as_the_measurements_they_hold(catalog: Catalog, samples: Path) -> None:
    entry = catalog.scan(open_source(samples / "mongodump" / "shop"))

    assert (entry.collections["metrics"], entry.buckets) == (300, {"metrics": 3})


def test_files_reach_the_disk_before_they_have_their_names(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str]] = []
    fsync, rename = os.fsync, Path.replace

    def seen_fsync(handle: int) -> None:
        calls.append(("fsync", Path(f"/proc/self/fd/{handle}").readlink().name))
        fsync(handle)

    def seen_rename(self: Path, target: Path) -> Path:
        calls.append(("rename", Path(target).name))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "replace", seen_rename)
    entry = catalog.scan(open_source(bson_file(tmp_path / "c.bson", {"_id": 1})))

    published = calls.index(("rename", entry.id))
    assert calls.index(("fsync", "records.parquet")) < published
    assert any(kind == "fsync" and name.startswith(".source.json") for kind, name in calls[:published])
    assert calls[published + 1 :] == [("fsync", "catalog")]


def test_an_entry_is_plain_json(catalog: Catalog, samples: Path) -> None:
    entry = catalog.scan(open_source(samples / "mongodump" / "shop"))
    stored = json.loads((catalog.folder / entry.id / "source.json").read_bytes())

    assert stored["options"]["quotes"]["options"]["validator"]
    assert stored["collections"]["types"] == 34
