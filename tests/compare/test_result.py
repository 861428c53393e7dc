from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from recovery_nb import Case
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def comparison(database: Any, case: Case, write: Callable[..., Path]) -> Comparison:
    collection = database.client[database.name].c
    collection.insert_many([{"_id": 1, "v": HOSTILE}, {"_id": "extra"}, {"_id": 2, "n": 1}])
    return case.compare(
        write(
            "c.bson",
            [{"_id": 1, "v": "x"}, {"_id": HOSTILE}, {"_id": 2, "n": 1.0}, {"_id": 5}, {"_id": 5}, b"\xff" * 9],
        )
    )


def test_each_kind_of_difference_is_a_dataframe(comparison: Comparison) -> None:
    assert set(comparison.missing["key"]) == {HOSTILE, "5"}
    assert comparison.changed[["key", "fields"]].to_numpy().tolist() == [["1", "/v"]]
    assert comparison.equivalent["key"].tolist() == ["2"]
    assert comparison.extra[["collection", "key"]].to_numpy().tolist() == [["c", "extra"]]
    assert comparison.duplicates["key"].tolist() == ["5"]
    assert comparison.corrupt["offset"].notna().all()
    assert comparison.fields[["path", "kind", "database", "source"]].to_numpy().tolist() == [
        ["/v", "value", HOSTILE, "x"],
        ["/n", "width", "1 (int)", "1.0 (double)"],
    ]
    assert comparison.overview.loc["c"].to_dict() == comparison.summary.collections["c"]


def test_dataframes_are_empty_and_have_their_columns_where_nothing_differs(case: Case, comparison: Comparison) -> None:
    for frame in (comparison.to_pandas(), comparison.missing, comparison.corrupt):
        assert isinstance(frame, pd.DataFrame)
    case.restore(case.plan(comparison, only=["missing", "changed"], on_conflict="replace"))
    again = case.compare()
    assert again.missing.empty
    assert list(again.missing.columns) == list(comparison.missing.columns)
    assert again.changed.empty


def test_the_html_holds_no_markup_of_the_evidence(comparison: Comparison) -> None:
    html = comparison._repr_html_()

    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert "missing" in html


def test_a_comparison_is_opened_again_as_it_was(case: Case, comparison: Comparison) -> None:
    with Case.open(case.folder, database=case.uri) as other:
        again = other.last_comparison()
        assert again.summary == comparison.summary
        assert list(again.rows()) == list(comparison.rows())
        assert other.plan(again).digest == case.plan(comparison).digest


def test_nothing_is_left_beside_a_comparison(case: Case, comparison: Comparison) -> None:
    assert {path.name for path in comparison.folder.iterdir()} == {
        "comparison.json", "differences.parquet", "candidates.parquet", "evidence.json",
    }  # fmt: skip
    with pytest.raises(BadInputError, match="holds no comparison"):
        Comparison.load(case.folder, case.catalog)


GROWTH = """
import resource, sys
from recovery_nb import Case
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
with Case.open(sys.argv[1], database=sys.argv[2]) as case:
    case.compare(sys.argv[3])
    before = peak()
    total = case.compare(sys.argv[4]).total
    print(total.identical, total.missing, peak() - before)
"""


def test_memory_does_not_grow_with_the_collection(database: Any, tmp_path: Path, write: Callable[..., Path]) -> None:
    small = write("few.bson", [{"_id": 1}])
    large = write("many.bson", [{"_id": n, "v": "x" * 40} for n in range(200_000)])
    database.client[database.name].many.insert_many([{"_id": n, "v": "x" * 40} for n in range(0, 200_000, 2)])
    done = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path / "case"), database.uri, str(small), str(large)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    identical, missing, growth = map(int, done.stdout.split())

    assert (identical, missing) == (100_000, 100_000)
    assert growth < 300, f"{growth} MB"
