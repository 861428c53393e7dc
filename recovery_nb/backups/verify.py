"""Verifying a backup: its manifest, every byte of its files, every record in them. Read-only."""

from __future__ import annotations

import re
from pathlib import Path

from recovery_nb.backups import folder_check
from recovery_nb.backups.findings import Findings
from recovery_nb.backups.live import compare_live
from recovery_nb.backups.manifest import MANIFEST
from recovery_nb.backups.ours import is_backup
from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.events import Emit, silent
from recovery_nb.sources.archive.source import ArchiveSource
from recovery_nb.sources.base import FileSource, Kind
from recovery_nb.sources.content import File, FileContent
from recovery_nb.sources.discover import Discovery, find_sources
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.expand.codecs import codec_named, codec_of
from recovery_nb.sources.expand.expanded import Expanded
from recovery_nb.sources.json.files import JsonSource
from recovery_nb.sources.tree import Tree
from recovery_nb.verification import Verification

__all__ = ["verify_backup"]

_NO_CHECKSUMS = "it carries no checksums: a changed byte that leaves a record valid cannot be seen"
_MANIFEST_APART = (
    "it is a part of a backup, or is in an archive, and was not held against its manifest: "
    "verify the folder that holds manifest.json"
)
_TOTAL = re.compile(rb'"total_records"\s*:\s*(\d+)')
_TAIL_BYTES = 64 * 1024


def verify_backup(path: Path, *, tree: Tree | None = None, live: str = "", emit: Emit = silent) -> Verification:
    """Check a backup as far as it can be checked from itself.

    A folder of ours: the manifest against itself, then each file's size and SHA-256, missing and additional
    files, and every record, unpacked, decrypted, decoded in full, and counted. Everything else that a scan reads,
    also compressed or within an archive: every record, and the checksums that its format has. A JSON backup: its
    checksum and its count, too. Of all of them: whether the files in GridFS have their chunks.

    Args:
        path: The folder or file, on disk or within an archive.
        tree: What opens it: its limits, and the keys of what is encrypted.
        live: The URI of a database that a folder of ours is compared with, too: each record, options and indexes.
            A difference is a problem.
        emit: Hears how far it is.

    Raises:
        BadInputError: There is nothing at `path` that is a backup, or a newer version wrote it; or it is to be
            compared with a database, and has no manifest.
        ConnectionFailedError: The database does not answer.
        RecoveryError: It cannot be opened: there is no key for it, or no room.
    """
    findings, tree = Findings(str(path), emit), tree or Tree()
    try:
        if is_backup(path):
            manifest, source = folder_check.verify_folder(path, findings, tree=tree)
            if live and source:
                compare_live(source, manifest, live, findings)
        elif live:
            raise BadInputError(
                f"{path} is no backup with a manifest, and was not compared with the database",
                hint=f"name a backup's folder, or use compare {path}",
            )
        else:
            _verify_sources(path, find_sources([path], tree=tree), findings)
    except DamagedSourceError as error:
        findings.problem(error.message, str(path))
    except RecoveryError:
        raise  # a connection that fails is an `OSError`, too
    except OSError as error:
        findings.problem(f"cannot be read: {error.strerror}", error.filename or str(path))
    return findings.result()


def _verify_sources(path: Path, found: Discovery, findings: Findings) -> None:
    if not found.sources:
        _refuse(path, found)
    unchecked = 0
    for source in found.sources:
        try:
            unchecked += not _verify_source(source, _place(source, path), findings)
        except RecoveryError as error:
            findings.problem(error.message, str(source.path))
    for missed in found.errors:
        findings.problem(str(missed), str(path))
    if unchecked == len(found.sources):
        findings.note(_NO_CHECKSUMS)
    elif unchecked:
        findings.note(f"of {unchecked:,} of its {len(found.sources):,} sources: {_NO_CHECKSUMS}")
    if any(isinstance(source, DumpSource) and source.header().checksum for source in found.sources):
        findings.note(_MANIFEST_APART)
    if found.ignored:
        findings.note(f"files whose content is no format of records were not looked at: {len(found.ignored):,}")


def _refuse(path: Path, found: Discovery) -> None:
    """Raise what is no finding about a backup: nothing there is one, or it cannot be opened."""
    if (
        path.is_dir()
        and len(found.errors) <= 1
        and not any(isinstance(one, DamagedSourceError) for one in found.errors)
    ):
        raise BadInputError(
            f"{path} is no backup: it holds neither {MANIFEST} nor anything with records",
            hint="give a backup's folder or file",
        )
    if len(found.errors) == 1:
        raise found.errors[0]


def _place(source: FileSource, path: Path) -> str:
    """Return what stands before a source's members in a problem's place: where it is below what is verified."""
    above = source.path.parent if source.kind is Kind.FILES else source.path  # its members are named like files
    if above == path:
        return path.name if source.kind not in (Kind.DUMP, Kind.FILES) else ""
    return str(above.relative_to(path)) if above.is_relative_to(path) else str(above)


def _verify_source(source: FileSource, place: str, findings: Findings) -> bool:
    """Check the records of a source and what vouches for them; return whether a checksum does."""
    counts = findings.check_records(source, prefix=place)
    doubted = source.doubted
    for collection in sorted(doubted) if isinstance(doubted, set) else [""] * doubted:
        findings.problem("a checksum does not hold", "/".join(filter(None, (place, collection))) or str(source.path))
    checked = isinstance(source, ArchiveSource) or all(map(_is_checked, source.files()))
    if isinstance(source, JsonSource):
        return _verify_json(source, sum(counts.values()), place, findings) or checked
    return checked


def _verify_json(source: JsonSource, total: int, place: str, findings: Findings) -> bool:
    """Hold a JSON file against the count and the checksum that it states; return whether it states a checksum."""
    content = source.file.open()
    stated = _TOTAL.findall(content.read_at(max(0, content.size() - _TAIL_BYTES), _TAIL_BYTES))
    if stated and int(stated[-1]) != total:
        findings.problem(f"it states {int(stated[-1]):,} records and holds {total:,}", place)
    sound = source.verify_checksum()
    if sound is False:
        findings.problem("its checksum does not fit its collections", place)
    return sound is not None


def _is_checked(file: File) -> bool:
    """Return whether a file is under a compression or an encryption: these have checksums of what they hold.

    It is told without expanding anything that is not expanded already.
    """
    if codec_named(file.path.name) or codec_of(FileContent(file.root).read_at(0, 64 * 1024)):
        return True
    return isinstance(file.open(), Expanded)
