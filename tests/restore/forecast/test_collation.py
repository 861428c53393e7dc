"""Strings have the same comparison key exactly if the server's collation holds them equal."""

from __future__ import annotations

import struct
from itertools import combinations
from typing import Any, Protocol

import bson
import pytest
from pymongo import MongoClient

from recovery_nb.restore.forecast.collation import comparison_keys, strings_of, translated

WORDS = [
    "",
    "a",
    "A",
    "á",
    "Á",
    "ss",
    "ß",
    "SS",
    "resume",
    "résumé",
    "a\0b",
    "10",
    "9",
    "ñ",
    "日本",
    "e\u0301",
    "é",
    "a b",
]


class Server(Protocol):
    name: str
    client: MongoClient[dict[str, Any]]


def content(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<i", len(encoded) + 1) + encoded + b"\0"


@pytest.mark.parametrize(
    "collation",
    [
        {"locale": "en", "strength": 1},
        {"locale": "en", "strength": 2},
        {"locale": "de", "strength": 1, "caseLevel": True},
        {"locale": "fr"},
        {"locale": "en", "alternate": "shifted", "strength": 2},
        {"locale": "en", "numericOrdering": True},
    ],
    ids=str,
)
def test_strings_are_equal_as_they_are_in_an_index(database: Server, collation: dict[str, Any]) -> None:
    base = database.client[database.name]
    keys = comparison_keys(base, map(content, WORDS), collation)
    assert keys is not None
    base["words"].insert_many([{"w": word} for word in WORDS])
    for one, other in combinations(WORDS, 2):
        found = {found["w"] for found in base["words"].find({"w": one}, collation=collation)}
        assert (keys[content(one)] == keys[content(other)]) == (other in found), (one, other)


def test_many_and_long_strings_are_asked_about_in_pieces(database: Server) -> None:
    words = [content(f"Word {number}") for number in range(12_000)] + [content("x" * 600_000 + end) for end in "aAb"]
    keys = comparison_keys(database.client[database.name], words, {"locale": "en", "strength": 2})
    assert keys is not None
    assert set(keys) == set(words)
    assert len(set(keys.values())) == len(words) - 1


def test_an_unheard_collation_has_no_keys(database: Server) -> None:
    assert comparison_keys(database.client[database.name], [content("a")], {"locale": "nowhere"}) is None


def test_strings_deep_in_a_value_are_translated_and_nothing_else() -> None:
    value = (0x03, bson.encode({"a": ["x", {"b": "x"}, 1], "x": "y", "n": None}))
    assert list(strings_of(value)) == [content("x"), content("x"), content("y")]
    kind, document = translated(value, {content("x"): content("long key"), content("y"): content("")})
    assert kind == 0x03
    assert bson.decode(document) == {"a": ["long key", {"b": "long key"}, 1], "x": "", "n": None}
