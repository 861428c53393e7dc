"""Keys are made as the server makes them: pairs of documents that meet in its unique indexes meet here too."""

from __future__ import annotations

from random import Random
from typing import Any, Protocol

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import WriteError

from recovery_nb.records.keys import canonical
from recovery_nb.restore.forecast.indexes import path_of
from recovery_nb.restore.forecast.keys import KeyRefusedError, hashed_path, keys_of

PATTERNS = [
    ["a"], ["a.b"], ["a", "b"], ["a.b", "a.a"], ["a.0"], ["a.0.b"], ["a.b.0"], ["a.0", "b"], ["a.0", "a.1"],
    ["a.0.0"], ["a.b", "a.0.b"], ["a", "a.b"], ["a.0.1.b"], ["a.1", "a.b.a"],
]  # fmt: skip
TRIALS = 60
_DUPLICATE = 11000


class Server(Protocol):
    name: str
    client: MongoClient[dict[str, Any]]


def value(rng: Random, depth: int) -> Any:
    kind = rng.random()
    if depth and kind < 0.35:
        return [value(rng, depth - 1) for _ in range(rng.randrange(3))]
    if depth and kind < 0.65:
        return {rng.choice("ab01"): value(rng, depth - 1) for _ in range(rng.randrange(3))}
    return rng.choice([None, 1, 2, 1.0, "x"])


def made(document: dict[str, Any], fields: list[str], *, sparse: bool = False) -> set[tuple[bytes, ...]]:
    keys = keys_of(bson.encode(document), list(map(path_of, fields)), sparse=sparse)
    return {tuple(canonical(*one) for one in key) for key in keys}


@pytest.mark.seeded(1)
@pytest.mark.parametrize("fields", PATTERNS, ids=", ".join)
@pytest.mark.parametrize("sparse", [False, True], ids=["", "sparse"])
def test_documents_meet_in_a_unique_index_exactly_where_their_keys_are_equal(
    database: Server, fields: list[str], sparse: bool, seed: int
) -> None:
    rng = Random(f"{seed} {fields} {sparse}")
    collection = database.client[database.name]["things"]
    collection.create_index([(field, 1) for field in fields], unique=True, sparse=sparse)
    owned: set[tuple[bytes, ...]] = set()
    for _ in range(TRIALS):
        document = {name: value(rng, 3) for name in rng.sample("abc", rng.randrange(4))}
        own: set[tuple[bytes, ...]] = set()
        try:
            own = made(document, fields, sparse=sparse)
            expected = "taken" if own & owned else "stored"
        except KeyRefusedError:
            expected = "refused"
        try:
            collection.insert_one({**document})
            came = "stored"
        except WriteError as error:
            came = "taken" if error.code == _DUPLICATE else "refused"
        assert came == expected, (document, own)
        if came == "stored":
            owned |= own
        if rng.random() < 0.05:
            collection.delete_many({})
            owned = set()


def test_a_name_that_stands_twice_counts_where_it_stands_first() -> None:
    record = bson.encode({"a": 1, "b": 2}).replace(b"b", b"a")
    assert list(keys_of(record, [path_of("a")])) == [((0x10, b"\1\0\0\0"),)]


@pytest.mark.parametrize(
    ("document", "refused"),
    [({"a": [1]}, "a"), ({"a": []}, "a"), ({"a": {"b": [1]}}, "a.b"), ({"a": {"b": 1}}, ""), ({"b": [1]}, "")],
)
def test_a_hashed_index_takes_no_array_along_its_path(database: Server, document: dict[str, Any], refused: str) -> None:
    collection = database.client[database.name]["things"]
    collection.create_index([("a.b", "hashed")])
    if not refused:
        collection.insert_one({**document})
        hashed_path(bson.encode(document), [path_of("a.b")])
        return
    with pytest.raises(WriteError, match=f"Found array at path: {refused}"):
        collection.insert_one({**document})
    with pytest.raises(KeyRefusedError, match=f"{refused} is one"):
        hashed_path(bson.encode(document), [path_of("a.b")])
