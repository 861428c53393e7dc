"""A notebook's file and what a kernel ran become one story; tried on notebooks built in memory."""

from __future__ import annotations

from typing import Any

import pytest
from nbformat import v4

from recovery_nb.errors import ConflictError
from recovery_nb.headless.assemble import Session, assemble, constants, out_of_order
from recovery_nb.headless.transcript import CellRun

BEGIN = "from recovery_nb.widgets import begin\ncase = begin('case')"


def notebook(*sources: str, saved: dict[int, int] | None = None) -> Any:
    """Cells named a, b, c …; text cells begin with `#!`; `saved` has execution counts of the file by position."""
    cells = []
    for position, source in enumerate(sources):
        cell = v4.new_markdown_cell(source[2:]) if source.startswith("#!") else v4.new_code_cell(source)
        cell["id"] = "abcdefgh"[position]
        if saved and position in saved:
            cell.execution_count = saved[position]
            cell.outputs = [v4.new_output("stream", text="in the file")]
        cells.append(cell)
    return v4.new_notebook(cells=cells)


def ran(number: int, source: str, *, cell: str = "", text: str = "", whole: bool = True) -> CellRun:
    outputs = [{"output_type": "stream", "name": "stdout", "text": text or f"shown by {number}"}]
    return CellRun(number, cell, source, outputs, whole=whole)


def put_together(
    node: Any, *runs: CellRun, earlier: tuple[tuple[int, str], ...] = (), saved_since: bool = False
) -> Session:
    return assemble(node, runs, earlier, saved_since=saved_since, where="my.ipynb")


def story(session: Session) -> list[tuple[str, int | None, str]]:
    return [
        (cell.source, cell.get("execution_count"), "".join(one.text for one in cell.get("outputs", [])))
        for cell in session.notebook.cells
    ]


def test_outputs_come_from_the_kernel_and_text_from_the_file() -> None:
    node = notebook("#!Why?", "1", "2", saved={1: 9})
    session = put_together(node, ran(1, "1", cell="b"), ran(2, "2", cell="c"))
    assert story(session) == [("Why?", None, ""), ("1", 1, "shown by 1"), ("2", 2, "shown by 2")]
    assert (session.ran, session.notes) == (2, ())
    assert node.cells[1].execution_count == 9, "the file's notebook is not changed"


def test_without_names_of_cells_their_texts_decide() -> None:
    runs = [ran(1, "df"), ran(2, "x = f()"), ran(3, "df"), ran(4, "df", cell="of another front end")]
    session = put_together(notebook("df", "x = f()", "df "), *runs)
    assert [number for _, number, _ in story(session)] == [3, 2, 4], "the last runs of a text are those on the screen"


def test_a_cell_is_shown_as_it_was_run_not_as_it_was_saved() -> None:
    session = put_together(notebook("limit(1)", "2"), ran(1, "limit(5)", cell="a"), ran(2, "2", cell="b"))
    assert story(session)[0] == ("limit(5)", 1, "shown by 1")
    assert session.notes == ("1 cell shown as it was run: the file holds another text.",)


def test_a_cell_that_is_in_no_file_stands_where_it_was_run() -> None:
    runs = [ran(1, "1", cell="a"), ran(2, "new", cell="new"), ran(3, "2", cell="b")]
    session = put_together(notebook("1", "2"), *runs)
    assert story(session) == [("1", 1, "shown by 1"), ("new", 2, "shown by 2"), ("2", 3, "shown by 3")]
    assert session.notes == ("1 cell shown where it was run: the notebook's file does not hold it.",)


def test_what_this_kernel_did_not_run_is_the_files_and_said_to_be() -> None:
    session = put_together(notebook("1", "2", "3", saved={1: 7}), ran(1, "1", cell="a"))
    assert story(session)[1:] == [("2", 7, "in the file"), ("3", None, "")]
    assert "1 cell shown as the file holds it" in session.notes[0]
    assert session.ran == 1


def test_a_notebook_of_another_kernel_is_refused() -> None:
    runs = [ran(1, "1"), ran(2, "other"), ran(3, "another")]
    with pytest.raises(ConflictError, match=r"my.ipynb holds only 1 of the 3 cells .* save the notebook \(Ctrl-S\)"):
        put_together(notebook("1", "2"), *runs)


class TestWhatRanBeforeTheTranscript:
    def test_parameters_have_shown_nothing(self) -> None:
        node = notebook("case = 'case'  # the folder", BEGIN)
        session = put_together(node, ran(2, BEGIN, cell="b"), earlier=((1, node.cells[0].source),))
        assert [number for _, number, _ in story(session)] == [1, 2]
        assert session.notes == ()

    def test_parameters_that_were_edited_are_known_by_their_names(self) -> None:
        session = put_together(notebook("case = 'a'", BEGIN), ran(2, BEGIN), earlier=((1, "case = 'b'"),))
        assert [source for source, _, _ in story(session)] == ["case = 'b'", BEGIN]

    def test_parameters_that_were_run_again_stand_once(self) -> None:
        runs = [ran(2, BEGIN, cell="b"), ran(3, "case = 'c'", cell="a")]
        session = put_together(notebook("case = 'a'", BEGIN), *runs, earlier=((1, "case = 'b'"),))
        assert [source for source, _, _ in story(session)] == ["case = 'c'", BEGIN]

    def test_what_may_have_shown_something_must_have_been_saved(self) -> None:
        node = notebook("df.head()", BEGIN, saved={0: 1})
        with pytest.raises(ConflictError, match=r"cell \[1\] ran before the case was opened, and my.ipynb was not"):
            put_together(node, ran(2, BEGIN, cell="b"), earlier=((1, "df.head()"),))
        session = put_together(node, ran(2, BEGIN, cell="b"), earlier=((1, "df.head()"),), saved_since=True)
        assert story(session)[0] == ("df.head()", 1, "in the file")
        assert "ran it" not in session.notes[0]

    @pytest.mark.parametrize(
        ("source", "names"),
        [
            ("a = 1\nb: str = 'x'  # note", {"a", "b"}),
            ("# nothing", set()),
            ("a = f()", None),
            ("a: print(1) = 1", None),
            ("a.b = 1", None),
            ("%ls", None),
            ("import this", None),
            (r"path = 'C:\data'", None),
            ("1", None),
            ("a = " + "(" * 5_000, None),
        ],
    )
    def test_only_constants_are_silent(self, source: str, names: set[str] | None) -> None:
        assert constants(source) == names

    def test_the_beginning_of_the_first_cell_is_not_claimed(self) -> None:
        source = "print('before')\n" + BEGIN
        run = ran(1, source)
        run.first = True
        session = put_together(notebook(source), run)
        assert session.notes == ("What cell [1] showed before it called `begin` may be missing here.",)
        run.source = BEGIN
        assert put_together(notebook(BEGIN), run).notes == ()


def test_what_was_too_much_is_said_in_its_place() -> None:
    session = put_together(notebook("1"), ran(1, "1", whole=False))
    assert story(session)[0][2].endswith("(this cell showed more than a record keeps: the rest is left out)")
    assert "More was shown" in session.notes[0]


def test_cells_out_of_order_are_remarked() -> None:
    assert out_of_order(notebook("1", "2", saved={0: 1, 1: 2})) == ""
    assert "[1] stands below [2]" in out_of_order(notebook("1", "2", saved={0: 2, 1: 1}))
