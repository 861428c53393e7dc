from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb import Case
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.compare.trust import by_trust
from recovery_nb.records.elements import build, elements, id_element, split
from recovery_nb.sources.base import Kind, Typing

EMPTY = ((0x0A, b""), (0x02, b"\x01\x00\x00\x00\x00"))


def found(comparison: Comparison, collection: str) -> dict[str, int]:
    return {status: count for status, count in comparison.summary.collections[collection].items() if count}


def stored(database: Any, collection: str) -> dict[bytes | None, bytes]:
    cursor = database.client[database.name][collection].find_raw_batches()
    return {id_element(record): record for batch in cursor for record in split(batch)}


def filled(record: bytes) -> bytes:
    """Return the record without the fields that an empty cell stands for."""
    return build([field for field in elements(record) if (field[0], field[2]) not in EMPTY])


@pytest.mark.parametrize(
    ("name", "expected", "kinds"),
    [
        ("users", {"identical": 250}, set()),
        ("quotes", {"identical": 142, "equivalent": 158}, {"lost type"}),
        ("sessions", {"equivalent": 600}, {"not stated"}),
    ],
)
def test_an_export_as_csv_agrees_with_the_database_it_was_taken_from(
    shop: Any, case: Case, samples: Path, name: str, expected: dict[str, int], kinds: set[str]
) -> None:
    comparison = case.compare(samples / "mongoexport" / f"{name}.csv")

    assert list(comparison.counts) == [name]
    assert found(comparison, name) == expected
    assert comparison.clean
    assert set(comparison.fields["kind"]) == kinds
    assert comparison.summary.keys[name] == (["session_id"] if name == "sessions" else ["_id"])


def test_deleted_quotes_come_back_from_csv_with_the_types_of_those_that_are_left(
    shop: Any, case: Case, samples: Path
) -> None:
    quotes = shop.client[shop.name].quotes
    before = stored(shop, "quotes")
    quotes.delete_many({"_id": {"$lte": 100}})

    comparison = case.compare(samples / "mongoexport" / "quotes.csv")
    assert found(comparison, "quotes")["missing"] == 100
    missing = comparison.rows([Status.MISSING])
    assert {(row["inferred"], row["confidence"]) for row in missing} == {("database", "medium")}
    result = case.restore(case.plan(comparison, only=["missing"]))

    assert (result.restored, result.failed) == (100, 0)
    after = stored(shop, "quotes")
    assert after.keys() == before.keys()
    assert {key: filled(record) for key, record in after.items()} == {
        key: filled(record) for key, record in before.items()
    }
    assert [key for key, record in before.items() if filled(record) == record and after[key] != record] == []


def test_what_changed_since_the_export_is_told_and_what_csv_cannot_say_is_not(
    shop: Any, case: Case, samples: Path
) -> None:
    sessions = shop.client[shop.name].sessions
    sessions.update_one({"session_id": "sess-00003"}, {"$set": {"agent": "toaster"}})
    sessions.update_one({"session_id": "sess-00004"}, {"$unset": {"closed": 1}})

    comparison = case.compare(samples / "mongoexport" / "sessions.csv")

    assert found(comparison, "sessions") == {"changed": 2, "equivalent": 598}
    told = {(row.key, row.path, row.kind) for row in comparison.fields.itertuples() if row.kind != "not stated"}
    assert told == {("sess-00003", "/agent", "value"), ("sess-00004", "/closed", "removed")}


def test_into_an_empty_database_csv_comes_back_by_shape_and_with_low_confidence(
    database: Any, case: Case, samples: Path
) -> None:
    comparison = case.compare(samples / "mongoexport" / "users.csv")

    assert found(comparison, "users") == {"missing": 250}
    assert {(row["inferred"], row["confidence"]) for row in comparison.rows()} == {("shape", "low")}
    case.restore(case.plan(comparison))
    one = database.client[database.name].users.find_one({"email": "dev.0@example.org"})
    assert one == {
        "_id": bson.ObjectId("650000007d81f8fc0a2ad717"), "email": "dev.0@example.org", "name": "Farid",
        "phone": "+15557650934", "created_at": datetime(2025, 7, 30, 8), "loyalty": 767780801207,
        "balance": bson.Decimal128("4670.45"),
        "external_id": "9ADBEC8D1D47845C7CF3DD1C1720A4E7", "active": True,
    }  # fmt: skip


def test_rows_that_cannot_be_read_are_corrupt_and_the_others_are_compared(
    shop: Any, case: Case, samples: Path, tmp_path: Path
) -> None:
    rows = (samples / "mongoexport" / "users.csv").read_bytes().splitlines(keepends=True)
    rows[100] = rows[100].replace(b",", b"", 1)
    rows[200] = rows[200].replace(b",", b'"', 1)
    source = tmp_path / "users.csv"
    source.write_bytes(b"".join(rows))

    comparison = case.compare(source)

    assert found(comparison, "users") == {"identical": 248, "extra": 2, "corrupt": 2}
    notes = sorted(row["note"] for row in comparison.rows([Status.CORRUPT]))
    assert notes == ["a quote within a cell, or a broken line end", "a row of 8 cells under a header of 9"]


def test_a_typed_header_needs_no_database_to_tell_the_types(database: Any, case: Case, tmp_path: Path) -> None:
    source = tmp_path / "things.csv"
    source.write_text("_id.int32(),n.int64(),at.date(2006-01-02),tag.string()\n1,2,2025-12-01,007\n")

    comparison = case.compare(source)
    case.restore(case.plan(comparison))

    assert stored(database, "things") == {
        b"\x10\x01\x00\x00\x00": bson.encode({"_id": 1, "n": bson.Int64(2), "at": datetime(2025, 12, 1), "tag": "007"})
    }


def test_of_sources_of_one_age_those_of_text_rank_last() -> None:
    now = datetime(2025, 12, 1, tzinfo=UTC)
    entries = [
        SourceEntry(
            id=typing.value, digest="", path=Path("x"), name="x", kind=Kind.CSV, typing=typing, size=0, modified=now,
            taken_at=now, taken_from="", scanned_at=now,
        )
        for typing in (Typing.TEXT, Typing.PLAIN, Typing.FULL, Typing.RELAXED)
    ]  # fmt: skip

    assert [one.typing.value for one in by_trust(entries)] == ["full", "relaxed", "plain", "text"]
