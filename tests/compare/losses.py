"""A loss in two steps with backups before, between and after: what the tests of brackets and tallies look into."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FIRST = datetime(2026, 3, 1, 2, tzinfo=UTC)
"""When the first backup was taken."""


def backup(folder: Path, day: int, collections: dict[str, list[dict[str, Any]]], *, version: str = "1.0") -> Path:
    """Write a backup in JSON that says when it was taken: so many days after the first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"backup_{day}.json"
    stated = {"timestamp": (FIRST + timedelta(days=day)).isoformat(), "version": version, "source": "shop"}
    path.write_text(json.dumps({**stated, "collections": collections}))
    return path


def records(numbers: Iterable[int], **fields: Any) -> list[dict[str, Any]]:
    """Return records of these numbers."""
    return [{"_id": number, "no": number, **fields} for number in numbers]
