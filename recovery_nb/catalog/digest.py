"""What tells a source's content: its digest, its name in the catalog, and what changes if its files do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.records.batch import Damage
from recovery_nb.sources.base import FileSource, Kind
from recovery_nb.sources.content import Content

__all__ = ["Stats", "digest_of", "identifier", "sha256_of", "stats_of", "unsettled"]

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
    """What the files of a source are like.

    Attributes:
        size: Of all of them, in bytes.
        modified: The newest modification time.
        on_disk: Of each file on disk that they are, or are in: size and modification time; None if it went away.
    """

    size: int
    modified: datetime
    on_disk: Mapping[Path, tuple[int, int] | None]


def stats_of(source: FileSource) -> Stats:
    """Return what the files of a source are like now."""
    files = source.files()
    newest = max((file.modified for file in files), default=0)
    roots = dict.fromkeys(file.root for file in files)
    return Stats(sum(file.stored for file in files), _moment(newest), {root: _now(root) for root in roots})


def unsettled(source: FileSource, before: Stats) -> list[Damage]:
    """Return the files of a source that are not as they were, as damage: what was read of them is not to be believed.

    Args:
        source: The source.
        before: What its files were like before they were read.

    Raises:
        BadInputError: All of them changed.
        DamagedSourceError: None of them is there any more.
    """
    now = {root: _now(root) for root in before.on_disk}
    if now and not any(now.values()):
        raise DamagedSourceError(f"{source.path} went away while it was read", hint="scan what is left again")
    changed = {root for root, facts in now.items() if facts is None or facts != before.on_disk[root]}
    if changed and changed == now.keys():
        raise BadInputError(f"{source.path} changed while it was read", hint="scan it again when it is at rest")
    return [
        Damage(file.name, 0, file.stored, "it changed while it was read" if now[file.root] else "it went away")
        for file in source.files()
        if file.root in changed
    ]


def _now(root: Path) -> tuple[int, int] | None:
    try:
        facts = root.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
