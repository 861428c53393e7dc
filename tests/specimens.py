"""A database that holds one of everything: each kind of collection, of index and of option, and every odd record.

Records are made of bytes where the driver would smooth them.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument
from gridfs import GridFSBucket

from recovery_nb.records.elements import Element, build, elements, split
from recovery_nb.restore.shape import MAX_STORED_BYTES, MAX_STORED_LEVELS, has_empty_timestamp

Store = Any

START = datetime(2024, 1, 1, tzinfo=UTC)
LONG = 10**9
"""Seconds after which something expires: so many that nothing does while a test runs."""
FAR, WIDE, EXACT = DatetimeMS(1 << 60), Int64(5), Decimal128("9.50")
_EMPTY_TIMESTAMP: Element = (0x11, b"zero", bytes(8))


def _string(text: bytes) -> bytes:
    return struct.pack("<i", len(text) + 1) + text + b"\0"


def _id(name: str) -> Element:
    return 0x02, b"_id", _string(name.encode())


def _nested(levels: int, kind: int, innermost: bytes) -> bytes:
    """A record of so many levels, itself among them, around an innermost document."""
    value = innermost
    for _ in range(levels - 2):
        value = build([(kind, b"0", value)])
    return build([_id(f"deep {levels} {kind} {len(innermost)}"), (kind, b"0", value)])


def _filled(*parts: Element) -> bytes:
    """A record of these fields and of one more, that has the most bytes that a server takes."""
    room = MAX_STORED_BYTES - len(build([*parts, (0x05, b"data", bytes(5))]))
    noise = random.Random(room).randbytes(room)
    return build([*parts, (0x05, b"data", struct.pack("<iB", room, 0) + noise)])


def names() -> list[bytes]:
    """Records with names that a server stores and an update refuses, or a decoder forgets."""
    int32 = struct.pack("<i", 1)
    twice: list[Element] = [(0x10, b"a", int32), (0x02, b"a", _string(b"b")), (0x10, b"a", int32)]
    array: list[Element] = [(0x10, b"7", int32), (0x10, b"", int32), (0x10, b"7", int32), (0x10, b"x", int32)]
    fields: list[list[Element]] = [
        [_id("twice"), *twice],
        [_id("twice within"), (0x03, b"d", build([(0x04, b"l", build([(0x03, b"0", build(twice))]))]))],
        [_id("twice, and zero"), *twice, _EMPTY_TIMESTAMP],
        [_id("zero within"), (0x03, b"d", build([_EMPTY_TIMESTAMP])), (0x10, b"$a", int32)],
        [_id("zero"), _EMPTY_TIMESTAMP],
        [_id("zero, and a dollar"), (0x10, b"$a", int32), _EMPTY_TIMESTAMP, (0x10, b"b.c", int32)],
        [_id("dollar"), (0x10, b"$set", int32), (0x03, b"$d", build([(0x10, b"$inc", int32)])), (0x10, b"$", int32)],
        [_id("dots"), (0x10, b"a.b", int32), (0x03, b"a", build([(0x10, b"b.c", int32)])), (0x10, b".", int32)],
        [_id("empty"), (0x10, b"", int32), (0x03, b"d", build([(0x10, b"", int32)]))],
        [_id("empty twice"), (0x10, b"", int32), (0x10, b"", int32)],
        [_id("array"), (0x04, b"l", build(array))],
        [_id("unicode"), (0x10, "ключ \U0001f511 é e\u0301 \u202e\t\n".encode(), int32)],
        [_id("_id within"), (0x03, b"d", build([(0x10, b"x", int32), (0x10, b"_id", int32), (0x10, b"_id", int32)]))],
        [(0x10, b"before", int32), _id("not first"), (0x10, b"behind", int32)],
        [_id("only its own")],
    ]  # fmt: skip
    return list(map(build, fields))


def long_names() -> list[bytes]:
    """The same records, each of so many bytes that the driver gives it out as a view and not as bytes."""
    long = _string(b"x" * 5_000)
    return [build([*elements(record), (0x02, b"long", long)]) for record in names()]


def sizes() -> list[bytes]:
    """Records as large and as deep as a server takes."""
    int32 = struct.pack("<i", 1)
    long = bson.encode({"_id": "long", "l": list(range(20_000)), "s": "ü" * 100_000})
    return [
        _filled(_id("largest")),
        _filled(_id("largest, and zero"), _EMPTY_TIMESTAMP),
        *(_nested(MAX_STORED_LEVELS, kind, build([(0x10, b"n", int32)])) for kind in (0x03, 0x04)),
        _nested(MAX_STORED_LEVELS + 1, 0x03, build([])),
        long,
    ]


def keys() -> list[bytes]:
    """Records with an `_id` of each kind that a server takes."""
    odd = [
        MinKey(), MaxKey(), None, True, float("nan"), float("inf"), -0.0, 0.1, Int64(1 << 62), 7, Decimal128("1E+6144"),
        Decimal128("1.10"), "", "\0", "Ä", Binary(b""), Binary(b"\0" * 16, 4), Binary(b"x", 0x80),
        DatetimeMS(-(1 << 62)),
        FAR, Timestamp(0, 0), Timestamp(1, 2), Timestamp(0xFFFFFFFF, 0xFFFFFFFF), ObjectId(b"\xff" * 12), Code("x"),
        Code("x", {"y": 1}), {}, {"a": {"b": 1}, "c": [1, None]}, {"c": 1, "a": 1}, {"a.b": 1, "": 2},
        DBRef("c", 1, "d"),
    ]  # fmt: skip
    raw = [(0x0E, _string(b"symbol")), (0x0C, _string(b"db.c") + bytes(12)),
           (0x03, build([(0x10, b"a", bytes(4)), (0x10, b"a", bytes(4))]))]  # fmt: skip
    made = [build([(kind, b"_id", value), (0x10, b"n", bytes(4))]) for kind, value in raw]
    return [bson.encode({"_id": own, "n": number}) for number, own in enumerate(odd)] + made


def values() -> list[bytes]:
    """Records with the values that decoding and encoding again would change, or that have no second form."""
    doubles = [0x7FF8000000000000, 0x7FF8000000000001, 0xFFF8000000000000, 0x7FF0000000000001, 0x8000000000000000, 1,
               0x7FEFFFFFFFFFFFFF, 0xFFF0000000000000]  # fmt: skip
    decimals = ["0", "-0", "0E+6111", "0E-6176", "1.10", "1.1", "NaN", "-NaN", "sNaN", "Infinity", "-Infinity",
                "1E-6176", "9.999999999999999999999999999999999E+6144"]  # fmt: skip
    dates = [-(1 << 63), (1 << 63) - 1, 253402300800000, -62135596800001, -1, 0]
    ints = [Int64(1), 1, 1.0, Int64(-(1 << 63)), Int64((1 << 63) - 1), -(1 << 31)]
    binaries = [Binary(b"\0\xff", kind) for kind in (0, 1, 5, 6, 7, 8, 9, 0x7F, 0x80, 0xFF)]
    uuids = [Binary(bytes(range(16)), kind) for kind in (3, 4)] + [Binary(b"short", 3), Binary(b"short", 4)]
    codes = [Code("f"), Code("f\0g"), Code("f", {}), Code("f", {"x": Int64(1), "y": {"$z": MinKey()}})]
    references = [DBRef("c", ObjectId(b"x" * 12)), DBRef("c", 1, "d"), DBRef("c", {"a": 1}, "d", e=MaxKey())]
    patterns = [Regex("a", "imsux"), Regex("", ""), Regex("/\\/", "i")]
    made: dict[str, bytes] = {
        "doubles": build([(0x01, str(n).encode(), struct.pack("<Q", one)) for n, one in enumerate(doubles)]),
        "odd decimals": build([(0x13, b"0", b"\xff" * 15 + b"\x5f"), (0x13, b"1", b"\1" + bytes(14) + b"\x6c")]),
        "old binary": build([(0x05, b"0", struct.pack("<iBi", 6, 2, 2) + b"ab")]),
        "odd options": build([(0x0B, b"0", b"a\0xsmi\0"), (0x0B, b"1", b"a\0lq\0")]),
        "deprecated": build([(0x06, b"u", b""), (0x0C, b"p", _string(b"c") + b"y" * 12), (0x0E, b"s", _string(b"\0"))]),
        "odd reference": build([(0x10, b"$id", bytes(4)), *[(0x02, b"$ref", _string(to)) for to in (b"c", b"d")]]),
    }  # fmt: skip
    plain: dict[str, object] = {
        "decimals": list(map(Decimal128, decimals)),
        "dates": list(map(DatetimeMS, dates)),
        "integers": ints,
        "binaries": [*binaries, *uuids],
        "codes": codes,
        "references": references,
        "patterns": patterns,
        "ends": [MinKey(), MaxKey(), None, True, False],
        "times": [Timestamp(0, 0), Timestamp(0, 1), Timestamp(0xFFFFFFFF, 0xFFFFFFFF)],
        "texts": ["", "\0", "a\0b", "\ufeff\ufffe\U0010ffff", "{'$oid': 1}", '{"$numberLong": "1"}'],
        "empty": [{}, [], [[]], [{}]],
        "like extended JSON": {"$oid": "x", "d": {"$date": "y"}, "n": {"$numberLong": "1"}, "m": {"$minKey": 1}},
    }
    return [
        *(build([_id(name), (0x03, b"v", value)]) for name, value in made.items()),
        *(bson.encode({"_id": name, "v": value}) for name, value in plain.items()),
        bson.encode({"_id": "at the top", **{f"f{n}": v for n, v in enumerate([*ints, *codes, *references])}}),
    ]  # fmt: skip


def put(store: Store, collection: str, records: Iterable[bytes]) -> None:
    """Store records to the bit; a server rewrites an empty timestamp of an insert, and keeps an upsert's."""
    for record in records:
        document = RawBSONDocument(record)
        if has_empty_timestamp(record):
            nothing = {"_id": document["_id"], "$nor": [{}]}
            store[collection].update_one(nothing, [{"$replaceWith": {"$literal": document}}], upsert=True)
        else:
            store[collection].insert_one(document, bypass_document_validation=True)


def fill(store: Store, samples: Path) -> None:
    """Make one of everything in an empty database."""
    put(store, "types", split((samples / "mongodump" / "shop" / "types.bson").read_bytes()))
    traps: dict[str, Callable[[], list[bytes]]] = {
        "names": names, "long names": long_names, "sizes": sizes, "keys": keys, "values": values,
    }  # fmt: skip
    for name, made in traps.items():
        put(store, name, made())
    _fill_plain(store)
    _fill_checked(store)
    _fill_special(store)
    _fill_series(store)
    _fill_files(store)
    _make_views(store)


def _fill_plain(store: Store) -> None:
    store.create_collection("empty", storageEngine={"wiredTiger": {"configString": "block_compressor=zlib"}})
    store.create_collection("images", changeStreamPreAndPostImages={"enabled": True})
    store["A/b %2F.ü$c".replace("$", "") + "x" * 180].insert_one({"_id": 1})
    store["case"].insert_one({"_id": 1})
    store["Case"].insert_one({"_id": 2})
    indexed = store.indexed
    indexed.insert_many(
        {"_id": n, "u": n, "s": n, "p": Int64(n), "x": Decimal128(f"{n}.50"), "gone": START, "body": f"ein Wort {n}",
         "place": {"type": "Point", "coordinates": [n / 10, 5]}, "flat": [n, n / 2], "h": str(n), "any": {"k": n},
         "c": "é" * (n + 1), "a": n, "b": [{"c": n}]}
        for n in range(12)
    )  # fmt: skip
    indexed.insert_many({"_id": ObjectId(bytes(11) + bytes([n])), "u": -n, "p": n} for n in range(1, 4))
    indexed.create_index("u", unique=True)
    indexed.create_index("s", unique=True, sparse=True)
    partial = {"p": {"$gt": Int64(5)}, "x": {"$lt": EXACT}, "gone": {"$lt": FAR}}
    indexed.create_index("p", unique=True, partialFilterExpression=partial)
    indexed.create_index("gone", expireAfterSeconds=LONG)
    indexed.create_index([("body", "text"), ("title", "text")], weights={"title": 3}, default_language="german",
                         language_override="tongue")  # fmt: skip
    indexed.create_index([("place", "2dsphere"), ("a", 1)])
    indexed.create_index([("flat", "2d")], bits=20, min=-10.5, max=100)
    indexed.create_index([("h", "hashed"), ("a", 1)])
    indexed.create_index([("any.$**", 1)])
    indexed.create_index([("$**", 1)], wildcardProjection={"any": 0}, name="all of it")
    indexed.create_index("c", collation={"locale": "fr", "strength": 2, "backwards": True}, unique=True, sparse=True)
    indexed.create_index("hidden", hidden=True)
    indexed.create_index("slow", background=True)
    bare: list[dict[str, Any]] = [
        {"key": {"a": 1.0, "b.c": Int64(-1)}, "name": "two numbers, 1.0 and -1L"},
        {"key": {"old": 1}, "name": "old", "v": 1},
        {"key": {"e": 1}, "name": "e", "storageEngine": {"wiredTiger": {"configString": "prefix_compression=false"}}},
    ]
    store.command({"createIndexes": "indexed", "indexes": bare})


def _fill_checked(store: Store) -> None:
    odd = [MinKey(), Binary(b"\0", 0x80), DBRef("c", 1), Timestamp(0, 0), Code("x", {"y": 1}), float("nan"), FAR, None]
    validators: dict[str, dict[str, Any]] = {
        "strict": {"$or": [{"n": {"$gt": WIDE, "$lte": 1e9}}, {"when": {"$lt": FAR}}, {"name": Regex("^A", "xi")},
                           {"price": {"$in": [EXACT, *odd]}}]},
        "moderate": {"$jsonSchema": {"required": ["n"], "properties": {"n": {"minimum": Int64(6), "maximum": 99.0}}}},
        "warned": {"$expr": {"$eq": ["$n", {"$literal": {"$a": Int64(1)}}]}},
        "off": {"n": {"$type": "string", "$regex": "^x", "$options": "i"}},
    }  # fmt: skip
    levels = {"moderate": "moderate", "off": "off"}
    for name, validator in validators.items():
        store.create_collection(name, validator=validator, validationLevel=levels.get(name, "strict"),
                                validationAction="warn" if name == "warned" else "error")  # fmt: skip
        store[name].insert_many({"_id": n, "n": Int64(n)} for n in range(10, 20))
        store[name].create_index("n", unique=True)


def _fill_special(store: Store) -> None:
    store.create_collection("ring", capped=True, size=8_000, max=50)
    store.ring.insert_many({"_id": -n, "n": n, "text": "x" * 50} for n in range(150))
    store.ring.create_index("n", unique=True)
    store.create_collection("narrow", capped=True, size=4_096)
    store.narrow.insert_many({"_id": n * 7 % 101, "text": "x" * 50} for n in range(101))
    store.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "own"},
                            expireAfterSeconds=LONG)  # fmt: skip
    store.clustered.insert_many({"_id": START + timedelta(n), "n": n} for n in range(5))
    store.clustered.insert_one({"_id": "of another type"})
    store.clustered.create_index("n", unique=True, sparse=True)
    store.create_collection("collated", collation={"locale": "de", "strength": 1, "numericOrdering": True},
                            validator={"word": {"$ne": "nie"}})  # fmt: skip
    store.collated.insert_many({"_id": f"{one}{n}", "word": one * n} for n, one in enumerate("äbCd", 1))
    store.collated.create_index("word", unique=True)
    store.collated.create_index("other", collation={"locale": "simple"})
    store.collated.create_index([("body", "text")], collation={"locale": "simple"})
    functions = {"twice": Code("function (n) { return 2 * n }"), "number": Int64(4), "scoped": Code("x", {"x": 1})}
    store["system.js"].insert_many({"_id": name, "value": value} for name, value in functions.items())


def _fill_series(store: Store) -> None:
    made: dict[str, dict[str, Any]] = {
        "metrics": {"timeField": "at", "metaField": "who", "granularity": "minutes"},
        "ticks": {"timeField": "t"},
        "unmeasured": {"timeField": "at", "metaField": "m", "granularity": "hours"},
    }
    for name, options in made.items():
        store.create_collection(name, timeseries=options, **({"expireAfterSeconds": LONG} if name == "ticks" else {}))
    store.metrics.insert_many(
        {"at": START + timedelta(minutes=n), "who": {"host": n % 3, "zone": "a"}, "v": n / 3, "w": Int64(n)}
        for n in range(300)
    )
    store.metrics.create_index([("who.host", 1), ("at", -1)])
    store.metrics.create_index([("place", "2dsphere")])
    store.ticks.insert_many({"t": START + timedelta(seconds=n), "n": n, "_id": n % 5} for n in range(100))
    store.ticks.insert_one({"t": datetime(1960, 1, 1, tzinfo=UTC), "n": [Decimal128("1.0"), {"": Timestamp(0, 0)}]})


def _fill_files(store: Store) -> None:
    papers = GridFSBucket(store, bucket_name="papers", chunk_size_bytes=1_000)
    for size in (0, 1, 999, 1_000, 1_001, 12_345):
        papers.upload_from_stream(f"{size}.bin", random.Random(size).randbytes(size), metadata={"size": Int64(size)})
    papers.upload_from_stream_with_id({"own": 1}, "1.bin", b"a second version")
    GridFSBucket(store).upload_from_stream("default.txt", b"y" * 300_000)


def _make_views(store: Store) -> None:
    matched = [{"$match": {"n": {"$gte": WIDE, "$lt": FAR}, "name": {"$not": Regex("x", "i")}}}]
    store.create_collection("seen", viewOn="strict", pipeline=matched)
    store.create_collection(
        "a view of a view", viewOn="seen", pipeline=[{"$set": {"twice": {"$literal": {"$a": 1.0}}}}]
    )
    store.create_collection("last hour", viewOn="metrics", pipeline=[{"$match": {"w": {"$gt": Int64(240)}}}])
    store.create_collection("sorted", viewOn="collated", pipeline=[],
                            collation={"locale": "de", "strength": 1, "numericOrdering": True})  # fmt: skip
    store.create_collection("of nothing", viewOn="not there", pipeline=[{"$limit": Int64(1)}])
