from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64, ObjectId
from gridfs import GridFS

from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import build
from recovery_nb.selection import Choice, read_query

WHEN = datetime(2025, 12, 1, tzinfo=UTC)


def ids(chosen: list[Any]) -> list[Any]:
    return sorted(bson.decode(one.planned)["_id"] for one in chosen)


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ('{"status": "open"}', {"status": "open"}),
        ('{"n": {"$gte": 5, "$lt": {"$numberLong": "9"}}}', {"n": {"$gte": 5, "$lt": Int64(9)}}),
        (' {"_id": {"$oid": "65a000000000000000000001"}}\n', {"_id": ObjectId("65a000000000000000000001")}),
        ('{"at": {"$gt": {"$date": "2025-12-01T00:00:00Z"}}}', {"at": {"$gt": WHEN.replace(tzinfo=None)}}),
        ("{}", {}),
    ],
)
def test_a_query_is_extended_json(text: str, document: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "query.json").write_text(f"\ufeff{text}", "utf-8")

    assert bson.decode(read_query(text).raw) == document  # type: ignore[attr-defined]
    assert read_query(f"@{tmp_path / 'query.json'}") == read_query(text)


@pytest.mark.parametrize("text", ["", "[1]", "{", "5", '{"a": {"$oid": "x"}}', "{a: 1}", "@/nowhere/q.json", "@"])
def test_what_is_no_query_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(BadInputError, match="the query") as caught:
        read_query(text)
    assert "\n" not in str(caught.value)


def test_only_records_that_the_query_matches_are_chosen(bench: Any, bson_file: Any) -> None:
    path = bson_file("c.bson", [{"_id": n, "n": float(n), "tags": [n, "x"]} for n in range(2500)])
    comparison = bench.case.compare(path)

    assert ids(bench.select(comparison, query={"n": {"$gte": 2498}})) == [2498, 2499]
    assert ids(bench.select(comparison, query={"tags": 7})) == [7]
    assert ids(bench.select(comparison, query={"$expr": {"$eq": ["$n", {"$size": "$tags"}]}})) == [2]
    assert len(bench.select(comparison, query={})) == 2500


def test_a_query_means_the_sources_record_not_the_databases(bench: Any, bson_file: Any) -> None:
    bench.db.c.insert_one({"_id": 1, "status": "closed"})
    comparison = bench.case.compare(bson_file("c.bson", [{"_id": 1, "status": "open"}]))

    assert ids(bench.select(comparison, query={"status": "open"})) == [1]
    assert ids(bench.select(comparison, query={"status": "closed"})) == []


def test_query_and_keys_must_both_hold(bench: Any, bson_file: Any) -> None:
    comparison = bench.case.compare(bson_file("c.bson", [{"_id": n, "even": n % 2 == 0} for n in range(6)]))
    named = [Choice("1"), Choice("2"), Choice("4")]

    assert ids(bench.select(comparison, query={"even": True}, keys=named)) == [2, 4]


@pytest.mark.parametrize(
    "query", [{"$nope": 1}, {"a": {"$near": [1, 2]}}, {"$where": "true"}, {"a": {"$in": 5}}, {"a": {"$regex": "("}}]
)
def test_a_query_that_the_server_does_not_take_is_one_clear_line(bench: Any, bson_file: Any, query: Any) -> None:
    comparison = bench.case.compare(bson_file("c.bson", [{"_id": 1, "a": "x"}]))

    with pytest.raises(BadInputError, match=r"does not take this query: .+") as caught:
        bench.select(comparison, query=query)
    assert "\n" not in str(caught.value)


def test_a_query_for_files_brings_their_chunks(bench: Any) -> None:
    fs = GridFS(bench.db)
    own = fs.put(b"x" * 2500, filename="a", chunk_size=1000)
    fs.put(b"y" * 2500, filename="b", chunk_size=1000)
    source = bench.dump()
    for name in ("fs.files", "fs.chunks"):
        bench.db[name].delete_many({})
    comparison = bench.case.compare(source)

    chosen = bench.select(comparison, query={"filename": "a"})

    assert [one.collection for one in chosen] == ["fs.chunks"] * 3 + ["fs.files"]
    bench.restore(comparison, chosen)
    assert (fs.get(own).read(), fs.exists(filename="b")) == (b"x" * 2500, False)


def test_of_a_time_series_the_buckets_with_a_measurement_that_matches_are_chosen(bench: Any) -> None:
    bench.db.create_collection("weather", timeseries={"timeField": "at", "metaField": "station"})
    for station in ("a", "b"):
        bench.db.weather.insert_many(
            {"at": WHEN + timedelta(seconds=n), "station": station, "n": n if station == "a" else -n} for n in range(9)
        )
    source = bench.dump()
    bench.db.drop_collection("weather")
    comparison = bench.case.compare(source)

    (one,) = bench.select(comparison, query={"n": 8, "at": {"$gte": WHEN}})

    assert bson.decode(one.planned)["meta"] == "a"
    assert len(bench.select(comparison, query={"station": {"$in": ["a", "b"]}})) == 2


def test_records_that_no_server_takes_are_not_asked_about_and_not_lost(bench: Any, tmp_path: Path) -> None:
    deep = bson.encode({})
    for _ in range(190):
        deep = build([(0x03, b"a", deep)])
    record = build([(0x10, b"_id", b"\x01\x00\x00\x00"), (0x03, b"a", deep)])
    path = tmp_path / "c.bson"
    path.write_bytes(record + bson.encode({"_id": 2, "n": 2}) + bson.encode({"_id": 3, "n": 3}))
    comparison = bench.case.compare(path)

    chosen = bench.select(comparison, query={"n": 2})

    assert [one.key_text for one in chosen] == ["1", "2"]
