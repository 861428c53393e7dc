"""Headless runs: a notebook executed by the interpreter that runs us, judged by us, frozen and published."""

from __future__ import annotations

from recovery_nb.headless.library import copy_notebooks, find_notebook, list_notebooks
from recovery_nb.headless.runner import RunResult, run_notebook

__all__ = [
    "RunResult",
    "copy_notebooks",
    "find_notebook",
    "list_notebooks",
    "run_notebook",
]
