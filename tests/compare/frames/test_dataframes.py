from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pandas as pd
import pyarrow as pa
import pytest
from bson import DatetimeMS, Decimal128, Int64, ObjectId

from recovery_nb import Case
from recovery_nb.compare.model import CANDIDATES, DIFFERENCES
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.records.elements import CODEC

from ...specimens import keys  # noqa: TID252 - what all tests share

HOSTILE = "</script><img src=x onerror=alert(1)>"
FAR = DatetimeMS(1 << 60)
LATE = datetime(9999, 12, 31, tzinfo=UTC)
RECORDS: list[dict[str, Any]] = [
    {"_id": 1, "v": "old", "w": 1, "shared": HOSTILE},
    {"_id": Int64(2), "v": Decimal128("1.10"), "far": FAR},
    {"_id": ObjectId("65001450" + "0" * 16), "v": LATE, HOSTILE: [1, {"a": None}]},
    {"_id": 4, "v": None},
    {"_id": 5},
    {"_id": 5},
    {"_id": 6, "n": 1.0},
]


@pytest.fixture
def source(write: Callable[..., Path]) -> Path:
    return write("c.bson", [*RECORDS, b"\xff" * 9])


@pytest.fixture
def comparison(database: Any, case: Case, source: Path, write: Callable[..., Path]) -> Comparison:
    collection = database.client[database.name].c
    collection.insert_many([{"_id": 1, "v": HOSTILE, "w": 2, "shared": HOSTILE}, {"_id": 6, "n": 1}, {"_id": "extra"}])
    older = write("c.bson", [{"_id": 1, "v": "older"}], day=1, folder="older")
    return case.compare(source, older, collection="c")


def same(found: object, expected: object) -> bool:
    """Whether two values are the same to the byte: 1 is not 1.0, and NaN is NaN."""
    return bson.encode({"": found}) == bson.encode({"": expected})


def test_an_id_of_every_type_is_in_the_dataframe_of_what_is_missing(
    database: Any, case: Case, write: Callable[..., Path]
) -> None:
    database.client[database.name].create_collection("odd")
    missing = case.compare(write("odd.bson", keys())).missing

    found = sorted(bson.encode({"_id": one}) for one in missing["_id"])
    assert found == sorted(bson.encode({"_id": bson.decode(record, CODEC)["_id"]}) for record in keys())
    assert {type(one) for one in missing["_id"]} >= {ObjectId, Int64, Decimal128, DatetimeMS, int, float, str, dict}
    assert "<table" in missing._repr_html_()


def test_the_dataframes_have_the_columns_that_they_had_and_the_id(comparison: Comparison) -> None:
    eyes = [
        "collection",
        "key",
        "_id",
        "source_name",
        "confidence",
        "inferred",
        "candidates",
        "newer",
        "fields",
        "note",
    ]
    assert list(comparison.missing) == list(comparison.changed) == list(comparison.equivalent) == eyes
    assert list(comparison.to_pandas()) == ["status", *eyes]
    assert list(comparison.extra) == ["collection", "key", "_id"]
    assert list(comparison.duplicates) == ["collection", "key", "_id", "source_name", "note"]
    assert list(comparison.corrupt)[:6] == ["collection", "key", "_id", "source", "member", "offset"]
    assert comparison.extra["_id"].tolist() == ["extra"]
    assert all(map(same, comparison.missing.sort_values("key")["_id"], [Int64(2), 4, 5, RECORDS[2]["_id"]]))
    assert comparison.missing["key"].dtype == "str"


def test_a_row_for_each_field_that_differs(comparison: Comparison) -> None:
    fields = comparison.fields
    assert list(fields) == ["collection", "key", "path", "kind", "database", "source"]
    assert fields.groupby("path").size().to_dict() == {"/n": 1, "/v": 1, "/w": 1}
    assert fields[fields["path"] == "/v"]["database"].tolist() == [HOSTILE]


def test_a_row_for_each_version_the_best_first(comparison: Comparison) -> None:
    of_one = comparison.candidates.query("key == '1'")
    assert of_one["rank"].tolist() == [1, 2]
    assert of_one["_id"].tolist() == [1, 1]
    assert of_one["taken_at"].notna().all()
    assert [bytes.fromhex(one) for one in of_one["fingerprint"]] == [
        row["fingerprint"] for row in comparison.versions() if row["key"] == "1"
    ]


def test_a_version_of_a_log_says_when_it_was_written(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name].c.insert_one({"_id": "r1", "v": 3})
    log = tmp_path / "c.log"
    log.write_text("".join(f'2025-11-01 08:00:0{n} INFO saved {{"_id": "r1", "v": {n}}}\n' for n in (1, 2)))
    versions = case.compare(log, collection="c").candidates
    assert versions["written"].tolist() == [pd.Timestamp(f"2025-11-01 08:00:0{n}", tz="UTC") for n in (2, 1)]
    assert case.last_comparison().records()["v"].tolist() == [2]


def test_records_that_lost_their_types_are_shown_with_those_put_back(database: Any, case: Case, tmp_path: Path) -> None:
    own, other = ObjectId(), ObjectId()
    database.client[database.name].c.insert_one({"_id": own, "n": Int64(1), "at": LATE})
    text = tmp_path / "c.json"
    text.write_text(f'[{{"_id": "{other}", "n": 2, "at": "2025-12-01T00:00:00.000Z"}}]')
    found = case.compare(text, collection="c").records("missing")
    assert found["_id"].tolist() == [other]
    assert found["at"].tolist() == [datetime(2025, 12, 1, tzinfo=UTC)]


def test_what_is_done_to_a_dataframe_stays_with_it(comparison: Comparison) -> None:
    own = comparison.missing
    own["hour"] = 1
    own.loc[:, "key"] = "?"
    del own["_id"]
    assert "hour" not in comparison.missing
    assert set(comparison.missing["key"]) != {"?"}
    assert "_id" in comparison.missing


def test_differences_are_narrowed_by_status_collection_and_sql(comparison: Comparison) -> None:
    assert set(comparison.to_pandas("missing")["key"]) == set(comparison.missing["key"])
    assert set(comparison.to_pandas(["changed", "extra"], collection="c")["status"]) == {"changed", "extra"}
    assert comparison.to_pandas(where="status = 'changed' AND list_contains(fields, '/w')")["key"].tolist() == ["1"]
    assert comparison.to_pandas("missing", where="key = '4' -- or any other")["_id"].tolist() == [4]
    assert comparison.to_pandas("identical").empty


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "lost"}, {"collection": "nowhere"}, {"where": "confidence = "}, {"where": "no_column = 1"},
        {"where": "true); DROP VIEW differences; --"}, {"where": "key::INT = 1"}, {"where": "key = ?"},
        {"where": "\ud800"}, {"where": "a\0b"}, {"where": "error('x')"}, {"where": "key = 'x"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_asked_is_one_line(comparison: Comparison, wrong: dict[str, str]) -> None:
    for ask in (comparison.to_pandas, comparison.arrow, comparison.records):
        with pytest.raises(BadInputError) as told:
            ask(**wrong)
        assert "\n" not in str(told.value)
    assert len(comparison.to_pandas("missing")) == comparison.total.missing


def test_arrow_has_every_column(comparison: Comparison) -> None:
    table = comparison.arrow("missing")
    assert isinstance(table, pa.Table)
    assert table.schema.equals(DIFFERENCES)
    assert comparison.arrow(where="false").schema.equals(DIFFERENCES)
    assert table.num_rows == comparison.total.missing


def test_sql_over_the_differences_the_versions_and_the_fields(comparison: Comparison) -> None:
    counts = dict(comparison.sql("SELECT status, count(*) FROM differences GROUP BY 1").fetchall())
    assert counts == {
        name: count for name, count in comparison.total.as_dict().items() if count and name != "identical"
    }
    assert comparison.sql("FROM candidates").columns == CANDIDATES.names
    assert comparison.sql("SELECT count(*) FROM fields WHERE status = 'changed'").fetchall() == [(2,)]


def test_sql_knows_the_dataframes_of_the_analyst(comparison: Comparison) -> None:
    suspects = pd.DataFrame({"key": ["4", "none"]})
    assert len(suspects) == 2
    assert comparison.sql("SELECT d.status FROM differences d JOIN suspects USING (key)").fetchall() == [("missing",)]


def test_sql_that_is_wrong_is_one_line_and_harms_no_dataframe(comparison: Comparison) -> None:
    for query in ("SELEC 1", "SELECT * FROM nowhere", "FROM read_csv('/nowhere.csv')"):
        with pytest.raises(BadInputError) as told:
            comparison.sql(query)
        assert "\n" not in str(told.value)
    comparison.duckdb.execute("DROP VIEW differences CASCADE")
    assert len(comparison.missing) == comparison.total.missing


def test_records_are_shown_field_by_field_with_their_types(comparison: Comparison) -> None:
    found = comparison.records()

    assert set(found.index) == {
        ("c", "1"),
        ("c", "2"),
        ("c", str(RECORDS[2]["_id"])),
        ("c", "4"),
        ("c", "5"),
        ("c", "6"),
    }
    for _, row in found.iterrows():
        record = {name: value for name, value in row.items() if value is not pd.NA}
        assert any(same(record, {name: one[name] for name in record}) for one in RECORDS if one.keys() == record.keys())
    assert type(found.loc[("c", "2"), "far"]) is DatetimeMS
    assert found.loc[("c", "4"), "v"] is None
    assert found.loc[("c", "5"), "v"] is pd.NA


def test_records_are_narrowed_as_differences_are(comparison: Comparison) -> None:
    assert comparison.records("changed")["v"].tolist() == ["old"]
    assert comparison.records("missing", collection="c", where="key = '4'")["_id"].tolist() == [4]
    assert comparison.records(where="false").empty
    for status in ("extra", "duplicate", "corrupt"):
        with pytest.raises(BadInputError, match="choose of missing, changed, equivalent"):
            comparison.records(status)


def test_records_say_how_many_are_left_out(comparison: Comparison) -> None:
    few = comparison.records(most=2)
    assert len(few) == 2
    assert few.attrs["total"] == 6
    assert "2 of 6" in few._repr_html_()
    assert "6 in all" in comparison.records(most=6)._repr_html_()
    with pytest.raises(BadInputError):
        comparison.records(most=0)


def test_records_of_thousands_of_fields_or_many_megabytes_are_bounded(
    database: Any, case: Case, write: Callable[..., Path]
) -> None:
    database.client[database.name].create_collection("wide")
    wide = [{"_id": n, **{f"f{n}.{each}": each for each in range(1_500)}} for n in range(4)]
    large = [{"_id": 10 + n, "v": "x" * (15 << 20)} for n in range(6)]
    comparison = case.compare(write("wide.bson", [*wide, *large]))

    found = comparison.records(where="length < 1000000")
    assert found.shape == (4, 200)
    assert "5,801 more fields are left out" in found._repr_html_()
    found = comparison.records(where="length > 1000000")
    assert found.shape == (4, 2)
    assert "4 of 6" in found._repr_html_()
    assert len(found._repr_html_()) < 10_000


def test_records_of_a_source_that_changed_or_is_gone_are_refused(comparison: Comparison, source: Path) -> None:
    record = bson.encode(RECORDS[0])
    source.write_bytes(source.read_bytes().replace(record, record.replace(b"old", b"new")))
    with pytest.raises(DamagedSourceError, match="has changed since it was compared"):
        comparison.records("changed")
    source.unlink()
    with pytest.raises(RecoveryError):
        comparison.records("changed")
    assert len(comparison.missing) == comparison.total.missing


def test_no_page_of_it_holds_markup_of_the_evidence(comparison: Comparison) -> None:
    frames = [
        comparison.to_pandas(), comparison.missing, comparison.changed, comparison.extra, comparison.corrupt,
        comparison.duplicates, comparison.equivalent, comparison.candidates, comparison.fields, comparison.overview,
        comparison.records(), comparison.fields.groupby("database").count(),
    ]  # fmt: skip
    pages = [comparison._repr_html_(), *(frame._repr_html_() for frame in frames)]
    assert not any("<img" in page or "<script" in page or "</script" in page for page in pages)
    assert sum("&lt;img" in page for page in pages) >= 3


def test_a_comparison_whose_files_are_gone_says_so(comparison: Comparison) -> None:
    shutil.rmtree(comparison.folder)
    for ask in (
        comparison.to_pandas, comparison.arrow, comparison.records, lambda: comparison.missing,
        lambda: comparison.duckdb, lambda: list(comparison.rows()), lambda: list(comparison.versions()),
    ):  # fmt: skip
        with pytest.raises(BadInputError, match="compare again"):
            ask()


def test_a_folder_of_any_name_is_read(database: Any, tmp_path: Path, source: Path) -> None:
    database.client[database.name].create_collection("c")
    with Case.open(tmp_path / "Fall's [1] {2} *?", database=database.uri) as case:
        comparison = case.compare(source)
        assert len(comparison.missing) == comparison.total.missing == 6


def test_pandas_is_imported_only_by_who_looks_at_a_dataframe() -> None:
    code = "import sys, recovery_nb.cli, recovery_nb.compare.result; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
