"""Time-series in a comparison: their buckets are compared, and are alike where their measurements are.

A server keeps the measurements of a time-series X in buckets, the records of `system.buckets.X`. It packs a bucket anew
when it is full, and goes on filling one after it was backed up: then its bytes differ, and nothing is lost.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.model import Status
from recovery_nb.compare.resolve import Placement, is_bucketed, series_of
from recovery_nb.compare.rows import RowWriter
from recovery_nb.compare.screen import Screen
from recovery_nb.compare.stage import Stage, Work
from recovery_nb.records.buckets import measurements
from recovery_nb.records.elements import InvalidRecordError, build, elements
from recovery_nb.sources.base import BUCKETS

__all__ = ["Series", "SeriesStage", "comparable", "identities", "series_note"]

_LONGEST_SPAN = 31_536_000
"""The largest `bucketMaxSpanSeconds` that a server takes: a year."""
_PACKED = "the same measurements, packed in another way"


@dataclass(frozen=True, slots=True)
class Series:
    """How a time-series was made, as far as its measurements need it.

    Attributes:
        time: The field that holds the time; "" where it is not known.
        meta: The field whose value the measurements of a bucket share; "" for none.
        span: The most seconds that lie between two measurements of a bucket; the most that a server allows, if unknown.
    """

    time: str = ""
    meta: str = ""
    span: int = _LONGEST_SPAN

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Series:
        """Return what the options of a collection say (`create`'s `timeseries`)."""
        stated = options.get("timeseries")
        if not isinstance(stated, Mapping):
            return cls()
        time, meta = stated.get("timeField"), stated.get("metaField")
        span = stated.get("bucketMaxSpanSeconds")
        return cls(
            time if isinstance(time, str) else "",
            meta if isinstance(meta, str) else "",
            int(span) if isinstance(span, int | float) and 0 < span < _LONGEST_SPAN else _LONGEST_SPAN,
        )

    def measurements(self, bucket: bytes) -> list[bytes]:
        """Return the measurements of a bucket.

        Raises:
            InvalidRecordError: It is no bucket, or not one of this series.
        """
        return measurements(bucket, meta_field=self.meta or "meta", time_field=self.time)


def identities(measured: Sequence[bytes]) -> list[bytes]:
    """Return for each measurement what it has in common with its like: its fields, in whatever order a bucket has them.

    Raises:
        InvalidRecordError: A measurement's structure is broken.
    """
    return [hashlib.sha256(build(sorted(elements(one)))).digest() for one in measured]


def comparable(
    placements: Sequence[Placement], infos: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Placement], list[str], list[str]]:
    """Return the placements whose records the database keeps as the sources do, and why the others are left out.

    Those others are told in two lists: first what cannot be compared for as long as something else stands in its place
    in the database, and what to do about it; then the measurements that a source has one by one, and not in buckets.

    Args:
        placements: Where the sources' records belong.
        infos: The database's collections, as `listCollections` has them.
    """
    bucketed = {series_of(p.collection) for p in placements if is_bucketed(p.collection)}
    out: list[Placement] = []
    apart: dict[str, None] = {}
    notes: dict[str, None] = {}
    for p in placements:
        name = series_of(p.collection)
        kind = infos.get(name, {}).get("type", "")
        if kind not in ("", "collection", "timeseries"):
            given = series_of(p.given) or name
            why = f"{name} is a {kind} in the database, and the records of {given} in {p.source.name} are not compared"
            hint = f"to have them, give --collection {given} and another --target-collection, or drop the {kind}"
            apart[f"{why}; {hint}"] = None
        elif is_bucketed(p.collection) and kind == "collection":
            apart[f"{name} is no time-series in the database, as it is in {p.source.name}: it is not compared"] = None
        elif not is_bucketed(p.collection) and (kind == "timeseries" or name in bucketed):
            notes[f"{name} is a time-series: records of it that are not in buckets, as in {p.source.name}, "
                  "are not compared"] = None  # fmt: skip
        else:
            out.append(p)
    return out, list(apart), list(notes)


def series_note(collection: str, buckets: int, measured: int, sources: Sequence[SourceEntry]) -> str:
    """Return how many measurements and buckets of a time-series there are on each side.

    Args:
        collection: The collection that holds its buckets.
        buckets: How many the database has.
        measured: How many measurements are in them.
        sources: The sources that hold buckets of it by this name.
    """
    name = series_of(collection)
    told = [f"{measured:,} measurements in {buckets:,} buckets in the database"]
    told += [
        f"{one.collections[name]:,} in {one.buckets[name]:,} in {one.name}"
        for one in sources
        if name in one.buckets and name in one.collections
    ]
    return f"{name} is a time-series, compared bucket by bucket ({BUCKETS}{name}): {', '.join(told)}"


class SeriesStage(Stage):
    """Rechecks and explains what the screening of the buckets of one time-series found."""

    def __init__(
        self,
        work: Work,
        name: str,
        key: tuple[str, ...],
        sources: list[SourceEntry],
        screen: Screen,
        rows: RowWriter,
        *,
        series: Series,
    ) -> None:
        super().__init__(work, name, key, sources, screen, rows)
        self.series = series

    def _explained(self, row: Mapping[str, Any], current: bytes, candidate: bytes) -> None:
        try:
            there, here = (Counter(identities(self.series.measurements(one))) for one in (current, candidate))
        except InvalidRecordError:  # of a layout that is not known: byte for byte, as any record
            super()._explained(row, current, candidate)
            return
        lost, more = (here - there).total(), (there - here).total()
        if not lost:
            note = _PACKED if not more else f"the database's bucket holds all of its measurements, and {more:,} more"
        else:
            note = f"{lost:,} of its {here.total():,} measurements are not in the database's bucket of this _id"
        self.add_as(row, current, Status.CHANGED if lost else Status.EQUIVALENT, note)

    def add_as(self, row: Mapping[str, Any], current: bytes, status: Status, note: str) -> None:
        """Add a difference between two buckets of one `_id`."""
        shown = self.base({**row, "current": hashlib.sha256(current).digest()}, status)
        self._add({**shown, "note": note})
