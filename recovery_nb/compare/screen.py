"""The screening: one SQL text that joins fingerprints by key, over Parquet, in DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

__all__ = ["Screen", "SourceTable", "screening"]


@dataclass(frozen=True, slots=True)
class SourceTable:
    """The part of one source's fingerprint table that belongs to one collection of the database.

    Attributes:
        table: The Parquet file (`catalog.table.TABLE`).
        collections: The names under which the source has the collection.
        key_is_id: Whether its `key` column is the key of this comparison.
    """

    table: Path
    collections: tuple[str, ...]


_SOURCES = """
CREATE OR REPLACE TABLE candidates AS
SELECT *, count(*) OVER same AS copies, versions > 1 AND "at" = 0 AS ambiguous,
    CASE WHEN "at" = 0 THEN "offset" ELSE -"offset" END AS place
FROM ({union}) LEFT JOIN (
    SELECT source, key, count(DISTINCT fingerprint) AS versions FROM ({union}) WHERE key IS NOT NULL AND "at" = 0
    GROUP BY ALL HAVING count(*) > 1
) USING (source, key)
WINDOW same AS (PARTITION BY source, key, "at", CASE WHEN "at" = 0 THEN 0 ELSE "offset" END)
"""

_ONE_SOURCE = """
SELECT {ordinal}::INTEGER AS source, collection, member, "offset", length, key, id, fingerprint, inferred, "at"
FROM read_parquet('{table}') WHERE collection IN ({names})
"""

_BEST = """
CREATE OR REPLACE VIEW best AS
WITH top AS (
    SELECT key, arg_min(fingerprint, (coalesce(ambiguous, false), source, -"at", place)) AS fingerprint,
           count(DISTINCT fingerprint) AS candidates
    FROM candidates WHERE key IS NOT NULL GROUP BY key
)
SELECT c.*, top.candidates FROM candidates c JOIN top USING (key, fingerprint)
QUALIFY row_number() OVER (PARTITION BY c.key ORDER BY c.inferred <> '', c.source, -c."at", c.place) = 1
"""

_SCREEN = """
CREATE OR REPLACE TABLE screened AS
SELECT
    CASE WHEN b.key IS NULL THEN 'extra' WHEN d.key IS NULL THEN 'missing' ELSE 'changed' END AS status,
    coalesce(d.key, b.key) AS key, d.id AS database_id, d.fingerprint AS current,
    b.source, b.collection, b.member, b."offset", b.length, b.id, b.fingerprint, b.inferred,
    coalesce(b.candidates, 0) AS candidates, coalesce(b.ambiguous, false) AS ambiguous
FROM live d FULL JOIN best b ON d.key = b.key
WHERE d.fingerprint IS DISTINCT FROM b.fingerprint
"""


def _quoted(text: object) -> str:
    return str(text).replace("'", "''")


def screening(scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open what the screens of one comparison work in: to open it takes longer than to screen a small collection.

    Args:
        scratch: A folder that DuckDB may spill to when the tables outgrow memory.
    """
    db = duckdb.connect(config={"memory_limit": "1GB", "temp_directory": str(scratch)})
    db.execute("SET enable_progress_bar = false")
    return db


class Screen:
    """Compares one collection's fingerprints with those of its sources, the most trusted first.

    Args:
        db: What `screening` opened; one screen works in it at a time, until it is closed.
        live: The Parquet file of the database's collection.
        sources: The sources' tables, in order of trust.

    Attributes:
        unique: Whether each record of the sources has a key, and no other record has the same.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, live: Path, sources: Sequence[SourceTable]) -> None:
        self._db = db
        self._db.execute(
            f"CREATE OR REPLACE VIEW live AS SELECT key, id, fingerprint FROM read_parquet('{_quoted(live)}')"
        )
        union = " UNION ALL ".join(
            _ONE_SOURCE.format(
                ordinal=ordinal, table=_quoted(source.table),
                names=", ".join(f"'{_quoted(name)}'" for name in source.collections),
            )
            for ordinal, source in enumerate(sources)
        )  # fmt: skip
        self.unique = len(sources) == 1 and bool(self._one(f"SELECT count(*) = count(DISTINCT key) FROM ({union})"))
        self._load(union)
        self._db.execute(_SCREEN)

    def _load(self, union: str) -> None:
        if self.unique:  # the common case needs no ranking
            self._db.execute(
                f'CREATE VIEW candidates AS SELECT *, 1 AS copies, false AS ambiguous, "offset" AS place FROM ({union})'
            )
            self._db.execute("CREATE VIEW best AS SELECT *, 1 AS candidates FROM candidates")
            return
        self._db.execute(_SOURCES.format(union=union))
        self._db.execute(_BEST)

    def _one(self, sql: str) -> object:
        rows = self._db.execute(sql).fetchall()
        return rows[0][0] if rows else None

    def _stream(self, sql: str) -> pa.RecordBatchReader:
        return self._db.cursor().sql(sql).to_arrow_reader(4096)

    def close(self) -> None:
        """Give the memory back."""
        kind = "VIEW" if self.unique else "TABLE"
        for made in ("TABLE screened", "VIEW best", f"{kind} candidates", "VIEW live"):
            self._db.execute(f"DROP {made}")

    def count(self, sql: str) -> int:
        """Return the single number that a query over `live`, `candidates` and `screened` gives."""
        return int(str(self._one(sql) or 0))

    def statuses(self) -> dict[str, int]:
        """Return how many screened rows there are of each status that there is."""
        return dict(self._db.execute("SELECT status, count(*) FROM screened GROUP BY status").fetchall())

    def keyless(self) -> list[tuple[int, str, str, int, int]]:
        """Return (source, collection, member, offset, length) of records that lack the key."""
        rows: list[tuple[int, str, str, int, int]] = self._db.execute(
            'SELECT source, collection, member, "offset", length FROM candidates WHERE key IS NULL'
        ).fetchall()
        return rows

    def rows(self, status: str) -> pa.RecordBatchReader:
        """Stream the screened rows of one status, ordered by key."""
        return self._stream(f"SELECT * FROM screened WHERE status = '{_quoted(status)}' ORDER BY key")

    def duplicates(self) -> pa.RecordBatchReader:
        """Stream the keys that one source holds more than once: source, key, copies, versions, one place."""
        return self._stream(
            """SELECT source, any_value(collection) AS collection, any_value(member) AS member,
                 min("offset") AS "offset", any_value(length) AS length, key, any_value(id) AS id,
                 any_value(fingerprint) AS fingerprint, any_value(inferred) AS inferred,
                 count(*) AS copies, count(DISTINCT fingerprint) AS versions
               FROM candidates WHERE key IS NOT NULL AND copies > 1 GROUP BY source, key ORDER BY key"""
        )

    def versions(self, key: bytes) -> list[dict[str, Any]]:
        """Return every version of one record, the one that a restore takes first."""
        found = self._db.execute(
            """SELECT source, collection, member, "offset", length, id, fingerprint, inferred FROM candidates
               WHERE key = ? ORDER BY coalesce(ambiguous, false), source, -"at", place""",
            [key],
        )
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def candidates(self) -> pa.RecordBatchReader:
        """Stream every candidate of the differing keys, ranked: 1 is the one a restore takes."""
        return self._stream(
            """SELECT c.source, c.collection, c.member, c."offset", c.length, c.key, c.id, c.fingerprint, c.inferred,
                 c."at", row_number() OVER (PARTITION BY c.key ORDER BY c.fingerprint <> s.fingerprint,
                   c.inferred <> '', c.source, -c."at", c.place) AS rank
               FROM candidates c JOIN screened s USING (key) WHERE s.status <> 'extra' ORDER BY c.key, rank"""
        )
