from __future__ import annotations

import json
import math
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import bson
import pytest
from bson.binary import Binary, UuidRepresentation
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.records.elements import build, elements, split
from recovery_nb.records.rehydrate import Evidence, Rehydrator, parse_date
from recovery_nb.records.schema import observe
from recovery_nb.sources.base import Typing
from recovery_nb.sources.content import File
from recovery_nb.sources.csv.files import CsvSource
from recovery_nb.sources.json.files import JsonSource

BACKUPS = ["backup_20251201_103000.json", "backup_2025-12-01T10-30-00-000Z.json"]


def like(*documents: dict[str, Any], **options: Any) -> Rehydrator:
    return Rehydrator([(Evidence.DATABASE, observe(bson.encode(one) for one in documents))], **options)


def back(rehydrator: Rehydrator, document: dict[str, Any]) -> dict[str, Any]:
    return bson.decode(rehydrator(bson.encode(document)).record)


@pytest.mark.parametrize("name", BACKUPS)
def test_every_record_of_the_old_backups_gets_its_original_bytes_back(samples: Path, name: str) -> None:
    originals = {
        collection: split((samples / "mongodump" / "shop" / f"{collection}.bson").read_bytes())
        for collection in ("conversations", "sessions", "quotes")
    }
    rehydrators = {
        collection: Rehydrator([(Evidence.DATABASE, observe(records))]) for collection, records in originals.items()
    }
    source = JsonSource(File.on_disk(samples / "backups" / name))
    found: dict[str, list[bytes]] = {collection: [] for collection in originals}
    for batch in source.read():
        found[batch.collection] += [rehydrators[batch.collection](record).record for record in batch.records]  # type: ignore[union-attr]  # the samples are whole: no damage comes

    assert source.typing() is Typing.PLAIN
    assert sum(map(len, found.values())) == 1_500
    assert {collection: set(records) for collection, records in found.items()} == {
        collection: set(records) for collection, records in originals.items()
    }


@pytest.mark.parametrize(
    ("original", "as_text"),
    [
        (bson.ObjectId("65a000000000000000000001"), "65a000000000000000000001"),
        (datetime(2025, 12, 1, 10, 30, 0, 123_000), "2025-12-01T10:30:00.123Z"),
        (datetime(2025, 12, 1, 10, 30, 0, 123_000), "2025-12-01 10:30:00.123000"),
        (datetime(2025, 12, 1, 10, 30), "2025-12-01 10:30:00+00:00"),
        (datetime(2025, 12, 1, 5, 0), "2025-12-01 10:30:00+05:30"),
        (Decimal128("7.00"), "7.00"),
        (Decimal128("-0"), "-0"),
        (Decimal128("NaN"), "NaN"),
        (Binary(UUID("00010203-0405-0607-0809-0a0b0c0d0e0f").bytes, 4), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (b"\x00\xff", "AP8="),
    ],
)
def test_a_type_that_became_text_is_put_back(original: object, as_text: str) -> None:
    assert back(like({"v": original}), {"v": as_text}) == {"v": original}


@pytest.mark.parametrize("number", [1, bson.Int64(1), 1.0])
def test_a_number_as_text_is_another_value(number: object) -> None:
    assert back(like({"v": number}), {"v": "1"}) == {"v": "1"}


@pytest.mark.parametrize(
    ("original", "text"),
    [
        (bson.ObjectId(), "65A000000000000000000001"),
        (bson.ObjectId(), "not an id"),
        (datetime(2025, 1, 1), "2025-12-01T10:30:00.123456Z"),
        (datetime(2025, 1, 1), "2025-13-01T10:30:00Z"),
        (datetime(2025, 1, 1), "0001-01-01T00:00:00+99:99"),
        (datetime(2025, 1, 1), "2025-12-01"),
        (Decimal128("1"), "1_000"),
        (Decimal128("1"), " 1"),
        (Decimal128("1"), "1" * 60),
        (Decimal128("1"), "1E+99999"),
        (bson.Int64(1), "007"),
        (bson.Int64(1), "9223372036854775808"),
        (bson.Int64(1), "1" * 5_000),
        (Binary(bytes(16), 4), "00010203-0405-0607-0809-0A0B0C0D0E0F"),
        (Binary(bytes(16), 4), "not a uuid at all, but 36 bytes long"),
        (Binary(bytes(16), 3), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (Binary(b"ab", 2), "YWI="),
        (b"ab", "YWJ="),
        (b"ab", "YW I="),
    ],
)
def test_text_that_no_such_value_gives_stays_text(original: object, text: str) -> None:
    rehydrate = like({"v": original})
    record = bson.encode({"v": text})

    assert rehydrate(record).record == record
    assert rehydrate(record).inferred == ""
    assert not rehydrate.conversions


@pytest.mark.parametrize(
    ("original", "found", "expected"),
    [
        (bson.Int64(5), 7, bson.Int64(7)),
        (2.5, 7, 7.0),
        (2.5, bson.Int64(1_152_921_504_606_847_000), 1152921504606846976.0),
        (Decimal128("1.5"), 2.5, Decimal128("2.5")),
        (Decimal128("1.5"), 7, Decimal128("7")),
    ],
    ids=["long", "double", "a large double as JavaScript writes it", "decimal", "whole decimal"],
)
def test_a_number_gets_the_width_it_had(original: object, found: object, expected: object) -> None:
    result = back(like({"v": original}), {"v": found})["v"]

    assert (type(result), result) == (type(expected), expected)


@pytest.mark.parametrize(
    ("original", "found"),
    [
        (5, 1.0),
        (bson.Int64(5), 1.0),
        (bson.Int64(5), -0.0),
        (bson.Int64(5), 0.5),
        (5, 2**40),
        (2.5, 1_152_921_504_606_846_976),
        (2.5, 2**53 + 1),
        (True, 1),
        ("text", 1),
    ],
)
def test_a_number_that_would_not_be_the_same_stays_as_it_was_found(original: object, found: Any) -> None:
    record = bson.encode({"v": bson.Int64(found) if isinstance(found, int) and found > 2**31 else found})

    assert like({"v": original})(record).record == record


def test_a_field_of_mixed_types_stays_as_it_was_found() -> None:
    rehydrate = like({"v": "65a000000000000000000001", "n": 1}, {"v": bson.ObjectId(), "n": 2.5})
    record = bson.encode({"v": "65a000000000000000000002", "n": 7})

    assert rehydrate(record).record == record


def test_doubles_and_longs_are_told_apart_only_where_doubles_keep_their_point() -> None:
    seen = {"v": 1.5}, {"v": bson.Int64(1)}
    record = bson.encode({"v": 7})

    assert like(*seen)(record).record == record
    assert back(like(*seen, strings=False), {"v": 7}) == {"v": 7}
    assert like(*seen, strings=False)(record).record == bson.encode({"v": bson.Int64(7)})


def test_relaxed_json_never_turned_types_into_text() -> None:
    record = bson.encode({"v": "65a000000000000000000002"})

    assert like({"v": bson.ObjectId()}, strings=False)(record).record == record


def test_the_database_counts_more_than_a_source_and_a_source_more_than_the_shape() -> None:
    hexadecimal = "65a000000000000000000001"
    database = observe([bson.encode({"a": "text"})])
    source = observe([bson.encode({"a": bson.ObjectId(), "b": bson.ObjectId()})])
    rehydrate = Rehydrator([(Evidence.DATABASE, database), (Evidence.SOURCE, source)])

    found = rehydrate(bson.encode({"a": hexadecimal, "b": hexadecimal}))
    assert bson.decode(found.record) == {"a": hexadecimal, "b": bson.ObjectId(hexadecimal)}
    assert found.inferred == "source"
    shaped = rehydrate(bson.encode({"b": hexadecimal, "c": "2025-12-01T10:30:00Z"}))
    assert shaped.inferred == "shape", "the weakest of several counts"


def test_conversions_are_counted_by_path_types_and_evidence() -> None:
    rehydrate = like({"a": {"b": [{"c": bson.ObjectId()}]}})
    for _ in range(3):
        rehydrate(bson.encode({"a": {"b": [{"c": "65a000000000000000000001"}, {"c": "none"}]}}))

    assert dict(rehydrate.conversions) == {("a.b[].c", "string", "objectId", "database"): 3}


def test_the_id_comes_first_as_the_server_stores_it() -> None:
    record = build(list(reversed(list(elements(bson.encode({"_id": 1, "a": 2, "b": 3}))))))

    found = Rehydrator(())(record)
    assert [name for _, name, _ in elements(found.record)] == [b"_id", b"b", b"a"]
    assert found.inferred == ""


def test_by_shape_alone_only_ids_and_dates_are_told() -> None:
    hexadecimal = "65a000000000000000000001"

    assert back(Rehydrator(()), {"_id": hexadecimal, "other": hexadecimal, "n": "7", "d": "2025-12-01 10:30:00"}) == {
        "_id": bson.ObjectId(hexadecimal), "other": hexadecimal, "n": "7", "d": datetime(2025, 12, 1, 10, 30),
    }  # fmt: skip


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_dates_are_read_as_python_and_javascript_write_them(milliseconds: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)

    assert parse_date(str(moment.replace(tzinfo=None)).encode()) == milliseconds
    assert parse_date(moment.isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()) == milliseconds


# --- from CSV ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["quotes", "users"])
def test_every_row_of_an_export_gets_its_original_bytes_back_but_for_what_is_empty(samples: Path, name: str) -> None:
    originals = split((samples / "mongodump" / "shop" / f"{name}.bson").read_bytes())
    rehydrate = Rehydrator([(Evidence.DATABASE, observe(originals))], text=True)
    found = [
        rehydrate(record)
        for batch in CsvSource(File.on_disk(samples / "mongoexport" / f"{name}.csv")).read()
        for record in batch.records  # type: ignore[union-attr]  # the samples are whole: no damage comes
    ]

    empty = ((0x0A, b""), (0x02, b"\x01\0\0\0\0"))
    filled = [build([field for field in elements(record) if (field[0], field[2]) not in empty]) for record in originals]
    assert [one.record for one in found] == filled
    assert {one.inferred for one in found} == {"database"}


@pytest.mark.parametrize(
    ("original", "cell"),
    [
        (bson.ObjectId("65a000000000000000000001"), "65a000000000000000000001"),
        (bson.ObjectId("65a000000000000000000001"), "ObjectId(65a000000000000000000001)"),
        (datetime(2025, 12, 1, 10, 30, 0, 123_000), "2025-12-01T10:30:00.123Z"),
        (7, "7"),
        (-7, "-7"),
        (bson.Int64(7), "7"),
        (bson.Int64(2**62), str(2**62)),
        (7.0, "7"),
        (7.0, "7.0"),
        (26176.96, "26176.96"),
        (1e6, "1e+06"),
        (1e6, "1000000"),
        (1234567.5, "1.2345675e+06"),
        (1e-5, "1e-05"),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (-0.0, "-0"),
        (math.inf, "+Inf"),
        (-math.inf, "-inf"),
        (True, "true"),
        (False, "false"),
        (Decimal128("7.00"), "7.00"),
        (Binary(UUID("00010203-0405-0607-0809-0a0b0c0d0e0f").bytes, 4), "000102030405060708090A0B0C0D0E0F"),
        (Binary(UUID("00010203-0405-0607-0809-0a0b0c0d0e0f").bytes, 4), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (Binary(bytes(range(16)), 3), "000102030405060708090A0B0C0D0E0F"),
        (b"\x00\xff", "00FF"),
        (b"\x00\xff", "AP8="),
        ([{"a": 1, "b": [1.5, None]}], '[{"a":1,"b":[1.5,null]}]'),
        ({"d": datetime(2025, 12, 1)}, '{"d":{"$date":"2025-12-01T00:00:00Z"}}'),
        ({"d": datetime(2025, 12, 1)}, '{"d":"2025-12-01T00:00:00Z"}'),
        ({"n": bson.Int64(5), "x": 5.0}, '{"n":5,"x":5}'),
        (bson.Timestamp(7, 1), '{ "$timestamp": { "t": 7, "i": 1 } }'),
        (bson.Regex("a/b", "i"), "/a/b/i"),
        (bson.Code("f()"), "f()"),
    ],
)
def test_a_value_that_became_a_cell_is_put_back(original: object, cell: str) -> None:
    found = like({"v": original}, text=True)(bson.encode({"v": cell}))

    assert found.record == bson.encode({"v": original})
    assert found.inferred == "database"


@pytest.mark.parametrize(
    ("original", "cell"),
    [
        (7, "07"), (7, "+7"), (7, "7.0"), (7, " 7"), (7, "1_0"), (7, str(2**31)), (7, "-0"),
        (bson.Int64(7), str(2**63)), (bson.Int64(7), "9" * 5_000), (7.5, "7.50"), (7.5, "07.5"), (7.5, ".5"),
        (7.5, "1e999"), (7.5, "9" * 5_000), (True, "True"), (True, "1"), (Decimal128("1"), "1_000"),
        (Binary(bytes(16), 4), "00FF"), (b"ab", "00ff"), (b"ab", "0FF"), (Binary(b"ab", 2), "6162"),
        ([1], "[1"), ([1], '[1],"w":[2]'), ([1], '{"a":1}'), ({"a": 1}, "{" * 3_000),
        (datetime(2025, 1, 1), "2025-12-01"),
    ],
)  # fmt: skip
def test_a_cell_that_no_such_value_gives_stays_text(original: object, cell: str) -> None:
    record = bson.encode({"v": cell})

    assert like({"v": original}, text=True)(record).record == record


def test_a_field_that_has_strings_too_stays_text() -> None:
    seen = {"a": 1, "b": [1]}, {"a": "1", "b": "[1]"}
    record = bson.encode({"a": "7", "b": "[7]"})

    assert like(*seen, text=True)(record).record == record


def test_of_several_numbers_that_a_cell_may_be_the_narrowest_is_taken() -> None:
    rehydrate = like({"a": 1, "b": 1.5}, {"a": bson.Int64(1), "b": bson.Int64(1)}, text=True)

    assert rehydrate(bson.encode({"a": "7", "b": "7"})).record == bson.encode({"a": 7, "b": bson.Int64(7)})
    assert rehydrate(bson.encode({"a": str(2**40), "b": "7.5"})).record == bson.encode({"a": 2**40, "b": 7.5})


def test_cells_of_sub_documents_and_of_arrays_are_put_back_too() -> None:
    rehydrate = like({"a": {"n": 1}, "l": [{"n": 1.5}]}, text=True)

    assert back(rehydrate, {"a": {"n": "7"}, "l": [{"n": "7"}]}) == {"a": {"n": 7}, "l": [{"n": 7.0}]}


def test_by_shape_alone_cells_are_what_they_look_like() -> None:
    cells = {
        "_id": "65a000000000000000000001", "int": "7", "long": str(2**40), "huge": str(2**70), "double": "7.5",
        "padded": "7.50", "phone": "+15557650934", "post": "01234", "bool": "true", "date": "2025-12-01T10:30:00.000Z",
        "json": '[{"a":1}]', "hex": "65a000000000000000000001", "nan": "NaN", "text": "true story",
    }  # fmt: skip
    found = Rehydrator((), text=True)(bson.encode(cells))

    assert bson.decode(found.record) == cells | {
        "_id": bson.ObjectId("65a000000000000000000001"), "int": 7, "long": 2**40, "double": 7.5, "bool": True,
        "date": datetime(2025, 12, 1, 10, 30), "json": [{"a": 1}],
    }  # fmt: skip
    assert found.inferred == "shape"


def test_whole_numbers_as_id_are_numbers() -> None:
    assert back(like({"_id": 1}, text=True), {"_id": "300"}) == {"_id": 300}
    assert back(Rehydrator((), text=True), {"_id": "300"}) == {"_id": 300}


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53))
def test_a_double_is_put_back_from_what_python_writes_and_javascript(number: float, whole: int) -> None:
    rehydrate = like({"v": 1.5}, text=True)

    for value, text in ((number, repr(number)), (float(whole), repr(float(whole))), (float(whole), str(whole))):
        assert rehydrate(bson.encode({"v": text})).record == bson.encode({"v": value})


texts = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,7})?(Z|[+-]\d\d:?\d\d)?", fullmatch=True),
    st.from_regex(r"-?\d{0,40}(\.\d{0,40})?([eE][+-]?\d{1,5})?", fullmatch=True),
    st.from_regex(r"[0-9a-fA-F]{24}", fullmatch=True),
    st.from_regex(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9+/]{0,12}={0,2}", fullmatch=True),
    st.sampled_from(["nan", "inf", "NaN", "Infinity", "-0", "0.0", "1e5", "١٢"]),
)
TYPES = [bson.ObjectId(), datetime(2025, 1, 1), Decimal128("1"), 1.5, 1, bson.Int64(1), b"x", Binary(bytes(16), 4),
         Binary(bytes(16), 3), None, True]  # fmt: skip


@given(texts, st.lists(st.sampled_from(TYPES), max_size=3))
def test_what_is_converted_gives_the_same_text_again(text: str, types: list[object]) -> None:
    found = back(like(*({"v": one} for one in types)), {"v": text})["v"]

    if isinstance(found, str):
        assert found == text
    elif isinstance(found, datetime):
        assert _moment(text) == found.replace(tzinfo=UTC)
    elif isinstance(found, Binary) and found.subtype == 4:
        assert str(found.as_uuid(UuidRepresentation.STANDARD)) == text
    elif isinstance(found, bytes):
        import base64

        assert base64.b64encode(found).decode() == text
    else:
        assert str(found) == text


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


numbers = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-10, 10), st.floats(allow_nan=False), st.integers(-5, 5).map(float)
)


@given(numbers, st.lists(st.sampled_from([1.5, 1, bson.Int64(1), Decimal128("1")]), max_size=3), st.booleans())
def test_a_number_that_is_converted_is_the_same_number(number: float, types: list[object], strings: bool) -> None:
    given = bson.Int64(number) if isinstance(number, int) and abs(number) >= 2**31 else number
    found: Any = back(like(*({"v": one} for one in types), strings=strings), {"v": given})["v"]

    if isinstance(found, Decimal128):
        assert str(found) == json.dumps(number)
    elif isinstance(number, float):
        assert isinstance(found, float), "a number with a point was never an integer"
        assert math.copysign(1, found) == math.copysign(1, number)
        assert found == number
    else:
        assert float(found) == float(number)


def test_broken_documents_of_the_evidence_are_passed_over() -> None:
    good = bson.encode({"a": 1})

    assert observe([good, good[:-2], b"", struct.pack("<i", 99)]).sampled == 1


def test_documents_are_rehydrated_as_deep_as_a_server_nests_them() -> None:
    document: Any = {"v": bson.ObjectId("65a000000000000000000001")}
    text: Any = {"v": "65a000000000000000000001"}
    for _ in range(170):
        document, text = {"a": document}, {"a": text}

    assert like(document)(bson.encode(text)).record == bson.encode(document, codec_options=CodecOptions())
