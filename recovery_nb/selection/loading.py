"""The records behind differences: as their sources have them, and as the database has them now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recovery_nb.compare.model import Status
from recovery_nb.compare.readings import checked
from recovery_nb.compare.result import Comparison
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import id_element
from recovery_nb.records.keys import canonical
from recovery_nb.records.parts import in_parts
from recovery_nb.restore.plan import Selected
from recovery_nb.restore.rows import Rows
from recovery_nb.selection.picking import Row
from recovery_nb.sources.base import Typing
from recovery_nb.sources.mongodb import Database

__all__ = ["Loaded", "batches", "load", "planned", "planned_bytes", "selected"]

_BATCH = 1_000
_BATCH_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """A difference with its records.

    Attributes:
        row: The difference.
        id: Type byte and value bytes of the `_id`; b"" for none.
        planned: The record as its source has it, types put back.
        current: The database's record now; None where it has none.
    """

    row: Row
    id: bytes
    planned: bytes
    current: bytes | None


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in batches whose records are few and small enough to be held together."""
    return in_parts(rows, lambda row: max(row["length"] or 0, 0), most=_BATCH, most_bytes=_BATCH_BYTES)


def planned(comparison: Comparison, rows: Sequence[Row]) -> list[bytes]:
    """Read the records of some differences again from their sources.

    Raises:
        DamagedSourceError: A source has changed since it was compared.
    """
    found = [b""] * len(rows)
    for source in dict.fromkeys(row["source"] for row in rows):
        numbers = [number for number, row in enumerate(rows) if row["source"] == source]
        refs = [(rows[n]["source_collection"], _ref(rows[n])) for n in numbers]
        entry = comparison.sources[source]
        for number, record in zip(numbers, comparison.readings.fetch(entry, refs), strict=True):
            found[number] = checked(record, rows[number]["fingerprint"], entry)
    return found


def load(comparison: Comparison, database: Database, rows: Iterable[Row]) -> Iterator[list[Loaded]]:
    """Yield differences with their records, batch by batch.

    Raises:
        DamagedSourceError: A source has changed since it was compared.
        ConnectionFailedError: The database does not answer.
    """
    for batch in batches(rows):
        records = planned(comparison, batch)
        ids = [row["id"] or id_element(record) or b"" for row, record in zip(batch, records, strict=True)]
        current: dict[str, dict[bytes, bytes]] = {}
        for collection in {row["collection"] for row in batch}:
            here = [own for own, row in zip(ids, batch, strict=True) if own and row["collection"] == collection]
            current[collection] = database.fetch(collection, here)
        yield [
            Loaded(row, own, record, _at(current[row["collection"]], own))
            for row, own, record in zip(batch, ids, records, strict=True)
        ]


def _at(current: Mapping[bytes, bytes], own: bytes) -> bytes | None:
    """Return the record that has this `_id`; where there is none at all, nothing has to be computed."""
    return current.get(canonical(own[0], own[1:])) if current and own else None


def selected(comparison: Comparison, one: Loaded, *, hold: str, named: bool) -> Selected:
    """Return a record that is wanted, as a plan takes it.

    Args:
        comparison: What was found.
        one: The record.
        hold: Why it is not written, "" if it is.
        named: Whether it was named by key: then it is taken even where the database's version is newer.
    """
    row = one.row
    return Selected(
        collection=row["collection"], key_text=row["key"], id=one.id, current=one.current, planned=one.planned,
        source=row["source"], ref=_ref(row), inferred=row["inferred"], newer="" if named else row["newer"],
        hold=hold, incomplete=comparison.sources[row["source"]].typing is Typing.TEXT,
    )  # fmt: skip


def _ref(row: Mapping[str, Any]) -> Ref:
    return Ref(row["member"], row["offset"], row["length"], partial=row["status"] == Status.CORRUPT)


def planned_bytes(comparison: Comparison, rows: Rows) -> list[bytes]:
    """Read the records of some rows of a plan again from their sources, types put back.

    Raises:
        DamagedSourceError: A record is not there any more.
        BadInputError: A source is not there any more.
    """
    found: list[bytes] = [b""] * len(rows)
    for source in set(rows.sources):
        numbers = [number for number, one in enumerate(rows.sources) if one == source]
        given = {name: given for given, name in comparison.summary.placed[source].items()}
        refs = [
            (
                given[rows.collections[n]],
                Ref(rows.members[n], rows.offsets[n], rows.lengths[n], partial=rows.partials[n]),
            )
            for n in numbers
        ]
        for number, record in zip(numbers, comparison.readings.fetch(comparison.sources[source], refs), strict=True):
            found[number] = record
    return found
