"""Files that reach the disk while they are written, are read back from there at once, and are hashed as they read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from recovery_nb.errors import RecoveryError

__all__ = ["HashedFile", "hash_file", "opened", "write_whole"]

_BLOCK = 1024 * 1024
_STRETCH = 32 * 1024 * 1024
"""Bytes that are brought to the disk and read back in one go. Two stretches at most are in memory."""


class HashedFile:
    """A new file, every byte of which is compared with what the disk gives back.

    While one stretch is being written, a thread syncs the one before, has the system forget it, reads it and compares
    it; so the file's end is all that has to be waited for. Leaving its context is that end: then the file is on the
    disk, and `sha256` is that of what was read.

    Args:
        path: Where it is to be; nothing may be there yet.

    Attributes:
        path: Where it is.
        bytes: How many bytes were written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._blocks: list[bytes] = []  # written, and not yet given to the thread
        self._waiting: list[bytes] = []  # small, and not yet written
        self._small = self._ahead = self._given = 0
        self._follower: ThreadPoolExecutor | None = None
        self._following: Future[None] | None = None
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was read back, in hexadecimal; of the whole file once its context was left."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            RecoveryError: Something that was written before does not read back as it was.
            OSError: The disk does not take it.
        """
        self.bytes += len(data)
        self._small += len(data)
        self._waiting.append(data)
        if self._small >= _BLOCK:
            self._write_waiting()
            if self._ahead >= _STRETCH:
                self._hand_over()

    def _write_waiting(self) -> None:
        block = b"".join(self._waiting)  # of one, itself
        self._waiting, self._small = [], 0
        left = memoryview(block)
        while left:
            left = left[os.write(self._file, left) :]
        self._blocks.append(block)
        self._ahead += len(block)

    def _hand_over(self) -> None:
        """Give the stretch to the thread, once that has done with the one before."""
        if self._following:
            self._following.result()
        self._follower = self._follower or ThreadPoolExecutor(1, "reading back")
        self._following = self._follower.submit(self._read_back, self._given, self._blocks)
        self._given, self._blocks, self._ahead = self._given + self._ahead, [], 0

    def _read_back(self, start: int, blocks: list[bytes]) -> None:
        os.fdatasync(self._file)
        # Else the check would read our own pages in memory and say nothing of the disk.
        os.posix_fadvise(self._file, start, 0, os.POSIX_FADV_DONTNEED)
        for block in blocks:
            found = _read_at(self._file, start, len(block))
            if found != block:
                raise RecoveryError(
                    f"{self.path.name} does not read back as it was written; the unfinished backup was removed",
                    hint="check the disk, or give another folder",
                )
            self._hash.update(found)
            start += len(block)

    def __enter__(self) -> Self:
        """Write to it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; where all went well, only after its content is on the disk and was read back."""
        try:
            if not kind:
                self._write_waiting()
                if self._following:
                    self._following.result()
                self._read_back(self._given, self._blocks)
        finally:
            if self._follower:
                self._follower.shutdown()  # it must not read what is no longer open
            os.close(self._file)


def write_whole(path: Path, data: bytes) -> HashedFile:
    """Write a small file in one go, to the disk, and return its size and hash.

    Raises:
        RecoveryError: It does not read back as it was written.
        OSError: The disk does not take it.
    """
    with HashedFile(path) as file:
        file.write(data)
    return file


def hash_file(path: Path) -> tuple[int, str]:
    """Return the size of a file in bytes, and its SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with opened(path) as file:
        while block := os.read(file, _BLOCK):
            digest.update(block)
        return os.fstat(file).st_size, digest.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file for reading, by descriptor; never through a link, and never waiting for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_at(file: int, position: int, length: int) -> bytes:
    found = os.pread(file, length, position)
    while len(found) < length and (more := os.pread(file, length - len(found), position + len(found))):
        found += more
    return found
