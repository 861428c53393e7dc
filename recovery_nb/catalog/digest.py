"""What tells a source's content: its digest, its name in the catalog, and what changes if its files do."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from recovery_nb.errors import DamagedSourceError, RecoveryError
from recovery_nb.sources.base import FileSource, Kind
from recovery_nb.sources.content import Content

__all__ = ["Stats", "digest_of", "identifier", "sha256_of", "stats_of"]

_HASHED = 8 * 1024 * 1024


def digest_of(source: FileSource) -> str:
    """Return SHA-256, in hex, over the names and the expanded contents of a source's files.

    So a copy has the digest of its original, also where it is compressed, or within an archive.

    Raises:
        DamagedSourceError: A file cannot be read.
    """
    whole = hashlib.sha256()
    files = source.files()
    for file in files:
        if source.kind not in (Kind.DUMP, Kind.FILES):
            return sha256_of(file.open()).hex()
        try:
            content = sha256_of(file.open())
        except RecoveryError:
            content = b"unreadable"  # it is said where it is read; the others count
        whole.update(file.name.encode() + b"\x00" + content)
    return whole.hexdigest()


def identifier(source: FileSource, digest: str) -> str:
    """Return what names a source: the same for copies, another where the same bytes are read as something else."""
    read_as = f"{source.kind.value}\n{getattr(source, 'named', '')}\n{digest}"
    return hashlib.sha256(read_as.encode()).hexdigest()[:16]


def sha256_of(content: Content) -> bytes:
    """Hash content in large pieces: for each, a thread must wait for the interpreter's lock."""
    digest, position = hashlib.sha256(), 0
    while piece := content.read_at(position, _HASHED):
        digest.update(piece)
        position += len(piece)
    return digest.digest()


class Stats(NamedTuple):
    """Size in bytes and newest modification time of a source's files, and of those on disk that they are in."""

    size: int
    modified: datetime
    on_disk: tuple[tuple[int, int], ...]


def stats_of(source: FileSource) -> Stats:
    """Return what the files of a source are like now.

    Raises:
        DamagedSourceError: They went away.
    """
    files = source.files()
    try:
        roots = [root.stat() for root in dict.fromkeys(file.root for file in files)]
    except OSError as error:
        raise DamagedSourceError(f"{source.path} went away: {error.strerror}", hint="scan what is left again") from None
    newest = max((file.modified for file in files), default=0)
    return Stats(
        sum(file.stored for file in files), _moment(newest), tuple((one.st_size, one.st_mtime_ns) for one in roots)
    )


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
