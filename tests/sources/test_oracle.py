"""The server says which records a query matches; it stores nothing, and keeps every bit."""

from __future__ import annotations

import struct
from typing import Any, Protocol

import bson
import pytest
from bson import Int64, MinKey, ObjectId, Regex, Timestamp
from pymongo import MongoClient

from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import build
from recovery_nb.sources.oracle import can_match, matching


class Server(Protocol):
    name: str
    client: MongoClient[dict[str, Any]]


def nested(levels: int) -> bytes:
    record = bson.encode({"x": 1})
    for _ in range(levels - 1):
        record = struct.pack("<i", len(record) + 8) + b"\x03x\0" + record + b"\0"
    return record


def test_records_match_as_a_find_would_match_them(database: Server) -> None:
    documents: list[dict[str, Any]] = [
        {"_id": 1, "tags": ["a", "b"], "n": 1},
        {"_id": 2, "tags": "a", "n": Int64(1)},
        {"_id": 3, "n": 1.0, "sub": [{"k": 1}, {"k": 2}]},
        {"_id": 4, "n": None},
        {"_id": ObjectId(), "sub": {"k": 2}},
    ]
    stored = database.client[database.name]["stored"]
    stored.insert_many(documents)
    records = [bson.encode(document) for document in documents]
    queries: list[dict[str, Any]] = [
        {}, {"tags": "a"}, {"n": 1}, {"n": None}, {"sub.k": 2}, {"n": {"$type": "long"}}, {"tags": Regex("^b")},
        {"$expr": {"$gt": ["$n", 0]}}, {"$jsonSchema": {"required": ["tags"]}},
    ]  # fmt: skip
    for query in queries:
        found = {bson.encode(document) for document in stored.find(query)}
        assert matching(database.client[database.name], records, query) == [record in found for record in records]


def test_no_database_is_made(database: Server) -> None:
    assert can_match(database.client["never_made"])
    assert matching(database.client["never_made"], [bson.encode({"a": 1})], {"a": 1}) == [True]
    assert "never_made" not in database.client.list_database_names()


def test_records_that_no_insert_keeps_are_asked_about_as_they_are(database: Server) -> None:
    doubled = build([(0x10, b"a", struct.pack("<i", 1)), (0x10, b"a", struct.pack("<i", 2))])
    records = [
        doubled,
        bson.encode({"a": 1}),
        bson.encode({"a": 1, "_id": 7}),
        bson.encode({"t": Timestamp(0, 0), "a": 1}),
        bson.encode({"$a": 3, "a": 2}),
        bson.encode({"_id": MinKey(), "a.b": 1, "": 2, "a": 1}),
        nested(180),
    ]
    assert matching(database.client[database.name], records, {"a": 1}) == [True, True, True, True, False, True, False]
    assert matching(database.client[database.name], records, {"x.x.x": {"$type": "object"}})[-1]


def test_the_largest_record_and_many_small_ones_are_asked_about_in_pieces(database: Server) -> None:
    filled = bson.encode({"a": "", "x": 1})
    largest = bson.encode({"a": "y" * (16 * 1024 * 1024 - len(filled)), "x": 1})
    small = [bson.encode({"x": number}) for number in range(10_003)]
    got = matching(database.client[database.name], [*small[:2], largest, *small], {"x": {"$mod": [2, 1]}})
    assert len(largest) == 16 * 1024 * 1024
    assert got == [False, True, True, *(number % 2 == 1 for number in range(10_003))]


def test_records_of_the_same_bytes_have_the_same_answer(database: Server) -> None:
    yes, no = bson.encode({"a": 1}), bson.encode({"a": 2})
    assert matching(database.client[database.name], [no, yes, yes, no, yes], {"a": 1}) == [
        False, True, True, False, True,
    ]  # fmt: skip


def test_strings_compare_by_the_collation_that_is_named(database: Server) -> None:
    records = [bson.encode({"a": "Straße"}), bson.encode({"a": "STRASSE"})]
    assert matching(database.client[database.name], records, {"a": "strasse"}) == [False, False]
    options = {"locale": "de", "strength": 1}
    assert matching(database.client[database.name], records, {"a": "strasse"}, collation=options) == [True, True]


@pytest.mark.parametrize("query", [{"$where": "true"}, {"$unheard": 1}, {"a": {"$near": [0, 0]}}, {"a": {"$in": 1}}])
def test_a_query_that_the_server_does_not_take_is_refused_whatever_the_records(
    database: Server, query: dict[str, Any]
) -> None:
    with pytest.raises(BadInputError, match="does not take this query"):
        matching(database.client[database.name], [], query)


def test_a_query_that_cannot_be_evaluated_for_a_record_is_refused(database: Server) -> None:
    with pytest.raises(BadInputError, match="divide by zero"):
        matching(database.client[database.name], [bson.encode({"a": 0})], {"$expr": {"$divide": [1, "$a"]}})
