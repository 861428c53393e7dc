"""Records of capped collections are written in the order in which the sources hold them."""

from __future__ import annotations

import random
from typing import Any

import bson


def ids(chosen: list[Any]) -> list[Any]:
    return [bson.decode(one.planned)["_id"] for one in chosen]


def test_a_lost_capped_collection_comes_back_in_its_order(bench: Any) -> None:
    bench.db.create_collection("log", capped=True, size=1_000_000)
    order = random.Random(1).sample(range(3000), 3000)
    bench.db.log.insert_many({"_id": n} for n in order)
    source = bench.dump()
    bench.db.drop_collection("log")
    comparison = bench.case.compare(source)

    chosen = bench.select(comparison)

    assert ids(chosen) == order
    assert bench.restore(comparison, chosen).restored == 3000
    assert [bson.decode(record)["_id"] for record in bench.raw("log")] == order
    assert bench.db.log.options()["capped"]


def test_of_several_backups_the_oldest_comes_first(bench: Any, bson_file: Any) -> None:
    bench.db.create_collection("log", capped=True, size=1_000_000)
    bench.db.log.insert_many({"_id": n} for n in (9, 5, 7))
    old = bench.dump("old", day=1)
    bench.db.drop_collection("log")
    bench.db.create_collection("log", capped=True, size=1_000_000)
    bench.db.log.insert_many({"_id": n} for n in (7, 3, 8, 1))
    new = bench.dump("new", day=2)
    bench.db.drop_collection("log")

    chosen = bench.select(bench.case.compare(old, new))

    assert ids(chosen) == [9, 5, 7, 3, 8, 1]


def test_a_query_keeps_the_order(bench: Any) -> None:
    bench.db.create_collection("log", capped=True, size=1_000_000)
    order = random.Random(2).sample(range(200), 200)
    bench.db.log.insert_many({"_id": n} for n in order)
    source = bench.dump()
    bench.db.drop_collection("log")

    chosen = bench.select(bench.case.compare(source), query={"_id": {"$mod": [3, 0]}})

    assert ids(chosen) == [n for n in order if n % 3 == 0]
