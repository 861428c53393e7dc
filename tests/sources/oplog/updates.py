"""Random documents and random updates of every kind, for tests that compare with what the server made of them."""

from __future__ import annotations

import datetime as dt
from random import Random
from typing import Any

from bson import Binary, Decimal128, Int64, ObjectId, Regex, Timestamp

NAMES = ["a", "b", "c", "d", "e", "s", "u", "i", "l", "0", "1", "10", "long name", "ünïcode"]


def value(random: Random, depth: int = 0) -> Any:
    choice = random.randrange(9 if depth > 2 else 12)
    if choice == 0:
        return random.randrange(-5, 1000)
    if choice == 1:
        return Int64(random.randrange(1 << 40))
    if choice == 2:
        return random.random() * 100
    if choice == 3:
        return "x" * random.randrange(20)
    if choice == 4:
        return random.choice([None, True, False])
    if choice == 5:
        return Decimal128(str(random.randrange(100)) + ".50")
    if choice == 6:
        return dt.datetime(2025, 1, random.randrange(1, 28), tzinfo=dt.UTC)
    if choice == 7:
        return ObjectId(random.randbytes(12))
    if choice == 8:
        return random.choice([Binary(b"\x00\x01", 5), Regex("^a", "i"), Timestamp(5, 6), "12"])
    if choice == 9:
        return [value(random, depth + 1) for _ in range(random.randrange(6))]
    if choice == 10:
        return [{name: random.randrange(9) for name in random.sample("ab", 2)} for _ in range(random.randrange(1, 4))]
    return document(random, depth + 1)


def document(random: Random, depth: int = 0) -> dict[str, Any]:
    return {name: value(random, depth) for name in random.sample(NAMES, random.randrange(1, 7))}


def path(random: Random) -> str:
    return ".".join(random.choice(NAMES) for _ in range(random.choice([1, 1, 1, 2, 2, 3])))


def update(random: Random) -> Any:
    """Return an update document or pipeline; not all of them succeed on every document."""
    where, other = path(random), path(random)
    return random.choice(
        [
            {"$set": {path(random): value(random) for _ in range(random.randrange(1, 6))}},
            {"$set": {where: value(random)}, "$unset": {other: 1}},
            {"$unset": {where: 1, other: 1}},
            {"$inc": {where: random.choice([1, Int64(1), 1.5, Decimal128("0.1"), 1 << 33])}},
            {"$mul": {where: random.choice([2, 2.5, Int64(3)])}},
            {"$rename": {where: other}},
            {"$push": {where: value(random)}},
            {"$push": {where: {"$each": [1, 2, {"a": 1}], "$position": 0, "$slice": random.choice([2, -2, 9])}}},
            {"$push": {where: {"$each": [{"a": random.randrange(9)}], "$sort": {"a": 1}}}},
            {"$pull": {where: {"$gte": 3}}},
            {"$pull": {where: {"a": {"$lt": 5}}}},
            {"$pop": {where: random.choice([1, -1])}},
            {"$addToSet": {where: {"$each": [1, "x", value(random)]}}},
            {"$max": {where: 500}},
            {"$currentDate": {where: {"$type": random.choice(["date", "timestamp"])}}},
            {"$bit": {where: {"xor": 5}}},
            {"$set": {f"{where}.$[].a": 7}},
            [{"$set": {"e": {"$concatArrays": [[1], [{"k": "$a"}]]}, "b": "$a"}}, {"$unset": "c"}],
            [{"$replaceWith": {"$mergeObjects": [{"_id": "$_id", "d": 1, "a": 0}, "$$ROOT", {"z": "$b"}]}}],
            [{"$set": {"a": {"$reverseArray": {"$cond": [{"$isArray": "$a"}, "$a", [1, 2, 3]]}}}}],
        ]
    )
