"""Copying the oplog of a live replica set, as far as it concerns one database: evidence must not move."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import Timestamp
from pymongo.errors import OperationFailure

from recovery_nb.errors import BadInputError, ConnectionFailedError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.files import write_json
from recovery_nb.records.elements import split
from recovery_nb.sources.content import MANIFEST
from recovery_nb.sources.mongodb import Database, explained
from recovery_nb.sources.oplog.source import FORMAT
from recovery_nb.sources.oplog.whole import whole_folder

__all__ = ["copy_oplog"]

_OPLOG = "oplog.rs"
_UNAUTHORIZED = 13


def copy_oplog(database: Database, folder: Path, *, emit: Emit = silent) -> Path:
    """Copy what the oplog of a database's server says of it, entry by entry and byte for byte.

    Copied are the entries of the database's own namespaces, and of `admin.$cmd` those that touch it, or that belong
    to a transaction of several entries or a prepared one, of which only all together tell what came of it.

    Args:
        database: The database. Its server is only read; the user needs the role `read` on `local`.
        folder: Where `oplog_<database>_<YYYYmmdd_HHMMSS>` is to be made, which holds `oplog.bson` and a manifest
            with the times of the oplog's first and last entry, the number of entries copied and their SHA-256.
        emit: Hears how far it is.

    Returns:
        The path of the copied `oplog.bson`.

    Raises:
        BadInputError: The server has no oplog, or the folder cannot be written to.
        ConnectionFailedError: The server went away, the user may not read the oplog, or it was overwritten by newer
            entries while it was read.
    """
    topology = database.hello()["topology"]
    if topology != "replica set":
        why = "a sharded cluster has one for each shard" if topology == "sharded" else "a standalone server has none"
        raise BadInputError(
            f"{database.label} has no oplog that can be read: {why}",
            hint="name a member of a replica set" if topology == "sharded" else "use a backup or an export instead",
        )
    oplog = database.client["local"][_OPLOG]
    taken_at = datetime.now(UTC).replace(microsecond=0)
    entries, digest = 0, hashlib.sha256()
    name = f"oplog_{database.name}_{taken_at:%Y%m%d_%H%M%S}"
    with whole_folder(folder, name) as growing:
        with explained(database.label), (growing.path / "oplog.bson").open("xb") as file:
            try:
                last = _end(oplog, -1)
                for buffer in oplog.find_raw_batches(_concerning(database.name, last)):
                    file.write(buffer)
                    digest.update(buffer)
                    entries += len(split(buffer))
                    emit(Event("scan", f"oplog of {database.label}", done=entries))
                first = _end(oplog, 1)  # only now: while it was read, its beginning may have been overwritten
            except OperationFailure as error:
                if error.code != _UNAUTHORIZED:
                    raise
                raise ConnectionFailedError(
                    f"{database.label}: the user may not read the oplog", hint='grant it the role read on "local"'
                ) from None
        manifest = {
            "format": FORMAT,
            "version": 1,
            "database": database.name,
            "first": [first.time, first.inc],
            "last": [last.time, last.inc],
            "entries": entries,
            "sha256": digest.hexdigest(),
            "taken_at": taken_at.isoformat(),
        }
        write_json(growing.path / MANIFEST, manifest)
    return growing.path / "oplog.bson"


def _end(oplog: Any, direction: int) -> Timestamp:
    """Return the time of the first (1) or last (-1) entry."""
    for entry in oplog.find({}, {"ts": 1}).sort("$natural", direction).limit(1):
        stamp = entry["ts"]
        if isinstance(stamp, Timestamp):
            return stamp
    raise BadInputError("the oplog is empty", hint="check that the replica set was initiated")


def _concerning(database: str, last: Timestamp) -> Mapping[str, object]:
    ours = re.compile(f"^{re.escape(database)}\\.")
    of_several = ("o.partialTxn", "o.count", "o.prepare", "o.commitTransaction", "o.abortTransaction")
    touching = [{"o.applyOps.ns": ours}, {"o.applyOps.o.applyOps": {"$exists": True}}]
    return {
        "ts": {"$lte": last},
        "$or": [
            {"ns": ours},
            {"ns": "admin.$cmd", "$or": [*touching, *({field: {"$exists": True}} for field in of_several)]},
        ],
    }
