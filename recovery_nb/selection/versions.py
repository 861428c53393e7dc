"""Which version of a record is meant by a choice that names a source or a place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.files import scratch
from recovery_nb.selection.named import Keys

__all__ = ["Version", "Versions", "source_named"]

_PLACE = ("source", "source_collection", "member", "offset", "length", "fingerprint", "inferred")
_COLUMNS = ", ".join(f'"{name}"' for name in _PLACE)

_WANTED = f"""
SELECT collection, key, key_bytes, rank, {_COLUMNS}
FROM read_parquet(?) WHERE encode(key) IN (SELECT key FROM wanted)
"""

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA cache_size = -8192;
CREATE TABLE versions (
    collection TEXT, key BLOB, choice INTEGER, rank INTEGER, source TEXT, source_collection TEXT, member TEXT,
    "offset" INTEGER, length INTEGER, fingerprint BLOB, inferred TEXT
);
CREATE INDEX place ON versions (collection, key, choice, rank);
"""

_BEST = f"""
SELECT {_COLUMNS}, EXISTS (
    SELECT 1 FROM versions AS other WHERE other.collection = best.collection AND other.key = best.key
    AND other.choice = best.choice AND other.fingerprint <> best.fingerprint
) FROM versions AS best WHERE collection = ? AND key = ? AND choice = ? ORDER BY rank LIMIT 1
"""

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Version:
    """The best of the versions of a record that answer to a choice.

    Attributes:
        place: Where it is, as the columns of a difference.
        several: Whether others with other bytes answer to the choice, too.
    """

    place: dict[str, Any]
    several: bool


class Versions:
    """Finds the versions that are meant by the choices that name a source or a place.

    They are kept in a temporary file: a file of keys may name a million of them.

    Args:
        comparison: What was found.
        keys: The choices.

    Raises:
        BadInputError: A source that is named is none of the comparison; the comparison's file cannot be read.
        RecoveryError: The temporary file cannot be written.
    """

    def __init__(self, comparison: Comparison, keys: Keys) -> None:
        self._table: sqlite3.Connection | None = None
        placed = keys.placed()
        if not placed:
            return
        sources = list(comparison.sources.values())
        ids = {name: source_named(sources, name).id for name in keys.sources_of(placed) if name}
        with scratch("chosen versions"):
            self._table = sqlite3.connect("", check_same_thread=False)
            self._table.executescript(_SCHEMA)
            self._table.executemany(
                f"INSERT INTO versions VALUES ({', '.join('?' * 11)})",
                _answers(comparison, keys, placed, {**ids, "": ""}),
            )

    def of(self, number: int, collection: str, key: bytes) -> Version | None:
        """Return the version of a record that a choice means; None where it means none of this record.

        Args:
            number: The number of the choice.
            collection: The record's collection.
            key: Its canonical key.

        Raises:
            RecoveryError: The temporary file cannot be read.
        """
        if self._table is None:
            return None
        with scratch("chosen versions"):
            found = self._table.execute(_BEST, (collection, key, number)).fetchone()
        return Version(dict(zip(_PLACE, found, strict=False)), bool(found[-1])) if found else None


def _answers(comparison: Comparison, keys: Keys, placed: list[int], ids: dict[str, str]) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each version and each choice that it answers to; `ids` has the id of each named source."""
    for collection, key, key_bytes, rank, *place in _versions(comparison, keys, placed):
        for number in keys.find(collection, key):
            choice = keys[number]
            if choice.is_placed and ids[choice.source] in ("", place[0]) and choice.offset in (-1, place[3]):
                yield collection, key_bytes, number, rank, *place


def _versions(comparison: Comparison, keys: Keys, placed: list[int]) -> Iterator[tuple[Any, ...]]:
    """Stream the versions of the records whose keys are those of these choices.

    Raises:
        BadInputError: The comparison's file cannot be read.
    """
    path = comparison.folder / "candidates.parquet"
    wanted = pa.table({"key": pa.array(map(keys.text, placed), pa.large_binary())})
    try:
        with duckdb.connect(config={"memory_limit": "1GB"}) as db:
            db.execute("SET enable_progress_bar = false")
            db.register("wanted", wanted)
            found = db.execute(_WANTED, [str(path)])
            while rows := found.fetchmany(_BATCH):
                yield from rows
    except duckdb.Error as error:
        raise BadInputError(f"{path} cannot be read: {str(error).splitlines()[0]}", hint="compare again") from None


def source_named(entries: Iterable[SourceEntry], name: str) -> SourceEntry:
    """Return the source that is called so, by its path, its name or its id.

    Raises:
        BadInputError: There is none.
    """
    for entry in entries:
        if name in (entry.id, entry.name, str(entry.path)) or Path(name).absolute() == entry.path:
            return entry
    raise BadInputError(f"{name} is not a source of this comparison", hint="name it by its path")
