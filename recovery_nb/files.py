"""Files that are whole or not there: written beside, fsynced, renamed, and the folder fsynced too."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from recovery_nb.errors import RecoveryError

__all__ = ["scratch", "sync_file", "sync_folder", "write_json", "write_whole", "writing"]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Let what stops the writing of a file name the file: libraries tell what is wrong and not where.

    Args:
        path: The file.

    Raises:
        RecoveryError: It cannot be written. One that is raised within stays as it is.
    """
    try:
        yield
    except RecoveryError:
        raise  # a connection that fails is an `OSError`, too
    except OSError as error:
        # Arrow packs the system's words in its own, and gives the number.
        reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
        raise RecoveryError(
            f"cannot write {path}: {reason}", hint="free some space there, or mend its permissions and limits"
        ) from error


@contextmanager
def scratch(what: str) -> Iterator[None]:
    """Let what stops the use of a temporary file of SQLite say what it is for, and where room is needed.

    Args:
        what: What is kept in it.

    Raises:
        RecoveryError: It cannot be used.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise RecoveryError(
            f"the temporary file of {what} cannot be used: {error}", hint="free some space in TMPDIR"
        ) from error


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
