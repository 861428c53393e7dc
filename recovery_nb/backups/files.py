"""Files that are hashed while they are written, reach the disk, and are read back from there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from recovery_nb.errors import RecoveryError

__all__ = ["HashedFile", "hash_file", "opened", "read_back", "write_whole"]

_BLOCK = 1024 * 1024


class HashedFile:
    """A new file that knows its size and SHA-256. Leaving its context flushes it to the disk.

    Args:
        path: Where it is to be; nothing may be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._hash = hashlib.sha256()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=_BLOCK)

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far, in hexadecimal."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._hash.update(data)
        self.bytes += len(data)

    def __enter__(self) -> Self:
        """Write to it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; where all went well, only after its content is on the disk."""
        if kind:
            with suppress(OSError):  # what is in the buffer may not fit either
                self._file.close()
            return
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())


def write_whole(path: Path, data: bytes) -> HashedFile:
    """Write a small file in one go, to the disk, and return its size and hash."""
    with HashedFile(path) as file:
        file.write(data)
    return file


def read_back(written: HashedFile) -> None:
    """Read a file again, from the disk where the system lets us, and compare every byte by its hash.

    Raises:
        RecoveryError: It does not hold what was written.
    """
    digest = hashlib.sha256()
    with opened(written.path) as file:
        # Else the check would read our own pages in memory and say nothing of the disk.
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        _update(digest, file)
    if digest.hexdigest() != written.sha256:
        raise RecoveryError(
            f"{written.path.name} does not read back as it was written; the unfinished backup was removed",
            hint="check the disk, or give another folder",
        )


def hash_file(path: Path) -> tuple[int, str]:
    """Return the size of a file in bytes, and its SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with opened(path) as file:
        _update(digest, file)
        return os.fstat(file).st_size, digest.hexdigest()


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file for reading, by descriptor; never through a link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _update(digest: hashlib._Hash, file: int) -> None:
    while block := os.read(file, _BLOCK):
        digest.update(block)
