"""When the records of a collection were made, those that are missing and those that are not."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import bson
from bson import ObjectId
from bson.errors import InvalidBSON

from recovery_nb.case import Case
from recovery_nb.compare.model import Status
from recovery_nb.compare.moments import OnServer, RefusedError, Tabled, tells_time, time_of
from recovery_nb.compare.resolve import is_bucketed, shown
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import CODEC
from recovery_nb.reports.windows import Buckets, Countable, Moments, bucketed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST", "Timeline", "timeline"]

MOST = 1_000_000
"""Of more records than this the times are not read one by one: it takes too long for a picture."""

_BATCH = 1_000
_TRIED = 200
_LATER = ("updat", "modif", "expir", "delet", "chang", "last", "seen", "end", "clos", "finish")
"""Words in the names of dates that say when a record was last touched, not when it was made."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the records of one collection were made, in UTC.

    Attributes:
        collection: The collection.
        field: What says so: a field's name; "_id" for the time in an ObjectId.
        buckets: The records by time.
        undated: How many missing records do not say when they were made.
    """

    collection: str
    field: str
    buckets: Buckets
    undated: int

    @property
    def subject(self) -> str:
        """What is counted, by what: "quotes by created_at"."""
        return f"{shown(self.collection)} by {'the time in _id' if self.field == '_id' else self.field}"

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a bucket: its start and end, and how many records are present, changed and missing."""
        return self.buckets.to_pandas()


def timeline(case: Case, comparison: Comparison, collection: str, *, field: str = "") -> Timeline:
    """Return when a collection's records were made.

    The database counts its own records; those that differ are counted from what the comparison noted. For another
    date than that, they are read again from their sources, if they are not more than `MOST`.

    Args:
        case: The open case.
        comparison: What says which records are missing and which changed.
        collection: The collection.
        field: The date to go by, with dots between the steps of a path; "_id" for the time in an ObjectId; "" for a
            date that says when a record was made, if there is one, else its ObjectId.

    Raises:
        BadInputError: No missing record has that date, or the collection cannot be counted so: a view, a time-series.
        DamagedSourceError: A source has changed since it was compared.
        ConnectionFailedError: The server went away.
    """
    counts = comparison.counts.get(collection)
    kind = case.database.collections().get(collection, {}).get("type", "collection")
    if is_bucketed(collection) or kind != "collection":
        what = "view" if kind == "view" else "time-series"
        raise BadInputError(
            f"{shown(collection).removesuffix(' (a time-series)')} is a {what}: it is not counted by time"
        )
    if counts is None:
        raise BadInputError(f"{collection} was not compared")
    noted = comparison.summary.made.get(collection, "") if tells_time(comparison.table) else ""
    missing: Countable
    changed: Countable
    if noted and field in ("", noted):
        field = noted
        missing, changed = (Tabled(comparison.table, collection, status) for status in (Status.MISSING, Status.CHANGED))
    else:
        field, missing, changed = _read(comparison, collection, field)
    try:
        buckets = bucketed(OnServer(case.database, collection, field), missing, changed)
    except RefusedError:
        buckets = bucketed(_live(case, collection, field), missing, changed)
    dated = sum(buckets.missing) + buckets.outside_missing
    if counts.missing and not dated:
        raise BadInputError(f"no missing record of {collection} has a date in {field}")
    return Timeline(collection, field, buckets, counts.missing - dated)


def _read(comparison: Comparison, collection: str, field: str) -> tuple[str, Moments, Moments]:
    """Read the times of what differs from its sources, and find the field that says them if none is named."""
    counts = comparison.counts[collection]
    if counts.missing + counts.changed > MOST:
        count = f"{counts.missing + counts.changed:,}"
        raise BadInputError(f"{count} records of {collection} differ: too many to read the times of all")
    found = []
    for status in (Status.MISSING, Status.CHANGED):
        rows = (row for row in comparison.rows((status,)) if row["collection"] == collection)
        first = [record for record in map(_decoded, _bytes(comparison, islice(rows, _TRIED))) if record]
        field = field or _field(first)
        if not field:
            raise BadInputError(f"no missing record of {collection} says when it was made")
        times = array("q", _times(first, field))
        times.extend(_times(map(_decoded, _bytes(comparison, rows)), field))
        found.append(Moments(times))
    return field, found[0], found[1]


def _live(case: Case, collection: str, field: str) -> Moments:
    """Read the times of the records in the database, where the server cannot count them."""
    if (count := case.database.count(collection)) > MOST:
        raise BadInputError(f"{collection} holds {count:,} records: too many to read the times of all")
    return Moments(array("q", _times(map(_decoded, case.database.find(collection, {})), field)))


def _times(records: Iterable[Mapping[str, Any]], field: str) -> Iterator[int]:
    return (time for record in records if (time := time_of(record, field)) is not None)


def _bytes(comparison: Comparison, rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Read the records of some differences from their sources, a thousand at a time."""
    waiting = iter(rows)
    while batch := list(islice(waiting, _BATCH)):
        for source in {row["source"] for row in batch}:
            refs = [
                (row["source_collection"], Ref(row["member"], row["offset"], row["length"]))
                for row in batch
                if row["source"] == source
            ]
            yield from comparison.readings.fetch(comparison.sources[source], refs)


def _decoded(record: bytes) -> dict[str, Any]:
    try:
        return bson.decode(record, CODEC)
    except (InvalidBSON, ValueError, RecursionError):
        return {}  # a picture leaves out what only a restore must judge


def _field(records: list[dict[str, Any]]) -> str:
    """Return the first field in which all of these records have a date of their making, else `_id` if that has one."""
    names = [name for name, value in (records[0] if records else {}).items() if isinstance(value, datetime)]
    for name in names:
        early = not any(word in name.lower() for word in _LATER)
        if early and all(isinstance(record.get(name), datetime) for record in records):
            return name
    return "_id" if any(isinstance(record.get("_id"), ObjectId) for record in records) else ""
