"""Which of the differences are wanted, which version of each, and in what order they are written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.selection.named import Choice, Keys
from recovery_nb.selection.versions import Versions, source_named

__all__ = ["COLUMNS", "PARTIAL_FILE", "RESTORABLE", "Picker", "Row", "collections_of", "rows_of"]

RESTORABLE = (Status.MISSING, Status.CHANGED, Status.EQUIVALENT)
"""The differences that a restore can undo."""

PARTIAL_FILE = "partial_file"
"""What a row holds beside its columns where its file is wanted although chunks of it are lost."""

COLUMNS = (
    "collection", "status", "key", "key_bytes", "id", "source", "source_collection", "member", "offset", "length",
    "fingerprint", "inferred", "newer", "note",
)  # fmt: skip
"""What a choice needs of a difference; the others are for eyes, and cost as much to load again."""

Row = dict[str, Any]
"""A row of `compare.model.DIFFERENCES`, as far as a choice needs it."""


def rows_of(
    comparison: Comparison, collection: str, statuses: Sequence[Status], *, source_order: Sequence[str] = ()
) -> Iterator[Row]:
    """Stream the differences of one collection; a few thousand are in memory at a time.

    Args:
        comparison: What was found.
        collection: The collection.
        statuses: Which differences.
        source_order: The ids of sources: their records are given one source after the other, in the order in which
            each source holds them. Without it, as the comparison lists them.

    Raises:
        BadInputError: The comparison's file cannot be read.
    """
    order = 'ORDER BY list_position(?, source), member, "offset"' if source_order else ""
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    sql = f"SELECT {columns} FROM read_parquet(?) WHERE collection = ? AND status IN (SELECT unnest(?)) {order}"
    values: list[object] = [str(comparison.table), collection, [status.value for status in statuses]]
    try:
        with duckdb.connect(config={"memory_limit": "1GB"}) as db:
            db.execute("SET enable_progress_bar = false")
            found = db.sql(sql, params=[*values, list(source_order)] if source_order else values)
            for batch in found.to_arrow_reader(4096):
                yield from batch.to_pylist()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(f"{comparison.table} cannot be read: {reason}", hint="compare again") from None


class Picker:
    """Says of a difference whether it is wanted.

    Args:
        comparison: What was found.
        statuses: The differences that are wanted where none is named by key.
        keys: The records that are named; None for all of these statuses.

    Attributes:
        statuses: The differences to be looked at: what is named is taken whatever its status.

    Raises:
        BadInputError: A source that is named is none of this comparison.
    """

    def __init__(self, comparison: Comparison, statuses: Sequence[Status], keys: Keys | None) -> None:
        self._sources = list(comparison.sources.values())
        self.keys = keys
        self.statuses: Sequence[Status] = (*RESTORABLE, Status.CORRUPT) if keys else tuple(statuses)
        self._versions = Versions(comparison, keys) if keys else None

    def pick(self, row: Row) -> Row | None:
        """Return a difference that is wanted, with the place of the version that was chosen; None for any other."""
        if self.keys is None:
            return row if row["status"] in self.statuses else None
        damaged = row["status"] == Status.CORRUPT
        if damaged and row["fingerprint"] is None:  # nothing of it can be read; there may be very many, without a key
            return None
        for number in self.keys.find(row["collection"], row["key"]):
            as_it_is = not damaged and self.keys.is_plain(number)
            if (taken := row if as_it_is else self._taken(row, number, self.keys[number])) is not None:
                self.keys.matched.add(number)
                return taken
        return None

    def _taken(self, row: Row, number: int, choice: Choice) -> Row | None:
        if choice.partial or row["status"] == Status.CORRUPT:
            return self._partial(row, choice)
        if self._versions is None or not choice.is_placed:
            return row
        # A choice that means nothing of this record takes no other version in its stead.
        version = self._versions.of(number, row["collection"], row["key_bytes"])
        if version is None:
            return None
        return {**row, **version.place, "note": "several versions answer to this choice" if version.several else ""}

    def _partial(self, row: Row, choice: Choice) -> Row | None:
        """Return the row of what is left of a damaged record, or of a file, if this choice means it."""
        is_file = row["status"] in RESTORABLE and row["collection"].endswith(".files")
        is_left = row["status"] == Status.CORRUPT and row["fingerprint"] is not None
        if not choice.partial or not (is_file or is_left):
            return None
        if choice.source and source_named(self._sources, choice.source).id != row["source"]:
            return None
        if choice.offset not in (-1, row["offset"]):
            return None
        return {**row, PARTIAL_FILE: True} if is_file else row


def collections_of(comparison: Comparison, keys: Keys) -> set[str] | None:
    """Return the collections that the named records are of, without reading a record; None where only that would tell.

    A file in GridFS brings chunks with it, and only the files say which.

    Raises:
        BadInputError: A source that is named is none of this comparison; the comparison's file cannot be read.
    """
    picker = Picker(comparison, (), keys)
    left = {
        name
        for name, counts in comparison.counts.items()
        if counts.missing or counts.changed or counts.equivalent or counts.corrupt
    }
    found: set[str] = set()
    columns = ("collection", "status", "key", "key_bytes", "source", "offset", "fingerprint")
    for row in comparison.rows(picker.statuses, columns=columns):
        name = row["collection"]
        if name not in found and picker.pick(row) is not None:
            if name.endswith(".files"):
                return None
            found.add(name)
            if found == left:
                break
    return found
