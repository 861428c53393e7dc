"""The records that a restore has not planned: whether they are as they were before it, and who else wrote them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from recovery_nb.catalog.table import binary_column
from recovery_nb.files import writing
from recovery_nb.records.keys import canonical, key_text
from recovery_nb.restore.authors import written_since
from recovery_nb.restore.baseline import Baseline, hash_collections
from recovery_nb.restore.target import Target
from recovery_nb.verification import Problem

__all__ = ["NAMED", "Others"]

NAMED = 1_000
"""How many of them are named; the rest are counted."""

_IDS = pa.schema([("collection", pa.string()), ("key", pa.binary())])
_ROWS = 10_000
_DIFFERING = """
CREATE TABLE differing AS
SELECT collection, key, CASE WHEN n.fingerprint IS NULL THEN 'went' WHEN b.fingerprint IS NULL THEN 'came'
    ELSE 'changed' END AS what
FROM (SELECT * FROM '{before}' WHERE collection IN (SELECT unnest($names))) b FULL JOIN '{now}' n
    USING (collection, key) ANTI JOIN '{planned}' p USING (collection, key)
WHERE b.fingerprint IS DISTINCT FROM n.fingerprint AND key IS NOT NULL
"""
_UNPLANNED = "SELECT count(*) FROM '{now}' ANTI JOIN '{planned}' USING (collection, key)"
_OF_OTHERS = """
CREATE TABLE told AS
SELECT d.*, bool_and(NOT coalesce(w.ours, true)) AS theirs, coalesce(bool_or(w.ours), false) AS ours
FROM differing d LEFT JOIN written w USING (collection, key) GROUP BY ALL
"""
_BEYOND = """
SELECT collection, key, coalesce(bool_or(w.ours), false) FROM written w
ANTI JOIN '{planned}' p USING (collection, key)
WHERE coalesce(w.ours, true) AND collection IN (SELECT unnest($names)) GROUP BY ALL ORDER BY ALL LIMIT {most}
"""


class Others:
    """Compares what is there now with a restore's baseline. Memory is bounded; what is much goes to a folder.

    Args:
        folder: Where to work; what is left there may be removed.
        baseline: What was there before.
    """

    def __init__(self, folder: Path, baseline: Baseline) -> None:
        self._folder, self._baseline = folder, baseline
        self._planned = folder / "planned.parquet"
        with writing(self._planned):
            self._writer = pq.ParquetWriter(self._planned, _IDS, write_statistics=False)
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.checked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def planned(self, collection: str, ids: Sequence[bytes]) -> None:
        """Take out records that the restore wrote, or was to write: by type byte and value bytes of their `_id`s."""
        keys = [canonical(own[0], own[1:]) for own in ids]
        columns = [pa.array([collection] * len(keys), pa.string()), binary_column(keys)]
        with writing(self._planned):
            self._writer.write_batch(pa.record_batch(columns, schema=_IDS))

    def compare(self, target: Target, uri: str, *, sessions: Collection[str], gone: Iterable[str] = ()) -> None:
        """Fill `problems`, `notes` and `checked`.

        Args:
            target: The database.
            uri: The same.
            sessions: The server sessions that the restore and its rollbacks wrote through.
            gone: The collections that are not those of the restore any more.

        Raises:
            ConnectionFailedError: The server went away.
        """
        with writing(self._planned):
            self._writer.close()
        known = sorted({*self._baseline.collections} - {*gone})
        large = sorted({*self._baseline.left_out} - {*gone})
        if not known and not large:
            return
        now = self._folder / "now.parquet"
        hash_collections(now, uri, known)
        try:
            with duckdb.connect(config={"memory_limit": "256MB", "temp_directory": str(self._folder)}) as db:
                self._compare(db, now, target, known, large, sessions)
        except duckdb.Error as error:
            what = f"what was there before the restore cannot be read ({type(error).__name__})"
            self.problems.append(Problem(what, str(self._baseline.table)))

    def _compare(
        self,
        db: duckdb.DuckDBPyConnection,
        now: Path,
        target: Target,
        known: Sequence[str],
        large: Sequence[str],
        sessions: Collection[str],
    ) -> None:
        texts = {"before": self._baseline.table, "now": now, "planned": self._planned}
        paths = {name: str(path).replace("'", "''") for name, path in texts.items()}
        db.execute(_DIFFERING.format(**paths), {"names": known})
        db.execute("CREATE TABLE written (collection VARCHAR, key BLOB, ours BOOLEAN)")
        self.checked = _number(db, _UNPLANNED.format(**paths))
        reaches = True
        if large or _number(db, "SELECT count(*) FROM differing"):
            reaches = self._authors(db, target, [*known, *large], sessions)
        self._report(db)
        self._report_large(db, paths, large, reaches=reaches)

    def _authors(
        self, db: duckdb.DuckDBPyConnection, target: Target, names: Sequence[str], sessions: Collection[str]
    ) -> bool:
        """Load who wrote what since; return whether the oplog reaches back."""
        writes = written_since(target, names, self._baseline.optime, sessions)
        if writes is None:
            return False
        while some := list(islice(writes, _ROWS)):
            collections, keys, ours = zip(*some, strict=True)
            columns = [pa.array(collections, pa.string()), binary_column(keys), pa.array(ours, pa.bool_())]
            db.register("arrived", pa.table(columns, names=["collection", "key", "ours"]))
            db.execute("INSERT INTO written SELECT * FROM arrived")
            db.unregister("arrived")
        return True

    def _report(self, db: duckdb.DuckDBPyConnection) -> None:
        db.execute(_OF_OTHERS)
        rows = db.execute(f"SELECT collection, key, what, ours FROM told WHERE NOT theirs ORDER BY ALL LIMIT {NAMED}")
        for collection, key, what, ours in rows.fetchall():
            self._name(collection, key, f"it is not in the plan, and {what} since the restore began{_doubt(ours)}")
        if more := _number(db, "SELECT count(*) FROM told WHERE NOT theirs") - NAMED:
            self._more(more)
        theirs = "SELECT collection, count(*) FROM told WHERE theirs GROUP BY ALL ORDER BY ALL"
        for collection, count in db.execute(theirs).fetchall():
            self.notes.append(f"other records of {collection} that someone else has written since: {count:,}")

    def _report_large(
        self, db: duckdb.DuckDBPyConnection, paths: dict[str, str], large: Sequence[str], *, reaches: bool
    ) -> None:
        for name in large:
            count = self._baseline.left_out[name]
            told = "the oplog tells what the restore wrote there" if reaches else "the oplog does not reach back"
            self.notes.append(f"{name} was too large ({count:,} records) to be read before the restore: {told}")
        if not (large and reaches):
            return
        rows = db.execute(_BEYOND.format(**paths, most=NAMED + 1), {"names": list(large)}).fetchall()
        for collection, key, ours in rows[:NAMED]:
            self._name(collection, key, f"it is not in the plan, and was written since the restore began{_doubt(ours)}")
        if len(rows) > NAMED:
            self._more(1)

    def _name(self, collection: str, key: bytes, what: str) -> None:
        self.problems.append(Problem(what, f"{collection}/{key_text(key)}"))

    def _more(self, count: int) -> None:
        if count > 0:
            self.problems.append(Problem(f"{count:,} more at least are not as before", self._baseline.table.name))


def _doubt(ours: object) -> str:
    return "" if ours else "; the server's oplog does not tell by whom"


def _number(db: duckdb.DuckDBPyConnection, query: str) -> int:
    ((number,),) = db.execute(query).fetchall()
    return int(number)
