"""Ctrl-C, `kill` and a killed runner, on a real process that runs a real kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

DEADLINE = 90.0
RUNNER = """
import sys
from pathlib import Path
from recovery_nb.headless import run_notebook
result = run_notebook(sys.argv[1], {}, out=Path(sys.argv[2]))
print(result.status, result.error)
sys.exit(result.exit_code)
"""


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Running:
    """A runner in a process of its own, in the middle of a cell that never ends."""

    def __init__(self, notebook: Path, note: Path, out: Path) -> None:
        self.out = out
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, notebook, out],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: note.exists() and note.read_text().endswith("."))
        self.kernel = psutil.Process(int(note.read_text().rstrip(".")))

    def kernel_is_gone(self) -> bool:
        return not self.kernel.is_running() or self.kernel.status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def running(write: Callable[..., Path], tmp_path: Path) -> Iterator[Running]:
    note = tmp_path / "pid"
    cell = f"import os, threading\nopen({str(note)!r}, 'w').write(f'{{os.getpid()}}.')\nthreading.Event().wait()"
    running = Running(write("endless", "print('begun')", cell), note, tmp_path / "out")
    yield running
    running.process.kill()
    running.process.wait()
    wait_until(running.kernel_is_gone)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_published_and_leaves_no_kernel(running: Running, number: int) -> None:
    os.kill(running.process.pid, number)
    said, complaints = running.process.communicate(timeout=DEADLINE)
    assert running.process.returncode == 130
    assert (said, complaints) == ("interrupted interrupted (cell [2])\n", "")
    assert running.kernel_is_gone()
    (run,) = running.out.iterdir()
    assert {path.name for path in run.iterdir()} == {"endless.ipynb", "endless.html", "run.json"}
    assert "begun" in (run / "endless.html").read_text()
    assert "The run was interrupted" in (run / "endless.html").read_text()


def test_a_kernel_does_not_outlive_a_killed_runner(running: Running) -> None:
    running.process.kill()
    wait_until(running.kernel_is_gone)
