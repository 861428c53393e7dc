from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recovery_nb import Case
from recovery_nb.compare.export import export
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError, RecoveryError


@pytest.fixture
def comparison(database: Any, case: Case, write: Callable[..., Path]) -> Comparison:
    database.client[database.name].c.insert_one({"_id": 1, "v": "there"})
    return case.compare(write("c.bson", [{"_id": 1, "v": "here"}, {"_id": "=1+1"}]))


def test_a_parquet_file_is_that_of_the_comparison(comparison: Comparison, tmp_path: Path) -> None:
    export(comparison, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").equals(comparison.arrow())
    assert (tmp_path / "out.parquet").read_bytes() == comparison.table.read_bytes()


def test_a_line_of_json_for_each_difference(comparison: Comparison, tmp_path: Path) -> None:
    export(comparison, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(row["status"], row["key"]) for row in rows] == [("changed", "1"), ("missing", "=1+1")]
    assert rows[0]["changes"] == [{"path": "/v", "kind": "value", "database": "there", "source": "here"}]


def test_no_cell_is_a_formula(comparison: Comparison, tmp_path: Path) -> None:
    export(comparison, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == ["1", "'=1+1"]


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl", "out.csv"])
def test_nothing_is_left_of_a_file_that_cannot_be_written_whole(
    comparison: Comparison, tmp_path: Path, name: str
) -> None:
    with pytest.raises(RecoveryError, match="cannot write"):
        export(comparison, tmp_path / "nowhere" / name)
    if name != "out.parquet":
        comparison.table.write_bytes(comparison.table.read_bytes()[:100])
        with pytest.raises(BadInputError, match="cannot be read"):
            export(comparison, tmp_path / name)
    shutil.rmtree(comparison.folder)
    with pytest.raises(BadInputError, match="not there any more"):
        export(comparison, tmp_path / name)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
