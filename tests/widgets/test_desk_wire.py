"""What the desk sends: small whatever the data are, and nothing in it that hides or turns what stands beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from recovery_nb.case import Case
from recovery_nb.widgets.desk import Desk
from recovery_nb.widgets.desk.view import DeskView
from recovery_nb.widgets.desk.wire import clipped, fitting, visible

from .test_desk import ask

MOST = 200_000
WIDE = "\N{PILE OF POO}"
"""Four bytes of UTF-8 for one character."""
TURNS = "\N{RIGHT-TO-LEFT OVERRIDE}"

Open = Callable[[dict[str, list[dict[str, Any]]]], Desk]


@pytest.fixture
def open_desk(database: Any, tmp_path: Path) -> Iterator[Open]:
    """Open a desk over a backup with these collections, all of which the database lacks."""
    made: list[Desk] = []

    def open_desk(collections: dict[str, list[dict[str, Any]]]) -> Desk:
        path = tmp_path / "backup_1.json"
        path.write_text(json_util.dumps({"collections": collections}))
        case = Case.open(tmp_path / "case", database=database.uri)
        made.append(Desk(case, case.compare(path), only=[]))
        return made[-1]

    yield open_desk
    for desk in made:
        desk.close()
        desk.case.close()


def size(desk: Desk, what: str, **values: Any) -> int:
    return len(json.dumps(desk.answer({"do": what, **values}), ensure_ascii=False).encode())


def test_a_page_is_small_whatever_names_and_keys_are(open_desk: Open) -> None:
    names = [WIDE * 50 + f"{number:03}" for number in range(150)]
    desk = open_desk({name: [{"_id": f'"{WIDE * 2_000}{name}', WIDE * 500: 1}] for name in names})
    assert size(desk, "hello") < MOST
    assert size(desk, "look", view={"sort": "key"}) < MOST
    ask(desk, "pick matching")
    ask(desk, "preview")
    assert size(desk, "hello") < MOST
    facets = ask(desk, "hello")["facets"]
    assert len(facets["collections"]) + facets["more"] == 150
    hidden = next(name for name in names if name not in {one[0] for one in facets["collections"]})
    chosen = ask(desk, "look", view={"collections": [hidden]})
    assert (chosen["page"]["total"], chosen["facets"]["collections"][0][0]) == (1, hidden)


def test_a_record_is_small_whatever_it_holds(open_desk: Open) -> None:
    wide = {f"{WIDE * 20}{number}": WIDE * 500 for number in range(5_000)}
    deep: dict[str, Any] = {"end": 1}
    for _ in range(85):
        deep = {"in": deep}
    desk = open_desk({"quotes": [{"_id": 1, **wide}, {"_id": 2, "deep": deep}, {"_id": 3, "text": "x" * 15_000_000}]})
    rows = ask(desk, "look", view={"sort": "key"})["page"]["rows"]
    numbers = [row["number"] for row in rows]
    assert all(size(desk, "open", number=number) < MOST for number in numbers)
    shown = ask(desk, "open", number=numbers[0])["detail"]
    assert len(shown["lines"]) + shown["left_out"] == 5_001


def test_a_long_name_is_cut_in_its_middle_and_told_whole_beside(open_desk: Open) -> None:
    name = "a" * 60 + "z" * 60
    row = ask(open_desk({name: [{"_id": 1}]}), "hello")["page"]["rows"][0]
    assert row["collection"] == "a" * 30 + "…" + "z" * 29
    assert row["title"] == name


def test_what_has_no_shape_or_turns_the_text_is_a_dot() -> None:
    assert visible(f"pay{TURNS}gpj.exe\x00\n\u2028") == "pay·gpj.exe···"
    assert visible("a\n\tb\x1b", lines=True) == "a\n\tb·"
    assert visible("né 東京 a\u00a0b") == "né 東京 a\u00a0b"
    assert clipped("a" * 10, 5) == "aa…aa"


def test_a_list_ends_where_the_message_would_be_too_long() -> None:
    assert fitting(range(10), most=3) == [0, 1, 2]
    assert fitting(["x" * 98] * 10, most=10, most_bytes=300) == ["x" * 98] * 3


def test_the_widget_holds_no_data_and_the_page_no_way_to_make_markup_of_them() -> None:
    view = DeskView()
    assert {name for name in view.get_state() if not name.startswith("_")} <= {"layout", "tabbable", "tooltip"}
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http:", "https:"):
        assert way not in view._esm
    assert "url(" not in view._css
    view.close()
