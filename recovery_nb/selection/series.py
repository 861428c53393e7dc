"""Which buckets of a time-series can be put back without storing a measurement twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from bson.raw_bson import RawBSONDocument

from recovery_nb.compare.resolve import series_of
from recovery_nb.compare.result import Comparison
from recovery_nb.compare.series import Series, identities
from recovery_nb.files import scratch
from recovery_nb.records.elements import InvalidRecordError, build, elements
from recovery_nb.selection.loading import Loaded
from recovery_nb.selection.structures import collection_options
from recovery_nb.sources.mongodb import Database

__all__ = ["BucketCheck"]

_DATE = 0x09
_NOT_QUERIED = frozenset({0x06})
"""Types that no query can ask for: undefined."""


class BucketCheck:
    """Says of each bucket of one time-series why it is not written, if it is not.

    A bucket goes only where neither it nor any of its measurements is. The database may keep these in other buckets;
    and so may another source, some of whose buckets are wanted too.

    Args:
        comparison: What was found.
        database: The database.
        collection: The collection that holds the buckets.

    Attributes:
        series: How the time-series is made.
    """

    def __init__(self, comparison: Comparison, database: Database, collection: str) -> None:
        self._database, self._name = database, series_of(collection)
        live = database.collections().get(self._name)
        stated = Series.of(collection_options(comparison).get(self._name, {}).get("options", {}))
        self.series = stated if live is None else Series.of(live.get("options", {}))
        self._refusal = ""
        if not self.series.time:
            self._refusal = f"no source tells how the time-series {self._name} was made: create it, then compare again"
        elif stated.time and (stated.time, stated.meta) != (self.series.time, self.series.meta):
            self._refusal = f"the time-series {self._name} in the database has other fields for time and metadata"
        self._empty = live is None or not database.first(self._name, 1)
        holders = [one for one in comparison.summary.placed.values() if collection in one.values()]
        self._taken = sqlite3.connect("", check_same_thread=False) if len(holders) > 1 else None
        if self._taken:
            self._taken.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA cache_size = -8192;"
                "CREATE TABLE taken (measurement BLOB PRIMARY KEY, source TEXT) WITHOUT ROWID"
            )

    def close(self) -> None:
        """Remove the temporary file, if there is one."""
        if self._taken:
            self._taken.close()

    def hold(self, one: Loaded) -> str:
        """Return why a bucket is not written, "" if it is.

        Raises:
            ConnectionFailedError: The database does not answer.
            RecoveryError: The temporary file cannot be written.
        """
        if one.current is not None:
            return one.row["note"] or "the database holds a bucket of this _id, and a bucket is never rewritten"
        if self._refusal:
            return self._refusal
        try:
            measured = self.series.measurements(one.planned)
            names = identities(measured)
        except InvalidRecordError as error:
            return f"its measurements cannot be read: {error}"
        if not names:
            return "it holds no measurement"
        times = sorted(map(_time, measured))
        if times[-1] - times[0] > self.series.span * 1000:
            return f"its measurements are further apart than those of a bucket of {self._name} can be"
        if there := 0 if self._empty else self._there(measured, names, (times[0], times[-1])):
            return f"the database holds {there:,} of its {len(names):,} measurements in other buckets"
        if twice := self._twice(names, one.row["source"]):
            return f"{twice:,} of its {len(names):,} measurements are in another source's bucket, which is written"
        return str(one.row["note"] or "")

    def _there(self, measured: Sequence[bytes], names: Sequence[bytes], span: tuple[int, int]) -> int:
        """Return how many of a bucket's measurements the database has, in whatever bucket.

        They are the same by their `_id`, or by all of their fields; one without an `_id` by the fields that it has,
        for a driver that stored it again gave it one.
        """
        wanted = {*names, *filter(None, map(_id, measured))}
        found: set[bytes] = set()
        for record in self._database.find(self._name, self._around(measured[0], span)):
            bare = build([element for element in elements(record) if element[1] != b"_id"])
            found.update(name for name in (*identities([record, bare]), _id(record)) if name in wanted)
        return sum(1 for record, name in zip(measured, names, strict=True) if name in found or _id(record) in found)

    def _around(self, measurement: bytes, span: tuple[int, int]) -> RawBSONDocument:
        """Return the query for what the database has of the time and the metadata of a bucket."""
        time, *others = elements(measurement)
        since, until = (moment.to_bytes(8, "little", signed=True) for moment in span)
        query = [(0x03, time[1], build([(_DATE, b"$gte", since), (_DATE, b"$lte", until)]))]
        meta = others[0] if others and others[0][1] == self.series.meta.encode() else None
        if meta and meta[0] not in _NOT_QUERIED:
            query.append((0x03, meta[1], build([(meta[0], b"$eq", meta[2])])))
        return RawBSONDocument(build(query))

    def _twice(self, names: Sequence[bytes], source: str) -> int:
        """Return how many measurements another source's bucket brings already; note those of this one if none."""
        if self._taken is None:
            return 0
        with scratch("measurements"):
            ask = "SELECT 1 FROM taken WHERE measurement = ? AND source <> ?"
            twice = sum(1 for name in names if self._taken.execute(ask, (name, source)).fetchone())
            if not twice:
                self._taken.executemany("INSERT OR IGNORE INTO taken VALUES (?, ?)", [(name, source) for name in names])
        return twice


def _time(measurement: bytes) -> int:
    """Return the time of a measurement, its first field, in milliseconds since 1970."""
    return int.from_bytes(next(elements(measurement))[2], "little", signed=True)


def _id(measurement: bytes) -> bytes:
    """Return the `_id` of a measurement, which a driver gives it; b"" where it has none."""
    return next((bytes([kind]) + value for kind, name, value in elements(measurement) if name == b"_id"), b"")
