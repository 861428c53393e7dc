"""How a collection is built is told from samples, and chance is not taken for a difference."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb import Case
from recovery_nb.compare.composition import SAMPLE, Composition, composition, sample
from recovery_nb.errors import BadInputError

from .losses import backup, records


def of(case: Case, *sources: Path, collection: str = "quotes") -> Composition:
    return composition(case.compare(*sources), case.database, case.catalog, collection)


def test_fields_that_are_used_in_another_way_come_first(database: Any, case: Case, tmp_path: Path) -> None:
    live = [{"_id": n, "no": str(n), "tags": [{"name": "a"}], "new": True} for n in range(10)]
    database.client[database.name]["quotes"].insert_many(live)
    old = [
        {"_id": n, "no": n, "tags": [{"name": "a"}, {"name": "b"}], **({"gone": 1} if n < 5 else {})} for n in range(10)
    ]
    found = of(case, backup(tmp_path, 1, {"quotes": old}))
    told = {use.field: (use.database, use.source, use.differs) for use in found.fields}
    assert [use.field for use in found.fields[:3]] == ["gone", "new", "no"]
    assert told["gone"] == (0.0, 0.5, "share")
    assert told["new"] == (1.0, 0.0, "share")
    assert told["no"] == (1.0, 1.0, "types")
    assert told["tags[].name"] == (1.0, 1.0, ""), "a record counts once, however long its list is"
    assert found.database_sample.whole
    assert list(found.to_pandas().columns) == [
        "field", "database", "source", "database_types", "source_types", "differs",
    ]  # fmt: skip


def test_a_field_that_is_null_is_there(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name]["quotes"].insert_many(records(range(4), note=None))
    found = of(case, backup(tmp_path, 1, {"quotes": records(range(4), note=None)}))
    note = next(use for use in found.fields if use.field == "note")
    assert (note.database, note.database_types, note.differs) == (1.0, "null", "")


def test_of_large_collections_a_sample_is_taken_and_chance_is_no_difference(
    database: Any, case: Case, tmp_path: Path
) -> None:
    half = [{"_id": n, **({"seen": 1} if n % 2 else {})} for n in range(5000)]
    database.client[database.name]["quotes"].insert_many(half)
    found = of(case, backup(tmp_path, 1, {"quotes": half}))
    assert (found.database_sample.sampled, found.source_sample.sampled) == (SAMPLE, SAMPLE)
    assert not found.database_sample.whole
    assert not any(use.differs for use in found.fields)


def test_a_change_of_the_whole_collection_shows_in_a_sample(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name]["quotes"].insert_many(records(range(3000), price=1.5))
    found = of(case, backup(tmp_path, 1, {"quotes": records(range(3000), price="1.5")}))
    assert {use.field: use.differs for use in found.fields}["price"] == "types"


def test_a_collection_that_is_gone_has_only_one_side(database: Any, case: Case, tmp_path: Path) -> None:
    found = of(case, backup(tmp_path, 1, {"quotes": records(range(5))}))
    assert (found.database_sample.sampled, found.source_sample.sampled) == (0, 5)
    assert not any(use.differs for use in found.fields)


def test_what_no_source_holds_cannot_be_told(database: Any, case: Case, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no source holds a record of users"):
        of(case, backup(tmp_path, 1, {"quotes": records(range(5))}), collection="users")


def test_the_buckets_of_a_time_series_are_the_servers(database: Any, case: Case, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="kept in buckets"):
        of(case, backup(tmp_path, 1, {"quotes": records(range(5))}), collection="system.buckets.weather")


def test_large_and_strange_records_take_little_time() -> None:
    wide = [bson.encode({f"f{n}_{m}": m for m in range(5000)}) for n in range(100)]
    deep: dict[str, Any] = {"end": 1}
    for _ in range(90):
        deep = {"a": deep}
    begun = time.perf_counter()
    found = sample(
        [bson.encode({"x": b"y" * (16 << 20)}), b"\x05\x00\x00\x00\x01", bson.encode(deep), *wide], total=103
    )
    assert found.cut
    assert len(found.fields) == 2000
    assert found.sampled < 103
    assert time.perf_counter() - begun < 10
