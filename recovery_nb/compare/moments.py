"""Counts records by the time they were made, where they are: in the table of differences, or on the server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from bson import ObjectId
from pymongo.errors import OperationFailure, PyMongoError

from recovery_nb.compare.model import Status
from recovery_nb.errors import RecoveryError
from recovery_nb.records.elements import CODEC
from recovery_nb.reports.windows import EPOCH, Tally, milliseconds
from recovery_nb.sources.mongodb import Database, explained

__all__ = ["OnServer", "RefusedError", "Tabled", "tells_time", "time_of"]

_MILLISECONDS = 20_000
_TOO_LONG = 50


class RefusedError(RecoveryError):
    """The server cannot count by time, and the records must be read instead."""


class Tabled:
    """The missing or changed records of a collection, by the column `made` of a comparison's differences."""

    def __init__(self, table: Path, collection: str, status: Status) -> None:
        self._table = table
        self._wanted = (ds.field("collection") == collection) & (ds.field("status") == status.value)

    def tallies(self, step: int, first: int, last: int) -> Mapping[int, Tally]:
        """Return them by step."""
        found: dict[int, Tally] = {}
        batches = ds.dataset(self._table, format="parquet").scanner(columns=["made"], filter=self._wanted).to_batches()
        for batch in batches:
            times = batch.column(0).drop_null().cast(pa.int64()).to_numpy()
            times = np.sort(times[(times >= first) & (times <= last)])
            numbers, starts, counts = np.unique((times - EPOCH) // step, return_index=True, return_counts=True)
            for number, start, count in zip(numbers.tolist(), starts.tolist(), counts.tolist(), strict=True):
                here = Tally(count, int(times[start]), int(times[start + count - 1]))
                found[number] = _joined(found[number], here) if number in found else here
        return found


def tells_time(table: Path) -> bool:
    """Whether a comparison noted when its records were made."""
    return "made" in pq.read_schema(table).names


class OnServer:
    """The records of a collection in the database, counted by the server itself.

    Args:
        database: The database.
        collection: The collection.
        field: The date that says when a record was made, with dots between the steps of a path; "_id" for the time in
            its ObjectId.
    """

    def __init__(self, database: Database, collection: str, field: str) -> None:
        self._database, self._collection = database, collection
        self._time = _time_of_field(field)

    def tallies(self, step: int, first: int, last: int) -> Mapping[int, Tally]:
        """Return them by step.

        Raises:
            RefusedError: The server cannot count so.
            ConnectionFailedError: It went away, or needs longer than 20 seconds.
        """
        number = {"$floor": {"$divide": [{"$subtract": ["$ms", EPOCH]}, step]}}
        pipeline: list[dict[str, Any]] = [
            {"$project": {"_id": 0, "ms": self._time}},
            {"$match": {"ms": {"$gte": first, "$lte": last}}},
            {"$group": {"_id": number, "n": {"$sum": 1}, "first": {"$min": "$ms"}, "last": {"$max": "$ms"}}},
        ]
        collection = self._database.client[self._database.name][self._collection].with_options(codec_options=CODEC)
        try:
            with collection.aggregate(pipeline, allowDiskUse=True, maxTimeMS=_MILLISECONDS) as rows:
                return {
                    int(row["_id"]): Tally(int(row["n"]), int(row["first"]), int(row["last"]))  # type: ignore[call-overload]  # numbers
                    for row in rows
                }
        except OperationFailure as error:
            if error.code == _TOO_LONG:
                raise RecoveryError(
                    f"to count the records of {self._collection} by time takes the server longer than "
                    f"{_MILLISECONDS // 1000} seconds"
                ) from None
            raise RefusedError(f"the server cannot count by time ({error.code})") from None
        except PyMongoError as error:
            with explained(self._database.label):
                raise error


def _time_of_field(field: str) -> dict[str, Any]:
    """Return the expression for a field's time in milliseconds since 1970; null where it holds none.

    `$getField` takes any name, also one with a `$`, which no path can have.
    """
    value: Any = "$$ROOT"
    for step in field.split("."):
        value = {"$getField": {"field": {"$literal": step}, "input": value}}
    if field.replace("_", "").replace(".", "").isalnum() and "" not in field.split("."):
        value = f"${field}"
    branches = [
        {"case": {"$eq": [{"$type": value}, "date"]}, "then": {"$toLong": value}},
        {"case": {"$eq": [{"$type": value}, "objectId"]}, "then": {"$toLong": {"$toDate": value}}},
    ]
    return {"$switch": {"branches": branches, "default": None}}


def time_of(record: Mapping[str, Any], field: str) -> int | None:
    """Return the time that a decoded record's field holds, in milliseconds since 1970; None for none.

    A date outside of the years 1 to 9999 is none: nothing can be drawn there.
    """
    value: Any = record
    for step in field.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, ObjectId):
        return int.from_bytes(value.binary[:4]) * 1000
    return milliseconds(value) if isinstance(value, datetime) else None


def _joined(one: Tally, other: Tally) -> Tally:
    return Tally(one.records + other.records, min(one.first, other.first), max(one.last, other.last))
