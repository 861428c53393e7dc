"""The file of a plan: Parquet, its rows in groups, each of which is read and written as columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recovery_nb.restore.rows import WRITING, Action, Rows

__all__ = ["COLUMNS", "REPEATED", "ROWS", "SCHEMA", "UNREADABLE", "read_groups", "record_batch"]

ROWS = 10_000
"""How many rows stand together in a plan's file, and in memory."""

COLUMNS: dict[str, tuple[str, pa.DataType]] = {
    "collection": ("collections", pa.string()),
    "key_text": ("keys", pa.string()),
    "action": ("actions", pa.string()),
    "id": ("ids", pa.binary()),
    "before": ("befores", pa.binary()),
    "after": ("afters", pa.binary()),
    "source": ("sources", pa.string()),
    "member": ("members", pa.string()),
    "offset": ("offsets", pa.int64()),
    "length": ("lengths", pa.int64()),
    "partial": ("partials", pa.bool_()),
    "inferred": ("inferred", pa.string()),
    "reason": ("reasons", pa.string()),
    "size": ("sizes", pa.int64()),
}
"""The columns of `plan.parquet`, what `Rows` calls them, and their types. A row's number is its `seq`."""
SCHEMA = pa.schema([(name, kind) for name, (_, kind) in COLUMNS.items()])
REPEATED = ("collection", "action", "source", "member", "inferred", "reason")
"""The columns of which a few values stand again and again."""
_ACTIONS = {str(action): action for action in Action}
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, pa.ArrowException)
"""What reading a file raises that is no plan's."""


def record_batch(rows: Rows) -> pa.RecordBatch:
    """Return rows as they stand in a plan's file."""
    columns = [pa.array(getattr(rows, ours), kind) for ours, kind in COLUMNS.values()]
    return pa.record_batch(columns, schema=SCHEMA)


def read_groups(path: Path) -> Iterator[Rows]:
    """Yield the rows of a plan's file, a group at a time.

    Raises:
        OSError: It cannot be opened.
        ValueError: It is no plan's file; so do `KeyError` and `pyarrow.ArrowException` say.
    """
    with pq.ParquetFile(path, read_dictionary=list(REPEATED)) as file:
        seq = 0
        for number in range(file.num_row_groups):
            count = file.metadata.row_group(number).num_rows
            if count > ROWS:
                raise ValueError(f"{count:,} rows stand together")
            group = file.read_row_group(number, list(COLUMNS))
            columns = {
                ours: _values(group.column(name), optional=name == "before") for name, (ours, _) in COLUMNS.items()
            }
            columns["actions"] = [_ACTIONS[action] for action in columns["actions"]]
            rows = Rows(seqs=list(range(seq, seq + count)), **columns)
            _check(rows)
            yield rows
            seq += count


def _check(rows: Rows) -> None:
    """Check that what is written has an `_id` and fingerprints.

    Raises:
        ValueError: It has not.
    """
    prints = {*map(len, rows.afters), *(len(before) for before in rows.befores if before is not None)}
    nameless = not all(rows.ids) and any(
        not own and a in WRITING for own, a in zip(rows.ids, rows.actions, strict=True)
    )
    if nameless or not prints <= {32}:
        raise ValueError("a row without an id or a fingerprint")


def _values(column: pa.ChunkedArray, *, optional: bool) -> list[Any]:
    """Return a column's values; equal ones of a repeated text are one object.

    Raises:
        ValueError: A value is missing that every row has.
    """
    values: list[Any] = []
    if column.null_count and not optional:
        raise ValueError("a row without a value")
    for chunk in column.chunks:
        if isinstance(chunk, pa.DictionaryArray):
            known = chunk.dictionary.to_pylist()
            values.extend([known[index] for index in chunk.indices.to_pylist()])
        else:
            values.extend(chunk.to_pylist())
    return values
