"""The records themselves as a dataframe, as their sources have them, for the analyst's own looking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.frames.frame import Frame
from recovery_nb.compare.frames.query import Filter, selected
from recovery_nb.compare.frames.values import ABSENT, decoded, objects
from recovery_nb.compare.model import Status
from recovery_nb.compare.readings import Readings, checked
from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Ref
from recovery_nb.records.parts import in_parts

__all__ = ["records"]

_HELD = (Status.MISSING, Status.CHANGED, Status.EQUIVALENT)
"""The differences of which a source holds one whole record that a restore would take."""
_PLACE = 'collection, key, source, source_collection, member, "offset", length, fingerprint'
_BATCH = 1_000
_BATCH_BYTES = 16 * 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
"""Of the records altogether: as Python objects they take about ten times as much."""
_MOST_FIELDS = 200

Row = dict[str, Any]


def records(
    folder: Path, wanted: Filter, *, sources: Mapping[str, SourceEntry], readings: Readings, most: int
) -> Frame:
    """Return the records behind differences, by collection and key, with their fields as columns.

    What a record lacks is `ABSENT` (pandas' NA), a null is None, and every other value keeps its type. Each is
    read again from its source and checked by its fingerprint. At most `most` records and 64 MiB of them are read, and
    200 fields are columns, those met first; what is left out is said by the dataframe's HTML and its `attrs`:
    `total` is the number of records that were meant.

    Args:
        folder: The comparison's.
        wanted: Which differences; only missing, changed and equivalent ones have a record in a source.
        sources: The comparison's sources by id.
        readings: What reads them.
        most: The most records to read.

    Raises:
        BadInputError: `most` is no positive number, another status is asked for, the condition is no SQL,
            or a source is not there any more.
        DamagedSourceError: A source has changed since it was compared.
    """
    if most < 1:
        raise BadInputError(f"at most {most} records are none", hint="give a positive number")
    if other := [status for status in wanted.statuses if status not in _HELD]:
        raise BadInputError(f"no one record stands behind what is {other[0]}", hint=f"choose of {', '.join(_HELD)}")
    held = Filter(wanted.statuses or tuple(_HELD), wanted.collections, wanted.where)
    rows, total = selected(folder, held, lambda found: _rows(found, most))
    taken: list[Row] = []
    fields: dict[str, list[object]] = {}
    left: set[str] = set()
    for row, record in _read(rows, sources, readings):
        for name, value in decoded(record).items():
            if name not in fields and len(fields) == _MOST_FIELDS:
                left.add(name)
                continue
            column = fields.setdefault(name, [])
            column.extend([ABSENT] * (len(taken) - len(column)))
            column.append(value)
        taken.append(row)
    for column in fields.values():
        column.extend([ABSENT] * (len(taken) - len(column)))
    index = pd.MultiIndex.from_arrays(
        [[row["collection"] for row in taken], [row["key"] for row in taken]], names=["collection", "key"]
    )
    series = {name: pd.Series(objects(column), index=index, dtype=object) for name, column in fields.items()}
    frame = Frame(series, index=index)
    frame.attrs["total"] = total
    return frame.of(total, note=f"{len(left):,} more fields are left out" if left else "")


def _rows(found: Any, most: int) -> tuple[list[Row], int]:
    rows: list[Row] = found.limit(most).project(_PLACE).to_arrow_table().to_pylist()
    return rows, len(rows) if len(rows) < most else found.aggregate("count(*)").fetchall()[0][0]


def _read(rows: list[Row], sources: Mapping[str, SourceEntry], readings: Readings) -> Iterator[tuple[Row, bytes]]:
    """Yield the records in the order of the rows, until they are too many bytes; the first in any case."""
    read = 0
    for part in in_parts(rows, lambda row: max(row["length"] or 0, 0), most=_BATCH, most_bytes=_BATCH_BYTES):
        found = [b""] * len(part)
        for source in dict.fromkeys(row["source"] for row in part):
            numbers = [number for number, row in enumerate(part) if row["source"] == source]
            refs = [
                (part[n]["source_collection"], Ref(part[n]["member"], part[n]["offset"], part[n]["length"]))
                for n in numbers
            ]
            for number, record in zip(numbers, readings.fetch(sources[source], refs), strict=True):
                found[number] = checked(record, part[number]["fingerprint"], sources[source])
        for row, record in zip(part, found, strict=True):
            if read and read + len(record) > _MOST_BYTES:
                return
            read += len(record)
            yield row, record
