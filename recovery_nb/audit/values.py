"""Turns what a caller hands to the audit log into what canonical JSON (RFC 8785) can hold."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

__all__ = ["iso", "jsonable", "printable"]

_EXACT = 2**53 - 1
"""Beyond it a JSON number is not exact for every reader (RFC 8785 refuses it): such numbers become text."""


def jsonable(value: Any) -> Any:
    """Return `value` as None, bool, int, float, str, list or dict with text keys, all of them finite.

    Nothing is refused: what JSON does not know becomes its text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return jsonable(value.value)
    if isinstance(value, int):
        return int(value) if abs(value) <= _EXACT else str(value)
    if isinstance(value, float):
        exact = math.isfinite(value) and (not value.is_integer() or abs(value) <= _EXACT)
        return float(value) if exact else repr(value)
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, Mapping):
        return {printable(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, BaseModel):
        return jsonable(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: jsonable(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return sorted((jsonable(item) for item in value), key=str)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray | memoryview | PurePath):
        return [jsonable(item) for item in value]
    return printable(value)


def printable(value: object) -> str:
    r"""Return `value` as text that UTF-8 can encode; bytes that are not UTF-8 show as `\xNN`."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    if isinstance(value, PurePath):
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def iso(moment: datetime) -> str:
    """Return `moment` as UTC in ISO 8601 with milliseconds and a `Z`; one without a zone is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
