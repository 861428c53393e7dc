"""What a comparison gives analysts to look at: dataframes, Arrow tables, and SQL over its Parquet files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.frames.query import Filter, asked, opened, selected
from recovery_nb.compare.model import DIFFERENCES, Status
from recovery_nb.compare.readings import Readings

if TYPE_CHECKING:
    from recovery_nb.compare.frames.frame import Frame
    from recovery_nb.compare.result import Summary

__all__ = ["Dataframes"]

Names = str | Collection[str]
"""One name or several."""


class Dataframes:
    """The dataframes of a comparison: views for eyes, never the source of a write.

    pandas is imported by who looks at one; the commands need none.
    """

    folder: Path
    summary: Summary
    sources: Mapping[str, SourceEntry]
    readings: Readings

    def to_pandas(self, status: Names | None = None, *, collection: Names = "", where: str = "") -> Frame:
        """Return the differences as a dataframe: a view for eyes, never the source of a write.

        Args:
            status: A status or several; None for all.
            collection: A collection or several; "" for all.
            where: A condition in SQL over the columns of `compare.model.DIFFERENCES`: "confidence = 'low'".

        Raises:
            BadInputError: There is no such status or collection, or the condition is no SQL.
        """
        from recovery_nb.compare.frames.tables import differences  # noqa: PLC0415 - it imports pandas

        return differences(self.folder, self._filter(status, collection, where))

    def arrow(self, status: Names | None = None, *, collection: Names = "", where: str = "") -> pa.Table:
        """Return the differences as an Arrow table with all columns (`compare.model.DIFFERENCES`).

        Args:
            status: As of `to_pandas`, like the others.
            collection: As there.
            where: As there.

        Raises:
            BadInputError: There is no such status or collection, or the condition is no SQL.
        """
        wanted = self._filter(status, collection, where)
        found: pa.Table = selected(self.folder, wanted, lambda rows: rows.to_arrow_table())
        return found.cast(DIFFERENCES)  # DuckDB knows no binary values of one length

    def records(
        self, status: Names | None = None, *, collection: Names = "", where: str = "", most: int = 10_000
    ) -> Frame:
        """Return the records themselves as their sources have them, fields as columns: for eyes, never for a write.

        Args:
            status: As of `to_pandas`, like the next two; missing, changed or equivalent, None for all three.
            collection: As there.
            where: As there.
            most: The most records to read; what is left out is said (`compare.frames.records`).

        Raises:
            BadInputError: As of `to_pandas`; or a source is not there any more.
            DamagedSourceError: A source has changed since it was compared.
        """
        from recovery_nb.compare.frames.records import records  # noqa: PLC0415 - as above

        wanted = self._filter(status, collection, where)
        return records(self.folder, wanted, sources=self.sources, readings=self.readings, most=most)

    def sql(self, query: str) -> Any:
        """Return what a query gives, as a DuckDB relation: `.df()`, `.to_arrow_table()`, `.to_arrow_reader()`.

        Its views are `differences`, `candidates` and `fields`, and dataframes of the caller go by their names. It is
        made in `duckdb`; the comparison's own dataframes do not depend on what is done there.

        Raises:
            BadInputError: DuckDB refuses the query. What it finds wrong only with the rows shows when they are read.
        """
        with asked():
            return self.duckdb.sql(query)

    @cached_property
    def duckdb(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB connection with the views `differences`, `candidates` and `fields`."""
        return opened(self.folder)

    @property
    def missing(self) -> Frame:
        """Records in the sources that the database lacks."""
        return self._frame("missing")

    @property
    def changed(self) -> Frame:
        """Records whose content differs."""
        return self._frame("changed")

    @property
    def equivalent(self) -> Frame:
        """Records that differ only in field order, numeric width or what a lossy format drops."""
        return self._frame("equivalent")

    @property
    def extra(self) -> Frame:
        """Records that no source holds: written after the last backup, or never backed up."""
        return self._frame("extra")

    @property
    def duplicates(self) -> Frame:
        """Keys that one source holds more than once."""
        return self._frame("duplicates")

    @property
    def corrupt(self) -> Frame:
        """Stretches of the sources that could not be read; `readable` is what could be, of a record that is named."""
        return self._frame("corrupt")

    @property
    def candidates(self) -> Frame:
        """Every version of every differing record that a source holds; of each key, the one that a restore takes first.

        `written` is when a version was written, where its source says so, and `fingerprint` the SHA-256 of its bytes.
        """
        return self._frame("candidates")

    @property
    def fields(self) -> Frame:
        """One row for each field of each changed or equivalent record: what the database and the source have."""
        return self._frame("fields")

    @property
    def overview(self) -> Frame:
        """The counts as a dataframe, one row a collection."""
        from recovery_nb.compare.frames.frame import Frame  # noqa: PLC0415 - as above

        names = [status.value for status in Status]
        counts: Frame = Frame.from_dict(self.summary.collections, orient="index", columns=names)
        return Frame(counts.rename_axis("collection"))

    @cached_property
    def _kept(self) -> dict[str, Frame]:
        return {}

    def _frame(self, name: str) -> Frame:
        """Return a dataframe of `compare.frames.TABLES`, read once; whoever changes one changes only his own."""
        from recovery_nb.compare.frames.tables import table  # noqa: PLC0415 - as above

        if name not in self._kept:
            self._kept[name] = table(self.folder, name)
        own: Frame = self._kept[name].copy(deep=False)
        return own

    def _filter(self, status: Names | None, collection: Names, where: str) -> Filter:
        return Filter.of(status, collection, where, known=self.summary.collections)
