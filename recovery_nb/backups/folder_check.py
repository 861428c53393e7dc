"""Checking a backup folder of ours against its manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from recovery_nb.backups.files import hash_file
from recovery_nb.backups.findings import Findings
from recovery_nb.backups.manifest import MANIFEST, Manifest, load
from recovery_nb.errors import BadInputError, DamagedSourceError
from recovery_nb.sources.content import File, Folder
from recovery_nb.sources.dump.files import METADATA, PRELUDE, DumpSource
from recovery_nb.sources.tree import Tree

__all__ = ["Fault", "database_of", "faults", "file_names", "verify_folder"]


class Fault(NamedTuple):
    """A file that is not as the manifest says.

    Attributes:
        name: Its path within the backup.
        what: What is wrong.
        collection: The collection that it is of; "" where it is of none.
        exchanged: Whether it holds what another file should: its records are another collection's.
    """

    name: str
    what: str
    collection: str
    exchanged: bool = False


def verify_folder(path: Path, findings: Findings, *, tree: Tree) -> tuple[Manifest, DumpSource | None]:
    """Compare the folder with its manifest: files, bytes, records, counts.

    Returns:
        The manifest, and the database's folder as a source; None where it cannot be read.

    Raises:
        BadInputError: A newer version wrote the manifest; or its files are as they were written, and are encrypted to
            someone else.
        DamagedSourceError: The manifest is not as it was written; nothing can be compared with it.
    """
    manifest = load(path / MANIFEST)
    findings.checked(1 + len(manifest.files))
    faulty: set[str] = set()
    for fault in faults(path, manifest):
        findings.problem(fault.what, fault.name)
        faulty.add(fault.name)
    if refusal := _refusal(path, manifest, faulty, tree):
        lead = f"{path} is encrypted with age to {_many(manifest.recipients)}, and its records cannot be read"
        if not faulty:
            raise BadInputError(
                f"{lead} (the {len(manifest.files):,} files are as they were written): {refusal.message}",
                hint=refusal.hint,
            )
        findings.note(f"{lead}: {refusal}")
        return manifest, None
    return manifest, _check_records(path, manifest, findings, tree)


def faults(path: Path, manifest: Manifest) -> Iterator[Fault]:
    """Yield each file that is missing, additional, or not what was written. Every file is read once."""
    collections = {entry.file: name for name, entry in manifest.collections.items()}
    present = _files(path)
    for name in sorted(present - manifest.files.keys() - {MANIFEST}):
        yield Fault(name, "the manifest does not know it", _collection(name, collections))
    content_of = {entry.sha256: name for name, entry in manifest.files.items() if entry.bytes}
    for name, entry in sorted(manifest.files.items()):
        file = path / name
        what, other = "", None
        if name not in present:
            what = "it is missing"
        elif file.is_symlink() or not file.is_file():
            what = "it is not a file of its own"
        else:
            size, sha256 = hash_file(file)
            if sha256 == entry.sha256:
                continue
            if other := content_of.get(sha256):
                what = f"it holds what {other} should"
            elif size != entry.bytes:
                what = f"it has {size:,} bytes; {entry.bytes:,} were written"
            else:
                what = "it does not hold what was written: its SHA-256 differs"
        yield Fault(name, what, _collection(name, collections), exchanged=other is not None)


def file_names(manifest: Manifest) -> dict[str, str]:
    """Return the path of each file of records by the name that it has as a member of the dump."""
    names = (entry.file for entry in manifest.collections.values())
    return {Path(name).name.removesuffix(manifest.ending): name for name in names}


def database_of(path: Path, manifest: Manifest, tree: Tree) -> Folder | None:
    """Return the folder of the database in a backup; None where there is none that may be entered."""
    folder = path / manifest.database
    found = tree.entry(folder) if folder.is_dir() and not folder.is_symlink() else None
    return found if isinstance(found, Folder) else None


def _files(path: Path) -> set[str]:
    """Return every entry below `path` that is no folder, links included, relative to it."""
    found: set[str] = set()
    for folder, folders, files in os.walk(path):
        base = Path(folder)
        links = [name for name in folders if (base / name).is_symlink()]
        found.update(str((base / name).relative_to(path)) for name in (*files, *links))
    return found


def _collection(file: str, collections: dict[str, str]) -> str:
    """Return whose file it is: the manifest knows of records; of others, their name tells."""
    name = Path(file).name
    if file in collections or name.startswith(PRELUDE):
        return collections.get(file, "")
    stem, metadata, _ = name.partition(METADATA)
    return unquote(stem if metadata else name.partition(".bson")[0])


def _refusal(path: Path, manifest: Manifest, faulty: set[str], tree: Tree) -> BadInputError | None:
    """Return why an encrypted backup cannot be opened, told by a file that is as it was written."""
    whole = sorted(manifest.files.keys() - faulty) if manifest.encryption else []
    for name in whole[:1]:
        try:
            entry = tree.entry(path / name)
            if isinstance(entry, File):
                entry.head(1)
        except DamagedSourceError:
            return None
        except BadInputError as error:
            return error
    return None


def _check_records(path: Path, manifest: Manifest, findings: Findings, tree: Tree) -> DumpSource | None:
    folder = database_of(path, manifest, tree)
    if folder is None:
        return None  # each of its files is missing, and has been said to be
    source = DumpSource(folder)
    names = file_names(manifest)
    counts = findings.check_records(source, prefix=manifest.database, places=names)
    members = {file: member for member, file in names.items()}
    for name, entry in sorted(manifest.collections.items()):
        count = counts[members[entry.file]]
        if count != entry.records and (path / entry.file).is_file():
            findings.problem(f"{name} has {count:,} records; {entry.records:,} were written", entry.file)
    return source


def _many(recipients: int) -> str:
    return f"{recipients:,} recipient{'s' * (recipients != 1)}"
