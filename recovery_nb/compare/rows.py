"""Rows streamed into a Parquet file, a few thousand in memory at a time."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recovery_nb.files import writing

__all__ = ["RowWriter"]

_GROUP = 10_000


class RowWriter:
    """Writes dictionaries as rows of one Parquet file.

    Args:
        path: The file to make.
        schema: Its columns.

    Raises:
        RecoveryError: The file cannot be written; also by `add`, and at the end of its context.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        with writing(path):
            self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
                with writing(self._path):
                    self._writer.close()
        finally:
            with suppress(OSError):  # what was raised first is what is wrong
                self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Add one row; columns it lacks are null."""
        self._rows.append(row)
        if len(self._rows) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            with writing(self._path):
                self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []
