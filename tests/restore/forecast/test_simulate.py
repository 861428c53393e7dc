"""What is foreseen of a plan's changes is what then comes of them, and nothing is written to foresee it."""

from __future__ import annotations

import datetime as dt
import struct
from typing import Any

import bson
import pytest
from bson import Int64, Regex, Timestamp
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS

from recovery_nb.records.elements import build
from recovery_nb.restore.exchange import exchange, exchange_all
from recovery_nb.restore.forecast import Forecast
from recovery_nb.restore.forecast.indexes import MOST_KEYS

from .conftest import NAME, Scene, raw, shown

DONE = "restored"
TAKEN = "skipped: another record took its _id while restoring"
CHANGED = "skipped: changed while restoring"
INVALID = "failed: the collection's validator refuses it"
REFUSED = "failed: the server refuses it"
ENGLISH = {"locale": "en", "strength": 2}
UNIQUE_A = {"key": {"a": 1}, "unique": True}


def key_of(index: str) -> str:
    return f"failed: another record has its key in the unique index {index}"


def nested(levels: int) -> bytes:
    record = bson.encode({})
    for _ in range(levels - 2):
        record = build([(0x03, b"x", record)])
    return build([(0x10, b"_id", struct.pack("<i", levels)), (0x03, b"x", record)])


def test_what_no_server_takes_is_foreseen(scene: Scene) -> None:
    scene.make()
    bare = len(bson.encode({"_id": 0, "pad": ""}))
    sizes_and_levels: list[Any] = [
        {"_id": 1, "pad": "x" * (16 * 1024 * 1024 - bare)},
        {"_id": 2, "pad": "x" * (16 * 1024 * 1024 - bare + 1)},
        nested(181),
        nested(182),
    ]
    assert scene.agree([scene.insert(one) for one in sizes_and_levels]) == [DONE, REFUSED, DONE, REFUSED]
    ids: list[Any] = [
        {"_id": [1]},
        {"_id": Regex("x")},
        {"_id": {"$x": 1}},
        build([(0x10, b"_id", bytes(4)), (0x10, b"_id", bytes(4))]),
    ]
    for record in ids:
        change = scene.insert(record)
        with Forecast(scene.target, {}, folder=scene.folder) as forecast:
            (foreseen,) = forecast.send(NAME, [change], [None])
        ((came,),) = scene.carry_out([change])
        assert foreseen.outcome == came.outcome == "failed", record


def test_keys_of_live_records_are_in_the_way(scene: Scene) -> None:
    scene.make([{"_id": 1, "a": 5}, {"_id": 2}, {"_id": 3, "a": [7, 8]}, {"_id": 4, "a": []}], indexes=[UNIQUE_A])
    inserts: list[dict[str, Any]] = [
        {"_id": 11, "a": 5.0}, {"_id": 12, "a": None}, {"_id": 13, "a": [9, 8]}, {"_id": 14, "a": []},
        {"_id": 15, "a": [[]]}, {"_id": 16, "a": "5"}, {"_id": 17, "a": {"b": 5}}, {"_id": 18, "a": Regex("5")},
    ]  # fmt: skip
    taken, free = [key_of("i0")] * 4, [DONE] * 4
    assert scene.agree([scene.insert(record) for record in inserts]) == [*taken, *free]


def test_keys_of_records_that_the_plan_has_written_are_in_the_way_of_later_ones(scene: Scene) -> None:
    scene.make(indexes=[UNIQUE_A])
    first = [scene.insert({"_id": 1, "a": 1}), scene.insert({"_id": 2, "a": Int64(1)})]
    second = [scene.insert({"_id": 3, "a": 1.0}), scene.insert({"_id": 4, "a": 2})]
    assert scene.agree(first, second) == [DONE, key_of("i0"), key_of("i0"), DONE]


def test_what_fails_holds_no_key(scene: Scene) -> None:
    scene.make([{"_id": 1, "a": 1}], indexes=[UNIQUE_A, {"key": {"b": 1}, "unique": True}])
    batch = [scene.insert({"_id": 2, "a": 1, "b": 2}), scene.insert({"_id": 3, "a": 3, "b": 2})]
    assert scene.agree(batch) == [key_of("i0"), DONE]


def test_replacing_and_removing_free_keys_but_only_after_the_inserts_of_the_batch(scene: Scene) -> None:
    one, two = {"_id": 1, "a": 1}, {"_id": 2, "a": 2}
    scene.make([one, two], indexes=[UNIQUE_A])
    first = [scene.replace(one, {"_id": 1, "a": 10}), scene.remove(two), scene.insert({"_id": 3, "a": 1})]
    second = [scene.insert({"_id": 4, "a": 1}), scene.insert({"_id": 5, "a": 2}), scene.insert({"_id": 6, "a": 10})]
    assert scene.agree(first, second) == [DONE, DONE, key_of("i0"), DONE, DONE, key_of("i0")]


def test_replacements_that_hand_keys_on_are_foreseen_in_their_order(scene: Scene) -> None:
    records = [{"_id": number, "a": number} for number in range(6)]
    scene.make(records, indexes=[UNIQUE_A])
    up = [scene.replace(records[number], {"_id": number, "a": number + 1}) for number in range(5, -1, -1)]
    assert scene.agree(up) == [DONE] * 6
    now = [{"_id": number, "a": number + 1} for number in range(6)]
    wrong_way = [scene.replace(now[number], {"_id": number, "a": number + 2}) for number in range(6)]
    assert scene.agree(wrong_way) == [*[key_of("i0")] * 5, DONE]


def test_inserts_with_empty_timestamps_come_after_the_others(scene: Scene) -> None:
    scene.make(indexes=[UNIQUE_A])
    batch = [scene.insert({"_id": 1, "t": Timestamp(0, 0), "a": 1}), scene.insert({"_id": 2, "a": 1})]
    assert scene.agree(batch) == [key_of("i0"), DONE]


@pytest.mark.parametrize(
    ("index", "live", "batch", "refused"),
    [
        ({"key": {"a": 1, "b": -1}}, {"a": 1, "b": None}, [{"a": 1}, {"a": 1, "b": 2}, {"a": [1, 3], "b": 2}], [0, 2]),
        ({"key": {"a": 1}, "sparse": True}, {}, [{}, {"a": None}, {"a": None}], [2]),
        ({"key": {"a": 1, "b": 1}, "sparse": True}, {"b": 1}, [{}, {}, {"b": 1}], [2]),
        (
            {"key": {"a": 1}, "partialFilterExpression": {"n": {"$gt": 5}}},
            {"a": 1, "n": 6},
            [{"a": 1}, {"a": 1, "n": 7}, {"a": 2, "n": 8}, {"a": 2, "n": 5}, {"a": 2, "n": 6}],
            [1, 4],
        ),
        ({"key": {"a.b": 1}}, {"a": [{"b": 1}, {"c": 1}]}, [{"a": {"b": 1}}, {"a": 3}, {"a": {"b": [2]}}], [0, 1]),
        ({"key": {"a.0.b": 1}}, {"a": [{"b": 1}]}, [{"a": [{"b": 2}, {"b": 1}]}, {"a": [{"b": 1}, 7]}], [1]),
        ({"key": {"a": 1}, "collation": ENGLISH}, {"a": "Word"}, [{"a": "WORD"}, {"a": "é"}, {"a": "É"}], [0, 2]),
        ({"key": {"a": 1}, "collation": ENGLISH}, {"a": {"b": ["x"]}}, [{"a": {"b": ["X"]}}, {"a": {"B": ["x"]}}], [0]),
        ({"key": {"a": 1}}, {"a": "Word"}, [{"a": "WORD"}, {"a": "Word"}], [1]),
    ],
)
def test_every_kind_of_unique_index_is_foreseen(
    scene: Scene, index: dict[str, Any], live: dict[str, Any], batch: list[dict[str, Any]], refused: list[int]
) -> None:
    scene.make([{"_id": 0, **live}], indexes=[{**index, "unique": True}])
    changes = [scene.insert({"_id": place + 1, **record}) for place, record in enumerate(batch)]
    expected = [key_of("i0") if place in refused else DONE for place in range(len(batch))]
    assert scene.agree(*([change] for change in changes)) == expected


def test_a_partial_index_reads_its_filter_with_its_own_collation(scene: Scene) -> None:
    index = {"key": {"a": 1}, "unique": True, "partialFilterExpression": {"x": "YES"}, "collation": ENGLISH}
    scene.make([{"_id": 1, "a": 1, "x": "yes"}], indexes=[index])
    assert scene.agree([scene.insert({"_id": 2, "a": 1, "x": "Yes"})]) == [key_of("i0")]


def test_in_a_collated_collection_other_ids_can_be_in_the_way(scene: Scene) -> None:
    scene.make([{"_id": "Word"}], collation=ENGLISH, indexes=[{**UNIQUE_A, "collation": {"locale": "simple"}}])
    first = [scene.insert({"_id": "WORD", "a": 1}), scene.insert({"_id": "new", "a": "x"})]
    second = [scene.insert({"_id": "NEW", "a": 2}), scene.insert({"_id": "other", "a": "X"})]
    assert scene.agree(first, second) == [TAKEN, DONE, TAKEN, DONE]


@pytest.mark.parametrize("action", ["error", "warn"])
@pytest.mark.parametrize("level", ["strict", "moderate", "off"])
def test_validators_are_foreseen_by_level_and_action(scene: Scene, level: str, action: str) -> None:
    valid, invalid = {"_id": 1, "n": 9}, {"_id": 2, "n": 0}
    rule = {"$jsonSchema": {"properties": {"n": {"minimum": 5}}}}
    scene.make([valid, invalid], validator=rule, validationLevel=level, validationAction=action)
    batch = [
        scene.insert({"_id": 3, "n": 1}),
        scene.insert({"_id": 4, "n": 7}),
        scene.replace(valid, {"_id": 1, "n": 2}),
        scene.replace(invalid, {"_id": 2, "n": 3}),
    ]
    checks = level != "off" and action == "error"
    refuses = INVALID if checks else DONE
    assert scene.agree(batch) == [refuses, DONE, refuses, INVALID if checks and level == "strict" else DONE]


def test_a_moderate_validator_checks_what_is_removed_and_inserted_anew(scene: Scene) -> None:
    old = {"_id": 1, "n": 0}
    scene.make([old], validator={"n": {"$gt": 5}}, validationLevel="moderate")
    doubled = build([*((0x10, name, struct.pack("<i", 1)) for name in (b"_id", b"n", b"n"))])
    assert scene.agree([scene.replace(old, doubled)]) == [INVALID]


def test_a_record_for_which_a_validator_cannot_be_evaluated_is_refused(scene: Scene) -> None:
    scene.make(validator={"$expr": {"$gt": [{"$divide": [1, "$n"]}, 0]}})
    assert scene.agree([scene.insert({"_id": number, "n": number}) for number in range(4)]) == [INVALID, *[DONE] * 3]


def test_the_validator_is_asked_before_the_keys(scene: Scene) -> None:
    scene.make([{"_id": 1, "a": 1}], indexes=[UNIQUE_A], validator={"n": 1})
    assert scene.agree([scene.insert({"_id": 1, "a": 1}), scene.insert({"_id": 2, "a": 1, "n": 1})]) == [
        INVALID,
        key_of("i0"),
    ]


def test_what_indexes_refuse_to_hold_is_foreseen_in_the_order_of_the_indexes(scene: Scene) -> None:
    scene.make(
        [{"_id": 1, "u": 1}],
        indexes=[{"key": {"a": 1, "b": 1}}, {"key": {"u": 1}, "unique": True}, {"key": {"h": "hashed"}}],
    )
    batch = [
        scene.insert({"_id": 2, "a": [1], "b": [2], "u": 1}),
        scene.insert({"_id": 3, "u": 1, "h": [1]}),
        scene.insert({"_id": 4, "u": 2, "h": [1]}),
        scene.insert({"_id": 5, "u": 2, "a": [1], "b": 1}),
    ]
    assert scene.agree(batch) == [REFUSED, key_of("i1"), REFUSED, DONE]


def test_a_missing_collection_refuses_what_the_plan_makes_it_with(scene: Scene) -> None:
    scene.will_make(
        indexes=[{**UNIQUE_A, "v": 2, "collation": ENGLISH}, {"key": {"n": 1}, "v": 2}],
        validator={"n": {"$gt": 0}},
        collation=ENGLISH,
    )
    batch = [scene.insert({"_id": number, "a": text, "n": number}) for number, text in enumerate("xyYz")]
    assert scene.agree(batch[:2], batch[2:]) == [INVALID, DONE, key_of("i0"), DONE]


def test_what_is_no_longer_as_planned_is_left_alone(scene: Scene) -> None:
    now, planned = {"_id": 1, "a": 2}, {"_id": 1, "a": 1}
    scene.make([now])
    assert scene.agree([scene.replace(planned, {"_id": 1, "a": 3})]) == [CHANGED]
    assert scene.agree([scene.remove(planned)]) == [CHANGED]
    assert scene.agree([scene.insert({"_id": 1, "a": 7})]) == [TAKEN]
    assert scene.agree([scene.insert(now)]) == ["skipped: already there"]


def test_a_record_that_the_plan_writes_twice_is_followed(scene: Scene) -> None:
    scene.make(indexes=[UNIQUE_A])
    first, second = {"_id": 1, "a": 1}, {"_id": 1, "a": 2}
    batches = [
        [scene.insert(first)],
        [scene.replace(first, second), scene.insert({"_id": 2, "a": 3})],
        [scene.insert({"_id": 3, "a": 1}), scene.insert({"_id": 4, "a": 2}), scene.remove({"_id": 2, "a": 3})],
        [scene.insert({"_id": 5, "a": 3}), scene.replace(first, {"_id": 1, "a": 9})],
    ]
    assert scene.agree(*batches) == [DONE, DONE, DONE, DONE, key_of("i0"), DONE, DONE, CHANGED]


def test_the_first_refusal_takes_its_batch_back(scene: Scene) -> None:
    old = {"_id": 1, "a": 1}
    scene.make([old], indexes=[UNIQUE_A])
    first = [
        scene.insert({"_id": 2, "a": 2}),
        scene.insert({"_id": 3, "a": 1}),
        scene.replace(old, {"_id": 1, "a": 4}),
        scene.insert({"_id": 4, "a": [], "b": 1}),
    ]
    second = [
        scene.replace(old, {"_id": 1, "a": 5}),
        scene.insert({"_id": 5, "a": 1}),
        scene.insert({"_id": 6, "a": 2}),
    ]
    back = f"skipped: its batch was taken back: {key_of('i0').removeprefix('failed: ')}"
    expected = [back, key_of("i0"), back, back, DONE, DONE, DONE]
    assert scene.agree(first, second, transaction="batch") == expected


def test_a_whole_plan_in_one_transaction_ends_at_its_first_refusal(scene: Scene) -> None:
    scene.make([{"_id": 1, "a": 1}], indexes=[UNIQUE_A])
    batches = [
        [scene.insert({"_id": 2, "a": 2})],
        [scene.insert({"_id": 3, "a": 3}), scene.insert({"_id": 4, "a": 1}), scene.insert({"_id": 5, "a": 1})],
        [scene.insert({"_id": 6, "a": 1})],
    ]
    foreseen = [list(map(shown, verdicts)) for verdicts in scene.foresee(*batches, transaction="plan")]
    assert scene.refused == "another record has its key in the unique index i0"
    back = f"skipped: the whole plan was taken back: {scene.refused}"
    assert foreseen == [[DONE], [back, key_of("i0"), back], [back]]
    came = exchange_all(scene.target, [(NAME, changes) for changes in batches])
    assert [list(map(shown, verdicts)) for verdicts in came] == [[back], [back, key_of("i0"), back], [back]]


def test_a_capped_collection_is_foreseen_to_be_full(scene: Scene) -> None:
    old = {"_id": 0, "a": 1}
    scene.make([old], capped=True, size=100_000, max=4)
    batches = [[scene.insert({"_id": number}) for number in some] for some in ((1, 2), (3, 4))]
    full = "failed: things is capped: it would push out live records"
    assert scene.agree(*batches) == [DONE, DONE, full, full]


def test_a_name_twice_replaces_nothing_where_there_are_no_transactions(scene: Scene) -> None:
    old = {"_id": 1, "a": 1}
    scene.make([old], capped=True, size=100_000)
    doubled = raw(old)[:-1].replace(raw(old)[:4], struct.pack("<i", len(raw(old)) + 7)) + b"\x10a\0\2\0\0\0\0"
    (came,) = scene.agree([scene.replace(old, doubled)])
    assert came.startswith("failed: its field names can replace another record only in a transaction")


def test_nothing_is_written_and_nothing_is_left_behind(scene: Scene) -> None:
    scene.make([{"_id": 1, "a": 1}], indexes=[UNIQUE_A], validator={"a": {"$exists": True}})
    before = scene.database.command("dbHash")["md5"]
    scene.foresee([scene.insert({"_id": number, "a": number}) for number in range(5)], transaction="batch")
    assert scene.database.command("dbHash")["md5"] == before
    assert scene.database.list_collection_names() == ["things"]
    assert list(scene.folder.iterdir()) == []


def test_what_cannot_be_foreseen_is_said_once(scene: Scene) -> None:
    scene.make(
        [{"_id": 0, "a": 1}],
        indexes=[
            {"key": {"place": "2dsphere"}},
            {"key": {"words": "text"}},
            {"key": {"a": 1}, "unique": True, "hidden": True},
        ],
    )
    scene.foresee(*([scene.insert({"_id": number, "a": 1})] for number in (1, 2)))
    assert scene.notes == [
        "things: what the index i0 refuses (it is of the kind 2dsphere)",
        "things: what the index i1 refuses (it is of the kind text)",
        "things: what the index i2 refuses (it is hidden, so that what is in the collection cannot be searched by it)",
    ]


def test_a_record_with_very_many_keys_is_named_and_does_not_fill_the_memory(scene: Scene) -> None:
    scene.make(indexes=[UNIQUE_A])
    (verdicts,) = scene.foresee([scene.insert({"_id": 1, "a": list(range(MOST_KEYS + 1))})])
    assert verdicts[0].outcome == "restored"
    assert scene.notes == ["things: what the index i0 refuses (a record has more than 250,000 keys in it)"]


def test_a_time_series_is_foreseen_by_its_buckets(scene: Scene) -> None:
    series: dict[str, Any] = {"timeField": "at", "metaField": "who", "granularity": "hours"}
    scene.database.create_collection("origin", timeseries=series)
    scene.database["origin"].insert_many(
        [{"at": dt.datetime(2024, 1, 1, hour), "who": who, "n": hour} for hour in range(5) for who in "ab"]
    )
    buckets = [bytes(one.raw) for one in scene.database.get_collection(
        "system.buckets.origin", codec_options=DEFAULT_RAW_BSON_OPTIONS).find()]  # fmt: skip
    scene.will_make(timeseries=series)
    changes = [scene.insert(bucket) for bucket in buckets]
    with Forecast(scene.target, {NAME: scene.structure}, folder=scene.folder) as forecast:
        foreseen = forecast.send(f"system.buckets.{NAME}", changes, [None] * len(changes))
        assert forecast.notes == []
    scene.target.create(NAME, scene.structure)
    assert foreseen == exchange(scene.target, f"system.buckets.{NAME}", changes)
    assert scene.database[NAME].count_documents({}) == 10
