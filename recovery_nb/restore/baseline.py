"""The other records of the collections that a restore writes to: their fingerprints, taken before it begins.

`baseline.parquet` is a table of fingerprints as in the catalog, a row for each record; `baseline.json` says of when
it is, and which collections were too large to be read for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import stamina
from pymongo.errors import ConnectionFailure

from recovery_nb.catalog.table import FingerprintTable
from recovery_nb.errors import BadInputError, ConnectionFailedError
from recovery_nb.files import sync_file, write_json
from recovery_nb.restore.target import Target
from recovery_nb.sources.ahead import ahead
from recovery_nb.sources.mongodb import Database

__all__ = ["MOST_BYTES", "MOST_RECORDS", "Baseline", "hash_collections", "load_baseline", "take_baseline"]

MOST_RECORDS = 100_000
"""How many records are read before a restore, in all its collections together: half a second."""
MOST_BYTES = 128 * 1024 * 1024
"""How many bytes of them."""

Optime = tuple[int, int] | None
"""A time as a server counts, (seconds, increment); None where it does not."""

_FORMAT = "recovery_nb.baseline"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was there before a restore.

    Attributes:
        table: The fingerprints.
        optime: A time shortly before the records were read.
        collections: How many records were read, by collection.
        left_out: How many were not, because their collection is too large, by collection.
    """

    table: Path
    optime: Optime
    collections: Mapping[str, int]
    left_out: Mapping[str, int]


def take_baseline(folder: Path, uri: str, collections: Iterable[str], target: Target) -> None:
    """Read those of the collections that hold records, and keep a fingerprint of each; once in a restore.

    Large collections are left out: reading them would take longer than the restore. Of those the server's oplog
    tells, for as long as it reaches back, that a restore has written nothing else.

    Args:
        folder: The restore's folder.
        uri: The database.
        collections: What the restore will write to.
        target: The database, connected.

    Raises:
        OSError: The folder cannot be written.
        ConnectionFailedError: The server went away.
    """
    if (folder / "baseline.json").exists():
        return
    for attempt in stamina.retry_context(
        on=(ConnectionFailure, ConnectionFailedError), attempts=5, wait_initial=0.2, wait_max=5.0
    ):
        with attempt:
            document = _take(folder / "baseline.parquet", uri, collections, target)
    write_json(folder / "baseline.json", document)


def _take(table: Path, uri: str, collections: Iterable[str], target: Target) -> dict[str, object]:
    """Read what is not too large into a table, and return what is to be said of it."""
    read: list[str] = []
    left_out: dict[str, int] = {}
    records, size = MOST_RECORDS, MOST_BYTES
    for name in collections:
        if not (holds := target.collection(name).estimated_document_count()):
            continue
        takes = target.database.command({"collStats": name})["size"]
        if holds > records or takes > size:
            left_out[name] = holds
            continue
        read.append(name)
        records, size = records - holds, size - takes
    optime, counts = _last_write(target), dict[str, int]()
    if read or left_out:
        counts = hash_collections(table, uri, read)
        sync_file(table)
    return {"format": _FORMAT, "version": 1, "optime": optime, "collections": counts, "left_out": left_out}


def _last_write(target: Target) -> Optime:
    """Return the time of the last entry in the server's oplog."""
    hello = target.client.admin.command("hello")
    if "lastWrite" not in hello:
        return None
    stamp = hello["lastWrite"]["opTime"]["ts"]
    return stamp.time, stamp.inc


def hash_collections(table: Path, uri: str, collections: Sequence[str]) -> dict[str, int]:
    """Write the fingerprints of all records of these collections, at one point in time where the server can.

    Returns:
        How many records each collection has.

    Raises:
        OSError: The file cannot be written.
        ConnectionFailedError: The server went away.
    """
    counts = dict.fromkeys(collections, 0)
    with (
        closing(Database(uri)) as database,
        database.snapshot() as snapshot,
        FingerprintTable(table) as rows,
    ):
        for name in collections:
            for batch in ahead(database.read(name, snapshot)):
                rows.add(name, batch.records, offsets=batch.offsets, lengths=batch.lengths)
                counts[name] += len(batch.records)
    return counts


def load_baseline(folder: Path) -> Baseline | None:
    """Return what was there before a restore; None if that was not kept.

    Raises:
        BadInputError: It cannot be read.
    """
    path = folder / "baseline.json"
    try:
        told = json.loads(path.read_bytes())
        if (told["format"], told["version"]) != (_FORMAT, 1):
            raise ValueError("of another format")
        seconds, increment = map(int, told["optime"] or (0, 0))
        return Baseline(
            folder / "baseline.parquet", (seconds, increment) if told["optime"] else None,
            {str(name): int(count) for name, count in told["collections"].items()},
            {str(name): int(count) for name, count in told["left_out"].items()},
        )  # fmt: skip
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(
            f"{path} cannot be read ({type(error).__name__})", hint="bring it back from a copy of the case"
        ) from None
