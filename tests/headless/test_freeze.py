"""An executed notebook becomes a record; tried on notebooks built in memory."""

from __future__ import annotations

from typing import Any

import nbformat
from nbformat import v4

from recovery_nb.headless.freeze import freeze
from recovery_nb.headless.scrub import Scrubber

VIEW = "application/vnd.jupyter.widget-view+json"
SECRET = Scrubber("mongodb://bob:hunter2@host/db")


def frozen(*outputs: Any, scrubber: Scrubber = SECRET, **metadata: Any) -> Any:
    cell = v4.new_code_cell("x", outputs=[nbformat.from_dict(output) for output in outputs])
    result = freeze(v4.new_notebook(cells=[cell], metadata=metadata), scrubber, facts={"run": "r"})
    nbformat.validate(result)
    return result


def shown(data: dict[str, Any], **metadata: Any) -> Any:
    return v4.new_output("display_data", data=data, metadata=metadata)


def test_only_what_needs_no_kernel_and_no_script_is_kept() -> None:
    rich = {
        VIEW: {"model_id": "1"},
        "application/javascript": "x()",
        "text/html": "<b>1</b>",
        "text/plain": "1",
    }
    (output,) = frozen(shown(rich)).cells[0].outputs
    assert output.data == {"text/html": "<b>1</b>", "text/plain": "1"}


def test_a_view_of_which_nothing_is_left_says_so() -> None:
    (output,) = frozen(shown({"application/vnd.plotly.v1+json": {}})).cells[0].outputs
    assert output.data == {"text/plain": "(an interactive view, which this record cannot hold)"}


def test_a_secret_cut_in_two_by_the_stream_is_found() -> None:
    halves = [v4.new_output("stream", name="stdout", text=text) for text in ("hun", "ter2\n")]
    (output,) = frozen(*halves).cells[0].outputs
    assert output.text == "***\n"


def test_a_line_that_was_overwritten_is_kept_in_its_last_state() -> None:
    (output,) = frozen(v4.new_output("stream", text="10 %\r50 %\r100 %\ndone\r\n")).cells[0].outputs
    assert output.text == "100 %\ndone\r\n"


def test_words_that_give_the_notebook_its_form_are_no_secrets() -> None:
    for word in ("stdout", "display_data", "text", "code"):
        result = frozen(
            v4.new_output("stream", text=f"a {word}"),
            shown({"text/plain": word}),
            scrubber=Scrubber(f"mongodb://u:{word}@h/db"),
        )
        assert [output.get("text") or output.data for output in result.cells[0].outputs] == [
            "a ***",
            {"text/plain": "***"},
        ]


def test_papermills_marks_of_this_machine_are_dropped() -> None:
    papermill = {"input_path": "/home/me/x", "environment_variables": {}, "parameters": {"a": "hunter2"}}
    result = frozen(papermill=papermill, widgets={})
    assert result.metadata == {"papermill": {"parameters": {"a": "***"}}, "recovery_nb": {"run": "r"}}


def test_the_executed_notebook_is_not_changed() -> None:
    node = v4.new_notebook(cells=[v4.new_code_cell("hunter2")])
    freeze(node, SECRET, facts={})
    assert node.cells[0].source == "hunter2"
