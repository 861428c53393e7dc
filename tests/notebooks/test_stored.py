"""The notebooks as they are stored: clean, small, and telling one story."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from recovery_nb.headless.parameters import notebook_parameters

SHELF = Path(__file__).parents[2] / "notebooks"
NAMES = ["1_scan", "2_backup", "3_compare", "4_restore", "5_verify", "recover", "tutorial"]


@pytest.fixture(params=NAMES)
def notebook(request: pytest.FixtureRequest) -> Any:
    node = nbformat.read(SHELF / f"{request.param}.ipynb", as_version=4)
    nbformat.validate(node)
    return node


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_all_of_them_are_there() -> None:
    assert sorted(path.stem for path in SHELF.glob("[!.]*.ipynb")) == NAMES


def test_it_is_stored_without_outputs_and_for_any_python_kernel(notebook: Any) -> None:
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code(notebook))
    assert "widgets" not in notebook.metadata


def test_its_cells_have_names_that_stay(notebook: Any) -> None:
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert all(not name.isalnum() or name.isalpha() for name in ids), "names, not random digits"


def test_no_cell_holds_logic_of_its_own(notebook: Any) -> None:
    for cell in code(notebook):
        tree = ast.parse(cell.source)
        if "parameters" in cell.metadata.get("tags", []):
            continue
        assert len([line for line in cell.source.splitlines() if line.strip()]) <= 10, cell.id
        forbidden = ast.FunctionDef | ast.ClassDef | ast.For | ast.While | ast.Try | ast.Lambda
        assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)], cell.id


def test_each_parameter_is_a_literal_with_an_explanation(notebook: Any) -> None:
    known = {one.name: one for one in notebook_parameters(notebook)}
    assert "folder" in known or known["case"].default == "case"
    assert known["interactive"].default is None
    assert all(one.help for one in known.values())


def test_every_answer_has_its_question(notebook: Any) -> None:
    """A heading stands before each group of cells, and the first says what the notebook is for."""
    assert notebook.cells[0].source.startswith("# ")
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if cell.cell_type == "markdown":
            assert cell.source.startswith(("## ", "### ")), cell.id
            assert before.cell_type == "code"


def test_it_concludes_and_then_leaves_its_record(notebook: Any) -> None:
    names = [cell.id for cell in code(notebook)]
    assert (
        "conclude(case, report, exit_code="
        in notebook.cells[[cell.id for cell in notebook.cells].index("finish")].source
    )
    assert names[-1] == "a-record"
    assert notebook.cells[-1].source == "case.record()"


def test_it_is_written_as_jupyter_writes_it(request: pytest.FixtureRequest) -> None:
    for name in NAMES:
        text = (SHELF / f"{name}.ipynb").read_text()
        assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
