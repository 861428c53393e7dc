"""Taking a backup: one snapshot, written beside, read back, and only then given its name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from pymongo.errors import PyMongoError

from recovery_nb.backups import bson_layout, json_layout
from recovery_nb.backups.compression import Compression
from recovery_nb.backups.encryption import Recipient
from recovery_nb.backups.job import Job
from recovery_nb.backups.sink import Packing
from recovery_nb.backups.staging import (
    explained_writes,
    prepare_folder,
    publish,
    require_space,
    staging,
    sweep,
)
from recovery_nb.backups.structure import JAVASCRIPT
from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, silent
from recovery_nb.reports.html import facts
from recovery_nb.sources.mongodb import Database

__all__ = ["BackupResult", "Layout", "write_backup"]

Layout = Literal["bson", "json"]

_LEAST_PACKED: dict[Compression, int] = {"none": 1, "zstd": 20, "gzip": 20}
"""To what part of their size records shrink at best: what cannot fit even then is not begun."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A backup that was written, read back, and has its final name.

    Attributes:
        path: The folder (bson) or file (json).
        collections: By name, how many records of it are in the backup. A time-series is in the bson layout by
            its buckets, `system.buckets.NAME`; a view has no records.
        records: How many records there are.
        bytes: How many bytes its records have, before they are packed.
        consistent: Whether all records are of one point in time; capped collections cannot be.
        cluster_time: The optime of that point as (seconds, increment); None where there is none.
        taken_at: When the database was read, in UTC.
        seconds: How long it took.
        compression: How its files are packed.
        recipients: To how many keys they are encrypted; 0 where they are not.
        notes: What the layout does not keep of this database, a line each.
    """

    path: Path
    collections: dict[str, int]
    records: int
    bytes: int
    consistent: bool
    cluster_time: tuple[int, int] | None
    taken_at: datetime
    seconds: float
    compression: Compression = "none"
    recipients: int = 0
    notes: Sequence[str] = ()

    @property
    def summary(self) -> dict[str, object]:
        """The facts at a glance."""
        return {
            "backup": str(self.path),
            "taken at": f"{self.taken_at:%Y-%m-%d %H:%M:%S} UTC",
            "records": self.records,
            "bytes": self.bytes,
            "collections": ", ".join(self.collections),
            "one point in time": "yes" if self.consistent else "no",
            "compression": self.compression,
            "encrypted": f"with age, to {self.recipients:,} keys" if self.recipients else "no",
            **({"not kept": "; ".join(self.notes)} if self.notes else {}),
        }

    def _repr_html_(self) -> str:
        """Show them in a notebook, without a script."""
        return facts(self.summary)


def write_backup(
    database: Database,
    folder: Path,
    *,
    layout: Layout = "bson",
    prefix: str = "backup",
    collections: Sequence[str] | None = None,
    compression: Compression = "none",
    recipients: Sequence[Recipient] = (),
    emit: Emit = silent,
) -> BackupResult:
    """Copy a database, in one snapshot where its server can, to `<folder>/<prefix>_<YYYYmmdd_HHMMSS>`.

    The copy gets that name only when it is whole, on the disk, and has been read back; whatever interrupts it
    before leaves nothing under it, and nothing that could be continued: a snapshot does not wait. What exists already
    is never overwritten.

    Args:
        database: What to copy. It is only read.
        folder: Where backups are kept; it is made where it is not there.
        layout: "bson", a folder that `mongorestore` can restore, with a manifest; or "json", one file.
        prefix: What its name begins with.
        collections: The collections to copy; all where None, and the functions in `system.js`.
        compression: How its files are packed: "none", "zstd" or "gzip".
        recipients: Whom they are encrypted to, with age; nobody, and they are not. The manifest never is: names of
            collections, numbers of records and sizes stay visible.
        emit: Hears how far it is.

    Raises:
        BadInputError: The folder cannot be used, or there is no such collection.
        ConflictError: There is not enough space.
        ConnectionFailedError: The server went away, or its snapshot became too old.
    """
    began = time.monotonic()
    if not prefix or "/" in prefix or prefix.startswith("."):
        raise BadInputError(f"{prefix!r} cannot begin a backup's name", hint="use letters, digits, - and _")
    if compression not in get_args(Compression):
        known = ", ".join(get_args(Compression))
        raise BadInputError(f"a backup has no compression {compression!r}", hint=f"choose of {known}")
    packing = Packing(compression, tuple(recipients))
    entries = _chosen(database, collections)
    prepare_folder(folder)
    with explained_writes(folder):
        sweep(folder, emit=emit)
    sizes = {name: _stored_bytes(database, name) for name in entries}
    require_space(folder, sum(sizes.values()) // _LEAST_PACKED[compression])
    with database.snapshot() as snapshot, explained_writes(folder):
        taken_at = datetime.now(UTC).replace(microsecond=0)
        job = Job(database, snapshot, entries, taken_at, emit, sizes, packing)
        name = f"{prefix}_{taken_at:%Y%m%d_%H%M%S}" + (f".json{packing.ending}" if layout == "json" else "")
        with staging(folder, name) as partial:
            write = json_layout.write if layout == "json" else bson_layout.write
            written = write(job, partial)
            path = publish(written.path, folder, name)
    contents = written.contents
    return BackupResult(
        path=path,
        collections={name: content.records for name, content in contents.items()},
        records=sum(content.records for content in contents.values()),
        bytes=sum(content.bytes for content in contents.values()),
        consistent=job.all_consistent,
        cluster_time=snapshot.cluster_time,
        taken_at=taken_at,
        seconds=time.monotonic() - began,
        compression=compression,
        recipients=len(packing.recipients),
        notes=tuple(written.notes),
    )


def _chosen(database: Database, names: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    entries = database.collections(system=[JAVASCRIPT])
    if names is None:
        return entries
    if unknown := sorted(set(names) - entries.keys()):
        raise BadInputError(
            f"{database.label} has no collection {', '.join(unknown)}",
            hint=f"it has {', '.join(entries) or 'none'}",
        )
    return {name: entry for name, entry in entries.items() if name in names}


def _stored_bytes(database: Database, collection: str) -> int:
    """Return the size of a collection's records, in bytes; 0 where the server does not say (a view)."""
    try:
        stats = database.client[database.name].command({"collStats": collection})
    except PyMongoError:
        return 0
    return int(stats.get("size", 0))
