"""Why a `mongod` did not start, in one line, from its log."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PORT_TAKEN", "Reason", "explain"]

_TAIL_BYTES = 256 * 1024
_SAID_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a server did not start.

    Attributes:
        what: The reason, without a final period.
        hint: What to do, "" where only the log can tell.
    """

    what: str
    hint: str = ""


PORT_TAKEN = Reason("its port was taken by another program", "try again")

_DISK_FULL = Reason("the disk is full", "free some space there")
_FREE_BYTES = 1024 * 1024

_KNOWN = (
    (re.compile(r"No space left on device"), _DISK_FULL),
    (
        re.compile(r"Permission denied|Operation not permitted|Read-only file system", re.I),
        Reason("it may not read or write there", "give a folder that you own and may write to"),
    ),
    (
        re.compile(r"DBPathInUse"),
        Reason("another mongod already uses the data there", "end it, or give another folder"),
    ),
    (re.compile(r"Address already in use"), PORT_TAKEN),
    (
        re.compile(r"Too many open files"),
        Reason("too many files are open", "raise the limit: ulimit -n 64000"),
    ),
    (
        re.compile(r"UPGRADE PROBLEM|[Ww]rong mongod version|featureCompatibilityVersion|unsupported WiredTiger"),
        Reason(
            "the data there are from another version of MongoDB",
            "use the mongod that wrote them, or give another folder",
        ),
    ),
    (
        re.compile(r"WT_TRY_SALVAGE|WT_PANIC|WT_ERROR|corrupt", re.I),
        Reason("the data there are damaged, or from another version of MongoDB", "give another folder"),
    ),
)


def explain(log: Path) -> Reason:
    """Return why the server that wrote `log` ended.

    Args:
        log: Its output: JSON lines (MongoDB 4.4 and later), or what the loader of programs said.
    """
    # Only what it calls an error counts: "Permission denied" may stand in an innocent remark.
    errors = [line for line in _tail(log) if line.strip() and _is_error(line)]
    for pattern, reason in _KNOWN:
        if any(pattern.search(line) for line in errors):
            return reason
    # Its last words may not have fitted on the disk.
    if log.parent.is_dir() and shutil.disk_usage(log.parent).free < _FREE_BYTES:
        return _DISK_FULL
    return Reason(_said(errors[0])[:_SAID_CHARACTERS] if errors else "it ended without a word")


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _is_error(line: str) -> bool:
    return not line.startswith("{") or '"s":"E"' in line or '"s":"F"' in line


def _said(line: str) -> str:
    """Return what a line says, without what surrounds it there."""
    try:
        entry = json.loads(line)
        said = [
            entry["msg"],
            *(str(entry.get("attr", {}).get(name, "")) for name in ("error", "message", "reason")),
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        said = [line]
    return " ".join(": ".join(part for part in said if part).split())
