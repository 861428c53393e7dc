"""Records are counted by time where they are, and all ways to count agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bson import DatetimeMS, ObjectId

from recovery_nb.compare.model import Status
from recovery_nb.compare.moments import OnServer, Tabled, tells_time, time_of
from recovery_nb.reports.windows import COARSE, FIRST, LAST, Moments, milliseconds
from recovery_nb.sources.mongodb import Database

MOMENTS = [
    datetime(1969, 12, 31, 23, 59, 59, 1000, tzinfo=UTC),
    datetime(2026, 3, 1, tzinfo=UTC),
    datetime(3000, 1, 1, tzinfo=UTC),
]


@pytest.mark.parametrize("field", ["at", "deep.er.at", "$at", "ätt", "a b"])
def test_the_server_counts_as_a_list_of_times_does(database: Any, field: str) -> None:
    times = [moment + timedelta(hours=n) for moment in MOMENTS for n in range(50)]

    def record(value: Any) -> dict[str, Any]:
        for step in reversed(field.split(".")):
            value = {step: value}
        return value  # type: ignore[no-any-return]

    others = ["2026-03-01", 5, None, DatetimeMS(10**17), DatetimeMS(-(10**17)), [times[0]]]
    records = database.client[database.name]["quotes"]
    records.insert_many([*map(record, times), *map(record, others), {}])
    counted = OnServer(Database(database.uri), "quotes", field)
    for step in (COARSE, 3_600_000, 1000):
        expected = Moments(map(milliseconds, times)).tallies(step, FIRST, LAST)
        assert counted.tallies(step, FIRST, LAST) == expected
    assert sum(one.records for one in counted.tallies(1000, 0, milliseconds(times[-1]) - 1).values()) == 148, (
        "two of the hours are outside"
    )


def test_the_time_of_an_object_id_counts(database: Any) -> None:
    ids = [ObjectId(f"{second:08x}{0:016x}") for second in (0, 10**9, 2**31 - 1)]
    database.client[database.name]["quotes"].insert_many([*({"_id": one} for one in ids), {"_id": 7}])
    found = OnServer(Database(database.uri), "quotes", "_id").tallies(1000, FIRST, LAST)
    assert sorted(one.first for one in found.values()) == [0, 10**12, (2**31 - 1) * 1000]


def test_a_collection_that_is_not_there_has_no_times(database: Any) -> None:
    assert OnServer(Database(database.uri), "nothing", "at").tallies(1000, FIRST, LAST) == {}


def test_the_table_of_differences_counts_as_a_list_of_times_does(tmp_path: Path) -> None:
    times = [milliseconds(moment + timedelta(hours=n)) for moment in MOMENTS for n in range(50)]
    path = tmp_path / "differences.parquet"
    schema = pa.schema([("collection", pa.string()), ("status", pa.string()), ("made", pa.timestamp("ms", tz="UTC"))])
    rows = [("quotes", "missing", time) for time in times]
    rows += [
        ("users", "missing", 0),
        ("quotes", "changed", 0),
        ("quotes", "missing", None),
        ("quotes", "missing", 2**60),
    ]
    columns = [pa.array(column) for column in zip(*rows, strict=True)]
    pq.write_table(pa.table([columns[0], columns[1], columns[2].cast(schema.field("made").type)], schema=schema), path,
                   row_group_size=40)  # fmt: skip
    assert tells_time(path)
    for step in (COARSE, 3_600_000, 1000):
        found = Tabled(path, "quotes", Status.MISSING).tallies(step, FIRST, LAST)
        assert found == Moments(times).tallies(step, FIRST, LAST)


@pytest.mark.parametrize(
    ("record", "field", "time"),
    [
        ({"at": MOMENTS[1]}, "at", milliseconds(MOMENTS[1])),
        ({"a": {"b": MOMENTS[0]}}, "a.b", milliseconds(MOMENTS[0])),
        ({"_id": ObjectId("ffffffff0000000000000000")}, "_id", (2**32 - 1) * 1000),
        ({"at": DatetimeMS(10**17)}, "at", None),
        ({"at": "2026"}, "at", None),
        ({"at": True}, "at.x", None),
        ({}, "at", None),
    ],
)
def test_only_dates_and_object_ids_have_a_time(record: dict[str, Any], field: str, time: int | None) -> None:
    assert time_of(record, field) == time
