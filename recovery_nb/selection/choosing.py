"""From differences to the records that someone wants back, in the order in which they are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from recovery_nb.compare.model import Status
from recovery_nb.compare.resolve import is_bucketed
from recovery_nb.compare.result import Comparison
from recovery_nb.records.keys import canonical
from recovery_nb.restore.plan import Selected
from recovery_nb.selection.altered import Altered
from recovery_nb.selection.choices import Keys
from recovery_nb.selection.gridfs import Files, chunks_of
from recovery_nb.selection.loading import Loaded, batches, load, planned, selected
from recovery_nb.selection.picking import COLUMNS, PARTIAL_FILE, RESTORABLE, Picker, Row, rows_of
from recovery_nb.selection.query import Query
from recovery_nb.selection.series import BucketCheck
from recovery_nb.selection.structures import collection_options
from recovery_nb.sources.mongodb import Database

__all__ = ["select"]

_FILES = ".files"
Matches = Callable[[Sequence[bytes]], list[bool]]
"""Says of records which of them a query matches."""


def select(
    comparison: Comparison,
    database: Database,
    *,
    statuses: Sequence[Status],
    keys: Keys | None = None,
    query: Mapping[str, Any] | None = None,
) -> Iterator[Selected]:
    """Yield the records to be restored, with the database's version of each as it is now.

    Records that are named by key are taken whatever their status among `RESTORABLE`, and also where the
    database's version is newer: the analyst has decided. Where a source holds several versions of a record, no
    one can tell which it was: it is held back until one is named by its place. What may have been altered since it was
    backed up is held back until it is named by key.

    A file in GridFS brings its chunks, and they come before it. Records of a capped collection come in the order of
    the sources, the oldest source first. A bucket of a time-series is held back unless the database lacks it and
    all of its measurements.

    Args:
        comparison: What was found.
        database: The database.
        statuses: The differences that are wanted where none is named by key.
        keys: Only the records that are named.
        query: Only the records, as the sources have them, that this query matches; of a time-series, the buckets
            with a measurement that it matches.

    Raises:
        DamagedSourceError: A source has changed since it was compared.
        BadInputError: A chosen source is none of this comparison; the server does not take the query.
        MissingRequirementError: There is a query, and the server is older than MongoDB 5.1.
        ConnectionFailedError: The database does not answer.
    """
    picker = Picker(comparison, statuses, keys)
    asked = None if query is None else Query(database, query)
    return _Selection(comparison, database, picker, asked).run()


class _Selection:
    def __init__(self, comparison: Comparison, database: Database, picker: Picker, query: Query | None) -> None:
        self._comparison, self._database, self._picker, self._query = comparison, database, picker, query
        self._altered = Altered(comparison)
        names = list(comparison.summary.collections)
        capped = self._capped()
        self._files = [name for name in names if name.endswith(_FILES)]
        self._chunks = [chunks_of(name) for name in self._files if chunks_of(name) in names]
        of_gridfs = {*self._files, *self._chunks}
        self._ordered = [name for name in names if name not in of_gridfs and (name in capped or is_bucketed(name))]

    def _capped(self) -> set[str]:
        """Return the capped collections, as the database has them or as they would be made."""
        known = {name: stated.get("options", {}) for name, stated in collection_options(self._comparison).items()}
        known |= {name: info.get("options", {}) for name, info in self._database.collections().items()}
        return {name for name, options in known.items() if options.get("capped")}

    def run(self) -> Iterator[Selected]:
        with closing(self._altered):
            yield from self._every()

    def _every(self) -> Iterator[Selected]:
        apart = {*self._files, *self._chunks, *self._ordered}
        rows = self._comparison.rows(self._picker.statuses, columns=COLUMNS)
        yield from self._records(row for row in rows if row["collection"] not in apart)
        for name in self._ordered:
            yield from self._buckets(name) if is_bucketed(name) else self._records(self._in_order(name))
        for name in self._files:
            yield from self._gridfs(name)

    def _in_order(self, collection: str) -> Iterator[Row]:
        """Stream the differences of a collection in the order of the sources, the oldest source first."""
        entries = [self._comparison.sources[one] for one in reversed(self._comparison.summary.sources)]
        order = [entry.id for entry in sorted(entries, key=lambda entry: entry.taken_at)]
        return rows_of(self._comparison, collection, self._picker.statuses, source_order=order)

    def _picked(self, rows: Iterator[Row]) -> Iterator[Row]:
        return (taken for row in rows if (taken := self._picker.pick(row)) is not None)

    def _matches(self, records: Sequence[bytes]) -> list[bool]:
        return self._query.matches(records) if self._query and records else [True] * len(records)

    def _wanted(self, rows: Iterator[Row], matches: Matches | None = None) -> Iterator[Loaded]:
        """Yield the records of the differences that are named and that the query matches."""
        matches = matches or self._matches
        for batch in load(self._comparison, self._database, self._picked(rows)):
            verdicts = matches([one.planned for one in batch])
            yield from (one for one, verdict in zip(batch, verdicts, strict=True) if verdict)

    def _selected(self, one: Loaded, hold: str) -> Selected:
        return selected(self._comparison, one, hold=hold, named=self._picker.keys is not None)

    def _hold(self, row: Row) -> str:
        """Return why a record is held back that nothing but where it was found speaks against."""
        return _note(row) or self._doubt(row)

    def _doubt(self, row: Row) -> str:
        """Return why a record may have been altered: who names keys has decided."""
        return self._altered.hold(row) if self._picker.keys is None else ""

    def _records(self, rows: Iterator[Row]) -> Iterator[Selected]:
        for one in self._wanted(rows):
            yield self._selected(one, self._hold(one.row))

    def _buckets(self, name: str) -> Iterator[Selected]:
        # The most trusted source first: of two sources' buckets with the same measurements, its one is written.
        rows = rows_of(self._comparison, name, self._picker.statuses, source_order=self._comparison.summary.sources)
        with closing(BucketCheck(self._comparison, self._database, name)) as check:
            query = self._query
            matches = partial(query.matches_buckets, series=check.series) if query else None
            for one in self._wanted(rows, matches):
                # In doubt first: the check takes what it does not hold for written.
                hold = "" if one.row["status"] == Status.CORRUPT else self._doubt(one.row) or check.hold(one)
                yield self._selected(one, hold)

    def _gridfs(self, name: str) -> Iterator[Selected]:
        chunks = chunks_of(name)
        with closing(Files()) as files:
            for one in self._wanted(rows_of(self._comparison, name, self._picker.statuses)):
                anyway = PARTIAL_FILE in one.row or one.row["status"] == Status.CORRUPT
                files.want(one.planned, source=one.row["source"], partial=anyway, hold=self._hold(one.row))
            if len(files):
                self._gather(files, chunks)
            if chunks in self._chunks:
                yield from self._chunks_of(files, chunks)
            for one in self._wanted(rows_of(self._comparison, name, self._picker.statuses)):
                yield self._selected(one, files.hold_of_file(one.id) or self._hold(one.row))

    def _gather(self, files: Files, chunks: str) -> None:
        """Tell what there is of the chunks of the files that are wanted, and have the files judged."""
        for batch in batches(rows_of(self._comparison, chunks, RESTORABLE)):
            for row, record in zip(batch, planned(self._comparison, batch), strict=True):
                files.planned(record, source=row["source"], place=_place(row), doubt=self._doubt(row))
        for row in rows_of(self._comparison, chunks, [Status.EXTRA]):
            files.foreign(row["id"])
        for query in files.queries():
            for record in self._database.find(chunks, query):
                files.current(record)

        def read(chunks_read: Sequence[tuple[str, bytes]]) -> list[bytes]:
            there = self._database.fetch(chunks, [own for place, own in chunks_read if not place])
            rows = [_row(place) for place, _ in chunks_read if place]
            again = iter(planned(self._comparison, rows))
            return [next(again) if place else there.get(canonical(own[0], own[1:]), b"") for place, own in chunks_read]

        files.settle(read)

    def _chunks_of(self, files: Files, chunks: str) -> Iterator[Selected]:
        """Yield the chunks of the files that are wanted, and those that are wanted themselves."""
        brought = (Status.MISSING, Status.CHANGED) if len(files) else ()

        def rows() -> Iterator[Row]:
            for row in rows_of(self._comparison, chunks, tuple({*self._picker.statuses, *brought})):
                if (taken := self._picker.pick(row)) is not None:
                    yield {**taken, _PICKED: True}
                elif row["status"] in brought:
                    yield row

        for batch in load(self._comparison, self._database, rows()):
            holds = [None if one.row["status"] == Status.CORRUPT else files.hold_of_chunk(one.planned) for one in batch]
            asked = [number for number, one in enumerate(batch) if holds[number] is None and _PICKED in one.row]
            wanted = dict(zip(asked, self._matches([batch[n].planned for n in asked]), strict=True))
            for number, (one, hold) in enumerate(zip(batch, holds, strict=True)):
                if hold is not None or wanted.get(number):
                    yield self._selected(one, hold or self._hold(one.row))


_PICKED = "picked"
"""What the row of a chunk holds beside its columns where it is wanted whatever its file is."""

_PLACE = ("source", "source_collection", "member", "offset", "length", "status")


def _place(row: Row) -> dict[str, object]:
    """Return what finds a record again, as JSON values."""
    return {**{name: row[name] for name in _PLACE}, "fingerprint": row["fingerprint"].hex()}


def _row(place: str) -> Row:
    row: Row = json.loads(place)
    return {**row, "fingerprint": bytes.fromhex(row["fingerprint"])}


def _note(row: Row) -> str:
    """Return why a record is held back that nothing but its difference speaks against."""
    note = "" if row["status"] == Status.CORRUPT else str(row["note"])
    return note and f"{note}; name the one to take in a keys file"
