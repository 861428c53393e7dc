"""A dry run counts what the restore then does, reason by reason."""

from __future__ import annotations

from typing import Any

import pytest
from bson import json_util

from recovery_nb.restore import OnConflict

LIVE: list[dict[str, Any]] = [{"_id": number, "a": number, "n": number % 7} for number in range(40)]
WANTED: list[dict[str, Any]] = [
    {"_id": number, "a": number * 7 % 60, "n": number % 5, "more": number} for number in range(20, 120)
]


@pytest.mark.parametrize("transaction", ["", "batch"])
@pytest.mark.parametrize("on_conflict", [OnConflict.SKIP, OnConflict.REPLACE, OnConflict.MERGE])
def test_counts_and_reasons_are_those_of_the_restore(bench: Any, on_conflict: OnConflict, transaction: str) -> None:
    things = bench.client[bench.name]["things"]
    things.create_index("a", unique=True)
    bench.put(LIVE)
    bench.client[bench.name].command("collMod", "things", validator={"n": {"$gt": 0}}, validationLevel="moderate")
    plan = bench.plan(WANTED, on_conflict=on_conflict, transaction=transaction)
    foreseen = bench.apply(plan, dry_run=True, batch=3)
    came = bench.apply(plan, batch=3)
    assert foreseen.outcomes == came.outcomes
    assert (foreseen.skipped, foreseen.failed) == (came.skipped, came.failed)
    assert foreseen.errors == came.errors
    assert foreseen.conflicts == came.conflicts
    assert min(came.restored, came.failed) > 0


def test_a_missing_collection_is_counted_by_what_the_plan_makes_it_with(bench: Any) -> None:
    indexes = [{"v": 2, "key": {"a": 1}, "name": "by_a", "unique": True}]
    told = {"options": {"validator": {"n": {"$gt": 0}}}, "indexes": indexes}
    structure = json_util.dumps(told, json_options=json_util.CANONICAL_JSON_OPTIONS)
    plan = bench.plan(WANTED, structures={"things": structure})
    foreseen = bench.apply(plan, dry_run=True, batch=3)
    assert bench.client[bench.name].list_collection_names() == []
    came = bench.apply(plan, batch=3)
    assert foreseen.outcomes == came.outcomes
    assert (foreseen.skipped, foreseen.failed) == (came.skipped, came.failed)
    assert foreseen.errors == came.errors
    assert min(came.restored, came.failed) > 0
