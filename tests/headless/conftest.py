from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import v4

from recovery_nb.headless import RunResult, run_notebook

FINISH = """
from pathlib import Path
from recovery_nb.reports.sentinel import finish
finish({report}, exit_code={code}, fallback=Path("."))
"""

Write = Callable[..., Path]
Run = Callable[..., RunResult]


def finish(*, code: int = 0, report: str = "{}") -> str:
    """The last cell of a well-behaved notebook."""
    return FINISH.format(code=code, report=report)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def write(folder: Path) -> Write:
    """Write a notebook: text cells begin with `#!`, the rest is code; `parameters` is its parameters cell."""

    def write(name: str, *cells: str, parameters: str = "") -> Path:
        nodes = [v4.new_markdown_cell(c[2:]) if c.startswith("#!") else v4.new_code_cell(c) for c in cells]
        if parameters:
            nodes.insert(0, v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        path = folder / f"{name}.ipynb"
        # A kernelspec that no machine has: the interpreter that runs us must be used all the same.
        metadata = {"kernelspec": {"name": "nowhere", "display_name": "Nowhere", "language": "python"}}
        nbformat.write(v4.new_notebook(cells=nodes, metadata=metadata), path)
        return path

    return write


@pytest.fixture(scope="module")
def run(folder: Path, write: Write) -> Run:
    """Write a notebook and run it: `run(name, *cells, given={}, parameters="", **options)`."""

    def run(
        name: str,
        *cells: str,
        given: dict[str, object] | None = None,
        parameters: str = "",
        **options: object,
    ) -> RunResult:
        path = write(name, *cells, parameters=parameters)
        return run_notebook(path, given or {}, out=folder / "out", **options)

    return run


@pytest.fixture(autouse=True)
def no_kernel_left() -> Iterator[None]:
    """No test may leave a process behind that it or a kernel of its started."""
    before = {child.pid for child in psutil.Process(os.getpid()).children(recursive=True)}
    yield
    left = [c for c in psutil.Process(os.getpid()).children(recursive=True) if c.pid not in before]
    _, alive = psutil.wait_procs(left, timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def finishing() -> Callable[..., str]:
    return finish
