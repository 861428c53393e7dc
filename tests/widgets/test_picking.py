"""Picking differences: filters, pages, and what stays picked while others are looked at."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.selection import Choice
from recovery_nb.widgets.picking import PAGE, Picking, Row, rows_of

from .conftest import HOSTILE, Lost

ROWS = [Row("quotes", f"key {number}", "missing", "dump") for number in range(250)]
DOUBTFUL = Row("quotes", "key 1000", "changed", "dump", doubt="the database's version is newer")


def test_what_can_be_restored_is_listed_with_what_is_in_doubt(lost: Lost) -> None:
    rows = rows_of(lost.comparison)
    assert {(row.collection, row.status) for row in rows} == {
        ("quotes", "missing"), ("quotes", "changed"), (HOSTILE, "missing"),
    }  # fmt: skip
    assert [row.doubt != "" for row in rows if row.status == "changed"].count(True) == 1


def test_a_long_list_can_be_cut() -> None:
    assert Picking(ROWS[:0]).pages == 1
    assert Picking(ROWS).pages == 3


def test_a_page_cannot_be_turned_past_the_ends() -> None:
    picking = Picking(ROWS)
    picking.turn(-1)
    assert picking.page == 0
    picking.turn(9)
    assert (picking.page, len(picking.shown)) == (2, 250 - 2 * PAGE)


def test_what_is_picked_on_one_page_stays_picked_on_the_next() -> None:
    picking = Picking(ROWS)
    picking.pick([0, 1])
    picking.turn(1)
    picking.pick([PAGE])
    assert picking.picked == {0, 1, PAGE}
    picking.turn(-1)
    picking.pick([1])
    assert picking.picked == {1, PAGE}


def test_a_filter_looks_at_collection_status_and_key() -> None:
    picking = Picking([*ROWS, DOUBTFUL])
    picking.filter(statuses=["missing", "changed"], text="KEY 100")
    assert [picking.rows[number].key for number in picking.matching] == ["key 100", "key 1000"]
    picking.filter(collection="orders", statuses=["missing"])
    assert (picking.matching, picking.pages) == ([], 1)


def test_picking_all_that_matches_leaves_out_what_is_in_doubt() -> None:
    picking = Picking([*ROWS, DOUBTFUL])
    assert picking.pick_matching() == 1
    assert len(picking.picked) == 250


def test_choices_name_collection_and_key() -> None:
    picking = Picking(ROWS)
    picking.pick([1])
    assert picking.choices() == [Choice("key 1", "quotes")]


@given(st.lists(st.sets(st.integers(0, 120)), max_size=6))
def test_a_revision_is_one_selection(selections: list[set[int]]) -> None:
    """Whatever is picked in whatever order: the revision changes exactly when the selection does."""
    picking = Picking(ROWS)
    for wanted in selections:
        before, revision = set(picking.picked), picking.revision
        picking.pick(wanted)
        assert picking.picked == wanted & set(picking.shown)
        assert (picking.revision > revision) == (picking.picked != before)
