"""Bytes that can be read at any place and are never changed: a file, a stretch of one, or what one expands to."""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from recovery_nb.errors import DamagedSourceError

__all__ = ["UNKNOWN_SIZE", "Content", "File", "FileContent", "Gap", "Memory", "Slice"]

UNKNOWN_SIZE = 1 << 62
"""Stands for a length that is not known yet: no content is as long."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A place in expanded content where something is missing or in doubt: what is before and after do not belong together.

    Attributes:
        position: Where in the expanded bytes: nothing that was read across it is a record.
        reason: What is wrong, for a person, with the place in the compressed file.
    """

    position: int
    reason: str


class Content(Protocol):
    """Bytes of any length, read by position. Nothing is ever written to them.

    Attributes:
        gaps: Where expanded content has holes, in order; those before a byte are known once that byte was read.
        doubt: Why none of it can be trusted though it was read (a wrong checksum), "" if nothing says so; known
            once the end was read.
    """

    @property
    def gaps(self) -> list[Gap]: ...

    @property
    def doubt(self) -> str: ...

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on; fewer only where the content ends."""
        ...

    def size(self) -> int:
        """Return its length in bytes; where it is being expanded, this waits until that is known."""
        ...


class FileContent:
    """A regular file, opened read-only and without waiting. It is closed when nobody uses it any more.

    Raises:
        DamagedSourceError: It cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Without waiting: a pipe under a backup's name must not hold us up.
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise _unreadable(path, error) from None
        weakref.finalize(self, os.close, self._file)
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise DamagedSourceError(f"{path} is no regular file", hint="name a backup, an export or a dump")

    gaps: list[Gap] = []  # noqa: RUF012 - a file has none, ever
    doubt = ""

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on; fewer only where the file ends.

        Raises:
            DamagedSourceError: The disk cannot deliver them.
        """
        try:
            found = os.pread(self._file, length, position)
            while len(found) < length and (more := os.pread(self._file, length - len(found), position + len(found))):
                found += more
        except OSError as error:
            raise _unreadable(self._path, error) from None
        return found

    def size(self) -> int:
        """Return its length now."""
        return os.fstat(self._file).st_size


class Slice:
    """A stretch of other content: a member of an archive that is stored as it is."""

    def __init__(self, content: Content, start: int, length: int) -> None:
        self._content, self._start, self._length = content, start, length

    @property
    def gaps(self) -> list[Gap]:
        """The holes within the stretch."""
        inside = (Gap(gap.position - self._start, gap.reason) for gap in self._content.gaps)
        return [gap for gap in inside if 0 <= gap.position < self._length]

    @property
    def doubt(self) -> str:
        """What speaks against the whole speaks against the part."""
        return self._content.doubt

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on; fewer only where the stretch ends."""
        return self._content.read_at(self._start + position, max(0, min(length, self._length - position)))

    def size(self) -> int:
        """Return its length, as the archive states it."""
        return self._length


class Memory:
    """Bytes in memory."""

    gaps: list[Gap] = []  # noqa: RUF012 - there are none, ever
    doubt = ""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on; fewer only at the end."""
        return self._data[position : position + length]

    def size(self) -> int:
        """Return the length."""
        return len(self._data)


@dataclass(frozen=True, slots=True)
class File:
    """A file to read records from: on disk, or within an archive; compressed or not.

    Attributes:
        path: As a user would name it. Of a member, the path of its archive comes first: `old.tar.gz/shop/users.bson`.
        name: Its own name, without the endings of compression and encryption: `users.bson` of `users.bson.gz`.
        stored: How many bytes it takes where it is stored, compressed or not.
        modified: When it was last changed, in seconds since 1970.
        open: Returns its content, expanded.
    """

    path: Path
    name: str
    stored: int
    modified: float
    open: Callable[[], Content]

    @classmethod
    def on_disk(cls, path: Path) -> File:
        """Return a file that is read as it is.

        Raises:
            DamagedSourceError: It is not there.
        """
        try:
            facts = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from None
        return cls(path, path.name, facts.st_size, facts.st_mtime, lambda: FileContent(path))


def _unreadable(path: Path, error: OSError) -> DamagedSourceError:
    return DamagedSourceError(f"{path} cannot be read: {error.strerror}", hint="check the path and its permissions")
