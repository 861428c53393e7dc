"""The database's side of a comparison: fingerprints of each collection, and the types that its fields have."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from recovery_nb.catalog.table import FingerprintTable
from recovery_nb.events import Emit, Event, silent
from recovery_nb.records.batch import RecordBatch
from recovery_nb.records.elements import elements
from recovery_nb.records.schema import Schema, observe
from recovery_nb.sources.mongodb import Database, Snapshot

__all__ = ["Live", "first_fields", "read_live"]

_SAMPLE = 10_000
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Live:
    """One collection as the database has it.

    Attributes:
        table: Its fingerprints, in Parquet.
        records: How many there are.
        schema: The types of its fields, from a sample spread over it; empty where no source needs it.
    """

    table: Path
    records: int
    schema: Schema


def ahead(batches: Iterable[RecordBatch]) -> Iterator[RecordBatch]:
    """Yield from an iterable that a thread drains, at most two batches ahead: the server works while we hash."""
    waiting: queue.Queue[RecordBatch | BaseException | None] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def hand_on(item: RecordBatch | BaseException | None) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def drain() -> None:
        try:
            for batch in batches:
                hand_on(batch)
                if stop.is_set():
                    return
            hand_on(None)
        except BaseException as error:
            hand_on(error)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


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
    with FingerprintTable(table, key=lambda _: key) as rows:
        for batch in ahead(database.read(collection, snapshot)):
            if with_schema:
                sample += batch.records[::step]
            rows.add(collection, batch.records, offsets=batch.offsets, lengths=batch.lengths)
            emit(Event("compare", collection, rows.rows, max(total, rows.rows)))
    return Live(table, rows.rows, observe(sample) if with_schema else Schema())
