"""Files that are whole or not there: written beside, fsynced, renamed, and the folder fsynced too."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

__all__ = ["sync_file", "sync_folder", "write_json", "write_whole"]


def sync_file(path: Path) -> None:
    """Bring a finished file's content to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make what was created or renamed in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in place of what may be there: whole, or as it was.

    Raises:
        OSError: It cannot be written; nothing is left beside it.
    """
    # The name beside is cut: with the random part a long name would be longer than a file system takes.
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """Write plain values as indented UTF-8 JSON, as `write_whole` does.

    Raises:
        OSError: It cannot be written.
    """
    write_whole(path, json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")
