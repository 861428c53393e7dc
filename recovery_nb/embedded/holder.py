"""One process for each data folder: the lock, and who holds it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from recovery_nb.errors import BadInputError, ConflictError

__all__ = ["Holder", "hold"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who uses a data folder.

    Attributes:
        pid: Its process; 0 where it has not said yet.
        command: The program's name. Its arguments are left out, since they may hold a password.
        since: When it began, in UTC, as ISO 8601.
    """

    pid: int
    command: str
    since: str

    def __str__(self) -> str:
        """Return it as part of a sentence."""
        return f"process {self.pid} ({self.command}) since {self.since}" if self.pid else "another process"


@contextmanager
def hold(folder: Path, *, wait: float, on_wait: Callable[[Holder], None] | None = None) -> Iterator[None]:
    """Hold `folder` for this process. The kernel lets go of it however the process ends.

    Args:
        folder: The data folder; it exists.
        wait: For how many seconds to wait for another holder.
        on_wait: Called once, with the holder, before a wait.

    Raises:
        ConflictError: Another process still holds it after `wait` seconds.
        BadInputError: The folder cannot be written to.
    """
    # Not bound to a thread: a notebook may start in one and stop in another.
    lock = FileLock(folder / "folder.lock", thread_local=False)
    note = folder / "holder.json"
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if on_wait:
                on_wait(_read(note))
            lock.acquire(timeout=wait, poll_interval=0.05)
    except Timeout:
        raise ConflictError(
            f"the embedded database in {folder} is in use by {_read(note)}",
            hint="wait until that command has ended, or end it",
        ) from None
    except OSError as error:
        raise BadInputError(
            f"the folder {folder} cannot be locked: {error.strerror}",
            hint="give a folder that you may write to",
        ) from error
    try:
        _write(note)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _write(note: Path) -> None:
    command = Path(sys.argv[0]).name if sys.argv else ""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    holder = Holder(pid=os.getpid(), command=command or "python", since=now)
    beside = note.with_suffix(".new")
    # A note for people that a crash may lose: the lock itself is what counts, so no fsync here.
    beside.write_text(json.dumps(asdict(holder)), encoding="utf-8")
    beside.replace(note)


def _read(note: Path) -> Holder:
    try:
        return Holder(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Holder(pid=0, command="", since="")
