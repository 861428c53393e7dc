"""What a dump holds of one database can be compared with, and restored into, another one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb.compare.engine import Request, compare
from recovery_nb.compare.model import Status
from recovery_nb.databases import of_one_database
from recovery_nb.restore import apply, make_plan
from recovery_nb.selection import planned_bytes, select, structures
from recovery_nb.sources.address import beside
from recovery_nb.sources.mongodb import Database

LOST = (Status.MISSING, Status.CHANGED)


@pytest.fixture
def other(bench: Any) -> Iterator[Database]:
    """Another database of the same server."""
    database = Database(beside(bench.uri, f"{bench.name}_copy"))
    yield database
    database.close()
    bench.client.drop_database(database.name)


def test_a_dump_of_two_databases_goes_into_a_third(bench: Any, other: Database, tmp_path: Path) -> None:
    dumped = tmp_path / "dump"
    for name, value in (("shop", 1), ("blog", 2)):
        (dumped / name).mkdir(parents=True)
        (dumped / name / "c.bson").write_bytes(bson.encode({"_id": 1, "of": value}))
    found = bench.case.scan(dumped).sources
    used, _ = of_one_database(found, "shop", [dumped])  # the name that the sources know, not that of the target

    comparison = compare(Request(tuple(used)), other, bench.case.catalog, tmp_path / "comparisons")
    plan = make_plan(
        select(comparison, other, statuses=LOST), tmp_path / "plans", database=other.label,
        structures=structures(comparison, other),
    )  # fmt: skip
    result = apply(
        plan, beside(bench.uri, other.name), payload=partial(planned_bytes, comparison), folder=tmp_path / "restores"
    )

    assert result.restored == 1
    assert list(bench.client[other.name].c.find()) == [{"_id": 1, "of": 1}]
    assert bench.db.list_collection_names() == []


def test_what_the_database_itself_holds_is_of_no_account(bench: Any, other: Database, tmp_path: Path) -> None:
    bench.db.c.insert_many([{"_id": n} for n in range(3)])
    bench.client[other.name].c.insert_one({"_id": 1})
    bench.case.scan(bench.dump())

    comparison = compare(Request(bench.case.scanned.sources), other, bench.case.catalog, tmp_path / "comparisons")

    chosen: list[Any] = [bson.decode(one.planned)["_id"] for one in select(comparison, other, statuses=LOST)]
    assert chosen == [0, 2]
