"""Checking a backup folder of ours against its manifest."""

from __future__ import annotations

import os
from pathlib import Path

from recovery_nb.backups.files import hash_file
from recovery_nb.backups.findings import Findings
from recovery_nb.backups.manifest import MANIFEST, FileEntry, Manifest, load
from recovery_nb.sources.content import Folder
from recovery_nb.sources.dump.files import DumpSource

__all__ = ["verify_folder"]


def verify_folder(path: Path, findings: Findings) -> None:
    """Compare the folder with its manifest: files, bytes, records, counts.

    Raises:
        BadInputError: A newer version wrote the manifest.
        DamagedSourceError: The manifest is not as it was written; nothing can be compared with it.
    """
    manifest = load(path / MANIFEST)
    findings.checked()
    present = _files(path)
    for name in sorted(present - manifest.files.keys() - {MANIFEST}):
        findings.problem("the manifest does not know it", name)
    content_of = {entry.sha256: name for name, entry in manifest.files.items() if entry.bytes}
    for name, entry in sorted(manifest.files.items()):
        if name not in present:
            findings.problem("it is missing", name)
        else:
            findings.checked()
            _check_file(path, name, entry, content_of, findings)
    _check_records(path, manifest, findings)


def _files(path: Path) -> set[str]:
    """Return every entry below `path` that is no folder, links included, relative to it."""
    found: set[str] = set()
    for folder, folders, files in os.walk(path):
        base = Path(folder)
        links = [name for name in folders if (base / name).is_symlink()]
        found.update(str((base / name).relative_to(path)) for name in (*files, *links))
    return found


def _check_file(path: Path, name: str, entry: FileEntry, content_of: dict[str, str], findings: Findings) -> None:
    file = path / name
    if file.is_symlink() or not file.is_file():
        findings.problem("it is not a file of its own", name)
        return
    size, sha256 = hash_file(file)
    if sha256 == entry.sha256:
        return
    if other := content_of.get(sha256):
        findings.problem(f"it holds what {other} should", name)
    elif size != entry.bytes:
        findings.problem(f"it has {size:,} bytes; {entry.bytes:,} were written", name)
    else:
        findings.problem("it does not hold what was written: its SHA-256 differs", name)


def _check_records(path: Path, manifest: Manifest, findings: Findings) -> None:
    folder = path / manifest.database
    if not folder.is_dir() or folder.is_symlink():
        return  # each of its files is missing, and has been said to be
    counts = findings.check_records(DumpSource(Folder.on_disk(folder)), prefix=manifest.database)
    for name, entry in sorted(manifest.collections.items()):
        count = counts[Path(entry.file).name]
        if count != entry.records and (path / entry.file).is_file():
            findings.problem(f"{name} has {count:,} records; {entry.records:,} were written", entry.file)
