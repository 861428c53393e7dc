"""Time-series are compared by their buckets; measurements decide whether two buckets are alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util
from bson.raw_bson import RawBSONDocument

from recovery_nb import Case
from recovery_nb.compare.model import Status
from recovery_nb.compare.resolve import shown
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import split

START = datetime(2025, 12, 1, tzinfo=UTC)
BUCKETS = "system.buckets.weather"
Dump = Callable[..., Path]


@pytest.fixture
def db(database: Any) -> Any:
    return database.client[database.name]


@pytest.fixture
def dump(db: Any, tmp_path: Path) -> Dump:
    """Write a dump of the database's time-series."""

    def write(name: str = "dump") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for info in db.list_collections(filter={"type": "timeseries"}):
            about = {"options": info["options"], "indexes": [], "type": "timeseries"}
            text = json_util.dumps(about, json_options=json_util.CANONICAL_JSON_OPTIONS)
            (folder / f"{info['name']}.metadata.json").write_text(text)
            raw = b"".join(db[f"system.buckets.{info['name']}"].find_raw_batches({}))
            (folder / f"system.buckets.{info['name']}.bson").write_bytes(raw)
        return folder

    return write


@pytest.fixture
def weather(db: Any) -> Any:
    db.create_collection("weather", timeseries={"timeField": "at", "metaField": "station"})
    for station in ("a", "b"):
        measure(db, station, 20)
    return db.weather


def measure(db: Any, station: str, count: int, *, start: datetime = START, name: str = "weather") -> None:
    db[name].insert_many(
        {"at": start + timedelta(seconds=second), "station": station, "n": second} for second in range(count)
    )


def found(comparison: Comparison, collection: str = BUCKETS) -> dict[str, int]:
    return {status: count for status, count in comparison.summary.collections[collection].items() if count}


def repacked(db: Any, folder: Path) -> Path:
    """Write the buckets of a dump as the server packs them when they are full."""
    path = folder / f"{BUCKETS}.bson"
    db.create_collection("packed", timeseries={"timeField": "at", "metaField": "station"})
    buckets = [bson.decode(one) for one in split(path.read_bytes())]
    db.drop_collection("packed")
    for one in buckets:
        one["data"] = dict(reversed(one["data"].items()))
    path.write_bytes(b"".join(map(bson.encode, buckets)))
    return folder


def test_a_series_is_compared_by_its_buckets_and_counted_in_measurements(weather: Any, case: Case, dump: Dump) -> None:
    comparison = case.compare(dump())

    assert found(comparison) == {"identical": 2}
    assert comparison.clean
    assert comparison.summary.records == {BUCKETS: 2}
    assert comparison.summary.notes == [
        "weather is a time-series, compared bucket by bucket (system.buckets.weather): "
        "40 measurements in 2 buckets in the database, 40 in 2 in dump"
    ]
    assert shown(BUCKETS) == "weather (a time-series)"


def test_missing_buckets_are_found(db: Any, weather: Any, case: Case, dump: Dump) -> None:
    source = dump()
    weather.delete_many({"station": "b"})
    measure(db, "c", 5)

    comparison = case.compare(source)

    assert found(comparison) == {"identical": 1, "missing": 1, "extra": 1}


def test_a_lost_series_is_missing_bucket_by_bucket(db: Any, weather: Any, case: Case, dump: Dump) -> None:
    source = dump()
    db.drop_collection("weather")

    assert found(case.compare(source)) == {"missing": 2}


def test_a_bucket_that_went_on_growing_has_lost_nothing(db: Any, weather: Any, case: Case, dump: Dump) -> None:
    source = dump()
    measure(db, "a", 7, start=START + timedelta(minutes=1))

    comparison = case.compare(source)

    assert found(comparison) == {"identical": 1, "equivalent": 1}
    (row,) = comparison.rows((Status.EQUIVALENT,))
    assert row["note"] == "the database's bucket holds all of its measurements, and 7 more"


def test_a_bucket_that_was_packed_since_is_equivalent(db: Any, weather: Any, case: Case, dump: Dump) -> None:
    source = dump()
    measure(db, "a", 1000, start=START + timedelta(minutes=1))  # more than a bucket holds: the server packs it
    versions = {one["control"]["version"] for one in db[BUCKETS].find({"meta": "a"})}

    comparison = case.compare(source)

    assert 2 in versions
    assert (comparison.total.changed, comparison.total.missing, comparison.total.equivalent) == (0, 0, 1)


def test_the_same_measurements_in_another_order_of_fields_are_equivalent(
    db: Any, weather: Any, case: Case, dump: Dump
) -> None:
    comparison = case.compare(repacked(db, dump()))

    assert found(comparison) == {"equivalent": 2}
    assert {row["note"] for row in comparison.rows()} == {"the same measurements, packed in another way"}


def test_a_bucket_without_some_of_its_measurements_is_changed(db: Any, weather: Any, case: Case, dump: Dump) -> None:
    source = dump()
    (bucket,) = db[BUCKETS].find({"meta": "b"})
    db[BUCKETS].delete_one({"_id": bucket["_id"]})
    for values in bucket["data"].values():
        for n in range(15, 20):
            del values[str(n)]
    db[BUCKETS].insert_one(bucket)

    comparison = case.compare(source)

    assert found(comparison) == {"identical": 1, "changed": 1}
    (row,) = comparison.rows((Status.CHANGED,))
    assert row["note"] == "5 of its 20 measurements are not in the database's bucket of this _id"


def test_buckets_that_cannot_be_unpacked_are_compared_byte_by_byte(
    db: Any, weather: Any, case: Case, dump: Dump
) -> None:
    source = dump()
    path = source / f"{BUCKETS}.bson"
    buckets = [bson.decode(one) for one in split(path.read_bytes())]
    buckets[0]["control"]["version"] = 99
    path.write_bytes(b"".join(map(bson.encode, buckets)))

    comparison = case.compare(source)

    assert found(comparison) == {"identical": 1, "changed": 1, "corrupt": 1}


def test_the_key_that_others_are_compared_by_does_not_concern_buckets(weather: Any, case: Case, dump: Dump) -> None:
    assert case.compare(dump(), key=["session_id"]).summary.keys == {BUCKETS: ["_id"]}


def test_a_series_is_named_by_its_own_name(weather: Any, case: Case, dump: Dump) -> None:
    source = dump()

    assert list(case.compare(source, collection="weather").summary.collections) == [BUCKETS]
    assert list(case.compare(source, collection=BUCKETS).summary.collections) == [BUCKETS]
    with pytest.raises(BadInputError, match="no source holds a collection 'snow'"):
        case.compare(source, collection="snow")


def test_a_series_in_no_source_is_uncovered_and_a_covered_one_is_not(
    db: Any, weather: Any, case: Case, dump: Dump
) -> None:
    source = dump()
    db.create_collection("other", timeseries={"timeField": "at"})

    assert case.compare(source).summary.uncovered == ["other"]


def test_measurements_exported_as_records_are_not_mixed_with_buckets(
    db: Any, weather: Any, case: Case, dump: Dump, write: Callable[..., Path]
) -> None:
    exported = write("weather.bson", [{"_id": 1, "at": START, "station": "a"}])

    comparison = case.compare(dump(), exported)

    assert list(comparison.summary.collections) == [BUCKETS]
    assert any("not in buckets, as in weather.bson" in note for note in comparison.summary.notes)
    db.drop_collection("weather")
    assert list(case.compare().summary.collections) == [BUCKETS]


def test_where_the_database_has_a_plain_collection_of_that_name_buckets_are_left_out(
    db: Any, weather: Any, case: Case, dump: Dump
) -> None:
    source = dump()
    db.drop_collection("weather")
    db.weather.insert_one({"_id": 1})

    comparison = case.compare(source)

    assert comparison.summary.collections == {}
    assert comparison.summary.notes == [
        "weather is no time-series in the database, as it is in dump: it is not compared"
    ]


def test_buckets_are_read_at_the_one_point_in_time(weather: Any, case: Case, dump: Dump) -> None:
    comparison = case.compare(dump())

    assert comparison.summary.consistent


def test_the_samples_series_is_identical_to_what_was_loaded_from_it(database: Any, case: Case, samples: Path) -> None:
    db, folder = database.client[database.name], samples / "mongodump" / "shop"
    about = json_util.loads((folder / "metrics.metadata.json").read_text())
    db.command("create", "metrics", **about["options"])
    buckets = split((folder / "system.buckets.metrics.bson").read_bytes())
    db["system.buckets.metrics"].insert_many([RawBSONDocument(one) for one in buckets])

    comparison = case.compare(folder, collection="metrics")

    assert found(comparison, "system.buckets.metrics") == {"identical": 3}
    assert "300 measurements in 3 buckets in the database, 300 in 3 in shop" in comparison.summary.notes[0]
