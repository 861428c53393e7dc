"""Finding the sources of a case: what was named, what lies around, what the catalog knows already."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from recovery_nb.audit import redact_uri
from recovery_nb.backups import write_backup
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.scanning import Scan, catalogued, held_to_its_manifest
from recovery_nb.settings import Settings
from recovery_nb.sources.base import AS_OF
from recovery_nb.sources.discover import find_by_pattern, find_sources
from recovery_nb.sources.mongodb import Database
from recovery_nb.sources.oplog.live import copy_oplog
from recovery_nb.verbs.asked import place
from recovery_nb.verbs.choice import without_left_out
from recovery_nb.verbs.context import Context
from recovery_nb.verbs.servers import EMBEDDED

__all__ = ["known_sources", "latest_sources", "nothing_readable", "scan_facts", "scan_sources"]

_OPLOG = "oplog:"
_URIS = ("mongodb://", "mongodb+srv://", EMBEDDED)


def scan_sources(context: Context, named: Sequence[str | Path], settings: Settings) -> Scan:
    """Find and catalog what was named; or, if nothing was, what lies where backups usually lie.

    Args:
        context: What the case lends.
        named: Files, folders, databases, oplogs, as `Case.scan` takes them.
        settings: Where backups usually lie, and how they are usually called.

    Raises:
        RecoveryError: A database or an oplog that was named cannot be copied.
    """
    for name in named:
        place(name, "a source")
    paths = [_copied(context, str(name)) for name in named]
    own = [] if any(path.absolute().is_relative_to(context.folder) for path in paths) else [context.folder]
    if named:
        found = find_sources(paths, skip=own, tree=context.tree)
    else:
        found = find_by_pattern(settings.folders, settings.patterns, skip=own, tree=context.tree)
    return catalogued(found, context.catalog, emit=context.emit)


def _copied(context: Context, name: str) -> Path:
    """A database or an oplog named as a source is copied into the case first: evidence must not move."""
    if name.startswith(_OPLOG):
        with closing(_opened(context, name.removeprefix(_OPLOG))) as other:
            return copy_oplog(other, context.folder / "copies", emit=context.emit)
    if not name.startswith(_URIS):
        return Path(name)
    with closing(_opened(context, name)) as other:
        return write_backup(other, context.folder / "copies", prefix="source", emit=context.emit).path


def _opened(context: Context, uri: str) -> Database:
    return Database(context.resolve(uri or context.origin), label=redact_uri(uri) if uri else context.label)


def scan_facts(scan: Scan) -> dict[str, object]:
    """Return what the audit log keeps of a scan."""
    sources = [
        {"id": one.id, "path": str(one.path), "digest": one.digest, "records": one.records} for one in scan.sources
    ]
    return {"sources": sources, "errors": scan.errors}


def nothing_readable(errors: Sequence[str]) -> str:
    """Return, in one line, why nothing could be read."""
    if not errors:
        return "nothing named can be read"
    return errors[0] if len(errors) == 1 else f"{errors[0]} (and {len(errors) - 1:,} more that cannot be read)"


def known_sources(context: Context) -> tuple[list[SourceEntry], list[str]]:
    """Return the catalogued sources that are still where they were, each as it was last scanned.

    Returns:
        The sources, without those that are left out by choice, and without what their manifests prove to be another
        collection's; and what is to be said of it.

    Raises:
        BadInputError: All of them are left out, or the choice cannot be read.
    """
    there = [entry for entry in latest_sources(context.catalog) if context.tree.exists(entry.path)]
    chosen, notes = without_left_out(context, there)
    held = [held_to_its_manifest(entry) for entry in chosen]
    return [entry for entry, _ in held], [*notes, *(str(doubt) for _, doubts in held for doubt in doubts)]


def latest_sources(catalog: Catalog) -> list[SourceEntry]:
    """Return the catalogued sources, of each path what was scanned last; whether they are there is not asked."""
    latest: dict[Path, SourceEntry] = {}
    for entry in sorted(catalog.entries(), key=lambda one: one.scanned_at):
        latest[entry.path] = entry
    return [entry for entry in latest.values() if entry.taken_from != AS_OF]
