"""What notebooks leave: headless runs, judged by us, and the records of sessions; both frozen and published."""

from __future__ import annotations

from recovery_nb.headless.library import copy_notebooks, find_notebook, list_notebooks
from recovery_nb.headless.record import Record, make_record
from recovery_nb.headless.runner import RunResult, run_notebook

__all__ = [
    "Record",
    "RunResult",
    "copy_notebooks",
    "find_notebook",
    "list_notebooks",
    "make_record",
    "run_notebook",
]
