"""The dataframes of a comparison: which columns each has, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from recovery_nb.compare.frames.frame import Frame
from recovery_nb.compare.frames.query import Filter, asked, opened, selected
from recovery_nb.compare.frames.values import ids
from recovery_nb.compare.model import ChangeKind

__all__ = ["TABLES", "differences", "table"]

_FOR_EYES = """collection, key, id AS "_id", source_name, confidence, inferred, candidates, newer,
    coalesce(array_to_string(fields, ', '), '') AS fields, note"""
_PARTS = """from_json(changes, '[{"kind": "VARCHAR", "source": "VARCHAR"}]')"""
_READABLE = f"""coalesce(
    list_filter({_PARTS}, lambda part: part.kind = '{ChangeKind.PARTIAL.value}')[1].source, ''
) AS readable"""
_WRITTEN = """CASE WHEN "at" > 0 THEN to_timestamp("at" >> 32) END AS written"""

TABLES = {
    "missing": f"SELECT {_FOR_EYES} FROM differences WHERE status = 'missing'",
    "changed": f"SELECT {_FOR_EYES} FROM differences WHERE status = 'changed'",
    "equivalent": f"SELECT {_FOR_EYES} FROM differences WHERE status = 'equivalent'",
    "extra": """SELECT collection, key, id AS "_id" FROM differences WHERE status = 'extra'""",
    "duplicates": """SELECT collection, key, id AS "_id", source_name, note FROM differences
        WHERE status = 'duplicate'""",
    "corrupt": f"""SELECT collection, key, id AS "_id", source_name AS source, member, "offset", length,
        note AS reason, {_READABLE} FROM differences WHERE status = 'corrupt'""",
    "candidates": f"""SELECT collection, key, id AS "_id", rank, source_name, confidence, inferred, taken_at,
        {_WRITTEN}, member, "offset", length, lower(hex(fingerprint)) AS fingerprint FROM candidates""",
    "fields": "SELECT collection, key, path, kind, database, source FROM fields",
}
"""The SQL of each dataframe, over the views of `query.opened`. Key and `_id` stand first: one for eyes, one typed."""


def table(folder: Path, name: str) -> Frame:
    """Return one of the `TABLES` of the comparison in this folder.

    Raises:
        BadInputError: The comparison's files cannot be read.
    """
    with opened(folder) as db, asked():
        return _frame(db.sql(TABLES[name]).to_arrow_table())


def differences(folder: Path, wanted: Filter) -> Frame:
    """Return the differences that are meant, with their status unless only one was asked for.

    Raises:
        BadInputError: The condition is no SQL, or the comparison's files cannot be read.
    """
    columns = _FOR_EYES if len(wanted.statuses) == 1 else f"status, {_FOR_EYES}"
    found: pa.Table = selected(folder, wanted, lambda rows: rows.project(columns).to_arrow_table())
    return _frame(found)


def _frame(found: pa.Table) -> Frame:
    """Return a dataframe; its text stays in Arrow, which takes a tenth of what Python's strings would."""
    own = found.schema.get_field_index("_id")
    rest = found if own < 0 else found.drop_columns("_id")
    frame: Any = rest.to_pandas()
    if own >= 0:
        frame.insert(own, "_id", pd.Series(ids(found["_id"]), index=frame.index, dtype=object))
    return Frame(frame)
