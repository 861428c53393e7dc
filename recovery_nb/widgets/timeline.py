"""When the missing records were made, and those that are present: what the picture of a loss is drawn from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import bson
from bson import ObjectId
from bson.errors import InvalidBSON

from recovery_nb.case import Case
from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import CODEC
from recovery_nb.reports.plots import timeline

__all__ = ["MOST", "Times", "pictures", "times"]

MOST = 1_000_000
"""A collection of more records than this is not drawn: reading all their times takes too long for a picture."""

_BATCH = 1_000
_TRIED = 200
_LATER = ("updat", "modif", "expir", "delet", "chang", "last", "seen", "end", "clos", "finish")
"""Words in the names of dates that say when a record was last touched, not when it was made."""


@dataclass(frozen=True, slots=True)
class Times:
    """When the records of one collection were made, in UTC.

    Attributes:
        collection: The collection.
        field: What says so: a field's name; "_id" for the time in an ObjectId.
        present: Of the records in the database.
        missing: Of those that are missing from it.
    """

    collection: str
    field: str
    present: list[datetime]
    missing: list[datetime]


def pictures(
    case: Case, comparison: Comparison, *, skip: Sequence[str] = (), most: int = 3
) -> Iterator[tuple[str, bytes]]:
    """Yield, for the collections that lost most, what the picture shows and the picture as PNG.

    Collections of which no time is known, or of more than `MOST` records, are passed over.
    """
    counts = {name: one.missing for name, one in comparison.counts.items() if name not in skip}
    lost = {name: missing for name, missing in counts.items() if missing}
    for name in sorted(lost, key=lambda name: (-lost[name], name))[:most]:
        if max(comparison.summary.records.get(name, 0), lost[name]) > MOST:
            continue
        found = times(case, comparison, name)
        if found is not None:
            by = "the time in _id" if found.field == "_id" else found.field
            title = f"{name} by {by}"
            yield f"When was data lost? {title}", timeline(found.present, found.missing, title=title)


def times(case: Case, comparison: Comparison, collection: str) -> Times | None:
    """Return when a collection's records were made: by a date field if they have one, else by their ObjectIds.

    Returns:
        None where no missing record says when it was made.

    Raises:
        DamagedSourceError: A source has changed since it was compared.
    """
    rows = (row for row in comparison.rows((Status.MISSING,)) if row["collection"] == collection)
    first = [record for record in map(_decoded, _bytes(comparison, islice(rows, _TRIED))) if record]
    field = _field(first)
    if not field:
        return None
    rest = map(_decoded, _bytes(comparison, rows))
    missing = [time for record in [*first, *rest] if (time := _time(record.get(field)))]
    found = case.database.client[case.database.name][collection].find({}, {field: 1})
    present = [time for record in found if (time := _time(_decoded(record.raw).get(field)))]
    return Times(collection, field, present, missing)


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


def _time(value: object) -> datetime | None:
    if isinstance(value, ObjectId):
        return value.generation_time
    return value.astimezone(UTC) if isinstance(value, datetime) else None
