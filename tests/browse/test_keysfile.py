"""What is picked, as a file of keys: read back, it names exactly these records, whatever their keys hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb import Case
from recovery_nb.browse.browser import Browser
from recovery_nb.browse.view import View
from recovery_nb.errors import RecoveryError
from recovery_nb.selection import Choice, read_keys

from .conftest import Made, difference

AWKWARD = [
    "", " ", "key", "a,key,b", '{"key": "x"}', '"quoted"', "[1, 2]", "line\nbreak", "\u2028", "=cmd()", "'", "\\", "é",
    "\U0001f600", "</script><img src=x onerror=alert(1)>", "k" * 200_000, '","key":"y',
]  # fmt: skip


def choices(path: Path) -> list[Choice]:
    return list(read_keys(path))


@pytest.mark.parametrize("first", AWKWARD)
def test_a_key_is_read_back_as_it_was_whatever_it_holds(made: Made, tmp_path: Path, first: str) -> None:
    keys = [first, *(key for key in AWKWARD if key != first)]
    rows = [difference(number, id_value=key, collection=f"c,key,{number}") for number, key in enumerate(keys)]
    with Browser(made(rows)) as browser:
        browser.pick_matching(View())
        found = choices(browser.keys_file(tmp_path / "keys.jsonl"))

    assert found == [Choice(key, f"c,key,{number}") for number, key in enumerate(keys)]


def test_a_chosen_version_is_named_by_its_source_and_place(made: Made, tmp_path: Path) -> None:
    rows = [difference(1), difference(2, note="monday.bson holds several versions of this key")]
    other = {**rows[0], "rank": 2, "source": "s2", "offset": 77}
    with Browser(made(rows, versions=[rows[0], other, rows[1]])) as browser:
        browser.choose(0, 2)
        browser.choose(1, 1)  # the best, but a decision is needed: it is named too
        found = choices(browser.keys_file(tmp_path / "keys.jsonl"))

    assert found == [Choice("1", "users", "s2", 77), Choice("2", "users", "s1", 200)]


def test_of_two_keys_that_look_alike_only_the_picked_one_is_restored(database: Any, tmp_path: Path) -> None:
    path = tmp_path / "c.bson"
    path.write_bytes(b"".join(bson.encode({"_id": key}) for key in (1, "1", 2)))
    with Case.open(tmp_path / "case", database=database.uri) as case:
        comparison = case.compare(path)
        with Browser(comparison) as browser:
            number = next(row["number"] for row in _numbered(comparison) if row["key"] == "1" and row["id"][0] == 0x02)
            browser.pick([number], on=True)
            case.restore(case.plan(comparison, keys=browser.keys_file(tmp_path / "keys.jsonl")))

    assert [one["_id"] for one in database.client[database.name]["c"].find()] == ["1"]


def _numbered(comparison: Any) -> list[dict[str, Any]]:
    return [{**row, "number": number} for number, row in enumerate(comparison.rows())]


def test_more_rows_than_one_group_of_the_file_are_all_written(made: Made, tmp_path: Path) -> None:
    with Browser(made([difference(number) for number in range(25_000)])) as browser:
        browser.pick_matching(View())
        browser.pick([0, 12_345], on=False)
        found = choices(browser.keys_file(tmp_path / "keys.jsonl"))

    assert [one.key for one in found] == [str(number) for number in range(25_000) if number not in (0, 12_345)]


def test_where_it_cannot_be_written_nothing_is_left_behind(made: Made, tmp_path: Path) -> None:
    with Browser(made([difference(0)])) as browser:
        browser.pick([0], on=True)
        with pytest.raises(RecoveryError, match="cannot write"):
            browser.keys_file(tmp_path / "nowhere" / "keys.jsonl")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "x").mkdir()
        with pytest.raises(RecoveryError, match="cannot write"):
            browser.keys_file(tmp_path / "folder")

    assert sorted(one.name for one in tmp_path.iterdir()) == ["comparisons", "folder"]
