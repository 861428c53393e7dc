"""Executing a notebook with papermill, in a kernel run by the very interpreter that runs us."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from papermill.execute import execute_notebook

from recovery_nb.events import Emit, Event
from recovery_nb.signals import ended_like_ctrl_c

__all__ = ["Execution", "execute"]

# A name that papermill and nbclient take for Python; what this machine has under it is not used.
_KERNEL = "python3"
# A UNIX socket's path holds 107 characters, of which jupyter_client and ipykernel append some.
_LONGEST_SOCKET_FOLDER = 80


@dataclass(frozen=True, slots=True)
class Execution:
    """What became of an execution.

    Attributes:
        notebook: The notebook (an nbformat node) as far as it came, not scrubbed.
        error: What ended it: None, an exception, or `KeyboardInterrupt`.
        cell: The index of the cell that was being executed last; -1 if no kernel started.
        last_words: The last line that the kernel wrote to its standard error.
    """

    notebook: Any
    error: BaseException | None
    cell: int
    last_words: str


def execute(
    notebook: Any,
    parameters: Mapping[str, object],
    *,
    environment: Mapping[str, str],
    cell_timeout: int | None,
    name: str,
    emit: Emit,
) -> Execution:
    """Execute a notebook in the caller's working directory; nothing of it is written to disk.

    Whatever happens, no process of the kernel's group is left when this returns. SIGTERM and SIGHUP end it as
    Ctrl-C does, if it runs in the main thread.

    Args:
        notebook: An nbformat node; it is not changed.
        parameters: What to inject after the cell tagged `parameters`.
        environment: What to add to the kernel's environment.
        cell_timeout: Seconds that one cell may take; None for no limit.
        name: What to call it in events.
        emit: Called with an event after each cell.
    """
    # A logger without a handler writes to standard error, where one line is to say what failed.
    logging.getLogger("papermill").addHandler(logging.NullHandler())
    seen = _Progress(notebook, name=name, emit=emit)
    with tempfile.TemporaryDirectory(prefix="recovery-nb-", ignore_cleanup_errors=True) as private:
        messages = Path(private) / "stderr"
        managers: list[Any] = []
        manager_class = _manager_class(Path(private), messages, environment, managers)
        error: BaseException | None = None
        try:
            with ended_like_ctrl_c():
                execute_notebook(
                    notebook,
                    None,
                    parameters=dict(parameters),
                    kernel_name=_KERNEL,
                    language="python",
                    progress_bar=False,
                    execution_timeout=cell_timeout,
                    force_raise_errors=True,
                    kernel_manager_class=manager_class,
                    on_notebook_start=seen.started,
                    on_cell_start=seen.cell_started,
                    on_cell_executed=seen.cell_executed,
                )
        except (Exception, KeyboardInterrupt) as caught:
            error = caught
        finally:
            _end_groups(managers)
        lines = messages.read_text(errors="replace").split("\n") if messages.exists() else []
    last_words = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return Execution(seen.notebook, error, seen.cell, last_words)


class _Progress:
    """Keeps hold of the notebook being executed, and tells how far it is."""

    def __init__(self, notebook: Any, *, name: str, emit: Emit) -> None:
        self.notebook = notebook
        self.cell = -1
        self._name = name
        self._emit = emit

    def started(self, notebook: Any) -> None:
        self.notebook = notebook

    def cell_started(self, cell: Any, cell_index: int) -> None:
        # Text cells are passed through here too: the cell that is to blame is always one of code.
        if cell.cell_type == "code" and cell.source.strip():
            self.cell = cell_index

    def cell_executed(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        total = len(self.notebook.cells)
        self._emit(Event("run", self._name, done=cell_index + 1, total=total, unit="cells"))


def _manager_class(private: Path, messages: Path, environment: Mapping[str, str], managers: list[Any]) -> type[Any]:
    """Return a kernel manager that needs no kernelspec and keeps its files in a private folder."""
    command = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    # The working directory holds evidence: a stray `json.py` there must not be imported.
    command.append("--InteractiveShellApp.ignore_cwd=True")
    by_socket = len(str(private)) <= _LONGEST_SOCKET_FOLDER
    inherited = {key: value for key, value in os.environ.items() if key != "JPY_SESSION_NAME"}
    given = {
        **inherited,
        # Neither the user's start-up files nor a back end chosen for a terminal change what a notebook shows.
        "IPYTHONDIR": str(private / "ipython"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        **environment,
    }

    class OwnKernelManager(AsyncKernelManager):
        """Runs ipykernel with `sys.executable`."""

        def __init__(self, **options: Any) -> None:
            options["connection_file"] = str(private / "kernel.json")
            options["transport"] = "ipc" if by_socket else "tcp"
            super().__init__(**options)
            managers.append(self)

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(argv=command, display_name="Python 3", language="python")

        async def start_kernel(  # type: ignore[override]  # declared as if it blocked; it is awaited
            self, **options: Any
        ) -> None:
            # What a kernel says outside its cells is neither a command's output nor its error.
            with messages.open("ab") as log:
                await super().start_kernel(**{**options, "env": given, "stdout": log, "stderr": log})

    return OwnKernelManager


def _end_groups(managers: list[Any]) -> None:
    """End what is left of the kernels' groups: one caught while starting, children of a dead one."""
    for manager in managers:
        group = getattr(manager.provisioner, "pgid", None)
        if group and group != os.getpgrp():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGTERM)
