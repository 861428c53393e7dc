"""One difference in full, of real sources and a real database; what cannot be read is told, and stops nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import Int64

from recovery_nb import Case
from recovery_nb.browse.browser import Browser
from recovery_nb.browse.detail import Detail, detail
from recovery_nb.browse.masking import Masking
from recovery_nb.browse.view import View
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.sources.mongodb import Database

from .conftest import Lost

PLAIN = Masking([])


def first(comparison: Comparison, **view: Any) -> int:
    with Browser(comparison) as browser:
        return browser.page(View(**view)).rows[0].number


def kinds(found: Detail) -> dict[str, str]:
    return {line.path: line.kind for line in found.lines}


def texts(found: Detail, path: str) -> list[str | None]:
    (line,) = [line for line in found.lines if line.path == path]
    return [cell and f"{cell.text} {cell.type}" for cell in line.values]


@pytest.fixture
def case(database: Any, tmp_path: Path) -> Any:
    with Case.open(tmp_path / "case", database=database.uri) as opened:
        yield opened


@pytest.fixture
def compared(database: Any, case: Case, tmp_path: Path) -> Callable[..., Comparison]:
    """Compare a collection of the database with a dump of it, each given as documents or bytes."""

    def compare(live: list[Any], backup: list[Any]) -> Comparison:
        if live:
            database.client[database.name]["c"].insert_many(live)
        path = tmp_path / "c.bson"
        path.write_bytes(b"".join(one if isinstance(one, bytes) else bson.encode(one) for one in backup))
        return case.compare(path)

    return compare


def test_the_database_and_every_candidate_stand_side_by_side(lost: Lost) -> None:
    found = detail(lost.comparison, lost.case.database, first(lost.comparison, statuses=("changed",)), masking=PLAIN)

    assert (found.collection, found.status) == ("users", "changed")
    assert [(one.rank, one.source, one.same_as_best, one.problem) for one in found.candidates] == [
        (1, lost.comparison.sources[lost.comparison.summary.sources[0]].name, True, ""),
        (2, lost.comparison.sources[lost.comparison.summary.sources[1]].name, False, ""),
    ]
    assert found.candidates[0].path.startswith(str(lost.newer.parent))
    assert found.candidates[0].length > 0
    assert found.candidates[0].confidence == "high"
    assert found.database is not None
    assert (found.database.rank, found.database.same_as_best) == (0, False)
    assert kinds(found) == {"/name": "value", "/n": "width", "/_id": "same", "/email": "same", "/created_at": "same"}
    assert texts(found, "/n") == ["4.0 double", "4 int", "4 int"]
    assert texts(found, "/name") == ["altered string", "new 4 string", "old 4 string"]
    assert found.lines[0].kind != "same"
    assert found.masked == ()


def test_of_a_missing_record_only_the_candidates_are_compared(lost: Lost) -> None:
    found = detail(lost.comparison, lost.case.database, first(lost.comparison, statuses=("missing",)), masking=PLAIN)

    assert found.database is None
    assert kinds(found) == {"/name": "value", "/_id": "same", "/email": "same", "/created_at": "same", "/n": "same"}


def test_of_an_extra_record_there_is_the_database_alone(lost: Lost) -> None:
    found = detail(lost.comparison, lost.case.database, first(lost.comparison, statuses=("extra",)), masking=PLAIN)

    assert found.candidates == ()
    assert found.database is not None
    assert texts(found, "/n") == ["9 int"]


def test_a_record_that_has_come_back_since_is_shown_as_it_is_now(lost: Lost) -> None:
    number = first(lost.comparison, statuses=("missing",))
    lost.case.restore(lost.case.plan(lost.comparison, only=["missing"]))

    found = detail(lost.comparison, lost.case.database, number, masking=PLAIN)

    assert found.database is not None
    assert found.database.same_as_best


def test_what_is_hidden_is_nowhere_in_the_detail_until_it_is_asked_for(lost: Lost) -> None:
    number = first(lost.comparison, statuses=("changed",))
    hidden = detail(lost.comparison, lost.case.database, number, masking=Masking())
    assert "4@example.org" not in repr(hidden)
    assert hidden.masked == ("email",)
    assert [cell and cell.masked for line in hidden.lines if line.path == "/email" for cell in line.values] == [
        True
    ] * 3

    for reveal in ("email", "/email"):
        shown = detail(lost.comparison, lost.case.database, number, masking=Masking(), reveal=[reveal])
        assert texts(shown, "/email") == ["4@example.org string"] * 3
        assert shown.masked == ()


def test_a_source_that_is_gone_or_altered_is_a_problem_of_its_versions_alone(lost: Lost) -> None:
    number = first(lost.comparison, statuses=("changed",))
    content = lost.older.read_bytes()
    lost.older.write_bytes(content.replace(b"old 4", b"odd 4"))
    altered = detail(lost.comparison, lost.case.database, number, masking=PLAIN)
    lost.older.unlink()
    gone = detail(lost.comparison, lost.case.database, number, masking=PLAIN)

    for found in (altered, gone):
        assert [bool(one.problem) for one in found.candidates] == [False, True]
        assert texts(found, "/name") == ["altered string", "new 4 string", None]
    lost.newer.unlink()
    nothing = detail(lost.comparison, lost.case.database, number, masking=PLAIN)
    assert all(one.problem for one in nothing.candidates)
    assert texts(nothing, "/name") == ["altered string", None, None]


def test_without_a_database_the_candidates_are_shown(lost: Lost) -> None:
    found = detail(lost.comparison, None, first(lost.comparison, statuses=("changed",)), masking=PLAIN)

    assert found.database is None
    assert kinds(found)["/name"] == "value"


def test_a_database_that_does_not_answer_is_a_problem_and_no_error(lost: Lost) -> None:
    away = Database(lost.uri)
    away.close()

    found = detail(lost.comparison, away, first(lost.comparison, statuses=("changed",)), masking=PLAIN)

    assert found.database is not None
    assert found.database.problem
    assert texts(found, "/name") == [None, "new 4 string", "old 4 string"]


def test_what_is_left_of_a_damaged_record_is_shown(compared: Callable[..., Comparison]) -> None:
    whole = bson.encode({"_id": 1, "a": "kept", "b": "x" * 50})
    broken = whole.replace(b"\x02b\0", b"\x99b\0")
    comparison = compared([], [{"_id": 0}, broken, {"_id": 2}])
    found = detail(comparison, None, first(comparison, statuses=("corrupt",)), masking=PLAIN)

    assert len(found.candidates) == 1
    assert found.candidates[0].problem == ""
    assert texts(found, "/a") == ["kept string"]


def test_of_what_cannot_be_read_at_all_the_reason_is_told(compared: Callable[..., Comparison]) -> None:
    comparison = compared([], [{"_id": 0}, b"\xff" * 40, {"_id": 2}])
    found = detail(comparison, None, first(comparison, statuses=("corrupt",)), masking=PLAIN)

    assert found.lines == ()
    assert all(one.problem for one in found.candidates)


def test_a_candidate_without_an_id_has_the_one_that_a_restore_would_give_it(
    database: Any, case: Case, tmp_path: Path
) -> None:
    database.client[database.name]["c"].insert_one({"_id": 7, "code": "a", "n": 1})
    path = tmp_path / "c.csv"
    path.write_text("code,n\na,2\n")
    comparison = case.compare(path, collection="c", key=("code",))

    found = detail(comparison, case.database, first(comparison), masking=PLAIN)

    assert kinds(found) == {"/n": "value", "/_id": "same", "/code": "same"}


def test_widths_and_other_types_are_told_apart(compared: Callable[..., Comparison]) -> None:
    comparison = compared([{"_id": 1, "a": 1, "b": 0.0}], [{"_id": 1, "a": Int64(1), "b": -0.0}])
    found = detail(comparison, None, first(comparison), masking=PLAIN)
    assert texts(found, "/a") == ["1 long"]
    assert texts(found, "/b") == ["-0.0 double"]


def test_long_texts_are_shown_where_they_differ(compared: Callable[..., Comparison], case: Case) -> None:
    comparison = compared([{"_id": 1, "s": "é" * 4_000 + "here"}], [{"_id": 1, "s": "é" * 4_000 + "there"}])
    found = detail(comparison, case.database, first(comparison), masking=PLAIN)

    here, there = (str(text) for text in texts(found, "/s"))
    assert here.endswith("éhere string")
    assert there.endswith("éthere string")
    assert "from byte 7,960" in here


HOSTILE: dict[str, Callable[[int], dict[str, Any]]] = {
    "5,000 fields": lambda one: {"_id": 1, **{f"f{number}": number * one for number in range(5_000)}},
    "16 MB": lambda one: {"_id": 1, "s": "x" * 16_000_000 + str(one)},
    "90 levels": lambda one: _nested(90, one),
}


def _nested(levels: int, value: int) -> dict[str, Any]:
    record: dict[str, Any] = {"v": value}
    for _ in range(levels):
        record = {"a": record}
    return {"_id": 1, **record}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_record_is_shown_in_bounded_time(name: str, compared: Callable[..., Comparison], case: Case) -> None:
    comparison = compared([HOSTILE[name](1)], [HOSTILE[name](2)])
    number = first(comparison)

    start = time.perf_counter()
    found = detail(comparison, case.database, number, masking=PLAIN)

    assert time.perf_counter() - start < 5  # 0.3 s where nothing else runs
    assert found.lines[0].kind == "value"
    assert len(found.lines) <= 300
    assert found.left_out == (4_701 if name == "5,000 fields" else 0)
    assert all(len(cell.text) < 700 for line in found.lines for cell in line.values if cell)


def test_a_row_that_does_not_exist_is_refused(lost: Lost) -> None:
    for number in (-1, 10**9):
        with pytest.raises(BadInputError):
            detail(lost.comparison, None, number, masking=PLAIN)


def test_where_a_source_does_not_say_when_a_version_was_written_only_its_own_time_is_told(lost: Lost) -> None:
    found = detail(lost.comparison, None, first(lost.comparison), masking=PLAIN)
    assert [one.at for one in found.candidates] == [None, None]
    assert all(one.taken_at and one.taken_at < datetime.now(UTC) for one in found.candidates)
