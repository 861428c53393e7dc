"""When records were made: by one field for a collection, decided by its first records."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS

from recovery_nb import Case
from recovery_nb.compare.making import Making
from recovery_nb.compare.result import Comparison
from recovery_nb.records.elements import id_element

DAY = datetime(2025, 3, 1, tzinfo=UTC)
ID = ObjectId("650014500000000000000001")
ID_TIME = ID.generation_time


def decided(*documents: dict[str, Any]) -> Making:
    making = Making()
    making.decide(map(bson.encode, documents))
    return making


@pytest.mark.parametrize(
    ("documents", "field"),
    [
        ([{"_id": ID, "created_at": DAY}, {"_id": ID, "created_at": DAY}], "created_at"),
        ([{"_id": ID, "updated_at": DAY, "lastSeen": DAY, "expires": DAY}], "_id"),
        ([{"_id": ID, "updated_at": DAY, "when": DAY}], "when"),
        ([{"_id": ID, "created_at": DAY}, {"_id": ID}], "_id"),
        ([{"_id": 1, "a": DAY, "b": DAY}, {"_id": 2, "b": DAY}], "b"),
        ([{"_id": 1, "at": DAY}, {"_id": 2, "at": "2025"}], ""),
        ([{"_id": 1, "inner": {"at": DAY}}], ""),
        ([{"_id": DAY}], "_id"),
        ([], ""),
    ],
)
def test_a_date_that_all_first_records_have_wins_over_the_object_id(
    documents: list[dict[str, Any]], field: str
) -> None:
    assert decided(*documents).field == field


def test_it_is_decided_once() -> None:
    making = decided({"_id": 1, "at": DAY})
    making.decide([bson.encode({"_id": 1, "since": DAY})])

    assert making.field == "at"


def test_only_the_field_that_was_decided_on_tells() -> None:
    by_date, by_id = decided({"_id": ID, "at": DAY}), decided({"_id": ID})
    record = bson.encode({"_id": ID, "other": DAY})

    assert by_date.of(record, id_element(record)) is None
    assert by_date.of(None, id_element(record)) is None
    assert by_date.of(bson.encode({"at": DAY}), None) == int(DAY.timestamp() * 1000)
    assert by_id.of(None, id_element(record)) == int(ID_TIME.timestamp() * 1000)
    assert by_id.of(bson.encode({"_id": 1}), id_element(bson.encode({"_id": 1}))) is None
    assert decided({"_id": 1}).of(record, id_element(record)) is None


def test_a_time_outside_of_the_calendar_and_a_broken_record_say_nothing() -> None:
    making = decided({"at": DAY})

    assert making.of(bson.encode({"at": DatetimeMS(2**60)}), None) is None
    assert making.of(bson.encode({"at": DatetimeMS(-(2**60))}), None) is None
    assert making.of(bson.encode({"a": "x", "at": DAY})[:-9], None) is None


def test_a_comparison_notes_when_its_records_were_made(database: Any, case: Case, write: Callable[..., Path]) -> None:
    records = database.client[database.name]
    dated = [{"_id": number, "at": DAY.replace(day=number), "v": 1} for number in range(1, 6)]
    records["dated"].insert_many([{**dated[0], "v": 2, "at": DAY.replace(day=28)}, dated[1], {"_id": 99, "at": DAY}])
    ids = [{"_id": ObjectId(f"65001450{number:016x}")} for number in range(3)]
    records["ids"].insert_one({"_id": ObjectId(f"65001450{9:016x}")})
    comparison = case.compare(write("dated.bson", dated), write("ids.bson", ids), write("none.bson", [{"_id": 1}]))

    found = {(row["collection"], row["status"], row["key"]): row["made"] for row in comparison.rows()}

    assert comparison.summary.made == {"dated": "at", "ids": "_id"}
    assert found["dated", "changed", "1"] == dated[0]["at"]  # the source's: the record as it was
    assert [found["dated", "missing", str(key)] for key in (3, 4, 5)] == [one["at"] for one in dated[2:]]
    assert found["dated", "extra", "99"] is None
    assert {made for (name, _, _), made in found.items() if name == "ids"} == {ID_TIME}
    assert len([one for one in found if one[0] == "ids"]) == 4
    assert found["none", "missing", "1"] is None


def test_a_comparison_from_before_it_was_noted_is_loaded(case: Case, write: Callable[..., Path]) -> None:
    comparison = case.compare(write("c.bson", [{"_id": 1, "at": DAY}]))
    facts = comparison.folder / "comparison.json"
    known = json.loads(facts.read_bytes())
    del known["made"]
    facts.write_text(json.dumps(known))

    assert Comparison.load(comparison.folder, case.catalog).summary.made == {}
