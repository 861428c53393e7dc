"""The log on disk: append under a lock, read as a stream, verify the chain."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from recovery_nb.audit.chain import AuditCheck, Problem, Tail, check, find_tail, lines
from recovery_nb.audit.entry import GENESIS, MAX_ENTRY_BYTES, Entry, encode, parse, seal
from recovery_nb.audit.redact import redact
from recovery_nb.audit.values import iso, jsonable
from recovery_nb.errors import BadInputError, ConflictError, RecoveryError
from recovery_nb.files import sync_folder

__all__ = ["AuditCheck", "AuditLog", "Entry", "Problem"]

_LOCK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class AuditLog:
    """An append-only file of hash-chained entries, one canonical JSON object a line.

    Each entry carries the hash of the one before, so whatever is changed, removed, inserted or swapped
    within the log is found by `verify`. What a chain alone cannot show: that entries were cut off its end,
    that the whole file is gone, or that all of it was written anew. That takes a copy of the `head()` kept
    elsewhere, or signed.

    Processes and threads may append at the same time; they wait for each other at `<path>.lock`.

    Attributes:
        path: The file. It and its folder are made by the first `append`.
    """

    path: Path

    def append(self, action: str, /, **details: object) -> Entry:
        """Write one entry and return it once it is on disk (fsync).

        A line that a crash left torn is kept as it is: the entry that follows states its place, size and
        digest in its details (`torn_line`).

        Args:
            action: What was done.
            **details: The facts of it. Secrets are masked; what JSON does not know becomes text.

        Raises:
            RecoveryError: It could not be written; the log is as it was.
            BadInputError: The details take more than 1 MiB.
            ConflictError: Another process held the log for 30 seconds.
        """
        fields = {
            "actor": _actor(),
            "pid": os.getpid(),
            "action": redact(jsonable(action)),
            "details": redact(jsonable(details)),
        }
        with self._reporting("write"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                return self._append(fields)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries in order, passing over lines that are none (`verify` names those).

        Raises:
            RecoveryError: The file cannot be read.
        """
        with self._opened() as (file, size):
            for _, line in lines(file, size):
                if isinstance(entry := parse(line), Entry):
                    yield entry

    def head(self) -> Entry | None:
        """Return the last entry, None where there is none; only the end of the file is read.

        Raises:
            RecoveryError: The file cannot be read.
        """
        with self._opened() as (file, size):
            return find_tail(file, size).last

    def verify(self) -> AuditCheck:
        """Return whether the chain holds from the first entry to the last. Read-only, streaming.

        A missing or empty file holds no entry and no problem.

        Raises:
            RecoveryError: The file cannot be read.
        """
        with self._opened() as (file, size):
            return check(file, size)

    def _append(self, fields: dict[str, object]) -> Entry:
        new = not self.path.exists()
        fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "rb", buffering=0) as file:
            size = os.fstat(fd).st_size
            tail = find_tail(file, size)
            entry = _follow(tail, fields)
            line = encode(entry)
            if len(line) > MAX_ENTRY_BYTES:
                raise BadInputError(
                    f"The details of {entry.action!r} take {len(line):,} bytes in the audit log",
                    hint="log a count, a digest or a path instead",
                )
            try:
                _write(fd, b"\n" + line if tail.unended else line)
                os.fsync(fd)
            except OSError:
                # Nobody was told of this entry: what there is of it goes, so that the chain stays whole.
                os.ftruncate(fd, size)
                raise
        if new:
            sync_folder(self.path.parent)
        return entry

    @contextmanager
    def _opened(self) -> Iterator[tuple[BinaryIO, int]]:
        """Open read-only; what is appended later than now is left out."""
        if not self.path.exists():
            with Path(os.devnull).open("rb") as nothing:
                yield nothing, 0
            return
        # Reading makes no file: where no writer has been, or none can be, there is nothing to wait for.
        lockable = os.access(self._lock_path, os.W_OK)
        with self._reporting("read"), self.path.open("rb") as file:
            with self._locked() if lockable else nullcontext():
                size = os.fstat(file.fileno()).st_size
            yield file, size

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            lock = FileLock(self._lock_path, timeout=_LOCK_SECONDS, is_singleton=False)
            lock.acquire()
        except Timeout:
            raise ConflictError(
                f"The audit log {self.path} has been locked by another process for {_LOCK_SECONDS:.0f} s",
                hint="wait for that process, or end it, and try again",
            ) from None
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _reporting(self, verb: str) -> Iterator[None]:
        try:
            yield
        except RecoveryError:
            raise
        except OSError as error:
            raise RecoveryError(
                f"Cannot {verb} the audit log {self.path}: {error.strerror or error}",
                hint="check its permissions and the free space of its disk",
            ) from error


def _follow(tail: Tail, fields: dict[str, object]) -> Entry:
    details = dict(fields["details"]) if isinstance(fields["details"], dict) else {}
    # Only the log itself says what lies before an entry.
    details.pop("torn_line", None)
    details.pop("damaged_lines", None)
    if tail.stretch:
        details[tail.stretch.name] = tail.stretch.facts()
    return seal(
        fields
        | {
            "seq": tail.last.seq + 1 if tail.last else 1,
            "time": iso(datetime.now(UTC)),
            "details": details,
            "previous": tail.last.hash if tail.last else GENESIS,
        }
    )


def _actor() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that no user has.
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
