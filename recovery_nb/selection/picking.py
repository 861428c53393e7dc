"""Which of the differences are wanted, which version of each, and in what order they are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.selection.choices import Choice, Keys

__all__ = ["COLUMNS", "PARTIAL_FILE", "RESTORABLE", "Picker", "Row", "rows_of"]

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

_PLACE = ("source", "source_collection", "member", "offset", "length", "fingerprint", "inferred")
_Alternatives = dict[Choice, dict[tuple[str, bytes], list[Row]]]


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
    """
    order = 'ORDER BY list_position(?, source), member, "offset"' if source_order else ""
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    sql = f"SELECT {columns} FROM read_parquet(?) WHERE collection = ? AND status IN (SELECT unnest(?)) {order}"
    values: list[object] = [str(comparison.table), collection, [status.value for status in statuses]]
    with duckdb.connect(config={"memory_limit": "1GB"}) as db:
        db.execute("SET enable_progress_bar = false")
        found = db.sql(sql, params=[*values, list(source_order)] if source_order else values)
        for batch in found.to_arrow_reader(4096):
            yield from batch.to_pylist()


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
        self._alternatives = self._find(comparison, keys) if keys else {}

    def pick(self, row: Row) -> Row | None:
        """Return a difference that is wanted, with the place of the version that was chosen; None for any other."""
        if self.keys is None:
            return row if row["status"] in self.statuses else None
        for choice in self.keys.find(row["collection"], row["key"]):
            if (taken := self._taken(row, choice)) is not None:
                self.keys.matched.add(choice)
                return taken
        return None

    def _taken(self, row: Row, choice: Choice) -> Row | None:
        if choice.partial or row["status"] == Status.CORRUPT:
            return self._partial(row, choice)
        if choice not in self._alternatives:
            return row
        # A choice that means nothing of this record takes no other version in its stead.
        versions = self._alternatives[choice].get((row["collection"], row["key_bytes"]))
        if not versions:
            return None
        several = len({version["fingerprint"] for version in versions}) > 1
        hold = "several versions answer to this choice" if several else ""
        return {**row, **{name: versions[0][name] for name in _PLACE}, "note": hold}

    def _partial(self, row: Row, choice: Choice) -> Row | None:
        """Return the row of what is left of a damaged record, or of a file, if this choice means it."""
        is_file = row["status"] in RESTORABLE and row["collection"].endswith(".files")
        is_left = row["status"] == Status.CORRUPT and row["fingerprint"] is not None
        if not choice.partial or not (is_file or is_left):
            return None
        if choice.source and _named(self._sources, choice.source).id != row["source"]:
            return None
        if choice.offset not in (-1, row["offset"]):
            return None
        return {**row, PARTIAL_FILE: True} if is_file else row

    def _find(self, comparison: Comparison, keys: Keys) -> _Alternatives:
        """Return, for each choice that names a source or a place, the candidates it means, by record."""
        wanted = [
            one for many in keys.choices.values() for one in many if not one.partial and (one.source or one.offset >= 0)
        ]
        ids = {choice: _named(self._sources, choice.source).id if choice.source else "" for choice in wanted}
        found: _Alternatives = {choice: {} for choice in wanted}
        if not wanted:
            return found
        for row in comparison.versions():
            for choice in keys.find(row["collection"], row["key"]):
                if choice in ids and ids[choice] in ("", row["source"]) and choice.offset in (-1, row["offset"]):
                    found[choice].setdefault((row["collection"], row["key_bytes"]), []).append(row)
        return found


def _named(entries: Iterable[SourceEntry], name: str) -> SourceEntry:
    for entry in entries:
        if name in (entry.id, entry.name, str(entry.path)) or Path(name).absolute() == entry.path:
            return entry
    raise BadInputError(f"{name} is not a source of this comparison", hint="name it by its path")
