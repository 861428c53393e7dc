"""Looking through differences and picking from them: what is shown, what is counted, what is picked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from recovery_nb.browse.browser import Browser
from recovery_nb.browse.picks import Matched
from recovery_nb.browse.view import SORTS, View
from recovery_nb.errors import BadInputError

from .conftest import DAY, Lost, Made, difference, without_column

MIXED = [
    difference(0),
    difference(1, status="changed", fields=["/a", "/items/0/price", "/items/12/price"], made=DAY),
    difference(2, status="changed", collection="quotes", source="s2", fields=["/a"], newer="written later",
               confidence="low"),
    difference(3, status="extra", source=None, source_name=None, confidence=None, fingerprint=None, candidates=0),
    difference(4, status="corrupt", key="", key_bytes=None, note="a false length", fingerprint=None),
    difference(5, status="duplicate", note="holds this key 2 times"),
    difference(6, collection="quotes", source="s2", made=DAY + timedelta(days=1), candidates=3),
    difference(7, status="equivalent", fields=["/b"]),
    difference(8, id_value="Zürich", note="several versions of this key", made=DAY - timedelta(days=1)),
]  # fmt: skip


def numbers(browser: Browser, **view: Any) -> list[int]:
    return [row.number for row in browser.page(View(**view)).rows]


@pytest.fixture
def mixed(made: Made) -> Browser:
    return Browser(made(MIXED))


# --- looking -------------------------------------------------------------------------------------------------------


def test_a_row_says_what_is_known_of_a_difference(mixed: Browser) -> None:
    row = mixed.row(2)

    assert (row.number, row.collection, row.key, row.status, row.source) == (
        2,
        "quotes",
        "2",
        "changed",
        "tuesday.bson",
    )
    assert (row.confidence, row.candidates, row.made, row.fields) == ("low", 1, None, 1)
    assert (row.doubt, row.restorable, row.picked) == ("written later", True, False)
    assert mixed.row(1).made == DAY
    assert mixed.row(1).fields == 3


def test_what_no_restore_can_undo_is_in_no_doubt(mixed: Browser) -> None:
    assert [(mixed.row(number).restorable, mixed.row(number).doubt) for number in (3, 4, 5)] == [(False, "")] * 3


@pytest.mark.parametrize(
    ("view", "found"),
    [
        ({}, list(range(9))),
        ({"statuses": ("missing",)}, [0, 6, 8]),
        ({"collections": ("quotes",)}, [2, 6]),
        ({"collections": ("nowhere",)}, []),
        ({"sources": ("s2",)}, [2, 6]),
        ({"field": "/a"}, [1, 2]),
        ({"field": "/items/*/price"}, [1]),
        ({"field": "/items/0/price"}, []),
        ({"since": DAY}, [1, 6]),
        ({"until": DAY}, [8]),
        ({"since": DAY, "until": DAY + timedelta(days=1)}, [1]),
        ({"text": "ZÜR"}, [8]),
        ({"text": "QUOTE"}, [2, 6]),
        ({"text": "false LENGTH"}, [4]),
        ({"text": "later"}, [2]),
        ({"text": ".*"}, []),
        ({"doubtful": True}, [2, 8]),
        ({"picked": True}, []),
        ({"statuses": ("changed",), "field": "/a", "collections": ("users",)}, [1]),
    ],
)
def test_a_filter_lets_through_what_it_names(mixed: Browser, view: dict[str, Any], found: list[int]) -> None:
    assert numbers(mixed, **view) == found
    assert mixed.facets(View(**view)).total == len(found)


@pytest.mark.parametrize(
    ("sort", "up", "down"),
    [
        ("key", [0, 1, 2, 3, 5, 6, 7, 4, 8], [8, 4, 7, 6, 5, 3, 2, 1, 0]),
        ("made", [8, 1, 6], [6, 1, 8]),
        ("status", [0, 6, 8, 1, 2, 5, 4, 7, 3], [3, 7, 4, 5, 1, 2, 0, 6, 8]),
        ("collection", [2, 6, 0], [0, 1, 3, 4, 5, 7, 8, 2, 6]),
        ("source", [0, 1, 4, 5, 7, 8, 2, 6, 3], [2, 6, 0, 1, 4, 5, 7, 8, 3]),
        ("confidence", [0, 1, 4, 5, 6, 7, 8, 2, 3], [2, 0, 1, 4, 5, 6, 7, 8, 3]),
        ("candidates", [3, 0], [6, 0]),
        ("", [0, 1], [8, 7]),
    ],
)
def test_an_order_puts_what_says_nothing_last(mixed: Browser, sort: str, up: list[int], down: list[int]) -> None:
    assert numbers(mixed, sort=sort)[: len(up)] == up
    assert numbers(mixed, sort=sort, descending=True)[: len(down)] == down
    assert len(numbers(mixed, sort=sort)) == 9


def test_whole_numbers_are_sorted_by_value(made: Made) -> None:
    with Browser(made([difference(number) for number in (10, 9, 100, -1)])) as browser:
        assert numbers(browser, sort="key") == [3, 1, 0, 2]


def test_a_page_past_the_end_is_the_last_one(made: Made) -> None:
    with Browser(made([difference(number) for number in range(25)])) as browser:
        page = browser.page(View(), 99, size=10)

        assert (page.number, page.pages, page.total, [row.number for row in page.rows]) == (
            2,
            3,
            25,
            [20, 21, 22, 23, 24],
        )
        assert browser.page(View(), -1, size=10).number == 0
        assert browser.page(View(text="none"), 3).pages == 1


def test_pages_read_rows_of_several_groups_of_the_file(made: Made) -> None:
    rows = [difference(number, made=DAY - timedelta(seconds=number * 7919 % 25_000)) for number in range(25_000)]
    with Browser(made(rows)) as browser:
        shown = browser.page(View(sort="made"), 2, size=50).rows

        expected = sorted(range(25_000), key=lambda number: (rows[number]["made"], number))[100:150]
        assert [(row.number, row.key) for row in shown] == [(number, str(number)) for number in expected]


def test_counts_are_those_under_all_other_filters(mixed: Browser) -> None:
    facets = mixed.facets(View(statuses=("changed",), collections=("quotes",)))

    assert facets.statuses == {"changed": 1, "missing": 1}
    assert facets.collections == {"quotes": 1, "users": 1}
    assert facets.sources == {"s2": ("tuesday.bson", 1)}
    assert facets.fields == {"/a": 1}
    assert facets.total == 1


def test_every_count_is_what_one_would_see_by_choosing_it(mixed: Browser) -> None:
    for status, collection, field in product(("", "missing", "changed"), ("", "users", "quotes"), ("", "/a")):
        view = View((status,) if status else (), (collection,) if collection else (), field=field)
        facets = mixed.facets(view)
        for name, count in facets.statuses.items():
            assert mixed.page(View((name,), view.collections, field=field)).total == count
        for name, count in facets.collections.items():
            assert mixed.page(View(view.statuses, (name,), field=field)).total == count
        for name, count in facets.fields.items():
            assert mixed.page(View(view.statuses, view.collections, field=name)).total == count


def test_a_field_at_several_positions_of_a_list_counts_once_a_record(mixed: Browser) -> None:
    assert mixed.facets(View()).fields == {"/a": 2, "/b": 1, "/items/*/price": 1}


def test_times_are_counted_without_the_filter_by_time(mixed: Browser) -> None:
    buckets = mixed.times(View(since=datetime(2030, 1, 1, tzinfo=UTC)))

    assert sum(one.missing for one in buckets) == 2
    assert sum(one.changed for one in buckets) == 1
    assert buckets[0].start <= DAY - timedelta(days=1)
    assert buckets[-1].end > DAY + timedelta(days=1)


def test_no_difference_at_all_can_be_looked_at_and_picked(made: Made) -> None:
    with Browser(made([])) as browser:
        assert browser.page(View()).rows == ()
        assert browser.facets(View(text="x", field="/a", statuses=("missing",))).total == 0
        assert browser.times(View()) == []
        assert browser.pick_matching(View()) == Matched(0, 0, 0)
        assert browser.picked_counts() == {}
        assert all(browser.page(View(sort=sort)).total == 0 for sort in SORTS)


def test_a_comparison_from_before_times_were_noted_opens(made: Made) -> None:
    comparison = made([difference(0, made=DAY)])
    without_column(comparison.table, "made")

    with Browser(comparison) as browser:
        assert browser.row(0).made is None
        assert browser.times(View()) == []
        assert browser.page(View(since=DAY)).total == 0


def test_a_hostile_collection_is_told_as_it_is_and_a_long_key_is_cut(made: Made) -> None:
    name = "</script><img src=x onerror=alert(1)>'; DROP TABLE x; -- *?["
    with Browser(made([difference(0, collection=name, key="k" * 100_000)])) as browser:
        row = browser.row(0)
        assert row.collection == name
        assert row.key == "k" * 500 + "… (100,000 characters)"
        assert numbers(browser, collections=(name,)) == [0]
        assert numbers(browser, text="'; drop table x; -- *?[") == [0]
        assert numbers(browser, sort="key") == [0]


def test_a_folder_whose_name_looks_like_a_pattern_is_read(made: Made) -> None:
    with Browser(made([difference(2), difference(1)], name="c[1]*?")) as browser:
        assert numbers(browser, sort="key") == [1, 0]


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "other columns"])
def test_a_comparison_whose_file_is_damaged_is_bad_input(made: Made, damage: str) -> None:
    comparison = made([difference(number) for number in range(100)])
    if damage == "gone":
        comparison.table.unlink()
    elif damage == "other columns":
        without_column(comparison.table, "status")
    else:
        content = comparison.table.read_bytes()
        comparison.table.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])

    with pytest.raises(BadInputError, match="cannot be read"):
        Browser(comparison)


# --- picking -------------------------------------------------------------------------------------------------------


def test_what_is_picked_stays_so_under_another_filter_and_on_another_page(mixed: Browser) -> None:
    assert mixed.pick([0, 6], on=True) == 0

    assert numbers(mixed, collections=("quotes",), picked=True) == [6]
    assert numbers(mixed, picked=True) == [0, 6]
    assert mixed.picked == 2
    assert mixed.picked_counts() == {"users": {"missing": 1}, "quotes": {"missing": 1}}
    assert [row.picked for row in mixed.page(View()).rows] == [True, *[False] * 5, True, False, False]


def test_what_no_restore_can_undo_is_not_picked_but_counted(mixed: Browser) -> None:
    assert mixed.pick([0, 3, 4, 5, -1, 99], on=True) == 3
    assert numbers(mixed, picked=True) == [0]


def test_all_that_is_shown_is_picked_but_for_what_is_in_doubt(mixed: Browser) -> None:
    assert mixed.pick_matching(View()) == Matched(picked=4, doubtful=2, not_restorable=3)
    assert numbers(mixed, picked=True) == [0, 1, 6, 7]

    mixed.pick([8], on=True)  # someone's own decision
    assert mixed.pick_matching(View(collections=("users",))) == Matched(picked=4, doubtful=0, not_restorable=3)
    assert mixed.picked == 5


def test_the_revision_grows_exactly_when_something_else_is_picked(mixed: Browser) -> None:
    seen = [mixed.revision]
    for act in (
        lambda: mixed.pick([0], on=True), lambda: mixed.pick([0], on=True), lambda: mixed.pick_matching(View()),
        lambda: mixed.pick_matching(View()), mixed.clear, mixed.clear, lambda: mixed.page(View(picked=True)),
    ):  # fmt: skip
        act()
        seen.append(mixed.revision)

    assert [after - before for before, after in pairwise(seen)] == [1, 0, 1, 0, 1, 0, 0]


def test_a_million_clicks_away_a_row_that_does_not_exist_is_refused(mixed: Browser) -> None:
    for number in (-1, 9, 10**12):
        with pytest.raises(BadInputError):
            mixed.row(number)
        with pytest.raises(BadInputError):
            mixed.choose(number, 1)


def test_another_version_than_the_best_is_chosen_and_given_up(made: Made) -> None:
    row = difference(1, candidates=2)
    other = {**row, "rank": 2, "source": "s2", "offset": 700, "fingerprint": b"x" * 32}
    with Browser(made([difference(0), row], versions=[row, other])) as browser:
        browser.choose(1, 2)
        assert (browser.chosen(1), browser.chosen(0), browser.picked) == (2, 1, 1)

        browser.choose(1, 1)
        assert (browser.chosen(1), browser.picked) == (1, 1)

        browser.choose(1, 2)
        browser.pick([1], on=False)
        browser.pick([1], on=True)
        assert browser.chosen(1) == 1
        with pytest.raises(BadInputError, match="no version 3"):
            browser.choose(1, 3)


def test_a_difference_that_no_restore_undoes_has_no_version_to_choose(mixed: Browser) -> None:
    with pytest.raises(BadInputError, match="nothing that a restore can undo"):
        mixed.choose(3, 1)


# --- a real comparison ---------------------------------------------------------------------------------------------


def test_a_real_comparison_is_browsed(lost: Lost) -> None:
    with Browser(lost.comparison) as browser:
        facets = browser.facets(View())
        assert facets.statuses == {"missing": 4, "changed": 3, "extra": 1}
        assert facets.fields == {"/n": 3, "/name": 3}
        assert [row.made for row in browser.page(View(sort="made")).rows] == [
            *(datetime(2025, 1, 1 + number, tzinfo=UTC) for number in range(7)), None
        ]  # fmt: skip
        assert {row.candidates for row in browser.page(View(statuses=("missing",))).rows} == {2}


def test_a_plan_of_what_was_picked_is_of_exactly_that(lost: Lost, tmp_path: Path) -> None:
    with Browser(lost.comparison) as browser:
        wanted = browser.page(View(statuses=("missing",), sort="key")).rows[:2]
        browser.pick([row.number for row in wanted], on=True)
        browser.choose(wanted[1].number, 2)

        result = lost.case.restore(lost.case.plan(lost.comparison, keys=browser.keys_file(tmp_path / "keys.jsonl")))

    assert (result.restored, result.failed) == (2, 0)
    assert [one["name"] for one in lost.records.find({"n": {"$lt": 4}}).sort("n")] == ["new 0", "old 1"]
