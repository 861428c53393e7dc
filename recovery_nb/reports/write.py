"""Writes reports: whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.files import write_whole
from recovery_nb.reports.model import Report

__all__ = ["write_json", "write_report"]


def write_json(path: Path, content: BaseModel | Mapping[str, Any]) -> Path:
    """Write `content` as indented UTF-8 JSON: beside, fsynced, renamed; an existing file is replaced.

    Raises:
        RecoveryError: It could not be written; a file that was there is as it was.
        BadInputError: The content holds what JSON cannot.
    """
    try:
        text = to_json(content, indent=2, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError) as error:
        raise BadInputError(f"Cannot write {path} as JSON: {error}", hint="convert the value to text first") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text + b"\n")
    except OSError as error:
        raise RecoveryError(
            f"Cannot write {path}: {error.strerror or error}",
            hint="check its permissions and the free space of its disk",
        ) from error
    return path


def write_report(report: Report, folder: Path) -> Path:
    """Write `report` into `folder` as `recovery_report_<timestamp>.json` (UTC) and return its path.

    Raises:
        RecoveryError: It could not be written.
    """
    moment = report.timestamp.astimezone(UTC)
    stem = f"recovery_report_{moment:%Y%m%d_%H%M%S}"
    path = folder / f"{stem}.json"
    # Two reports of one second are two reports: neither replaces the other.
    number = 2
    while path.exists():
        path = folder / f"{stem}_{number}.json"
        number += 1
    return write_json(path, report)
