from __future__ import annotations

from pathlib import Path

import pytest

from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.sources.discover import open_source
from recovery_nb.sources.small_files import SmallFiles


@pytest.fixture
def source(tmp_path: Path) -> SmallFiles:
    for number in range(101):
        (tmp_path / f"{number:03}.json").write_bytes(b'{"_id": %d, "a": 1}\n' % number)
    found = open_source(tmp_path / "*.json")
    assert isinstance(found, SmallFiles)
    return found


def members(source: SmallFiles) -> tuple[list[str], list[str]]:
    """Return the files that gave records, and those that are damaged."""
    parts = list(source.read())
    whole = [part.member for part in parts if isinstance(part, RecordBatch)]
    return whole, [part.member for part in parts if isinstance(part, Damage)]


def test_a_file_that_went_away_costs_only_itself(source: SmallFiles, tmp_path: Path) -> None:
    (tmp_path / "007.json").unlink()
    whole, damaged = members(source)
    assert (len(whole), damaged) == (100, ["007.json"])


def test_files_can_be_left_out(source: SmallFiles) -> None:
    rest = source.without({"007.json", "100.json"})
    whole, damaged = members(rest)
    assert (len(whole), damaged) == (99, [])
    assert not {"007.json", "100.json"} & {file.name for file in rest.files()}
    assert rest.path == source.path
