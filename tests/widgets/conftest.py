from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId, json_util

from recovery_nb.case import Case
from recovery_nb.compare.result import Comparison

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


@dataclass(frozen=True)
class Lost:
    """A database that lost records, the comparison that says so, and the case.

    Attributes:
        records: The database.
        case: The open case.
        comparison: 250 missing quotes and one missing record with a hostile key; 3 changed quotes, of which the
            database's version of one is newer; a hostile collection.
    """

    records: Any
    case: Case
    comparison: Comparison


def _quotes(count: int) -> list[dict[str, Any]]:
    return [{"_id": ObjectId(f"65001450{number:016x}"), "no": number} for number in range(count)]


@pytest.fixture
def lost(database: Any, tmp_path: Path) -> Iterator[Lost]:
    records = database.client[database.name]
    quotes = [*_quotes(300), {"_id": HOSTILE, "no": -1}]
    stamped = json_util.loads('{"updated_at": {"$date": "2025-01-01T00:00:00Z"}}')
    quotes[299] |= stamped
    backup = {"collections": {"quotes": quotes, HOSTILE: [{"_id": 1, "why": HOSTILE}]}}
    path = tmp_path / "backup_1.json"
    path.write_text(json_util.dumps(backup, json_options=json_util.CANONICAL_JSON_OPTIONS))
    json.loads(path.read_text())
    records["quotes"].insert_many(quotes[250:300])
    records["quotes"].update_many({"_id": {"$in": [one["_id"] for one in quotes[290:292]]}}, {"$set": {"no": HOSTILE}})
    newer = json_util.loads('{"updated_at": {"$date": "2026-01-01T00:00:00Z"}}')
    records["quotes"].update_one({"_id": quotes[299]["_id"]}, {"$set": newer})
    with Case.open(tmp_path / "case", database=database.uri) as case:
        yield Lost(records, case, case.compare(path))
