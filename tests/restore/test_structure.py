"""Collections made as they were: kinds, options and indexes, on a real server, to the byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, json_util
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import InvalidName, OperationFailure

from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import CODEC, id_element, split
from recovery_nb.restore.exchange import Change, Outcome, Verdict, exchange
from recovery_nb.restore.structure import Structure
from recovery_nb.restore.target import Target

Origin = Any
RAW = bson.CodecOptions(document_class=RawBSONDocument)
START = datetime(2024, 1, 1, tzinfo=UTC)
VALIDATOR = {
    "$or": [
        {"amount": {"$gte": Int64(5), "$lt": 7.0, "$ne": Decimal128("6.10")}},
        {"name": {"$regex": "^x", "$options": "i"}, "at": {"$type": "date"}},
        {"pattern": bson.Regex("y", "m"), "since": {"$gt": START, "$lt": bson.DatetimeMS(2**50)}},
    ]
}
KINDS: dict[str, Callable[[Origin], object]] = {
    "plain": lambda db: db.create_collection("plain"),
    "capped": lambda db: db.create_collection("capped", capped=True, size=8192, max=20),
    "collated": lambda db: db.create_collection("collated", collation={"locale": "de", "strength": 2}),
    "checked": lambda db: db.create_collection(
        "checked", validator=VALIDATOR, validationLevel="moderate", validationAction="warn"
    ),
    "schema": lambda db: db.create_collection(
        "schema", validator={"$jsonSchema": {"properties": {"n": {"minimum": Int64(1), "maximum": 9.0}}}}
    ),
    "clustered": lambda db: db.create_collection(
        "clustered", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "own"}, expireAfterSeconds=10**8
    ),
    "images": lambda db: db.create_collection("images", changeStreamPreAndPostImages={"enabled": True}),
    "series": lambda db: db.create_collection(
        "series", timeseries={"timeField": "t", "metaField": "m", "granularity": "minutes"}, expireAfterSeconds=10**8
    ),
    "view": lambda db: db.create_collection(
        "view", viewOn="plain", pipeline=[{"$match": VALIDATOR}], collation={"locale": "fr"}
    ),
}


@pytest.fixture
def origin(database: Any) -> Iterator[Origin]:
    """A database with a collection of every kind, and indexes of every kind."""
    client: MongoClient[Any] = database.client
    name = f"{database.name}_origin"
    there = client[name]
    for make in KINDS.values():
        make(there)
    plain, collated = there.plain, there.collated
    plain.create_index([("a", 1), ("b.c", -1)], name="of two")
    plain.create_index("u", unique=True, sparse=True)
    plain.create_index("p", unique=True, partialFilterExpression={"p": {"$gt": Int64(5)}, "x": {"$exists": True}})
    plain.create_index("gone", expireAfterSeconds=10**8)
    plain.create_index([("body", "text"), ("title", "text")], weights={"title": 3}, default_language="german")
    plain.create_index([("place", "2dsphere")])
    plain.create_index([("flat", "2d")], bits=20, min=-10.5, max=10)
    plain.create_index([("h", "hashed")])
    plain.create_index([("any.$**", 1)])
    plain.create_index([("$**", 1)], wildcardProjection={"x": 0}, name="all of it", hidden=True)
    plain.create_index("c", collation={"locale": "fr", "strength": 1})
    collated.create_index("n", unique=True)
    collated.create_index([("m", 1)], collation={"locale": "simple"})
    collated.create_index([("body", "text")], collation={"locale": "simple"})
    there.clustered.create_index("x")
    there.series.create_index([("m", 1), ("t", -1)])
    yield there
    client.drop_database(name)


@pytest.fixture
def target(database: Any) -> Iterator[Target]:
    with Target(database.uri) as opened:
        yield opened


def structures(database: Any) -> dict[str, str]:
    """What a backup keeps of a database's collections, views last."""
    found = {}
    for entry in database.cursor_command("listCollections", codec_options=CODEC):
        name = entry["name"]
        if not name.startswith("system."):
            indexes = [] if entry["type"] == "view" else list(database[name].list_indexes())
            found[name] = json_util.dumps(
                {"options": entry["options"], "indexes": indexes}, json_options=json_util.CANONICAL_JSON_OPTIONS
            )
    return dict(sorted(found.items(), key=lambda item: "viewOn" in item[1]))


def shape(database: Any) -> dict[str, tuple[str, bytes, list[bytes]]]:
    """Type, options and indexes of every collection, as the server gives them; indexes by name."""

    def told(command: str, name: str = "") -> list[RawBSONDocument]:
        reply = database.command(command, name or 1, cursor={"batchSize": 1_000}, codec_options=RAW)
        return list(reply["cursor"]["firstBatch"])

    return {
        entry["name"]: (
            entry["type"],
            entry["options"].raw,
            sorted(index.raw for index in (told("listIndexes", entry["name"]) if entry["type"] != "view" else [])),
        )
        for entry in told("listCollections")
    }


def restored(target: Target, structure: dict[str, str]) -> list[str]:
    problems = []
    for name, text in structure.items():
        assert target.create(name, text)
        problems += target.build_indexes(name, text, unique=True)
    for name, text in structure.items():
        problems += target.build_indexes(name, text, unique=False)
    return problems


def test_every_kind_comes_back_to_the_byte(origin: Origin, target: Target, database: Any) -> None:
    assert restored(target, structures(origin)) == []
    here = database.client[database.name]
    assert shape(here) == shape(origin)
    assert set(KINDS) < set(shape(here))
    assert all(target.exists(name) for name in (*KINDS, "system.buckets.series"))


def test_what_can_refuse_a_record_is_built_first(origin: Origin, target: Target, database: Any) -> None:
    text = structures(origin)["plain"]
    target.create("plain", text)
    assert target.build_indexes("plain", text, unique=True) == []
    first = set(database.client[database.name].plain.index_information())
    assert first == {"_id_", "of two", "u_1", "p_1", "body_text_title_text", "place_2dsphere", "flat_2d", "h_hashed"}
    assert target.build_indexes("plain", text, unique=False) == []
    assert set(database.client[database.name].plain.index_information()) == set(origin.plain.index_information())


def test_an_index_that_cannot_be_built_is_told_and_the_others_are(target: Target, database: Any) -> None:
    text = json.dumps(
        {"indexes": [{"key": {one: kind}, "name": one} for one, kind in (("bad", "x"), ("good", "hashed"))]}
    )
    target.create("things", text)
    (problem,) = target.build_indexes("things", text, unique=True)
    assert problem.startswith("index bad was not built: ")
    assert "good" in database.client[database.name].things.index_information()


@pytest.mark.parametrize("named", ["series", "system.buckets.series"])
def test_a_time_series_comes_back_through_its_buckets(
    origin: Origin, target: Target, database: Any, named: str
) -> None:
    origin.series.insert_many([{"t": START + timedelta(minutes=one), "m": one % 7, "v": one} for one in range(300)])
    buckets = [record for part in origin["system.buckets.series"].find_raw_batches() for record in split(part)]
    text = structures(origin)["series"]
    target.check(["system.buckets.series"], {"series": text})
    assert target.create(named, text)
    assert target.build_indexes(named, text, unique=True) + target.build_indexes(named, text, unique=False) == []
    changes = [Change(id_element(record) or b"", None, record) for record in buckets]
    assert exchange(target, "system.buckets.series", changes) == [Verdict(Outcome.DONE)] * len(buckets)
    here = database.client[database.name]
    assert sorted(here.series.find({}, {"_id": 0}), key=lambda one: one["t"]) == [
        {"t": (START + timedelta(minutes=one)).replace(tzinfo=None), "m": one % 7, "v": one} for one in range(300)
    ]
    assert shape(here)["series"] == shape(origin)["series"]
    assert target.uuid("series") == target.uuid("system.buckets.series") != b""
    assert not target.drop_if_empty("series")
    here["system.buckets.series"].delete_many({})
    assert target.drop_if_empty(named)
    assert not set(here.list_collection_names()) & {"series", "system.buckets.series"}


class TestRemovedAgain:
    def test_only_what_is_empty(self, origin: Origin, target: Target, database: Any) -> None:
        restored(target, structures(origin))
        here = database.client[database.name]
        here.plain.insert_one({})
        dropped = {name for name in KINDS if target.drop_if_empty(name)}
        assert dropped == set(KINDS) - {"plain"}
        assert {name for name in here.list_collection_names() if not name.startswith("system.")} == {"plain"}
        assert not target.drop_if_empty("never there")

    def test_a_view_is_known_by_its_definition(self, origin: Origin, target: Target, database: Any) -> None:
        text = structures(origin)["view"]
        target.create("view", text)
        before = target.uuid("view")
        assert before
        here = database.client[database.name]
        here.drop_collection("view")
        assert target.uuid("view") == b""
        here.create_collection("view", viewOn="plain", pipeline=[{"$match": {}}])
        assert target.uuid("view") not in (before, b"")


class TestWhatExists:
    def test_is_not_made_again(self, target: Target, database: Any) -> None:
        database.client[database.name].create_collection("things")
        assert not target.create("things", "")
        assert target.exists("things")

    def test_and_is_something_else_is_refused(self, origin: Origin, target: Target, database: Any) -> None:
        database.client[database.name].create_collection("series", viewOn="x")
        with pytest.raises(BadInputError, match="made meanwhile"):
            target.create("series", structures(origin)["series"])

    def test_options_that_no_server_takes(self, target: Target) -> None:
        with pytest.raises(BadInputError, match=r"cannot be created .* with its backup's options: .*by hand"):
            target.create("things", '{"options": {"capped": true}}')

    def test_a_name_that_no_server_takes_is_not_said_to_be_about_options(self, target: Target) -> None:
        with pytest.raises(BadInputError, match=r"cannot be created in [^:]*://[^ ]*: .*too long.*--target-collection"):
            target.create("x" * 300, '{"options": {"capped": true, "size": 4096}}')


class TestWhatCanTakeRecords:
    def test_is_told_of_what_exists(self, origin: Origin, database: Any) -> None:
        with Target(database.uri.replace(database.name, f"{database.name}_origin")) as target:
            target.check(["plain", "capped", "clustered", "system.buckets.series", "system.js", "new"], {})
            for name in ("view", "series", "system.buckets.plain", "system.views", "system.profile", "", "a$b",
                         "system.buckets.", "system.buckets.view", "system.buckets.system.js"):  # fmt: skip
                with pytest.raises(BadInputError):
                    target.check([name], {})
            with pytest.raises(BadInputError, match="the collection that it shows, plain"):
                target.check(["view"], {})

    def test_is_told_of_what_is_to_be_made(self, origin: Origin, target: Target) -> None:
        known = structures(origin)
        target.check(["plain", "system.buckets.series"], known)
        for name in ("view", "series", "system.buckets.plain"):
            with pytest.raises(BadInputError):
                target.check([name], known)


class TestNames:
    """What is refused before anything is written is what the server itself refuses, and the driver."""

    NAMES = ("a", "system", "a.b", "a b", "fs.chunks", "asystem.b", "a.systems.b", "system.js", "a\u00e9", "a\n", "-",
             ".a", "a.system.b", "a.system.", "system.b", "system.", "a$b", "a\0b")  # fmt: skip

    def taken(self, database: Any, name: str) -> bool:
        here = database.client[database.name]
        try:
            here.command({"create": name})
        except OperationFailure:
            return False
        return True

    def check(self, target: Target, name: str) -> str:
        """Return what a restore is told of this name; "" if it may have it."""
        try:
            target.check([name], {})
        except BadInputError as error:
            return str(error)
        return ""

    @pytest.mark.parametrize("name", NAMES)
    def test_are_refused_as_the_server_refuses_them(self, target: Target, database: Any, name: str) -> None:
        refused = self.check(target, name)
        assert (refused == "") == self.taken(database, name)
        assert refused.isprintable()

    @pytest.mark.parametrize("letter", ["x", "\u00e9"])
    def test_that_are_too_long_are_told_how_long_they_may_be(self, target: Target, database: Any, letter: str) -> None:
        size, most = len(letter.encode()), 255 - len(database.name) - 1
        longest = letter * (most // size)
        assert self.check(target, longest) == ""
        assert self.taken(database, longest)
        longer = longest + letter
        told = f"it has {len(longer.encode())} bytes, and in {database.name} a server takes {most} at most"
        assert told in self.check(target, longer)
        assert len(self.check(target, letter * 100_000)) < 400
        assert not self.taken(database, longer)
        with pytest.raises(BadInputError, match="at most"):
            target.check([], {longer: ""})
        target.check([], {longer: '{"options": {"viewOn": "things", "pipeline": []}}'})

    def test_of_a_time_series_may_be_as_long_and_its_buckets_longer(self, target: Target, database: Any) -> None:
        longest, text = "x" * (255 - len(database.name) - 1), '{"options": {"timeseries": {"timeField": "t"}}}'
        target.check([f"system.buckets.{longest}"], {longest: text})
        assert target.create(longest, text)
        record = bson.encode({"_id": bson.ObjectId("659200805b65e99308609c0d"), "control": {
            "version": 1, "min": {"t": START}, "max": {"t": START}}, "data": {"t": {"0": START}}})  # fmt: skip
        change = Change(id_element(record) or b"", None, record)
        assert exchange(target, f"system.buckets.{longest}", [change]) == [Verdict(Outcome.DONE)]

    @pytest.mark.parametrize("name", ["a.", "a..b", "\udc80"])
    def test_that_the_driver_does_not_open_are_refused(self, target: Target, name: str) -> None:
        assert "cannot be a collection's name" in self.check(target, name)
        here = target.database
        with pytest.raises((InvalidName, UnicodeEncodeError)):
            here[name].find_one()

    def test_that_the_server_has_taken_are_not_refused(self, database: Any) -> None:
        name = "x" * (255 - len(database.name) - 1)
        database.client[database.name].create_collection(name)
        with Target(database.uri) as target:
            target.check([name], {})


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "[1]", '{"options": 1}', '{"indexes": [1]}', '{"options": {"a": {"$numberLong": "x"}}}', "[" * 100_000,
     '{"options": {"a": 1e400}, "indexes": {"a": 1}}', '{"options": {"a\\u0000b": 1}}',
     '{"options": {"a": %s}}' % (10**30),     '{"options": {"a": "\\ud800"}}', '{"options": {"a": {"$date": []}}}'],
)  # fmt: skip
def test_a_structure_that_cannot_be_read(text: str) -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        Structure.parse(text)


def test_values_keep_their_types() -> None:
    options = {"validator": VALIDATOR, "n": [1, Int64(1), 1.0, -0.0, Decimal128("1.0")], "d": bson.DatetimeMS(2**50)}
    text = json_util.dumps({"options": options}, json_options=json_util.CANONICAL_JSON_OPTIONS)
    assert bson.encode(Structure.parse(text).options) == bson.encode(options)
