"""The differences add up to numbers that are true of the records, whatever the sources are like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recovery_nb import Case
from recovery_nb.compare.tallies import changed_fields, field_of, held, holdings, titles

from .losses import backup, records


def test_positions_of_lists_count_as_one_field_and_a_record_once(database: Any, case: Case, tmp_path: Path) -> None:
    basket = [{"price": 1, "sizes": [[1, 2], [3, 4]]}, {"price": 2, "sizes": [[1, 2], [3, 4]]}]
    dear = [{"price": 9, "sizes": [[1, 0], [3, 0]]}, {"price": 8, "sizes": [[0, 0], [3, 4]]}]
    database.client[database.name]["orders"].insert_many(records(range(3), items=dear, total=5))
    found = case.compare(backup(tmp_path, 1, {"orders": records(range(3), items=basket, total=4)}))
    assert [(one.field, one.status, one.records) for one in changed_fields(found)] == [
        ("items[].price", "changed", 3),
        ("items[].sizes[][]", "changed", 3),
        ("total", "changed", 3),
    ]


def test_no_field_changed_where_nothing_differs(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name]["orders"].insert_many(records(range(3)))
    found = case.compare(backup(tmp_path, 1, {"orders": records(range(3))}))
    assert changed_fields(found) == []
    assert held(found) == []


@pytest.mark.parametrize(
    ("pointer", "field"),
    [
        ("/a/b", "a.b"),
        ("/items/[]/price", "items[].price"),
        ("/[]", "[]"),
        ("/a~1b/c~0d", "a/b.c~d"),
        ("/$cost", "$cost"),
        ("", "(the whole record)"),
        ("/", '""'),
    ],
)
def test_a_pointer_is_written_as_people_write_fields(pointer: str, field: str) -> None:
    assert field_of(pointer) == field


def test_each_source_is_told_what_became_of_its_records(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name]["quotes"].insert_many([*records(range(50)), *records(range(50, 60), text="new")])
    old = backup(tmp_path, 1, {"quotes": records(range(100))})
    new = backup(tmp_path, 2, {"quotes": records(range(30, 80))})
    found = {one.source: one for one in holdings(case.compare(old, new))}
    told = found["backup_1.json"]
    assert (told.records, told.intact, told.changed, told.missing, told.lost, told.sole) == (100, 50, 10, 40, 40, 20)
    told = found["backup_2.json"]
    assert (told.records, told.intact, told.changed, told.missing, told.lost, told.sole) == (50, 20, 10, 20, 40, 0)


def test_copies_within_a_source_are_not_taken_for_intact(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name]["quotes"].insert_many(records(range(5)))
    twice = backup(tmp_path, 1, {"quotes": [*records(range(10)), *records(range(8, 10))]})
    (told,) = holdings(case.compare(twice))
    assert (told.records, told.intact, told.missing) == (12, 5, 5)


def test_a_record_without_a_key_is_not_taken_for_intact(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name]["quotes"].insert_many(records(range(5)))
    path = backup(tmp_path, 1, {"quotes": [*records(range(6)), {"no": 7}]})
    (told,) = holdings(case.compare(path))
    assert (told.records, told.intact, told.missing, told.corrupt) == (7, 5, 1, 1)


def test_any_number_of_sources_can_hold_a_record(database: Any, case: Case, tmp_path: Path) -> None:
    database.client[database.name]["quotes"].insert_one({"_id": -1})
    made = [backup(tmp_path, number, {"quotes": records(range(number, 150))}) for number in range(130)]
    found = case.compare(*made)
    sizes = {len(one.sources): one.records for one in held(found)}
    assert sizes[130] == 21, "those of the last source are in all"
    assert sizes[1] == 1
    assert sum(sizes.values()) == 150


def test_sources_of_one_name_are_told_apart(database: Any, case: Case, tmp_path: Path) -> None:
    made = [backup(tmp_path / folder / "x", 1, {"quotes": records(range(n))}) for n, folder in ((3, "a"), (4, "b"))]
    found = case.compare(*made)
    assert sorted(titles(found.sources).values()) == ["a/x/backup_1.json", "b/x/backup_1.json"]
