"""What filters and orders need of every difference: a few numbers a row, whatever the records hold.

Texts that repeat (a collection, a source, the path of a field) are held once and stand in the rows as codes; texts that
do not (keys, notes) stay in the file. So a million differences take some 30 MB, however long their keys are.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.selection import RESTORABLE

__all__ = ["NO_TIME", "Bools", "Codes", "Columns", "Field", "read_columns"]

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]

NO_TIME = np.iinfo(np.int64).min
"""Stands where a record does not say when it was made."""

_CODED = ("collection", "status", "source", "confidence")
_DOUBTS = ("newer", "note")
_POSITION = re.compile(r"/\d+(?=/|$)")


@dataclass(frozen=True, slots=True)
class Field:
    """One column of texts that repeat.

    Attributes:
        names: The texts; their places are the codes. "" stands for none.
        codes: The code of each row.
    """

    names: tuple[str, ...]
    codes: Codes

    def is_any(self, wanted: tuple[str, ...]) -> Bools:
        """Return which rows have one of these texts."""
        among = set(wanted)
        hits = np.fromiter((name in among for name in self.names), np.bool_, len(self.names))
        found: Bools = hits[self.codes] if len(self.names) else np.zeros(len(self.codes), np.bool_)
        return found

    def counts(self, mask: Bools) -> dict[str, int]:
        """Return how many rows of a mask have each text, the most frequent first; texts with none are left out."""
        count = np.bincount(self.codes[mask], minlength=len(self.names))
        some = [(self.names[code], int(count[code])) for code in np.flatnonzero(count).tolist()]
        return dict(sorted(some, key=lambda one: (-one[1], one[0])))


@dataclass(frozen=True, slots=True)
class Columns:
    """The differences of one comparison, a number for each row and column.

    Attributes:
        collection: The collections.
        status: The statuses.
        source: The ids of the sources of the best versions.
        confidence: How sure these are.
        candidates: How many versions the sources hold.
        made: When each record was made, milliseconds since 1970; `NO_TIME` where it does not say.
        fields: How many fields changed, of the first fifty changes.
        doubtful: Which could be restored, but only by a decision of their own.
        restorable: Which a restore can undo.
        paths: The paths of fields that changed, positions in lists as `*`.
        changed: The code of a path for each field that changed, each once a row.
        changed_in: The row that each is of.
    """

    collection: Field
    status: Field
    source: Field
    confidence: Field
    candidates: Codes
    made: npt.NDArray[np.int64]
    fields: Codes
    doubtful: Bools
    restorable: Bools
    paths: tuple[str, ...]
    changed: Codes
    changed_in: Codes

    def __len__(self) -> int:
        return len(self.candidates)

    def with_field(self, path: str) -> Bools:
        """Return the rows in which this field changed."""
        found = np.zeros(len(self), np.bool_)
        if path in self.paths:
            found[self.changed_in[self.changed == self.paths.index(path)]] = True
        return found

    def field_counts(self, mask: Bools, *, most: int) -> dict[str, int]:
        """Return in how many rows of a mask each field changed, the most frequent of them first."""
        count = np.bincount(self.changed[mask[self.changed_in]], minlength=len(self.paths))
        some = [(self.paths[code], int(count[code])) for code in np.flatnonzero(count).tolist()]
        return dict(sorted(some, key=lambda one: (-one[1], one[0]))[:most])


@dataclass(slots=True)
class _Names:
    """Texts and their codes, as they are met."""

    codes: dict[str, int] = field(default_factory=dict)

    def of(self, values: list[str]) -> Codes:
        return np.fromiter((self.codes.setdefault(value, len(self.codes)) for value in values), np.int32, len(values))


def read_columns(comparison: Comparison) -> Columns:
    """Read what filters and orders need of each difference, some ten thousand rows in memory at a time.

    Raises:
        BadInputError: The comparison's file cannot be read.
    """
    try:
        return _read(comparison.table, set(comparison.summary.doubted))
    except (OSError, KeyError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(f"{comparison.table} cannot be read: {reason}", hint="compare again") from None


class _Reading:
    """Puts the row groups of a file together."""

    def __init__(self, rows: int) -> None:
        self._names = {name: _Names() for name in _CODED}
        self._paths = _Names()
        self._codes = {name: np.zeros(rows, np.int32) for name in (*_CODED, "candidates", "fields")}
        self._made = np.full(rows, NO_TIME, np.int64)
        self._doubtful = np.zeros(rows, np.bool_)
        self._changed: list[tuple[Codes, Codes]] = []
        self._rows = 0

    def columns(self, doubted: Collection[str]) -> Columns:
        """Return what was read; all records of these sources are in doubt."""
        coded = {name: Field(tuple(self._names[name].codes), self._codes[name]) for name in _CODED}
        restorable = coded["status"].is_any(tuple(RESTORABLE))
        none = (np.zeros(0, np.int32), np.zeros(0, np.int32))
        changed, rows = map(np.concatenate, zip(*(self._changed or [none]), strict=True))
        return Columns(
            **coded,
            candidates=self._codes["candidates"],
            made=self._made,
            fields=self._codes["fields"],
            doubtful=(self._doubtful | coded["source"].is_any(tuple(doubted))) & restorable,
            restorable=restorable,
            paths=tuple(self._paths.codes),
            changed=changed,
            changed_in=rows,
        )

    def add(self, table: pa.Table) -> None:
        """Take the next rows."""
        here = slice(self._rows, self._rows + len(table))
        for name in _CODED:
            values, codes = _dictionary(table[name])
            self._codes[name][here] = self._names[name].of(values)[codes]
        for name in _DOUBTS:
            values, codes = _dictionary(table[name])
            self._doubtful[here] |= np.fromiter(map(bool, values), np.bool_, len(values))[codes]
        self._codes["candidates"][here] = pc.fill_null(table["candidates"], 0).to_numpy()
        if "made" in table.column_names:
            self._made[here] = pc.fill_null(table["made"].cast(pa.int64()), int(NO_TIME)).to_numpy()
        self._add_fields(table["fields"].combine_chunks(), here)
        self._rows += len(table)

    def _add_fields(self, lists: pa.Array, here: slice) -> None:
        sizes = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        self._codes["fields"][here] = sizes
        if not sizes.any():
            return
        values, codes = _dictionary(lists.flatten())
        shown = [_POSITION.sub("/*", value) for value in values]
        paths = self._paths.of(shown)[codes]
        rows = np.repeat(np.arange(here.start, here.stop, dtype=np.int32), sizes)
        # A field at several positions of a list counts once a row.
        several = np.fromiter((new != old for new, old in zip(shown, values, strict=True)), np.bool_, len(values))[
            codes
        ]
        pairs = np.unique(rows[several].astype(np.int64) << 32 | paths[several])
        self._changed.append((paths[~several], rows[~several]))
        self._changed.append(((pairs & 0xFFFFFFFF).astype(np.int32), (pairs >> 32).astype(np.int32)))


def _read(path: Path, doubted: Collection[str]) -> Columns:
    texts = [*_CODED, *_DOUBTS, "fields.list.element"]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        there = set(file.schema_arrow.names)
        wanted = [name for name in (*_CODED, *_DOUBTS, "candidates", "fields", "made") if name in there]
        reading, groups = _Reading(file.metadata.num_rows), range(file.num_row_groups)
        with ThreadPoolExecutor(1) as ahead:  # the next group is unpacked while this one is taken apart
            waiting = deque(ahead.submit(file.read_row_group, group, columns=wanted) for group in groups[:1])
            for group in groups:
                waiting.extend(
                    ahead.submit(file.read_row_group, one, columns=wanted) for one in groups[group + 1 :][:1]
                )
                reading.add(waiting.popleft().result())
    return reading.columns(doubted)


def _dictionary(column: pa.ChunkedArray | pa.Array) -> tuple[list[str], Codes]:
    """Return the texts of a column, and for each row which of them it has; null is ""."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # of no chunk or of several dictionaries
        array = pa.concat_arrays(array.unify_dictionaries().chunks) if array.num_chunks else pa.array([], pa.string())
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    values = [value or "" for value in array.dictionary.to_pylist()]
    if not array.indices.null_count:
        return values, array.indices.to_numpy()
    values.append("")
    return values, pc.fill_null(array.indices, len(values) - 1).to_numpy()
