"""What the sources say of collections, views and time-series that the database lacks reaches a plan as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Code, Decimal128, Int64, Regex, json_util

from recovery_nb.compare.result import Comparison
from recovery_nb.selection import collection_options, structure_notes, structures

VALIDATOR = {
    "$and": [
        {"n": {"$gte": Int64(5), "$lt": 7.0}},
        {"d": {"$ne": Decimal128("1.50")}},
        {"at": {"$gt": datetime(2025, 1, 1, tzinfo=UTC)}},
        {"name": Regex("^a", "i")},
    ]
}


def decoded(text: str) -> Any:
    return json_util.loads(text, json_options=json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL))


@pytest.fixture
def lost(bench: Any) -> Comparison:
    db = bench.db
    db.create_collection("full", validator=VALIDATOR, validationAction="warn")
    db.full.insert_one({"_id": 1})
    db.full.create_index({"a": 1, "b": -1}, unique=True, partialFilterExpression={"a": {"$gt": Int64(3)}})
    db.full.create_index("t", expireAfterSeconds=3600)
    db.create_collection("empty", collation={"locale": "de"})
    db.empty.create_index("x")
    db.create_collection("seen", viewOn="full", pipeline=[{"$match": {"n": Int64(1)}}])
    db.create_collection("weather", timeseries={"timeField": "at", "metaField": "m"}, expireAfterSeconds=100)
    db.weather.insert_one({"at": datetime(2025, 1, 1, tzinfo=UTC), "m": 1})
    source = bench.dump()
    for name in ("full", "empty", "seen", "weather"):
        db.drop_collection(name)
    found: Comparison = bench.case.compare(source)
    return found


def test_missing_collections_views_and_series_are_described_whether_or_not_they_hold_records(
    bench: Any, lost: Comparison
) -> None:
    found = structures(lost, bench.case.database)

    assert sorted(found) == ["empty", "full", "seen", "weather"]
    assert decoded(found["seen"])["options"] == {"viewOn": "full", "pipeline": [{"$match": {"n": 1}}]}
    assert decoded(found["weather"])["options"]["timeseries"]["timeField"] == "at"
    assert [one["name"] for one in decoded(found["empty"])["indexes"]] == ["_id_", "x_1"]


def test_what_is_there_is_not_made(bench: Any, lost: Comparison) -> None:
    bench.db.create_collection("empty")
    bench.db.create_collection("seen", viewOn="other", pipeline=[])

    assert sorted(structures(lost, bench.case.database)) == ["full", "weather"]


def test_of_a_choice_only_its_collections_are_made(bench: Any, lost: Comparison) -> None:
    assert list(structures(lost, bench.case.database, only={"full"})) == ["full"]
    assert list(structures(lost, bench.case.database, only={"system.buckets.weather"})) == ["weather"]
    assert structures(lost, bench.case.database, only=()) == {}


def test_every_value_keeps_its_type(bench: Any, lost: Comparison) -> None:
    text = json.loads(structures(lost, bench.case.database)["full"])
    first = text["options"]["validator"]["$and"]

    assert first[0] == {"n": {"$gte": {"$numberLong": "5"}, "$lt": {"$numberDouble": "7.0"}}}
    assert first[1] == {"d": {"$ne": {"$numberDecimal": "1.50"}}}
    index = next(one for one in text["indexes"] if one["name"] == "a_1_b_-1")
    assert index["key"] == {"a": {"$numberInt": "1"}, "b": {"$numberInt": "-1"}}
    assert index["partialFilterExpression"] == {"a": {"$gt": {"$numberLong": "3"}}}
    options = collection_options(lost)["full"]["options"]["validator"]["$and"]
    assert isinstance(options[0]["n"]["$gte"], Int64)
    assert isinstance(options[0]["n"]["$lt"], float)


def test_after_a_restore_the_server_lists_what_it_listed_before(bench: Any) -> None:
    db = bench.db
    db.create_collection("full", validator=VALIDATOR)
    db.full.create_index({"a": 1}, partialFilterExpression={"a": {"$gt": Int64(3)}})
    db.create_collection("seen", viewOn="full", pipeline=[{"$match": {"n": Int64(1)}}])
    before = {one["name"]: one["options"] for one in db.list_collections() if one["name"] != "system.views"}
    indexes = list(db.full.list_indexes())
    source = bench.dump()
    for name in ("full", "seen"):
        db.drop_collection(name)
    comparison = bench.case.compare(source)

    bench.restore(comparison, bench.select(comparison))

    assert {one["name"]: one["options"] for one in db.list_collections() if one["name"] != "system.views"} == before
    assert list(db.full.list_indexes()) == indexes


def test_with_a_target_only_its_structure_is_made(bench: Any) -> None:
    bench.db.create_collection("full", capped=True, size=4096)
    bench.db.full.insert_one({"_id": 1})
    bench.db.create_collection("empty")
    comparison = bench.case.compare(bench.dump(), collection="full", target="back")

    (found,) = structures(comparison, bench.case.database).items()

    assert found[0] == "back"
    assert decoded(found[1])["options"]["capped"] is True


def test_a_view_or_an_empty_collection_can_be_named(bench: Any) -> None:
    bench.db.create_collection("empty")
    bench.db.create_collection("seen", viewOn="c", pipeline=[])
    source = bench.dump()
    for name in ("empty", "seen"):
        bench.db.drop_collection(name)
        comparison = bench.case.compare(source, collection=name)
        assert list(structures(comparison, bench.case.database)) == [name]


def test_functions_that_the_server_keeps_come_back(bench: Any) -> None:
    bench.db["system.js"].insert_one({"_id": "twice", "value": Code("function (x) { return 2 * x; }")})
    kept = bench.raw("system.js")
    folder = bench.dump()
    (folder / "system.js.bson").write_bytes(kept[0])
    bench.db["system.js"].delete_many({})
    comparison = bench.case.compare(folder)

    assert bench.restore(comparison, bench.select(comparison)).restored == 1
    assert bench.raw("system.js") == kept


def test_a_collection_that_no_source_describes_is_said_to_be_made_bare(bench: Any) -> None:
    bench.db.create_collection("checked", validator=VALIDATOR, validationAction="warn")
    bench.db.checked.insert_one({"_id": 1})
    bench.db.checked.create_index("a", unique=True)
    bench.db.there.insert_many([{"_id": 1}, {"_id": 2}])
    text, described = bench.case.backup(layout="json").path, bench.dump()
    bench.db.drop_collection("checked")
    bench.db.there.delete_one({"_id": 1})

    plan = bench.case.plan(bench.case.compare(text))
    assert structure_notes(plan, bench.case.database) == [
        "made with no indexes or options, since no source keeps any: checked"
    ]
    both = bench.case.plan(bench.case.compare(text, described))
    assert structure_notes(both, bench.case.database) == []

    bench.case.restore(plan)
    assert structure_notes(plan, bench.case.database) == [], "it is there now"


def test_of_very_many_bare_collections_a_part_is_named(bench: Any) -> None:
    for number in range(25):
        bench.db[f"c{number:02}"].insert_one({"_id": 1})
    text = bench.case.backup(layout="json").path
    for number in range(25):
        bench.db.drop_collection(f"c{number:02}")
    (note,) = structure_notes(bench.case.plan(bench.case.compare(text)), bench.case.database)
    assert note.endswith("c18, c19 (and 5 more)")
