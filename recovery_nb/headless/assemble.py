"""A session put together: the cells of the notebook's file, with what the kernel ran and showed in their place."""

from __future__ import annotations

import ast
import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbformat import v4

from recovery_nb.errors import ConflictError
from recovery_nb.headless.transcript import CellRun

__all__ = ["SAVE", "Session", "assemble", "captured", "constants", "matching", "out_of_order"]

SAVE = "save the notebook (Ctrl-S), then run this again"
_LEFT_OUT = "(this cell showed more than a record keeps: the rest is left out)"


@dataclass(frozen=True, slots=True)
class Session:
    """A notebook as it was run.

    Attributes:
        notebook: An nbformat node.
        ran: How many cells of code this kernel ran.
        notes: What a reader must know of cells whose text or outputs do not come from this kernel.
    """

    notebook: Any
    ran: int
    notes: tuple[str, ...]


def matching(notebook: Any, runs: Iterable[CellRun]) -> dict[int, CellRun]:
    """Return which execution belongs to which cell, by the cell's index: the last one of each.

    A front end's name for the cell decides; where it gives none that the file knows, the text does, in order.
    """
    code = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    by_id = {cell.id: index for index, cell in code if cell.get("id")}
    found: dict[int, CellRun] = {}
    unnamed: dict[str, list[CellRun]] = defaultdict(list)
    for run in runs:
        if run.cell in by_id:
            found[by_id[run.cell]] = run
        else:
            unnamed[run.source.strip()].append(run)
    places: dict[str, list[int]] = defaultdict(list)
    for index, cell in code:
        if index not in found and cell.source.strip():
            places[cell.source.strip()].append(index)
    for source, indexes in places.items():
        # Where a text was run more often than it stands there, it was run again; only the last runs are on the screen.
        found.update(zip(indexes, unnamed[source][-len(indexes) :], strict=False))
    return found


def assemble(
    notebook: Any, runs: Sequence[CellRun], earlier: Sequence[tuple[int, str]], *, saved_since: bool, where: str
) -> Session:
    """Put a session together.

    Args:
        notebook: The notebook's file as an nbformat node; it is not changed.
        runs: What the kernel ran and showed since its transcript began.
        earlier: Execution count and text of what it ran before.
        saved_since: Whether the file was saved after the transcript began, and so holds what was shown before.
        where: What to call the file.

    Raises:
        ConflictError: The file is not of this session, or does not hold what only it could.
    """
    story = copy.deepcopy(notebook)
    found = matching(story, runs)
    if 2 * len(found) < len({run.source.strip() for run in runs}):
        raise ConflictError(
            f"{where} holds only {len(found):,} of the {len(runs):,} cells that this kernel ran", hint=SAVE
        )
    silent = [CellRun(number, "", source) for number, source in earlier if constants(source)]
    spoke = [number for number, source in earlier if constants(source) is None]
    if spoke and not saved_since:
        raise ConflictError(
            f"cell [{spoke[-1]}] ran before the case was opened, and {where} was not saved since", hint=SAVE
        )
    before = _silent(story, silent, taken=found)
    placed = {**before, **found}
    orphans = _orphans(story, runs, found) + _new(silent, placed)
    notes = _notes(story, placed, orphans)
    for index, run in placed.items():
        _fill(story.cells[index], run)
    _insert(story, orphans, placed)
    return Session(story, len(placed) + len(orphans), notes)


def out_of_order(notebook: Any) -> str:
    """Return a remark if cells were not run in the order in which they stand; else ""."""
    last = 0
    for cell in notebook.cells:
        if cell.cell_type == "code" and (count := cell.execution_count):
            if count < last:
                return f"Cells were not run in the order of the page: [{count}] stands below [{last}]."
            last = count
    return ""


def captured(widgets: Iterable[Any], runs: Sequence[CellRun]) -> dict[str, Any]:
    """Return what Output widgets hold, as the metadata of a notebook's file would.

    What is printed within one is told to front ends as a cell's output, and is kept there: it is left out here.
    """
    shown = [output for run in runs for output in run.outputs]
    printed = "\n".join(output["text"] for output in shown if output["output_type"] == "stream")
    data = [output["data"] for output in shown if "data" in output]
    states = {}
    for widget in widgets:
        rest = [one for one in widget.outputs if one.get("data") not in data and one.get("text", "\0") not in printed]
        states[widget.model_id] = {"model_name": "OutputModel", "state": {"outputs": rest}}
    return {"application/vnd.jupyter.widget-state+json": {"state": states}}


def constants(source: str) -> frozenset[str] | None:
    """Return the names that a cell gives constants to, if it does nothing else, as a parameters cell; else None.

    Such a cell can have shown nothing, and neither can an empty one.
    """
    names = set[str]()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python warns below a cell of `"C:\\data"`
            statements = ast.parse(source).body
        for statement in statements:
            # An annotation is evaluated: a call there could show anything.
            if any(isinstance(node, ast.Call) for node in ast.walk(statement)):
                return None
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target, value = statement.targets[0], statement.value
            elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
                target, value = statement.target, statement.value
            else:
                return None
            if not isinstance(target, ast.Name):
                return None
            ast.literal_eval(value)
            names.add(target.id)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None
    return frozenset(names)


def _quiet_until_begin(source: str) -> bool:
    """Return whether a cell only imports and sets constants before it calls `begin`."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    for statement in statements:
        calls = [node.func for node in ast.walk(statement) if isinstance(node, ast.Call)]
        if any(ast.unparse(call).rpartition(".")[2] == "begin" for call in calls):
            return True
        if not isinstance(statement, ast.Import | ast.ImportFrom) and constants(ast.unparse(statement)) is None:
            return False
    return False


def _silent(notebook: Any, runs: Sequence[CellRun], *, taken: Mapping[int, CellRun]) -> dict[int, CellRun]:
    """Place the cells of constants that ran before the transcript: by their text, else by the names they set."""
    by_text = {run.source.strip(): run for run in runs}
    by_names: dict[frozenset[str] | None, CellRun] = {constants(run.source): run for run in runs}
    found = {}
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and index not in taken:
            run = by_text.get(cell.source.strip()) or by_names.get(constants(cell.source) or None)
            if run is not None:
                found[index] = run
    return found


def _new(silent: Sequence[CellRun], placed: Mapping[int, CellRun]) -> list[CellRun]:
    """Return the cells of constants that stand nowhere in the file."""
    known = {constants(run.source) for run in placed.values()}
    last = {constants(run.source): run for run in silent}
    return [run for names, run in last.items() if names not in known]


def _orphans(notebook: Any, runs: Sequence[CellRun], found: Mapping[int, CellRun]) -> list[CellRun]:
    """Return what was run and stands nowhere in the file; of what was run again, the last."""
    held = {id(run) for run in found.values()}
    texts = {cell.source.strip() for cell in notebook.cells if cell.cell_type == "code"}
    last = {(run.cell, "" if run.cell else run.source.strip()): run for run in runs if id(run) not in held}
    return [run for run in last.values() if run.source.strip() and (run.cell or run.source.strip() not in texts)]


def _notes(notebook: Any, placed: Mapping[int, CellRun], orphans: Sequence[CellRun]) -> tuple[str, ...]:
    others = changed = 0
    for index, cell in enumerate(notebook.cells):
        if (run := placed.get(index)) is not None:
            changed += cell.source.strip() != run.source.strip()
        elif cell.cell_type == "code":
            others += bool(cell.outputs or cell.execution_count)
    notes = [
        (others, "shown as the file holds it: this kernel did not run it, or did so before the case was opened"),
        (changed, "shown as it was run: the file holds another text"),
        (len(orphans), "shown where it was run: the notebook's file does not hold it"),
    ]
    began = [run.number for run in placed.values() if run.first and not _quiet_until_begin(run.source)]
    cut = any(not run.whole for run in [*placed.values(), *orphans])
    return (
        *(f"{count:,} {'cell' if count == 1 else 'cells'} {what}." for count, what in notes if count),
        *(f"What cell [{number}] showed before it called `begin` may be missing here." for number in began),
        *([f"More was shown than a record keeps; look for “{_LEFT_OUT}”."] if cut else []),
    )


def _fill(cell: Any, run: CellRun) -> None:
    cell.source, cell.execution_count = run.source, run.number
    cell.outputs = [_output(one) for one in run.outputs]
    if not run.whole:
        cell.outputs.append(v4.new_output("stream", name="stderr", text=_LEFT_OUT))


def _output(content: dict[str, Any]) -> Any:
    make: dict[str, Callable[[], Any]] = {
        "stream": lambda: v4.new_output("stream", name=content["name"], text=content["text"]),
        "error": lambda: v4.new_output(
            "error", ename=content["ename"], evalue=content["evalue"], traceback=list(content["traceback"])
        ),
    }
    kind = content["output_type"]
    if kind in make:
        return make[kind]()
    counted = {"execution_count": content.get("execution_count")} if kind == "execute_result" else {}
    return v4.new_output(kind, data=content.get("data", {}), metadata=content.get("metadata", {}), **counted)


def _insert(notebook: Any, orphans: Sequence[CellRun], placed: Mapping[int, CellRun]) -> None:
    """Put cells behind the one that was run last before them."""
    order = sorted((run.number, index) for index, run in placed.items())
    behind: dict[int, list[Any]] = defaultdict(list)
    for run in sorted(orphans, key=lambda run: run.number):
        cell = v4.new_code_cell()
        _fill(cell, run)
        before = [index for number, index in order if number < run.number]
        behind[before[-1] if before else -1].append(cell)
    cells = [*behind[-1]]
    for index, cell in enumerate(notebook.cells):
        cells += [cell, *behind[index]]
    notebook.cells = cells
