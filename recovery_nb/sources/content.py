"""Bytes that can be read at any place and are never changed: a file, a stretch of one, or what one expands to."""

from __future__ import annotations

import os
import stat
import weakref
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Protocol

from recovery_nb.errors import DamagedSourceError

__all__ = [
    "HEAD_BYTES",
    "MANIFEST",
    "UNKNOWN_SIZE",
    "Content",
    "File",
    "FileContent",
    "Folder",
    "Gap",
    "Memory",
    "Slice",
    "Spliced",
]

MANIFEST = "manifest.json"
"""The file in which a backup says what it holds."""

HEAD_BYTES = 64 * 1024
"""How much of a file is looked at to tell what it is."""

UNKNOWN_SIZE = 1 << 62
"""Stands for a length that is not known yet: no content is as long."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A place in expanded content where something is missing or in doubt: its two sides do not belong together.

    Attributes:
        position: Where in the expanded bytes: nothing that was read across it is a record.
        reason: What is wrong, for a person, with the place in the compressed file.
    """

    position: int
    reason: str


class Content(Protocol):
    """Bytes of any length, read by position. Nothing is ever written to them."""

    @property
    def gaps(self) -> list[Gap]:
        """Where expanded content has holes, in order; those before a byte are known once that byte was read."""
        ...

    @property
    def doubt(self) -> str:
        """Why it cannot be trusted though it was read (a wrong checksum), "" if nothing says so; known at its end."""
        ...

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on; fewer only where the content ends."""
        ...

    def size(self) -> int:
        """Return its length in bytes; where it is being expanded, this waits until that is known."""
        ...


class FileContent:
    """A regular file, opened read-only and without waiting. It is closed when nobody uses it any more.

    It is as long as it was when it was opened: one that grows would else be read without end.

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
        facts = os.fstat(self._file)
        self._size = facts.st_size
        if not stat.S_ISREG(facts.st_mode):
            raise DamagedSourceError(f"{path} is no regular file", hint="name a backup, an export or a dump")

    gaps: list[Gap] = []  # noqa: RUF012 - a file has none, ever
    doubt = ""

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on; fewer only where the file ends.

        Raises:
            DamagedSourceError: The disk cannot deliver them.
        """
        length = max(0, min(length, self._size - position))
        try:
            found = os.pread(self._file, length, position)
            while len(found) < length and (more := os.pread(self._file, length - len(found), position + len(found))):
                found += more
        except OSError as error:
            raise _unreadable(self._path, error) from None
        return found

    def size(self) -> int:
        """Return how long it was when it was opened."""
        return self._size


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


class Spliced:
    """Stretches of other content, one after another: what an archive holds in pieces.

    Args:
        content: Where they are.
        stretches: Offset and length of each, in their order.
    """

    def __init__(self, content: Content, stretches: Sequence[tuple[int, int]]) -> None:
        self._content, self._stretches = content, stretches
        self._ends = list(accumulate(length for _, length in stretches))

    @property
    def gaps(self) -> list[Gap]:
        """The places where stretches meet that do not follow each other are none: their writer parted them."""
        return []

    @property
    def doubt(self) -> str:
        """What speaks against the whole speaks against the part."""
        return self._content.doubt

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on; fewer only at the end."""
        parts: list[bytes] = []
        number = bisect_right(self._ends, position)
        while length > 0 and number < len(self._ends):
            start, size = self._stretches[number]
            within = position - (self._ends[number] - size)
            part = self._content.read_at(start + within, min(length, size - within))
            if not part:
                break
            parts.append(part)
            position, length = position + len(part), length - len(part)
            number = bisect_right(self._ends, position)
        return b"".join(parts)

    def size(self) -> int:
        """Return the length of all stretches together."""
        return self._ends[-1] if self._ends else 0


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
        root: The file on disk that it is, or is in.
        open: Returns its content, expanded.
        beside: Returns the file of another name in the same folder, or None.
        depth: How many archives it is in.
    """

    path: Path
    name: str
    stored: int
    modified: float
    root: Path
    open: Callable[[], Content]
    beside: Callable[[str], File | None] = lambda _: None
    depth: int = 0

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
        return cls(path, path.name, facts.st_size, facts.st_mtime, path, lambda: FileContent(path), _beside(path))

    def head(self, length: int = HEAD_BYTES) -> bytes:
        """Return how its content begins.

        Raises:
            DamagedSourceError: It cannot be read.
        """
        return self.open().read_at(0, length)

    def small(self, limit: int = 16 * 1024 * 1024) -> bytes:
        """Return all of a small file; nothing if it holds more than `limit` bytes.

        Raises:
            DamagedSourceError: It cannot be read.
        """
        found = self.open().read_at(0, limit + 1)
        return found if len(found) <= limit else b""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of files, on disk or within an archive.

    Attributes:
        path: As a user would name it.
        files: What is directly in it, by name.
        above: The files of the folder that it is in, where a backup keeps its manifest; empty where not known.
        archive: The archive that it is in; None for one on disk.
    """

    path: Path
    files: tuple[File, ...]
    above: tuple[File, ...] = ()
    archive: File | None = None

    @classmethod
    def on_disk(cls, path: Path) -> Folder:
        """Return a folder whose files are read as they are.

        Raises:
            DamagedSourceError: It cannot be listed.
        """
        return cls(path, _listed(path), _listed(path.parent, only=MANIFEST))

    def file(self, name: str) -> File | None:
        """Return the file of this name in it."""
        return next((file for file in self.files if file.name == name), None)


def _listed(path: Path, only: str = "") -> tuple[File, ...]:
    try:
        entries = sorted(entry for entry in path.iterdir() if only in ("", entry.name) and entry.is_file())
    except OSError as error:
        raise _unreadable(path, error) from None
    return tuple(File.on_disk(entry) for entry in entries)


def _beside(path: Path) -> Callable[[str], File | None]:
    def find(name: str) -> File | None:
        other = path.with_name(name)
        return File.on_disk(other) if other.is_file() else None

    return find


def _unreadable(path: Path, error: OSError) -> DamagedSourceError:
    if isinstance(error, PermissionError):
        return DamagedSourceError(f"no permission to read {path}", hint="run as a user who may read it")
    return DamagedSourceError(f"{path} cannot be read: {error.strerror}", hint="check the path and its permissions")
