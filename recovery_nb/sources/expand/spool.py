"""Where expanded bytes wait for their readers: in memory while they are few, then in a file that has no name."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from copy import copy
from pathlib import Path

from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.sources.content import Gap
from recovery_nb.sources.expand.limits import RATIO_FROM, Limits

__all__ = ["Full", "Spool"]

_IN_MEMORY = 1024 * 1024
"""Bytes that need no file."""

_MOST_GAPS = 100_000
"""More breaks than this are no damage but an attack on our memory."""


class Full(Exception):  # noqa: N818 - it ends the expansion, and is no error
    """A limit was reached: what was expanded so far stays, and nothing is added."""


class Spool:
    """Expanded bytes, written by one thread and read by any number of them.

    Attributes:
        gaps: Where they have holes, in order; a gap is here before any byte behind it.
        doubt: What speaks against them, "" if nothing does.
        stopped: Set by the last reader that goes: nobody wants more. (A plain flag, because it is set by the garbage
            collector, which may run at any place: a lock there could wait for itself.)
    """

    def __init__(self, label: str, *, limits: Limits, scratch: Path | None) -> None:
        self._label, self._limits, self._scratch = label, limits, scratch
        self._news = threading.Condition()
        self._memory = bytearray()
        self._file = -1
        self._end = 0
        self._ended = False
        self._error: Exception | None = None
        self.gaps: list[Gap] = []
        self.doubt = ""
        self.stopped = False

    def append(self, data: bytes | memoryview, *, consumed: int) -> None:
        """Add what was expanded next.

        Args:
            data: The bytes.
            consumed: How many compressed bytes were read for all there is by now.

        Raises:
            Full: A limit was reached.
            OSError: The disk is full, or fails.
        """
        limits = self._limits
        room = limits.expanded_bytes - self._end
        within = data[:room] if len(data) > room else data
        self._write(within)
        if len(data) > room:
            self._full(f"expands to more than {limits.expanded_bytes:,} bytes", "RECOVERY_NB_EXPANDED_BYTES")
        if self._end > RATIO_FROM and self._end > limits.ratio * max(consumed, 1):
            self._full(f"expands to more than {limits.ratio:,} times its size", "RECOVERY_NB_EXPANSION_RATIO")

    def interrupt(self, reason: str, *, doubt: str = "") -> None:
        """Say that what is added next does not continue what was added before.

        Raises:
            Full: There are too many such places.
        """
        self.doubt = self.doubt or doubt
        if len(self.gaps) >= _MOST_GAPS:
            self._full(f"is broken in more than {_MOST_GAPS:,} places")
        if not self.gaps or self.gaps[-1].position != self._end:
            self.gaps.append(Gap(self._end, reason))

    def finish(self, error: Exception | None = None) -> None:
        """End it; with an error that readers are given when they ask for what is not there."""
        with self._news:
            self._error = copy(error) if error else None
            self._ended = True
            self._news.notify_all()

    def read_at(self, position: int, length: int) -> bytes:
        """Return bytes, waiting until they are there; fewer only at the end.

        Raises:
            RecoveryError: They cannot be had.
        """
        wanted = position + length
        with self._news:
            while self._end < wanted and not self._ended:
                self._news.wait()
            if self._end < wanted and self._error:
                raise copy(self._error)
            if self._file < 0:
                return bytes(self._memory[position:wanted])
            length = max(0, min(length, self._end - position))
        return _read(self._file, position, length)

    def size(self) -> int:
        """Return the length, waiting until it is known.

        Raises:
            RecoveryError: The expansion failed.
        """
        with self._news:
            while not self._ended:
                self._news.wait()
            if self._error:
                raise copy(self._error)
            return self._end

    def _full(self, what: str, setting: str = "") -> None:
        hint = f"; if it can be trusted, raise {setting}" if setting else ""
        # One gap more than the limit is no harm, and this reason matters most.
        self.gaps.append(Gap(self._end, f"{self._label} {what}: the rest was left out{hint}"))
        raise Full

    def _write(self, data: bytes | memoryview) -> None:
        if self._file < 0 and self._end + len(data) > _IN_MEMORY:
            file = _unnamed(self._scratch)
            # Not at the end of the program: then the thread may still be writing, and the system closes it anyway.
            weakref.finalize(self, os.close, file).atexit = False
            _write(file, self._memory, 0)
            with self._news:
                self._file, self._memory = file, bytearray()
        if self._file >= 0:
            _write(self._file, data, self._end)
        with self._news:
            if self._file < 0:
                self._memory += data
            self._end += len(data)
            self._news.notify_all()


def no_room(label: str, scratch: Path | None) -> Callable[[OSError], RecoveryError]:
    """Return what makes of an error of the disk the line that says what to do."""

    def explained(error: OSError) -> RecoveryError:
        place = scratch or tempfile.gettempdir()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"{label} cannot be expanded: there is no room left in {place}"
            return BadInputError(message, hint="set TMPDIR to a folder on a disk that has")
        if error.errno == errno.EFBIG:
            message = f"{label} cannot be expanded: no file in {place} may be as large"
            return BadInputError(message, hint="raise ulimit -f, or set TMPDIR to a folder on another disk")
        message = f"{label} cannot be expanded into {place}: {error.strerror or error}"
        return BadInputError(message, hint="set TMPDIR to a folder that can be written")

    return explained


def _unnamed(scratch: Path | None) -> int:
    with tempfile.TemporaryFile(dir=scratch) as file:
        return os.dup(file.fileno())


def _write(file: int, data: bytes | bytearray | memoryview, position: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(file, view, position)
        view, position = view[done:], position + done


def _read(file: int, position: int, length: int) -> bytes:
    found = os.pread(file, length, position)
    while len(found) < length and (more := os.pread(file, length - len(found), position + len(found))):
        found += more
    return found
