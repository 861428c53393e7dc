from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from pathlib import Path

import bson
import pytest
from bson import json_util
from bson.code import Code
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.records.extended_json import NotARecordError, to_bson, to_bson_together, to_json
from recovery_nb.records.extended_json_slow import convert_slowly

SAMPLES = Path(__file__).parents[1] / "data" / "samples"


def documents_of_every_type() -> list[bytes]:
    data = (SAMPLES / "mongodump/shop/types.bson").read_bytes()
    documents = []
    while data:
        (size,) = struct.unpack_from("<i", data)
        documents.append(data[:size])
        data = data[size:]
    return documents


def value_of(text: str, notes: list[str] | None = None) -> object:
    return bson.decode(to_bson(b'{"v":%b}' % text.encode(), notes))["v"]


def millis_of(text: str, notes: list[str] | None = None) -> int:
    document = to_bson(b'{"v":{"$date":%b}}' % json.dumps(text).encode(), notes)
    assert document[4:5] == b"\x09"
    return int(struct.unpack_from("<q", document, 7)[0])


@pytest.mark.parametrize("document", documents_of_every_type(), ids=range(34))
def test_every_type_survives_the_way_there_and_back(document: bytes) -> None:
    text = to_json(document)
    assert "\n" not in text
    assert to_bson(text.encode()) == document
    assert convert_slowly(text.encode()) == document


@pytest.mark.parametrize("name", sorted(p.name for p in (SAMPLES / "mongoexport").glob("*.jsonl")))
def test_the_careful_way_agrees_with_the_fast_one(name: str) -> None:
    for line in (SAMPLES / "mongoexport" / name).read_bytes().splitlines():
        assert convert_slowly(line) == to_bson(line)


def test_canonical_exports_are_the_dumped_bytes() -> None:
    lines = (SAMPLES / "mongoexport/types.canonical.jsonl").read_bytes().splitlines()
    assert {to_bson(line) for line in lines} == set(documents_of_every_type())


def test_code_with_a_nul_survives() -> None:
    record = bson.encode({"a": Code("f\0x"), "b": Code("g\0", {"x": 1})})
    assert to_bson(to_json(record).encode()) == record


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(codec="utf-8", exclude_characters="\0$"), max_size=5), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc_", max_size=3), JSON_VALUES, max_size=5), st.booleans())
def test_plain_json_keeps_every_value(record: dict[str, object], ascii_only: bool) -> None:
    text = json.dumps(record, ensure_ascii=ascii_only).encode()
    assert bson.decode(to_bson(text)) == record
    assert convert_slowly(text) == to_bson(text)


@given(st.binary(max_size=40) | st.text('{}[]":,0$e \\u', max_size=40).map(str.encode))
def test_any_bytes_are_a_record_or_refused(text: bytes) -> None:
    with suppress(NotARecordError):
        bson.decode(to_bson(text))


def test_order_and_repeated_fields_are_kept_on_both_ways() -> None:
    expected = b"\x10b\0\1\0\0\0\x10a\0\2\0\0\0\x10_id\0\3\0\0\0\x10a\0\4\0\0\0"
    text = b'{"b":1,"a":2,"_id":3,"a":4}'
    assert to_bson(text)[4:-1] == expected
    assert convert_slowly(text)[4:-1] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NaN", "nan"),
        ("Infinity", "inf"),
        ("-Infinity", "-inf"),
        ("-0.0", "-0.0"),
        ('{"$numberInt":7}', "7"),
        ('{"$numberLong":7}', "Int64(7)"),
        ('{"$numberDouble":1.5}', "1.5"),
    ],
)
def test_what_strict_parsers_refuse_is_read(text: str, expected: str) -> None:
    value = value_of(text)
    shown = f"Int64({value})" if isinstance(value, bson.Int64) else repr(value)
    assert shown == expected


@pytest.mark.parametrize(
    "literal",
    ["9223372036854775808", "-9223372036854775809", "18446744073709551617", "9" * 34, "1e400", "1E-6000"],
)
def test_numbers_beyond_64_bits_become_decimals_and_are_noted(literal: str) -> None:
    if literal == "1E-6000":
        assert value_of(literal) == 0.0
        return
    notes: list[str] = []
    assert value_of(literal, notes) == Decimal128(literal)
    assert notes == ["a number beyond 64 bits was read as a decimal"]


def test_the_bounds_of_integers() -> None:
    assert to_bson(b'{"v":2147483647}')[4:5] == b"\x10"
    assert to_bson(b'{"v":2147483648}')[4:5] == b"\x12"
    assert value_of("-9223372036854775808") == -(1 << 63)
    assert value_of("1234567890123456789") == 1234567890123456789


@pytest.mark.parametrize(
    ("text", "millis", "noted"),
    [
        ("2025-12-01T10:30:00.123Z", 1764585000123, 0),
        ("2025-12-01T10:30:00.123456+02:00", 1764577800123, 1),
        ("2025-12-01T10:30:00.123000Z", 1764585000123, 0),
        ("2025-12-01T10:30:00", 1764585000000, 1),
        ("2025-12-01 10:30Z", 1764585000000, 0),
        ("2025-12-01", 1764547200000, 1),
        ("10000-01-01T00:00:00Z", 253402300800000, 0),
        ("12000-01-01T00:00:00-0130", 316516210200000, 0),
        ("2024-02-29T00:00:00Z", 1709164800000, 0),
    ],
)
def test_dates_of_any_spelling(text: str, millis: int, noted: int) -> None:
    notes: list[str] = []
    assert millis_of(text, notes) == millis
    assert len(notes) == noted


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"$oid":"507f1f77bcf86cd79943901g"}', "$oid"),
        ('{"$oid":"507f1f77bcf86cd799439011","$oid":"507f1f77bcf86cd799439012"}', "$oid"),
        ('{"$numberDouble":"1.5x"}', "$numberDouble"),
        ('{"$numberDouble":""}', "$numberDouble"),
        ('{"$numberInt":"2147483648"}', "$numberInt"),
        ('{"$date":"2025-02-31T00:00:00Z"}', "$date"),
        ('{"$date":{}}', "$date"),
        ('{"$date":18446744073709551617}', "$date"),
        ('{"$timestamp":{"t":4294967296,"i":1}}', "$timestamp.t"),
        ('{"$oid":"507f1f77bcf86cd799439011","x":1}', "$oid"),
        ('{"$numberDecimal":"1e9999"}', "$numberDecimal"),
        ('"\\ud83d"', "surrogate"),
        ("9" * 35, "exactly"),
        ("9" * 5000, "5000 digits"),
        ('{"a\\u0000b":1}', "NUL"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "deeply"),
    ],
)
def test_what_bson_cannot_hold_is_refused_and_not_altered(text: str, part: str) -> None:
    with pytest.raises(NotARecordError) as caught:
        value_of(text)
    assert part in caught.value.reason
    assert caught.value.well_formed
    assert len(caught.value.reason) < 200


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1}{"b":2}',
        b'{"a":1} {"b":2}',
        b'{"a":1},{"b":2}',
        b'{"a":1}]{"b":2}',
        b'{"a":1}}',
        b'{"a":1} x',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1',
        b"",
        b" ",
    ],
)
def test_exactly_one_object_is_a_record(text: bytes) -> None:
    with pytest.raises(NotARecordError) as caught:
        to_bson(text)
    assert not caught.value.well_formed


@pytest.mark.parametrize(
    ("text", "name"),
    [(b"[1]", "a list"), (b"5", "a number"), (b'"x"', "a string"), (b"null", "null"), (b"true", "a boolean")],
)
def test_other_json_is_named(text: bytes, name: str) -> None:
    with pytest.raises(NotARecordError, match=f"^{name} where a record is expected"):
        to_bson(text)


def test_text_that_is_not_utf8_is_named() -> None:
    with pytest.raises(NotARecordError, match=r"not UTF-8 .byte 0xE9 at its byte 8") as caught:
        to_bson('{"a":"caf\xe9"}'.encode("latin-1").replace(b"caf", b"ca"))
    assert caught.value.well_formed


def test_dollar_signs_that_are_no_wrappers_stay_fields() -> None:
    text = b'{"price":"$5.00","q":{"$gt":5},"$a":1,"t":{"$type":"x"},"s":"$oid"}'
    expected = {"price": "$5.00", "q": {"$gt": 5}, "$a": 1, "t": {"$type": "x"}, "s": "$oid"}
    assert bson.decode(to_bson(text)) == expected


def test_legacy_extended_json_is_read() -> None:
    text = b'{"b":{"$binary":"AAEC","$type":"00"},"r":{"$regex":"a","$options":"i"},"d":{"$date":5}}'
    assert bson.decode(to_bson(text)) == json_util.loads(text, json_options=json_util.JSONOptions(tz_aware=False))


def test_corrupt_bson_is_refused() -> None:
    with pytest.raises(NotARecordError, match="no valid BSON"):
        to_json(b"\x0c\0\0\0\x10a\0\1")


def test_nan_is_a_double() -> None:
    value = value_of("NaN")
    assert isinstance(value, float)
    assert math.isnan(value)


def test_objects_converted_together_are_those_converted_one_by_one() -> None:
    for path in sorted((SAMPLES / "mongoexport").glob("*.jsonl")):
        lines = path.read_bytes().splitlines()
        together = to_bson_together(lines)
        assert together in (None, [to_bson(line) for line in lines])
        assert together or path.name.startswith("types")  # where some need the careful way


@pytest.mark.parametrize(
    "texts",
    [
        ['{"a":1', '"b":2}'],
        ['{"a":[1', "2]}"],
        ['{"a":1},{"b":2}'],
        ['{"a":1}', "7"],
        ['{"a":1}', "[2]"],
        ['{"a":1}', ""],
        ["{}]", "[{}"],
        ['{"a":"x', 'y"}'],
        ['{"a":1}', '{"n":12345678901234567890}'],
        ['{"a":1}', '{"d":{"$date":"2025-02-31T00:00:00Z"}}'],
    ],
)
def test_what_is_not_one_object_each_is_not_converted_together(texts: list[str]) -> None:
    assert to_bson_together([text.encode() for text in texts]) is None
    assert to_bson_together([b'{"before":1}', *(text.encode() for text in texts), b'{"after":1}']) is None
