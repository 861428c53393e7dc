"""What a comparison does for each of very many collections, and what only once."""

from __future__ import annotations

import shutil
from pathlib import Path

import bson
import pytest

from recovery_nb.catalog.store import Catalog
from recovery_nb.catalog.table import FingerprintTable
from recovery_nb.compare.readings import Readings
from recovery_nb.compare.screen import Screen, SourceTable, screening
from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Ref
from recovery_nb.sources.content import File, Folder
from recovery_nb.sources.discover import open_source
from recovery_nb.sources.tree import Tree


class Counting(Tree):
    """A tree that counts how often it was asked for what is at a path."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def entry(self, path: Path) -> File | Folder:
        self.asked += 1
        return super().entry(path)


def table(path: Path, *records: dict[str, int]) -> Path:
    with FingerprintTable(path) as rows:
        encoded = [bson.encode(record) for record in records]
        rows.add("c", encoded, offsets=[0] * len(encoded), lengths=[len(one) for one in encoded])
    return path


def dump(folder: Path, collections: int) -> dict[str, tuple[bytes, Ref]]:
    """Write a dump, and return each collection's one record and its place."""
    folder.mkdir()
    found = {}
    for number in range(collections):
        record = bson.encode({"_id": number})
        (folder / f"c{number}.bson").write_bytes(record)
        found[f"c{number}"] = (record, Ref(f"c{number}.bson", 0, len(record)))
    return found


def test_one_screen_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    one, two = {"_id": 1}, {"_id": 2}
    empty = table(tmp_path / "empty.parquet")
    single = SourceTable(table(tmp_path / "single.parquet", one), ("c",))
    double = SourceTable(table(tmp_path / "double.parquet", one, two, two), ("c",))
    with screening(tmp_path / "scratch") as db:
        for sources, missing, copies in (
            ([single], 1, 0), ([double], 2, 1), ([single], 1, 0), ([single, double], 2, 1),
        ):  # fmt: skip
            screen = Screen(db, empty, sources)
            assert screen.statuses() == {"missing": missing}
            assert screen.unique == (sources == [single])
            assert sum(batch.num_rows for batch in screen.duplicates()) == copies
            screen.close()
            assert db.execute("SELECT table_name FROM information_schema.tables").fetchall() == []


def test_a_dump_is_listed_once_for_all_of_its_collections(tmp_path: Path) -> None:
    records, tree = dump(tmp_path / "shop", 20), Counting()
    catalog = Catalog(tmp_path / "catalog", tree)
    entry = catalog.scan(open_source(tmp_path / "shop", tree))
    readings, tree.asked = Readings(catalog, {entry.id: {name: name for name in records}}, {}), 0
    for name, (record, place) in records.items():
        assert readings.fetch(entry, [(name, place)]) == [record]
    assert tree.asked == 1


def test_a_file_that_takes_the_place_of_another_is_read_in_its_stead(tmp_path: Path) -> None:
    (record, place), other = dump(tmp_path / "shop", 1)["c0"], bson.encode({"_id": 7})
    catalog = Catalog(tmp_path / "catalog", Tree())
    entry = catalog.scan(open_source(tmp_path / "shop", catalog.tree))
    readings = Readings(catalog, {entry.id: {"c0": "c0"}}, {})
    assert readings.fetch(entry, [("c0", place)]) == [record]
    (tmp_path / "new").write_bytes(other)
    (tmp_path / "new").replace(tmp_path / "shop" / "c0.bson")
    assert readings.fetch(entry, [("c0", place)]) == [other]
    shutil.rmtree(tmp_path / "shop")
    with pytest.raises(BadInputError, match="does not exist"):
        readings.fetch(entry, [("c0", place)])
