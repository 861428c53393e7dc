"""Which notebook this kernel runs, as far as front ends tell it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import psutil

from recovery_nb.errors import BadInputError

__all__ = ["find_running"]

_SESSION = "JPY_SESSION_NAME"
_VSCODE = "__vsc_ipynb_file__"
_HINT = "name the notebook: case.record('NAME.ipynb')"


def find_running(shell: Any) -> Path:
    """Return the file of the notebook that a kernel runs.

    VS Code leaves its path in the global `__vsc_ipynb_file__`; JupyterLab and Notebook 7 in the kernel's environment
    (`JPY_SESSION_NAME`, set by jupyter_server). That variable is handed down to whatever the kernel starts, and is
    not renewed when a notebook is renamed.

    Args:
        shell: What `get_ipython` returns.

    Raises:
        BadInputError: No front end tells it, or there is no such file.
    """
    named = shell.user_ns.get(_VSCODE) or ("" if _inherited() else os.environ.get(_SESSION))
    if not named:
        raise BadInputError("this kernel is not told which notebook it runs", hint=_HINT)
    path = Path(str(named))
    if path.suffix != ".ipynb" or not path.is_file():
        raise BadInputError(f"the notebook was opened as {path}, which is no notebook's file any more", hint=_HINT)
    return path


def _inherited() -> bool:
    """Return whether the variable came down from another kernel: then our parent has it with the same value."""
    with contextlib.suppress(psutil.Error, OSError):
        parent = psutil.Process().parent()
        return parent is not None and parent.environ().get(_SESSION, "") == os.environ.get(_SESSION)
    return False
