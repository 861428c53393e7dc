"""The database's side of a comparison: fingerprints of each collection, and the types that its fields have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recovery_nb.catalog.table import FingerprintTable
from recovery_nb.compare.resolve import is_bucketed
from recovery_nb.events import Emit, Event, silent
from recovery_nb.records.buckets import count
from recovery_nb.records.elements import InvalidRecordError, elements
from recovery_nb.records.schema import Schema, observe
from recovery_nb.sources.ahead import ahead
from recovery_nb.sources.mongodb import Database, Snapshot

__all__ = ["Live", "first_fields", "read_live"]

_SAMPLE = 10_000


@dataclass(frozen=True, slots=True)
class Live:
    """One collection as the database has it.

    Attributes:
        table: Its fingerprints, in Parquet.
        records: How many there are.
        schema: The types of its fields, from a sample spread over it; empty where no source needs it.
        measurements: Of the buckets of a time-series, how many measurements they hold.
    """

    table: Path
    records: int
    schema: Schema
    measurements: int = 0


def first_fields(database: Database, names: Iterable[str]) -> dict[str, Set[str]]:
    """Return the top-level fields of the first hundred records of each collection."""
    found: dict[str, Set[str]] = {}
    for name in names:
        records = database.first(name, 100)
        found[name] = {field.decode("utf-8", "replace") for record in records for _, field, _ in elements(record)}
    return found


def read_live(
    database: Database,
    collection: str,
    table: Path,
    *,
    key: Sequence[str],
    snapshot: Snapshot | None = None,
    with_schema: bool = False,
    emit: Emit = silent,
) -> Live:
    """Read a collection once: its fingerprint table, and, where asked, a sample of its types.

    Raises:
        ConnectionFailedError: The server went away.
    """
    total = database.count(collection)
    step = max(1, total // _SAMPLE)
    sample: list[bytes] = []
    measured = 0
    with FingerprintTable(table, key=lambda _: key) as rows:
        for batch in ahead(database.read(collection, snapshot)):
            if with_schema:
                sample += batch.records[::step]
            if is_bucketed(collection):
                measured += _measured(batch.records)
            rows.add(collection, batch.records, offsets=batch.offsets, lengths=batch.lengths)
            emit(Event("compare", collection, rows.rows, max(total, rows.rows)))
    return Live(table, rows.rows, observe(sample) if with_schema else Schema(), measured)


def _measured(buckets: Iterable[bytes]) -> int:
    """Count the measurements in buckets, as far as their layout is known."""
    total = 0
    for bucket in buckets:
        with suppress(InvalidRecordError):
            total += count(bucket)
    return total
