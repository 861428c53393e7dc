"""Whether a run succeeded: decided here, from what can be seen, and not from papermill's own status."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from papermill.exceptions import PapermillExecutionError

from recovery_nb.headless.kernel import Execution
from recovery_nb.reports.sentinel import FINISHED

__all__ = ["Verdict", "decide"]

_DONE = (0, 1, 3)
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run ended.

    Attributes:
        status: "success", "failed" or "interrupted".
        exit_code: 0, 1 or 3 as the notebook said; 2 for a failed and 130 for an interrupted run.
        error: One line that says what went wrong and in which cell, not scrubbed; "" for a success.
    """

    status: str
    exit_code: int
    error: str = ""


def decide(execution: Execution, *, private: Path, token: str, cell_timeout: int | None) -> Verdict:
    """Judge an execution by its exception, its outputs, its execution counts and its sentinel.

    Args:
        execution: What was executed.
        private: The folder in which the notebook's last cell leaves its sentinel.
        token: What the sentinel must hold to be that of this run.
        cell_timeout: The limit that was set, for the message.
    """
    if isinstance(execution.error, KeyboardInterrupt):
        return Verdict("interrupted", 130, f"interrupted{_where(execution)}")
    problem = (
        _died(execution, cell_timeout)
        or _raised(execution.notebook)
        or (execution.error and _line(type(execution.error).__name__, str(execution.error)))
        or _skipped(execution.notebook)
    )
    if problem:
        return Verdict("failed", 2, problem)
    try:
        sign = json.loads((private / FINISHED).read_bytes())
    except (OSError, ValueError):
        return Verdict("failed", 2, "the notebook did not come to its end: its last cell left no sentinel")
    if not isinstance(sign, dict) or sign.get("token") != token:
        return Verdict("failed", 2, "the sentinel that the notebook left is not that of this run")
    code = sign.get("exit_code")
    if type(code) is not int or code not in _DONE:
        return Verdict("failed", 2, f"the notebook says that it could not be done (exit code {code})")
    return Verdict("success", code)


def _code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _raised(notebook: Any) -> str:
    for number, cell in enumerate(_code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type == "error":
                return f"{_line(output.ename, output.evalue)} (cell [{number}])"
    return ""


def _died(execution: Execution, cell_timeout: int | None) -> str:
    """Describe an end that no cell's own exception explains (a cell cut short may show one as well)."""
    error = execution.error
    if error is None or isinstance(error, PapermillExecutionError):
        return ""
    name = type(error).__name__
    if name == "CellTimeoutError":
        text = f"the cell ran longer than the {cell_timeout} s it may take"
    elif name == "DeadKernelError" or execution.cell < 0:
        text = "the kernel died" if execution.cell >= 0 else f"the kernel did not start: {error}"
        text += f"; its last words: {execution.last_words}" if execution.last_words else ""
    else:
        text = str(error)
    return _line(name, text) + _where(execution)


def _skipped(notebook: Any) -> str:
    last = 0
    for number, cell in enumerate(_code_cells(notebook), start=1):
        count = cell.execution_count
        if count is None or count <= last:
            return f"a cell was not executed in its turn (cell [{number}])"
        last = count
    return ""


def _where(execution: Execution) -> str:
    if execution.cell < 0:
        return " (before the first cell)"
    # Counted, and not taken from the cell: a kernel that dies at once has not yet said its execution count.
    before = execution.notebook.cells[: execution.cell + 1]
    number = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in before)
    return f" (cell [{number}])"


def _line(name: str, text: str) -> str:
    """Return an exception as one line of bounded length."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = f"{name}: {first}" if first else name
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
