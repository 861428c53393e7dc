"""Verifying a backup: its manifest, every byte of its files, every record in them. Read-only."""

from __future__ import annotations

import re
from pathlib import Path

from recovery_nb.backups import folder_check
from recovery_nb.backups.findings import Findings
from recovery_nb.backups.manifest import MANIFEST
from recovery_nb.errors import BadInputError, DamagedSourceError
from recovery_nb.events import Emit, silent
from recovery_nb.sources.content import File, Folder
from recovery_nb.sources.dump.files import BsonSource, DumpSource
from recovery_nb.sources.json.files import JsonSource
from recovery_nb.verification import Verification

__all__ = ["verify_backup"]

_NO_CHECKSUMS = "it carries no checksums: a changed byte that leaves a record valid cannot be seen"
_TOTAL = re.compile(rb'"total_records"\s*:\s*(\d+)')
_TAIL_BYTES = 64 * 1024


def verify_backup(path: Path, *, emit: Emit = silent) -> Verification:
    """Check a backup as far as it can be checked from itself.

    A folder of ours: the manifest against itself, then each file's size and SHA-256, missing and additional
    files, and every record, decoded in full, and counted. A `mongodump` folder or a single `.bson` file:
    every record. A JSON backup: its checksum, its count, and that every record converts to BSON.

    Args:
        path: The folder or file.
        emit: Hears how far it is.

    Raises:
        BadInputError: There is nothing at `path` that is a backup, or a newer version wrote it.
    """
    if not path.exists():
        raise BadInputError(f"{path} does not exist", hint="give a backup's folder or file")
    findings = Findings(str(path), emit)
    try:
        if (path / MANIFEST).is_file() or (path / MANIFEST).is_symlink():
            folder_check.verify_folder(path, findings)
        elif path.is_dir():
            _verify_dump(path, findings)
        elif path.suffix == ".bson":
            findings.check_records(BsonSource(File.on_disk(path)), prefix=path.name)
            findings.note(_NO_CHECKSUMS)
        else:
            _verify_json(path, findings)
    except DamagedSourceError as error:
        findings.problem(error.message, str(path))
    except OSError as error:
        findings.problem(f"cannot be read: {error.strerror}", error.filename or str(path))
    return findings.result()


def _verify_dump(path: Path, findings: Findings) -> None:
    folders = [folder for folder in (path, *sorted(path.iterdir())) if folder.is_dir() and any(folder.glob("*.bson"))]
    if not folders:
        raise BadInputError(
            f"{path} is no backup: it holds neither {MANIFEST} nor .bson files",
            hint="give a backup's folder or file",
        )
    for folder in folders:
        findings.check_records(DumpSource(Folder.on_disk(folder)), prefix="" if folder == path else folder.name)
    findings.note(_NO_CHECKSUMS)


def _verify_json(path: Path, findings: Findings) -> None:
    source = JsonSource(File.on_disk(path))
    counts = findings.check_records(source, prefix=path.name)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        stated = _TOTAL.findall(file.read())
    total = sum(counts.values())
    if stated and int(stated[-1]) != total:
        findings.problem(f"it states {int(stated[-1]):,} records and holds {total:,}", path.name)
    sound = source.verify_checksum()
    if sound is None:
        findings.note(_NO_CHECKSUMS)
    elif not sound:
        findings.problem("its checksum does not fit its collections", path.name)
