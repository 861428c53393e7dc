from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument

from recovery_nb.records.buckets import count, measurements
from recovery_nb.records.elements import CODEC, InvalidRecordError, build, elements, split

START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
END = START + dt.timedelta(days=400)
TIMESERIES = {"timeField": "ts", "metaField": "host"}
ROWS = 150
MISSING = object()


def walk(rng: random.Random, step: int) -> Iterator[int]:
    at = 0
    while True:
        at += rng.randrange(-step, step + 1)
        yield at


def series_of_every_kind(rng: random.Random) -> dict[str, Callable[[int], Any]]:
    """Values of a field, row by row: each a shape that the server compresses in another way."""
    text = "measurement of a sensor with a long name"
    small, large, wild = walk(rng, 3), walk(rng, 10**6), walk(rng, 2**40)
    ids = [bson.ObjectId() for _ in range(ROWS)]
    return {
        "int": lambda _: next(small),
        "int_wide": lambda _: rng.choice([-(2**31), 2**31 - 1, 0, 7]),
        "long": lambda _: bson.Int64(next(large)),
        "long_wide": lambda _: bson.Int64(rng.choice([-(2**63), 2**63 - 1, next(wild)])),
        "power": lambda row: bson.Int64(1 << row % 63),
        "whole": lambda row: float(row * 3),
        "tenths": lambda row: row / 10,
        "hundredths": lambda _: round(rng.random() * 100, 2),
        "more_digits": lambda _: round(rng.random(), 8),
        "growing_digits": lambda row: round(rng.random(), row // 15),
        "double": lambda _: rng.random(),
        "double_odd": lambda row: rng.choice([float("nan"), float("inf"), -0.0, 5e-324, 1.7e308, row / 100]),
        "constant": lambda _: 42.5,
        "date": lambda row: START + dt.timedelta(days=9, milliseconds=row * 250 + rng.randrange(3)),
        "date_far": lambda row: bson.DatetimeMS((-1) ** row * 10**14 * row),
        "id": lambda row: ids[row],
        "id_random": lambda _: bson.ObjectId(rng.randbytes(12)),
        "timestamp": lambda row: bson.Timestamp(1_700_000_000 + row, rng.randrange(5)),
        "bool": lambda _: rng.random() < 0.5,
        "null": lambda _: None,
        "text": lambda row: f"sensor-{row % 13}",
        "text_lengths": lambda row: text[row % 5 : row % 5 + row % 24],
        "text_odd": lambda row: rng.choice(["", "\0a", "a\0", "ö", "日本", "0123456789abcdef", text]),
        "binary": lambda _: rng.randbytes(8),
        "binary_lengths": lambda row: bson.Binary(rng.randbytes(row % 19), row % 2 * 128),
        "uuid": lambda row: bson.Binary((2**100 + row).to_bytes(16, "big"), 4),
        "decimal": lambda row: Decimal128(f"{row}.{row % 7}"),
        "code": lambda row: bson.Code(f"f({row % 9})"),
        "code_with_scope": lambda row: bson.Code("f()", {"x": row // 40}),
        "regex": lambda row: bson.Regex(f"^{row // 50}", "i"),
        "symbols": lambda row: rng.choice([bson.MinKey(), bson.MaxKey()]),
        "object": lambda row: {"a": row, "b": {"c": row / 10, "d": "x"}},
        "object_gaps": lambda row: {k: row for k in "abcd" if rng.random() < 0.6} | {"z": 1},
        "object_shapes": lambda row: {"a": row} if row % 40 < 20 else {"b": {"a": row}, "c": "x" * (row % 18)},
        "object_types": lambda row: {"a": rng.choice([row, f"{row}", None, 1.5]), "b": row},
        "object_empty": lambda row: rng.choice([{}, {"a": {}}, {"a": {}, "b": 1}]),
        "array": lambda row: [row, row / 4, {"x": f"{row}"}],
        "array_lengths": lambda row: list(range(row % 4)),
        "array_in_object": lambda row: {"a": [row, row + 1], "b": [{"c": 2**row % 999}]},
        "mixed": lambda row: rng.choice([row, float(row), f"{row}", None, True, END, [row], {"a": row}]),
        "runs": lambda row: row // 60,
        "sparse": lambda row: row if row % 37 == 5 else MISSING,
        "sparse_text": lambda row: f"t{row}" if rng.random() < 0.3 else MISSING,
        "sparse_object": lambda row: {"a": row, "t": f"{row}"} if rng.random() < 0.5 else MISSING,
        "late": lambda row: row if row > 100 else MISSING,
        "early": lambda row: END if row < 20 else MISSING,
        "once": lambda row: "x" if row == 77 else MISSING,
    }


def rows_of(make: Callable[[int], Any], host: str) -> list[dict[str, Any]]:
    rows = []
    for row in range(ROWS):
        value = make(row)
        document = {"host": host, "ts": START + dt.timedelta(seconds=row), "n": row}
        rows.append(document if value is MISSING else document | {"value": value})
    # What comes two hours later closes the bucket before it, and the server compresses that.
    return [*rows, {"host": host, "ts": START + dt.timedelta(hours=2), "value": 0}]


def raw(cursor: Any) -> list[bytes]:
    return [record for batch in cursor for record in split(batch)]


def served(collection: Any) -> list[bytes]:
    return sorted(raw(collection.find_raw_batches({}, batch_size=5_000)))


def buckets_of(collection: Any) -> list[bytes]:
    return raw(collection.database[f"system.buckets.{collection.name}"].find_raw_batches({}))


def version(bucket: bytes) -> int:
    return int(bson.decode(bucket, CODEC)["control"]["version"])  # type: ignore[index]


def unpacked(buckets: list[bytes], **names: str) -> list[bytes]:
    found = []
    for bucket in buckets:
        rows = measurements(bucket, **names)
        assert count(bucket, time_field=names.get("time_field", "")) == len(rows)
        found += rows
    return sorted(found)


@pytest.mark.seeded(2)
def test_every_measurement_is_what_the_server_returns_byte_for_byte(database: Any, seed: int) -> None:
    collection = database.client[database.name].create_collection("metrics", timeseries=TIMESERIES)
    kinds = series_of_every_kind(random.Random(seed))
    for host, make in kinds.items():
        collection.insert_many(rows_of(make, host))
    buckets = buckets_of(collection)

    assert len([bucket for bucket in buckets if version(bucket) == 2]) >= len(kinds) - 3
    assert unpacked(buckets, meta_field="host", time_field="ts") == served(collection)
    assert unpacked(buckets, meta_field="host") == served(collection)


def test_buckets_of_a_thousand_measurements_with_fields_that_come_and_go(database: Any) -> None:
    rng = random.Random(7)
    collection = database.client[database.name].create_collection("metrics", timeseries=TIMESERIES)
    collection.insert_many(
        {
            "host": {"name": "a", "rack": 1},
            "ts": START + dt.timedelta(seconds=rng.randrange(3000)),
            **{name: rng.choice([row, row / 8]) for name in "uvw" if rng.random() < 0.7},
            "same": "x",
        }
        for row in range(2_500)
    )
    buckets = buckets_of(collection)

    assert {version(bucket) for bucket in buckets} == {1, 2}
    assert unpacked(buckets, meta_field="host", time_field="ts") == served(collection)


def test_a_collection_without_a_shared_field(database: Any) -> None:
    collection = database.client[database.name].create_collection("metrics", timeseries={"timeField": "when"})
    collection.insert_many({"when": START + dt.timedelta(minutes=row), "v": row / 10} for row in range(200))

    assert unpacked(buckets_of(collection), time_field="when") == served(collection)


def test_meta_is_left_out_where_a_measurement_has_none(database: Any) -> None:
    collection = database.client[database.name].create_collection("metrics", timeseries=TIMESERIES)
    collection.insert_many([{"ts": START, "v": 1}, {"ts": START, "v": 2, "host": None}, {"ts": START, "host": "a"}])

    assert unpacked(buckets_of(collection), meta_field="host") == served(collection)


def test_the_dumped_buckets_give_every_measurement(samples: Path) -> None:
    dumped = split((samples / "mongodump/shop/system.buckets.metrics.bson").read_bytes())

    rows = unpacked(dumped, meta_field="host")

    assert len(rows) == 300
    assert list(bson.decode(rows[0])) == ["ts", "host", "_id", "cpu"]


def test_measurements_of_version_3_are_read_as_those_of_version_2(database: Any) -> None:
    collection = database.client[database.name].create_collection("metrics", timeseries=TIMESERIES)
    collection.insert_many(rows_of(lambda row: row, "a"))
    compressed = next(bucket for bucket in buckets_of(collection) if version(bucket) == 2)

    unsorted = with_control(compressed, version=3)

    assert measurements(unsorted, time_field="ts") == measurements(compressed, time_field="ts")
    assert count(unsorted) == ROWS


def test_a_compressed_bucket_need_not_state_its_count(database: Any) -> None:
    collection = database.client[database.name].create_collection("metrics", timeseries=TIMESERIES)
    collection.insert_many(rows_of(lambda row: row, "a"))
    compressed = next(bucket for bucket in buckets_of(collection) if version(bucket) == 2)

    assert count(with_control(compressed, count=None)) == ROWS
    assert measurements(with_control(compressed, count=None)) == measurements(compressed)


def with_control(bucket: bytes, **changes: int | None) -> bytes:
    document = RawBSONDocument(bucket)
    control = dict(document["control"]) | changes
    changed = bson.encode({"": {name: value for name, value in control.items() if value is not None}})
    return build(
        [
            (kind, name, next(elements(changed))[2] if name == b"control" else value)
            for kind, name, value in elements(bucket)
        ]
    )


def bucket(**changes: Any) -> bytes:
    """A bucket of version 1 with two measurements, changed."""
    times = {"0": START, "1": START + dt.timedelta(seconds=1)}
    parts = {
        "_id": bson.ObjectId.from_datetime(START),
        "control": {"version": 1, "min": {"ts": START, "v": 1}, "max": {"ts": times["1"], "v": 2}},
        "meta": "a",
        "data": {"v": {"0": 1, "1": 2}, "ts": times},
    }
    return bson.encode({name: value for name, value in (parts | changes).items() if value is not MISSING})


COLUMN = bson.Binary(b"\x10\x00\x01\x00\x00\x00\x00", 7)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (bucket(control=MISSING), "without control"),
        (bucket(data=MISSING), "without data"),
        (bucket(data=[]), "where an object belongs"),
        (bucket(control={"version": 4, "min": {"ts": START}}), "version 4"),
        (bucket(control={"version": float("nan")}), "nan"),
        (bucket(control={"min": {"ts": START}}), "version"),
        (bucket(control={"version": 1, "min": {"a": START, "b": START}}), "which of its fields holds the time"),
        (bucket(control={"version": 1, "min": {"v": 1}}), "which of its fields holds the time"),
        (bucket(data={"v": {"0": 1}}), "without the field that holds its time"),
        (bucket(data={"ts": {"0": START}, "v": {"0": 1, "1": 2}}), "none of its measurements"),
        (bucket(data={"ts": {"0": START, "1": START}, "v": {"1": 1, "0": 2}}), "none of its measurements"),
        (bucket(data={"ts": {"0": 1}}), "without a time"),
        (bucket(data={"ts": COLUMN}), "where an object belongs"),
        (bucket(control={"version": 2, "min": {"ts": START}}), "a compressed bucket with a field that is not"),
        (bucket(control={"version": 2, "min": {"ts": START}, "count": 1}, data={"ts": COLUMN}), "without a time"),
        (bucket(control={"version": 2, "min": {"ts": START}, "count": 9}, data={"ts": COLUMN}), "states 9"),
        (bucket(control={"version": 2, "min": {"ts": START}, "count": 0}, data={"ts": COLUMN}), "more than 0"),
        (bucket()[:-1] + b"\x01", "last byte"),
        (b"", "document"),
    ],
)
def test_a_bucket_that_contradicts_itself_is_refused(broken: bytes, reason: str) -> None:
    with pytest.raises(InvalidRecordError, match=reason):
        measurements(broken)


def test_the_time_field_is_told_from_other_dates_by_the_buckets_id() -> None:
    other = START - dt.timedelta(days=3)
    made = bucket(
        control={"version": 1, "min": {"born": other, "ts": START}, "max": {}},
        data={"born": {"0": other, "1": other}, "ts": {"0": START, "1": START}},
    )

    assert [list(bson.decode(row)) for row in measurements(made, meta_field="host")] == [["ts", "host", "born"]] * 2


def test_a_bucket_whose_measurements_would_fill_the_memory_is_refused() -> None:
    run = b"\x80" + (0xFF).to_bytes(8, "little")  # 16 x 120 times the value before
    times = b"\x09\x00" + bytes(8) + run + b"\x00"
    texts = b"\x02\x00" + bson.encode({"": "x" * 1_000_000})[6:-1] + run + b"\x00"
    control = {"version": 2, "min": {"ts": START}, "count": 1921}
    hostile = bucket(control=control, data={"ts": bson.Binary(times, 7), "v": bson.Binary(texts, 7)})

    with pytest.raises(InvalidRecordError, match="expands to more"):
        measurements(hostile)


@pytest.mark.seeded(1)
def test_whatever_is_flipped_nothing_else_than_a_refusal_happens(database: Any, seed: int) -> None:
    rng = random.Random(seed)
    collection = database.client[database.name].create_collection("metrics", timeseries=TIMESERIES)
    for host, make in series_of_every_kind(rng).items():
        collection.insert_many(rows_of(make, host))
    whole = [bucket for bucket in buckets_of(collection) if version(bucket) == 2]
    refused = 0
    for _ in range(1_000):
        broken = bytearray(rng.choice(whole))
        for _ in range(rng.randrange(1, 4)):
            broken[rng.randrange(4, len(broken))] = rng.randrange(256)
        try:
            rows = measurements(bytes(broken))
        except InvalidRecordError:
            refused += 1
        else:
            assert all(list(elements(row)) for row in rows)
    assert refused > 100
