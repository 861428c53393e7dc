"""The two ends of a notebook, and what its parameters mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recovery_nb.case import Case
from recovery_nb.errors import BadInputError
from recovery_nb.reports.sentinel import RUN_DIR
from recovery_nb.widgets import begin, conclude, differences, is_interactive, one_of, words

from .conftest import Lost


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ("", []),
        ("a.json", ["a.json"]),
        ("a.json, dump ,", ["a.json", "dump"]),
        (["a, b.json"], ["a, b.json"]),
        ('["a, b.json", "c"]', ["a, b.json", "c"]),
        ("mongodb://one:1,two:2/shop", ["mongodb://one:1,two:2/shop"]),
    ],
)
def test_a_parameter_with_commas_is_a_list(given: str | list[str], parts: list[str]) -> None:
    assert words(given) == parts


def test_the_path_of_a_file_is_one_part_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "backup, old.json"
    path.touch()
    assert words(str(path)) == [str(path)]


def test_a_broken_list_is_named() -> None:
    with pytest.raises(BadInputError, match="is no list; write names with commas"):
        words('["a"')


def test_a_parameter_is_one_of_the_known_words() -> None:
    assert one_of("json", "bson", "json") == "json"
    with pytest.raises(BadInputError, match="'xml' is not known here; choose bson or json"):
        one_of("xml", "bson", "json")


def test_a_password_is_refused_as_a_parameter(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="set DATABASE_URI instead") as caught:
        begin(tmp_path / "case", database="mongodb://me:secret@db/shop")
    assert "secret" not in str(caught.value)


def test_the_first_cell_can_be_run_again(tmp_path: Path) -> None:
    first = begin(tmp_path / "case")
    again = begin(first, database="embedded:shop")
    assert (again.folder, again.uri) == (first.folder, "embedded:shop")


def test_nobody_clicks_in_a_headless_run_or_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_interactive(True)
    assert not is_interactive(False)
    assert not is_interactive()
    monkeypatch.setenv(RUN_DIR, "somewhere")
    assert not is_interactive(None)


def test_the_newest_comparison_serves_unless_something_is_named(lost: Lost, tmp_path: Path) -> None:
    with Case.open(lost.case.folder, database=lost.case.uri) as case:
        assert differences(case).summary.id == lost.comparison.summary.id
        assert differences(case, collection="quotes").summary.id != lost.comparison.summary.id
    with Case.open(tmp_path / "other") as case, pytest.raises(BadInputError, match="compare first"):
        differences(case)


def test_concluding_saves_the_report_and_closes_the_case(lost: Lost) -> None:
    path = conclude(lost.case, lost.case.report(), exit_code=1)
    assert json.loads(path.read_bytes())["comparison"]["quotes"]["missing"] == 251
    assert path.name.startswith("recovery_report_")
    assert json.loads((lost.case.folder / "reports" / "report.json").read_bytes())
    assert lost.case.counts()["quotes"] == 50, "it opens itself again when it is used again"
