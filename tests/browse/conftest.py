"""What the tests of browsing share: comparisons made up row by row, and one of a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bson import ObjectId

from recovery_nb import Case
from recovery_nb.compare.model import CANDIDATES, DIFFERENCES
from recovery_nb.compare.result import Comparison, Summary
from recovery_nb.compare.rows import RowWriter
from recovery_nb.records.keys import key_of, key_text

Made = Callable[..., Comparison]
SOURCES = {"s1": "monday.bson", "s2": "tuesday.bson"}
DAY = datetime(2025, 12, 1, tzinfo=UTC)


def difference(number: int, **values: Any) -> dict[str, Any]:
    """Return the row of a missing record with the key `number`, but for the values that are given."""
    key = key_of(bson.encode({"_id": values.pop("id_value", number)})) or b""
    return {
        "collection": "users", "status": "missing", "key": key_text(key), "key_bytes": key, "id": b"\x10\0\0\0\0",
        "source": "s1", "source_name": SOURCES["s1"], "source_collection": "users", "member": "",
        "offset": number * 100, "length": 100, "fingerprint": number.to_bytes(32, signed=True), "inferred": "",
        "candidates": 1, "confidence": "high", "newer": "", "note": "", "fields": [], "changes": "[]",
        "made": None, **values,
    }  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return what keeps rows as a comparison does: it takes the rows, and for each number several versions."""

    def make(
        rows: Sequence[Mapping[str, Any]], *, name: str = "c1", versions: Sequence[Mapping[str, Any]] | None = None
    ) -> Comparison:
        folder = tmp_path / "comparisons" / name
        folder.mkdir(parents=True)
        with RowWriter(folder / "differences.parquet", DIFFERENCES) as table:
            for row in rows:
                table.add(dict(row))
        with RowWriter(folder / "candidates.parquet", CANDIDATES) as table:
            for row in versions if versions is not None else rows:
                table.add({**{one: row[one] for one in CANDIDATES.names if one in row}, "rank": row.get("rank", 1),
                           "taken_at": DAY, "at": 0})  # fmt: skip
        summary = Summary(name, "", "", "mongodb://127.0.0.1/x", True, None, {}, {}, {}, list(SOURCES), {})
        sources = {one: SimpleNamespace(id=one, name=SOURCES[one]) for one in SOURCES}
        return Comparison(folder, summary, cast("Any", sources), cast("Any", None))

    return make


@dataclass(frozen=True)
class Lost:
    """A real database that lost records, and the comparison that says so.

    Attributes:
        records: The database.
        case: The open case.
        comparison: Against the backups of two days; users 0 to 9 of the second day, of which 0 to 3 are missing and 4
            to 6 changed; user 9 is not in the backups; user 7 is as it was.
        older: The backup of the first day; its users have another name.
        newer: The backup of the second.
        uri: The database's.
    """

    records: Any
    case: Case
    comparison: Comparison
    older: Path
    newer: Path
    uri: str


def users(count: int, name: str) -> list[dict[str, Any]]:
    return [
        {"_id": ObjectId(f"65001450{number:016x}"), "name": f"{name} {number}", "email": f"{number}@example.org",
         "created_at": datetime(2025, 1, 1 + number, tzinfo=UTC), "n": number}
        for number in range(count)
    ]  # fmt: skip


@pytest.fixture
def lost(database: Any, tmp_path: Path) -> Iterator[Lost]:
    paths = []
    for day, name in ((1, "old"), (2, "new")):
        path = tmp_path / f"backup_2025120{day}" / "users.bson"
        path.parent.mkdir()
        path.write_bytes(b"".join(bson.encode(one) for one in users(9, name)))
        paths.append(path)
    records = database.client[database.name]["users"]
    records.insert_many([*users(9, "new")[4:], {**users(10, "new")[9], "created_at": None}])
    for number in (4, 5, 6):
        records.update_one({"n": number}, {"$set": {"name": "altered", "n": float(number)}})
    with Case.open(tmp_path / "case", database=database.uri) as case:
        yield Lost(records, case, case.compare(*paths), *paths, database.uri)


def without_column(path: Path, name: str) -> None:
    """Rewrite a Parquet file as an earlier version of it would be."""
    table = pq.read_table(path).drop_columns([name])
    pq.write_table(pa.table(table), path)
