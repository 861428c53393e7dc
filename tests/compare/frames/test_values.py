from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Binary, Code, DatetimeMS, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.compare.frames.values import ABSENT, decoded, ids, objects, text
from recovery_nb.errors import DamagedSourceError
from recovery_nb.records.elements import id_element

VALUES = [
    ObjectId("6b06466a4faeef15c4f661b6"), 7, Int64(7), Int64(-(1 << 63)), 7.5, float("inf"), Decimal128("1.10"),
    "x", "", None, True,
    datetime(2025, 12, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC),
    DatetimeMS(1 << 60), DatetimeMS(-(1 << 60)), b"bytes", Binary(b"x" * 16, 4), Binary(b"x", 0x80),
    Timestamp(1, 2), MinKey(), MaxKey(), Code("f"), Code("f", {"x": 1}), Regex("a", "i"), {"a": Int64(1)}, [1, [2]],
    DBRef("c", 1, "d"),
]  # fmt: skip


def element(value: object) -> bytes:
    return id_element(bson.encode({"_id": value})) or b""


def column(*elements: bytes | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(elements, pa.binary())])


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_an_id_keeps_its_type(value: object) -> None:
    (found,) = ids(column(element(value)))
    assert type(found) is type(value)
    assert found == value


@given(st.lists(st.one_of(
    st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1).map(Int64), st.text(),
    st.floats(allow_nan=False), st.binary(min_size=12, max_size=12).map(ObjectId), st.none(),
    st.integers(-(2**63), 2**63 - 1).map(DatetimeMS),
    st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.booleans(), max_size=3),
), max_size=30))  # fmt: skip
def test_ids_of_many_types_stand_each_in_its_row(values: list[Any]) -> None:
    found = ids(column(*map(element, values)))
    assert [bson.encode({"": one}) for one in found] == [bson.encode({"": one}) for one in values]


def test_a_record_without_an_id_has_none_and_one_with_null_has_null() -> None:
    assert list(ids(column(None, element(None)))) == [ABSENT, None]


def test_an_id_that_does_not_decode_costs_no_other() -> None:
    broken = b"\x02" + struct.pack("<i", 100) + b"short\0"
    two_in_one = element(1) + element(2)[:1] + b"\0" + element(2)[1:]
    found = ids(column(element(1), broken, two_in_one, element("x")))
    assert list(found) == [1, ABSENT, ABSENT, "x"]


def test_text_that_is_no_utf8_is_shown_with_replacements() -> None:
    assert list(ids(column(b"\x02" + struct.pack("<i", 3) + b"a\xff\0"))) == ["a\ufffd"]


def test_lists_of_one_length_stay_lists() -> None:
    assert objects([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert objects([[1, 2], [3, 4]]).shape == (2,)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_record_are_refused_in_one_way(data: bytes) -> None:
    with pytest.raises(DamagedSourceError, match="does not decode"):
        decoded(data + b"\1")  # no document ends so


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"), (ABSENT, ""), (float("nan"), "nan"), (b"\0\xff", "00ff (2 bytes)"), (Int64(5), "5"),
        (Decimal128("1.10"), "1.10"), ({"b": 1, "a": [True, None]}, "{b: 1, a: [True, null]}"), ([], "[]"),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_short_text(value: object, shown: str) -> None:
    assert text(value) == shown


@pytest.mark.parametrize(
    "value",
    ["x" * 10**7, b"x" * 10**7, {"x" * 10**6: 1}, [0] * 10**6, dict.fromkeys(map(str, range(10**5))), nested(90)],
    ids=["text", "bytes", "name", "list", "fields", "levels"],
)
def test_a_long_value_is_cut(value: object) -> None:
    assert len(text(value)) < 300
