"""How a notebook says that it came to its end: the last thing it writes, read by the headless runner."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path

from recovery_nb.errors import BadInputError
from recovery_nb.files import write_whole

__all__ = ["FINISHED", "REPORT", "RUN_DIR", "RUN_TOKEN", "finish"]

RUN_DIR = "RECOVERY_NB_RUN_DIR"
"""The environment variable that names the private folder of the run."""
RUN_TOKEN = "RECOVERY_NB_RUN_TOKEN"  # noqa: S105 (the name of a variable, not a secret)
"""The environment variable that tells this run from any other."""
REPORT = "report.json"
FINISHED = "finished.json"


def finish(report: Mapping[str, object], *, exit_code: int, fallback: Path) -> Path:
    """Write a notebook's report, and in a headless run the sign that it came to its end.

    A notebook's last cell calls it last.

    Args:
        report: The report; paths, dates and enums in it are written as text.
        exit_code: What the run is to end with: 0 nothing lost, 1 findings, 2 not done, 3 done in part.
        fallback: The folder for `report.json` when no headless run is listening.

    Returns:
        The report's file.

    Raises:
        BadInputError: The report holds what JSON cannot.
    """
    try:
        text = json.dumps(report, ensure_ascii=False, indent=2, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"the report cannot be written as JSON ({error})", hint="give it plain values") from error
    run = os.environ.get(RUN_DIR)
    folder = Path(run) if run else fallback
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT
    write_whole(path, text.encode() + b"\n")
    if run:
        # After the report: who reads the sentinel may rely on the report being whole.
        sign = {"token": os.environ.get(RUN_TOKEN, ""), "exit_code": exit_code}
        write_whole(folder / FINISHED, json.dumps(sign).encode())
    return path


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} is no JSON value")
