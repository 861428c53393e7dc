"""Whose a `manifest.json` is: other programs name files so, too, and a damaged one of ours vouches for nothing.

A manifest of ours tells so itself where enough of it is left. Where it is empty, cut short or overwritten, the dump
tells: `prelude.json` states which program wrote it. A dump that another program wrote is not judged by a file that was
never about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from recovery_nb.backups.compression import ENDINGS
from recovery_nb.backups.encryption import ENDING
from recovery_nb.backups.manifest import FORMAT, MANIFEST
from recovery_nb.errors import RecoveryError
from recovery_nb.sources.content import File
from recovery_nb.sources.dump.files import PRELUDE, parsed_metadata
from recovery_nb.sources.tree import Tree

__all__ = ["backup_root", "is_backup"]

_MOST = 256 * 1024 * 1024
"""So many bytes of a manifest are looked through."""

_OWN = (FORMAT.encode(), b'"manifest_sha256"')
"""Either of these no other program writes."""

_USUAL = (b'"cluster_time"', b'"consistent"', b'"recipients"', b'"taken_at"')
_ENOUGH = 3
"""So many of the usual names tell: one or two of them may be in anybody's file."""


def backup_root(folder: Path) -> Path | None:
    """Return the backup of ours that a folder or a file is, or lies in; None for any other.

    Args:
        folder: The backup's folder, the folder of the database in it, or a file there.
    """
    # Of a file, only its own folder is looked into: there may be many files, and each is asked about.
    start, below = (folder.parent, False) if folder.is_file() else (folder, True)
    if _is_ours(start / MANIFEST, chain([start], _within(start)) if below else [start]):
        return start
    return start.parent if _is_ours(start.parent / MANIFEST, [start]) else None


def is_backup(folder: Path) -> bool:
    """Return whether a folder is that of a backup with a manifest of ours, sound or not."""
    return _is_ours(folder / MANIFEST, chain([folder], _within(folder)))


def _is_ours(manifest: Path, dumps: Iterable[Path]) -> bool:
    """Return whether a manifest is there and is ours, by what it holds or by the dumps that it may be about."""
    try:
        if not manifest.is_file() and not manifest.is_symlink():
            return False
    except OSError:  # nobody may look there
        return False
    try:
        with manifest.open("rb") as file:
            content = file.read(_MOST)
    except OSError:
        content = b""
    if any(one in content for one in _OWN) or sum(one in content for one in _USUAL) >= _ENOUGH:
        return True
    return any(map(_is_written_by_us, dumps))


def _within(root: Path) -> Iterator[Path]:
    """Yield the folder of the database: a backup holds one, and no other folder. It is looked for when it is needed."""
    try:
        found = [one for one in root.iterdir() if one.is_dir() and not one.is_symlink()]
    except OSError:
        return
    if len(found) == 1:
        yield found[0]


def _is_written_by_us(dump: Path) -> bool:
    """Return whether the file that tells which program wrote a dump names this one; one that is encrypted is ours."""
    names = [PRELUDE + ending for ending in ENDINGS.values()]
    return any((dump / (name + ENDING)).is_file() or _names_us(dump / name) for name in names)


def _names_us(prelude: Path) -> bool:
    try:
        entry = Tree().entry(prelude) if prelude.is_file() else None
        stated = parsed_metadata(entry.small()) if isinstance(entry, File) else None
    except (RecoveryError, OSError):
        return False
    return str((stated or {}).get("ToolVersion", "")).startswith("recovery_nb ")
