from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest

from recovery_nb.selection import Choice

START = datetime(2025, 12, 1, tzinfo=UTC)
BUCKETS = "system.buckets.weather"


def make(bench: Any, name: str = "weather", **options: Any) -> None:
    series = {"timeField": "at", "metaField": "station", "granularity": "seconds", **options}
    bench.db.create_collection(name, timeseries=series)


def measure(bench: Any, station: Any, count: int, *, hours: int = 0, name: str = "weather") -> None:
    start = START + timedelta(hours=hours)
    bench.db[name].insert_many(
        {"at": start + timedelta(seconds=second), "station": station, "t": second / 7, "n": second}
        for second in range(count)
    )


def stored(bench: Any, name: str = "weather") -> list[tuple[Any, ...]]:
    return sorted((one["at"], str(one["station"]), one["n"], str(one["_id"])) for one in bench.db[name].find())


def test_a_lost_series_comes_back_with_its_options_and_every_measurement(bench: Any) -> None:
    make(bench)
    for station in ("a", "b", {"x": 1, "y": [2]}):
        measure(bench, station, 50)
    before, options = stored(bench), bench.db.command("listCollections", filter={"name": "weather"})
    raw = bench.raw(BUCKETS)
    source = bench.dump()
    bench.db.drop_collection("weather")
    comparison = bench.case.compare(source)

    result = bench.restore(comparison, bench.select(comparison))

    assert (result.restored, result.failed) == (3, 0)
    assert stored(bench) == before
    assert bench.raw(BUCKETS) == raw
    now = bench.db.command("listCollections", filter={"name": "weather"})
    assert now["cursor"]["firstBatch"][0]["options"] == options["cursor"]["firstBatch"][0]["options"]


def test_lost_buckets_of_a_live_series_come_back(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 40)
    measure(bench, "b", 60)
    before = stored(bench)
    source = bench.dump()
    bench.db.weather.delete_many({"station": "b"})
    measure(bench, "c", 5)
    comparison = bench.case.compare(source)

    chosen = bench.select(comparison)

    assert [(one.collection, one.hold) for one in chosen] == [(BUCKETS, "")]
    bench.restore(comparison, chosen)
    assert [one for one in stored(bench) if one[1] != "c"] == before


def test_a_bucket_whose_measurements_are_there_in_another_one_is_held(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 10)
    source = bench.dump()
    measured = list(bench.db.weather.find())
    bench.db.weather.delete_many({"station": "a"})
    bench.db.weather.insert_many(measured[:4])
    comparison = bench.case.compare(source)

    (one,) = bench.select(comparison)

    assert one.hold == "the database holds 4 of its 10 measurements in other buckets"
    bench.restore(comparison, [one])
    assert len(stored(bench)) == 4


@pytest.mark.parametrize("driver", ["gives ids", "gives none"])
def test_measurements_without_ids_are_told_by_their_fields(bench: Any, driver: str) -> None:
    make(bench)
    for n in range(3):
        bench.db.command("insert", "weather", documents=[{"at": START, "station": None, "n": n, "m": n}])
    source = bench.dump()
    bench.db.drop_collection("weather")
    make(bench)
    again = {"at": START, "station": None, "m": 1, "n": 1}
    if driver == "gives ids":
        bench.db.weather.insert_one(again)
    else:
        bench.db.command("insert", "weather", documents=[again])

    (one,) = bench.select(bench.case.compare(source))

    assert one.hold == "the database holds 1 of its 3 measurements in other buckets"


def test_a_bucket_that_is_there_is_never_rewritten_even_if_it_is_named(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 10)
    source = bench.dump()
    bucket = bench.db[BUCKETS].find_one()
    assert bucket is not None
    bench.db[BUCKETS].delete_one({})
    measure(bench, "b", 3)
    (other,) = bench.db[BUCKETS].find()
    bench.db[BUCKETS].delete_one({})
    bench.db[BUCKETS].insert_one({**other, "_id": bucket["_id"]})
    comparison = bench.case.compare(source)

    (one,) = bench.select(comparison, keys=[Choice(str(bucket["_id"]), "weather", source="dump", offset=0)])

    assert "a bucket is never rewritten" in one.hold
    assert bench.restore(comparison, [one]).restored == 0
    assert len(stored(bench)) == 3


def test_two_backups_with_the_same_measurements_in_other_buckets_restore_them_once(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 10)
    before = stored(bench)
    old = bench.dump("old", day=1)
    measured = list(bench.db.weather.find())
    bench.db.drop_collection("weather")
    make(bench)
    bench.db.weather.insert_many(measured)
    new = bench.dump("new", day=2)
    bench.db.drop_collection("weather")
    comparison = bench.case.compare(old, new)

    chosen = bench.select(comparison)

    assert sorted(one.hold for one in chosen) == [
        "", "10 of its 10 measurements are in another source's bucket, which is written"
    ]  # fmt: skip
    bench.restore(comparison, chosen)
    assert stored(bench) == before


def test_without_a_description_a_lost_series_is_held(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 10)
    source = bench.dump()
    (source / "weather.metadata.json").unlink()
    bench.db.drop_collection("weather")

    (one,) = bench.select(bench.case.compare(source))

    assert one.hold.startswith("no source tells how the time-series weather was made")


def test_buckets_of_a_series_with_another_time_field_are_held(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 10)
    source = bench.dump()
    bench.db.drop_collection("weather")
    make(bench, timeField="when")

    (one,) = bench.select(bench.case.compare(source))

    assert "has other fields for time and metadata" in one.hold


def test_a_series_can_go_to_another_name(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 10)
    before = stored(bench)
    comparison = bench.case.compare(bench.dump(), collection="weather", target="back")

    bench.restore(comparison, bench.select(comparison))

    assert stored(bench, "back") == before


@pytest.mark.parametrize("count", [1, 1500])
def test_full_and_packed_buckets_come_back_too(bench: Any, count: int) -> None:
    make(bench)
    measure(bench, "a", count)
    before = stored(bench)
    source = bench.dump()
    bench.db.weather.delete_many({"station": "a"})
    comparison = bench.case.compare(source)

    bench.restore(comparison, bench.select(comparison))

    assert stored(bench) == before


def test_what_no_server_can_have_packed_together_is_held(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 10)
    source = bench.dump()
    path = source / f"{BUCKETS}.bson"
    bucket = bson.decode(path.read_bytes())
    bucket["data"]["at"]["9"] += timedelta(days=300)
    path.write_bytes(bson.encode(bucket))
    bench.db.weather.delete_many({"station": "a"})
    measure(bench, "b", 1)

    (one,) = bench.select(bench.case.compare(source))

    assert one.hold == "its measurements are further apart than those of a bucket of weather can be"


def test_a_bucket_that_cannot_be_unpacked_is_held(bench: Any) -> None:
    make(bench)
    measure(bench, "a", 10)
    source = bench.dump()
    path = source / f"{BUCKETS}.bson"
    path.write_bytes(bson.encode({**bson.decode(path.read_bytes()), "control": {"version": 9}}))
    bench.db.weather.delete_many({"station": "a"})

    (one,) = bench.select(bench.case.compare(source))

    assert one.hold == "its measurements cannot be read: a bucket of version 9"
