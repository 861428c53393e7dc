"""What a transcript makes of the messages that a kernel sends its front ends: what is on their screen."""

from __future__ import annotations

from typing import Any

import pytest

from recovery_nb.headless import transcript
from recovery_nb.headless.transcript import Transcript


def begun(kept: Transcript, number: int, *, cell: str = "", request: str = "") -> str:
    request = request or f"request-{number}"
    kept.begun({"header": {"msg_id": request}, "metadata": {"cellId": cell}}, number=number, source=f"# {number}")
    return request


def shown(text: str, name: str = "") -> dict[str, Any]:
    return {"data": {"text/html": text}, "metadata": {}, "transient": {"display_id": name} if name else {}}


def texts(kept: Transcript) -> list[list[str]]:
    return [[one.get("text") or one["data"]["text/html"] for one in run.outputs] for run in kept.runs()]


def test_outputs_belong_to_the_cell_that_asked_for_them() -> None:
    kept = Transcript()
    first, second = begun(kept, 1), begun(kept, 2)
    kept.heard("display_data", shown("late, from a thread"), parent=first)
    kept.heard("execute_result", shown("two"), parent=second)
    kept.heard("display_data", shown("printed by a click"), parent="comm")
    assert texts(kept) == [["late, from a thread"], ["two"]]


def test_pieces_of_a_stream_are_one_text_until_something_else_is_shown() -> None:
    kept = Transcript()
    cell = begun(kept, 1)
    for name, text in (("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "d")):
        kept.heard("stream", {"name": name, "text": text}, parent=cell)
    assert texts(kept) == [["ab", "c", "d"]]


def test_an_update_changes_what_was_shown_wherever_it_stands() -> None:
    kept = Transcript()
    first, second = begun(kept, 1), begun(kept, 2)
    kept.heard("display_data", shown("nothing was done", "panel"), parent=first)
    kept.heard("display_data", shown("nothing was done", "panel"), parent=second)
    kept.heard("update_display_data", shown("2 restored", "panel"), parent="a click")
    kept.heard("update_display_data", shown("x", "unknown"), parent="a click")
    assert texts(kept) == [["2 restored"], ["2 restored"]]


def test_a_cell_that_is_run_again_shows_its_last_run() -> None:
    kept = Transcript()
    kept.heard("display_data", shown("old"), parent=begun(kept, 1, cell="a"))
    kept.heard("display_data", shown("other"), parent=begun(kept, 2, cell="b"))
    kept.heard("display_data", shown("new"), parent=begun(kept, 3, cell="a"))
    assert [(run.cell, run.number) for run in kept.runs()] == [("b", 2), ("a", 3)]
    assert texts(kept) == [["other"], ["new"]]


@pytest.mark.parametrize(("wait", "after"), [(False, [[]]), (True, [["old"]])])
def test_a_cleared_output_is_gone_at_once_or_with_the_next_one(wait: bool, after: list[list[str]]) -> None:
    kept = Transcript()
    cell = begun(kept, 1)
    kept.heard("display_data", shown("old"), parent=cell)
    kept.heard("clear_output", {"wait": wait}, parent=cell)
    assert texts(kept) == after
    kept.heard("display_data", shown("new"), parent=cell)
    assert texts(kept) == [["new"]]


def test_what_is_too_much_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "LARGEST_CELL", 1_000)
    monkeypatch.setattr(transcript, "LARGEST", 1_500)
    kept = Transcript()
    cells = [begun(kept, number, cell=str(number)) for number in (1, 2)]
    for cell in cells:
        kept.heard("display_data", shown("x" * 800, cell), parent=cell)
    assert [(run.whole, len(run.outputs)) for run in kept.runs()] == [(True, 1), (False, 0)]
    kept.heard("update_display_data", shown("y" * 2_000, cells[0]), parent="")
    assert [run.whole for run in kept.runs()] == [False, False]
    assert texts(kept)[0] == ["x" * 800]
    kept.heard("clear_output", {}, parent=cells[0])
    kept.heard("display_data", shown("z" * 800), parent=begun(kept, 3, cell="2"))
    assert texts(kept) == [[], ["z" * 800]], "what is on no screen any more takes no room"


def test_a_cell_without_end_takes_bounded_memory_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "LARGEST_CELL", 10_000_000)
    kept = Transcript()
    cell = begun(kept, 1)
    for _ in range(200_000):
        kept.heard("stream", {"name": "stdout", "text": "."}, parent=cell)
    (run,) = kept.runs()
    assert not run.whole
    assert run.size <= 10_000_000
