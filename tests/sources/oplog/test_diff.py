from __future__ import annotations

from random import Random
from typing import Any

import bson
import pytest
from bson import Int64
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from recovery_nb.records.elements import InvalidRecordError
from recovery_nb.sources.oplog.diff import UnfitUpdateError, apply_update, is_replacement

from . import updates
from .conftest import Live


def stored(live: Live) -> dict[Any, bytes]:
    return {bson.decode(record)["_id"]: record for record in live.stored()["c"].values()}


@pytest.mark.seeded(4)
def test_every_kind_of_update_leaves_the_bytes_that_the_server_stored(live: Live, seed: int) -> None:
    random = Random(seed)
    collection = live.db.c
    collection.insert_many({"_id": number, **updates.document(random)} for number in range(150))
    before, start = stored(live), live.now()
    writes: list[Any] = []
    for _ in range(600):
        which = {"_id": random.randrange(150)}
        if random.random() < 0.05:
            writes.append(ReplaceOne(which, updates.document(random)))
        else:
            writes.append(UpdateOne(which, updates.update(random)))
    with pytest.raises(BulkWriteError):  # some of them fit no document
        collection.bulk_write(writes, ordered=False)
    applied = 0
    for entry in live.entries(ns=f"{live.name}.c", ts={"$gt": start}):
        key, change = entry["o2"]["_id"], entry["o"].raw
        before[key] = change if is_replacement(change) else apply_update(before[key], change)
        applied += 1
    assert applied > 250
    assert before == stored(live)


@pytest.mark.seeded(2)
def test_paths_of_the_older_form_are_followed_and_made_as_the_server_does(live: Live, seed: int) -> None:
    random = Random(seed)
    collection = live.db.c
    collection.insert_many({"_id": number, **updates.document(random)} for number in range(60))
    records = stored(live)
    applied = 0
    for _ in range(250):
        key = random.randrange(60)
        change: dict[str, Any] = random.choice([{"$v": 1}, {}])
        change |= {"$set": {updates.path(random): updates.value(random) for _ in range(random.randrange(1, 5))}}
        if random.random() < 0.4:
            change["$unset"] = {updates.path(random): True}
        operation = {"op": "u", "ns": f"{live.name}.c", "o2": {"_id": key}, "o": change}
        try:
            done = live.client.admin.command({"applyOps": [operation]})
        except OperationFailure:
            continue
        try:
            records[key] = apply_update(records[key], bson.encode(change), by_command=True)
        except UnfitUpdateError:  # a server that applies an entry takes it for one that it has seen before
            records[key] = apply_update(records[key], bson.encode(change), by_command=True, replay=True)
        applied += bool(done["applied"])
    assert applied > 50
    assert records == stored(live)


def test_a_binary_is_continued_from_an_offset_on() -> None:
    record = bson.encode({"_id": 1, "data": {"v": b"\x00\x01\x02\x03"}})
    change = {"$v": 2, "diff": {"sdata": {"b": {"v": {"o": 3, "d": b"\x09\x08"}}}}}
    assert bson.decode(apply_update(record, bson.encode(change)))["data"] == {"v": b"\x00\x01\x02\x09\x08"}


@pytest.mark.parametrize(
    "change",
    [
        {"$v": 2, "diff": {"u": {"absent": 1}}},
        {"$v": 2, "diff": {"d": {"absent": False}}},
        {"$v": 2, "diff": {"sa": {"u": {"x": 1}}}},
        {"$v": 2, "diff": {"slist": {"a": True, "l": 1, "u5": 1}}},
        {"$v": 2, "diff": {"slist": {"a": True, "u999999999": 1}}},
        {"$v": 2, "diff": {"u": {"a": 1}, "i": {"a": 2}}},
        {"$v": 2, "diff": {"x": {"a": 1}}},
        {"$v": 2, "diff": 1},
        {"$v": 3, "diff": {}},
        {"$v": "2", "diff": {}},
        {"$v": 1, "$set": {"a.b": 1}},
        {"$v": 1, "$set": {"list.x": 1}},
        {"$inc": {"a": 1}},
    ],
)
def test_an_update_that_the_record_cannot_have_received_is_refused(change: dict[str, Any]) -> None:
    record = bson.encode({"_id": 1, "a": 5, "list": [1, 2, 3]})
    with pytest.raises(UnfitUpdateError):
        apply_update(record, bson.encode(change))


def test_which_of_two_fields_of_one_name_was_meant_is_not_guessed() -> None:
    twice = bson.encode({"_id": 1, "a": 1, "b": 1}).replace(b"\x10b\x00", b"\x10a\x00")
    with pytest.raises(UnfitUpdateError, match="twice"):
        apply_update(twice, bson.encode({"$v": 2, "diff": {"u": {"a": 2}}}))


def test_in_a_replay_what_later_updates_changed_already_is_left_to_them() -> None:
    first, second = {"$v": 2, "diff": {"sa": {"i": {"x": 1}}}}, {"$v": 2, "diff": {"d": {"a": False}, "i": {"n": 1}}}
    after = bson.encode({"_id": 1, "n": 1})
    for change in (first, second):
        after = apply_update(after, bson.encode(change), replay=True)
    assert after == bson.encode({"_id": 1, "n": 1})


def test_an_update_of_great_depth_is_refused() -> None:
    diff: dict[str, Any] = {"u": {"a": 1}}
    record: dict[str, Any] = {"a": 0}
    for _ in range(250):
        diff, record = {"sa": diff}, {"a": record}
    with pytest.raises(UnfitUpdateError, match="deep"):
        apply_update(bson.encode(record), bson.encode({"$v": 2, "diff": diff}))


@pytest.mark.seeded(3)
def test_broken_bytes_raise_nothing_but_what_is_documented(seed: int) -> None:
    random = Random(seed)
    record = bson.encode({"_id": 1, "a": {"b": [1, {"c": 2}, "x"]}, "n": Int64(3)})
    change = bson.encode({"$v": 2, "diff": {"u": {"n": 1}, "sa": {"sb": {"a": True, "l": 2, "s1": {"u": {"c": 1}}}}}})
    for _ in range(3000):
        broken = [bytearray(record), bytearray(change)]
        for _ in range(random.randrange(1, 4)):
            which = random.choice(broken)
            which[random.randrange(len(which))] = random.randrange(256)
        try:
            apply_update(bytes(broken[0]), bytes(broken[1]), replay=random.random() < 0.5)
        except (UnfitUpdateError, InvalidRecordError):
            continue
