"""What is read from a comparison's files when it is asked for: rows by their number, a text in them, their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recovery_nb.browse.columns import Bools
from recovery_nb.errors import BadInputError
from recovery_nb.selection import RESTORABLE

__all__ = ["Rows", "candidates_of", "connected", "literal", "unreadable"]

_MEMORY = "128MB"
_TEXTS = ("key", "note", "newer")
_REPEATED = ("note", "newer")
_COMPARED = 256
"""By how many of its first characters a key is sorted: a key can be 16 MB long."""


@contextmanager
def connected() -> Iterator[duckdb.DuckDBPyConnection]:
    """Lend DuckDB in memory: it uses no more than 128 MB, and for what is larger a temporary folder."""
    with TemporaryDirectory(prefix="recovery-nb-") as folder:
        limits = {"memory_limit": _MEMORY, "threads": 2, "temp_directory": folder}
        with duckdb.connect(config=limits) as db:
            db.execute("SET enable_progress_bar = false")
            yield db


class Rows:
    """The rows of `differences.parquet` by their number; the file stays open until it is closed.

    Args:
        path: The file.

    Raises:
        BadInputError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path, read_dictionary=list(_REPEATED))
        except (OSError, pa.ArrowException) as error:
            raise unreadable(path, error) from None
        groups = self._file.metadata
        sizes = [groups.row_group(number).num_rows for number in range(groups.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, numbers: Sequence[int], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Return some rows, in the order in which they are named.

        Raises:
            BadInputError: The file cannot be read.
        """
        wanted = np.asarray(numbers, np.int64)
        group_of = np.searchsorted(self._starts, wanted, "right") - 1
        found: list[dict[str, Any]] = [{}] * len(wanted)
        try:
            for group in np.unique(group_of).tolist():
                places = np.flatnonzero(group_of == group)
                table = self._file.read_row_group(group, columns=list(columns), use_threads=False)
                rows = table.take(wanted[places] - self._starts[group]).to_pylist()
                for place, row in zip(places.tolist(), rows, strict=True):
                    found[place] = row
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._path, error) from None
        return found

    def parts(self, mask: Bools, columns: Sequence[str]) -> Iterator[tuple[list[int], pa.Table]]:
        """Yield the rows of a mask and their numbers, some ten thousand at a time.

        Raises:
            BadInputError: The file cannot be read.
        """
        for group, start in enumerate(self._starts[:-1].tolist()):
            places = np.flatnonzero(mask[start : self._starts[group + 1]])
            if len(places):
                try:
                    table = self._file.read_row_group(group, columns=list(columns), use_threads=False)
                except (OSError, pa.ArrowException) as error:
                    raise unreadable(self._path, error) from None
                yield (places + start).tolist(), table.take(places)

    def with_text(self, text: str) -> Bools:
        """Return which rows have this text in their key, their note or the reason of their doubt, in any case.

        Raises:
            BadInputError: The file cannot be read.
        """
        found = np.zeros(len(self), np.bool_)
        try:
            for group in range(self._file.num_row_groups):
                table = self._file.read_row_group(group, columns=list(_TEXTS))
                here = found[self._starts[group] : self._starts[group + 1]]
                for column in table.columns:
                    for chunk in column.chunks:
                        here |= _holds(chunk, text)
        except (OSError, pa.ArrowException) as error:
            raise unreadable(self._path, error) from None
        return found

    def by_key(self) -> npt.NDArray[np.int32]:
        """Return the numbers of all rows by key: whole numbers by value, then texts, by their first 256 characters.

        Raises:
            BadInputError: The file cannot be read.
        """
        sql = f"""SELECT file_row_number::INTEGER AS number FROM read_parquet(?, file_row_number = true)
                  ORDER BY try_cast(key AS BIGINT) NULLS LAST, left(key, {_COMPARED}), file_row_number"""
        try:
            with connected() as db:
                found: npt.NDArray[np.int32] = db.execute(sql, [literal(self._path)]).fetchnumpy()["number"]
        except duckdb.Error as error:
            raise unreadable(self._path, error) from None
        return found

    def with_same_key(self) -> frozenset[int]:
        """Return the rows that a restore can undo whose key looks like that of another such row of their collection.

        Raises:
            BadInputError: The file cannot be read.
        """
        # Eight bytes a row, and not the keys: two that differ and have one hash do no harm, they are named by place.
        sql = """SELECT file_row_number::INTEGER AS number, hash(collection, key) AS hash
                 FROM read_parquet(?, file_row_number = true) WHERE status IN (SELECT unnest(?))"""
        try:
            with connected() as db:
                rows = db.execute(sql, [literal(self._path), [status.value for status in RESTORABLE]]).fetchnumpy()
        except duckdb.Error as error:
            raise unreadable(self._path, error) from None
        order = np.argsort(rows["hash"])
        hashes = rows["hash"][order]
        same = np.zeros(len(hashes), np.bool_)
        same[1:] = hashes[1:] == hashes[:-1]
        same[:-1] |= same[1:]
        return frozenset(rows["number"][order[same]].tolist())


def candidates_of(path: Path, collection: str, key: bytes) -> list[dict[str, Any]]:
    """Return every version of one record from `candidates.parquet`, the best first.

    The file is in the order of the collections and, within each, of the keys, and says of each row group the least
    and the greatest key: only those that can hold the key are read.

    Raises:
        BadInputError: The file cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            found: list[dict[str, Any]] = []
            for group in range(file.num_row_groups):
                if _may_hold(file.metadata.row_group(group), {"collection": collection, "key_bytes": key}):
                    names = file.read_row_group(group, columns=["collection", "key_bytes"])
                    same = pc.and_(pc.equal(names["collection"], collection), pc.equal(names["key_bytes"], key))
                    places = pc.indices_nonzero(same)
                    if len(places):
                        found += file.read_row_group(group).take(places).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise unreadable(path, error) from None
    return sorted(found, key=lambda row: int(row["rank"]))


def _may_hold(group: Any, wanted: dict[str, str | bytes]) -> bool:
    """Whether what a row group says of its columns lets it hold these values; where it says nothing, it may."""
    for number in range(group.num_columns):
        column = group.column(number)
        value = wanted.get(column.path_in_schema)
        told = column.statistics
        if value is not None and told is not None and told.has_min_max and not told.min <= value <= told.max:
            return False
    return True


def _holds(column: pa.Array, text: str) -> Bools:
    if pa.types.is_dictionary(column.type):
        hits = _holds(column.dictionary, text)
        if not hits.any():
            return np.zeros(len(column), np.bool_)
        codes = pc.fill_null(column.indices, 0).to_numpy()
        told: Bools = hits[codes] & column.is_valid().to_numpy(zero_copy_only=False)
        return told
    found = pc.match_substring(column, text, ignore_case=True)
    held: Bools = pc.fill_null(found, fill_value=False).to_numpy(zero_copy_only=False)
    return held


def literal(path: Path) -> str:
    """Return a path as DuckDB takes it: what it would take for a pattern is put in brackets."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(path))


def unreadable(path: Path, error: Exception) -> BadInputError:
    """Return what is raised where a file of a comparison cannot be read."""
    return BadInputError(f"{path} cannot be read: {str(error).splitlines()[0]}", hint="compare again")
