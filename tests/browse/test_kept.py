"""What is picked is found again: in the same comparison, and in a later one of the case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recovery_nb.browse.browser import Browser
from recovery_nb.browse.view import View

from .conftest import Lost, Made, difference


def picked(browser: Browser) -> list[str]:
    return sorted(row.key for row in browser.page(View(picked=True)).rows)


def test_a_cell_that_is_run_again_finds_what_was_picked(made: Made, tmp_path: Path) -> None:
    rows = [difference(number) for number in range(20)]
    comparison = made(rows, versions=[*rows, {**rows[7], "rank": 2, "source": "s2"}])
    kept = tmp_path / "of the case" / "picked.parquet"
    first = Browser(comparison, kept=kept)
    first.pick([3, 7, 19], on=True)
    first.choose(7, 2)

    again = Browser(comparison, kept=kept)  # the first was never closed: the kernel was killed

    assert picked(again) == ["19", "3", "7"]
    assert again.chosen(7) == 2
    assert again.notes == ()
    again.clear()
    assert Browser(comparison, kept=kept).picked == 0


def test_nothing_is_written_before_something_is_picked(made: Made, tmp_path: Path) -> None:
    with Browser(made([difference(0)]), kept=tmp_path / "picked.parquet") as browser:
        browser.page(View())
        browser.clear()

    assert not (tmp_path / "picked.parquet").exists()


def test_in_a_later_comparison_it_is_found_by_key(made: Made, tmp_path: Path) -> None:
    kept = tmp_path / "picked.parquet"
    with Browser(made([difference(number) for number in range(10)]), kept=kept) as browser:
        browser.pick([2, 5, 9], on=True)
    later = [
        difference(9), difference(5, status="extra"), difference(2, collection="quotes"),
        difference(2, status="changed"), difference(1), difference(5, status="duplicate"),
    ]  # fmt: skip

    with Browser(made(later, name="c2"), kept=kept) as browser:
        assert [row.number for row in browser.page(View(picked=True)).rows] == [0, 3]
        assert browser.notes == ("1 picked before and no difference any more",)


def test_a_key_of_another_type_is_another_record(made: Made, tmp_path: Path) -> None:
    kept = tmp_path / "picked.parquet"
    with Browser(made([difference(1)]), kept=kept) as browser:
        browser.pick([0], on=True)

    with Browser(made([difference(0, id_value="1"), difference(1)], name="c2"), kept=kept) as browser:
        assert [row.number for row in browser.page(View(picked=True)).rows] == [1]


def test_what_has_come_into_doubt_since_is_picked_no_longer(made: Made, tmp_path: Path) -> None:
    kept = tmp_path / "picked.parquet"
    with Browser(made([difference(0), difference(1, newer="then already"), difference(2)]), kept=kept) as browser:
        browser.pick([0, 1, 2], on=True)
    later = [difference(0, newer="since then"), difference(1, newer="as before"), difference(2)]

    with Browser(made(later, name="c2"), kept=kept) as browser:
        assert picked(browser) == ["1", "2"]
        assert browser.notes == ("1 picked before and in doubt now: picked no longer",)


def test_a_chosen_version_is_known_by_its_bytes_whatever_its_rank_is_now(made: Made, tmp_path: Path) -> None:
    kept = tmp_path / "picked.parquet"
    rows = [difference(1, candidates=2), difference(2, candidates=2)]
    others = [{**row, "rank": 2, "source": "s2", "fingerprint": row["key"].encode() * 32} for row in rows]
    with Browser(made(rows, versions=[*rows, *others]), kept=kept) as browser:
        browser.choose(0, 2)
        browser.choose(1, 2)
    newest = {**rows[0], "source": "s2", "fingerprint": b"n" * 32}
    versions = [newest, {**rows[0], "rank": 2}, {**others[0], "rank": 3}, rows[1]]

    with Browser(made(rows, name="c2", versions=versions), kept=kept) as browser:
        assert picked(browser) == ["1"]
        assert browser.chosen(0) == 3
        assert browser.notes == ("1 picked before by a version that no source holds any more: picked no longer",)


def test_if_the_earlier_comparison_is_gone_a_note_says_so(made: Made, tmp_path: Path) -> None:
    kept = tmp_path / "picked.parquet"
    earlier = made([difference(0)])
    with Browser(earlier, kept=kept) as browser:
        browser.pick([0], on=True)
    earlier.table.unlink()

    with Browser(made([difference(0)], name="c2"), kept=kept) as browser:
        assert browser.picked == 0
        assert "the comparison 'c1' that it is of is gone" in browser.notes[0]


def rewritten(**values: object) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        table = pq.read_table(path)
        row = {**table.to_pylist()[0], **values}
        pq.write_table(type(table).from_pylist([row], schema=table.schema), path)

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(bytes(4096)),
        lambda path: (path.unlink(), path.mkdir()),
        rewritten(picked=b""),
        rewritten(picked=None),
        rewritten(differences=2**60),
        rewritten(differences=-1),
        rewritten(differences=17, picked=b"\xff\xff\xff"),
        rewritten(comparison=None),
        rewritten(comparison="../comparisons/c1"),
        rewritten(comparison=".."),
        rewritten(comparison=""),
        rewritten(comparison="nowhere\0"),
        rewritten(chosen=None),
        rewritten(chosen=[{"number": 2**40, "rank": 1, "source": "", "offset": 0, "fingerprint": b""}]),
    ],
)
def test_a_file_that_cannot_be_used_is_left_aside_with_a_note(
    made: Made, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    kept, comparison = tmp_path / "picked.parquet", made([difference(number) for number in range(16)])
    with Browser(comparison, kept=kept) as browser:
        browser.pick([1], on=True)
    damage(kept)

    with Browser(comparison, kept=kept) as browser:
        assert browser.picked == 0
        assert "what was picked before is not used" in browser.notes[0]
        assert browser.page(View()).total == 16


def test_if_nothing_can_be_written_picking_goes_on_with_a_note(made: Made, tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(b"")
    with Browser(made([difference(0), difference(1)]), kept=tmp_path / "a file" / "picked.parquet") as browser:
        browser.pick([0], on=True)
        browser.pick([1], on=True)

        assert browser.picked == 2
        assert len(browser.notes) == 1
        assert "cannot be kept" in browser.notes[0]


def test_after_another_comparison_of_the_case_what_is_a_difference_still_is_picked(lost: Lost, tmp_path: Path) -> None:
    kept = tmp_path / "picked.parquet"
    with Browser(lost.comparison, kept=kept) as browser:
        browser.pick_matching(View())
        assert browser.picked == 7
        keys = browser.keys_file(tmp_path / "some.jsonl")
    lost.case.restore(lost.case.plan(lost.comparison, keys=keys, on_conflict="skip"))

    with Browser(lost.case.compare(lost.older, lost.newer), kept=kept) as browser:
        assert browser.picked_counts() == {"users": {"changed": 3}}
        assert browser.notes == ("4 picked before and no difference any more",)
