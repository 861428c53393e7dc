"""A loss to practise on is made once, worked on by the verbs, and told apart from the truth."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery_nb import Case
from recovery_nb.demo.practice import practice
from recovery_nb.errors import BadInputError


def test_what_is_practised_is_held_against_the_truth(tmp_path: Path) -> None:
    shown = practice(tmp_path / "tutorial", count=400)
    assert shown.fresh
    before = shown.check()
    assert before.lost > 400, "quotes were dropped, and more was lost"
    assert before.recovered == 0
    with Case.open(shown.case, database=shown.database) as case:
        case.scan(*shown.sources)
        case.restore(case.plan(case.compare(), only=["missing", "changed"], on_conflict="replace"))
    again = practice(tmp_path / "tutorial")
    assert not again.fresh, "what was done is still there"
    after = again.check()
    assert after.ok
    assert f"{after.recovered:,}" in again.answer()
    assert not list(tmp_path.glob(".tutorial*")), "nothing is left beside it"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadInputError, match="holds something else"):
        practice(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
