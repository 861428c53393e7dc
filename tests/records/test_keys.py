from __future__ import annotations

import struct
from typing import Any

import bson
import pytest
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from recovery_nb.records.elements import CODEC, Element, build, elements
from recovery_nb.records.keys import canonical, key_of, key_text

Value = tuple[int, bytes]


def value(python: object) -> Value:
    return next((kind, raw) for kind, _, raw in elements(bson.encode({"v": python})))


def text(kind: int, content: str) -> Value:
    raw = content.encode()
    return kind, struct.pack("<i", len(raw) + 1) + raw + b"\x00"


def number(exact: int, form: str) -> Value:
    forms: dict[str, Any] = {
        "int": exact,
        "long": bson.Int64(exact),
        "double": float(exact),
        "decimal": Decimal128(str(exact)),
        "padded": Decimal128(f"{exact}.00"),
    }
    return value(forms[form])


FORMS = ["int", "long", "double", "decimal", "padded"]
SPECIAL = [0.0, -0.0, float("nan"), float("inf"), float("-inf"), 0.1, 0.5, 5e-324, 1e300, 2.0**53, 2.0**63, -(2.0**63),
           2**53 + 1, 2**63 - 1, -(2**63)]  # fmt: skip
DECIMALS = ["0", "-0", "-0.00", "NaN", "-NaN", "sNaN", "Infinity", "-Infinity", "0.1", "0.10", "0.5", "1E+300",
            "9007199254740993", "9223372036854775808", "1E-6176", "9.999999999999999999999999999999999E+6144",
            "0.1000000000000000055511151231257827"]  # fmt: skip

numbers = st.one_of(
    st.builds(number, st.integers(-3, 3), st.sampled_from(FORMS)),
    st.sampled_from(SPECIAL).map(lambda one: value(bson.Int64(one) if isinstance(one, int) else one)),
    st.sampled_from(DECIMALS).map(lambda one: value(Decimal128(one))),
)
plain = st.one_of(
    numbers,
    st.builds(text, st.sampled_from([0x02, 0x0E, 0x0D]), st.sampled_from(["", "a", "A", "é", "a\x00b", "1"])),
    st.sampled_from([None, True, False, bson.MinKey(), bson.MaxKey(), bson.Timestamp(0, 1), bson.DatetimeMS(1),
                     bson.DatetimeMS(2**60), bson.Code("a", {"x": 1}), bson.Code("a", {"x": 1.0})]).map(value),
    st.builds(lambda raw, subtype: value(bson.Binary(raw, subtype)), st.sampled_from([b"", b"a", bytes(16)]),
              st.sampled_from([0, 2, 3, 4, 128])),
    st.just((0x06, b"")),
)  # fmt: skip


def nested(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    parts = st.lists(st.tuples(st.sampled_from([b"a", b"b", b""]), inner), max_size=2)
    return parts.map(lambda fields: (0x03, build([(kind, name, raw) for name, (kind, raw) in fields]))) | st.lists(
        inner, max_size=2
    ).map(lambda items: (0x04, build([(kind, str(n).encode(), raw) for n, (kind, raw) in enumerate(items)])))


ids = st.one_of(numbers, st.recursive(plain, nested, max_leaves=4)).filter(lambda one: one[0] not in (0x04, 0x06))


@pytest.fixture
def one_key(database: Any) -> Collection[Any]:
    found: Collection[Any] = database.client[database.name].get_collection(
        "keys", codec_options=CODEC, write_concern=WriteConcern(w=1)
    )
    return found


def held_equal(collection: Collection[Any], one: Value, other: Value) -> bool:
    """Ask the server's own `_id` index."""
    collection.delete_many({})
    try:
        for kind, raw in (one, other):
            collection.insert_one(RawBSONDocument(build([(kind, b"_id", raw)])))
    except DuplicateKeyError:
        return True
    return False


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=ids, other=ids)
def test_keys_are_equal_exactly_when_the_server_holds_them_equal(
    one_key: Collection[Any], one: Value, other: Value
) -> None:
    assert (canonical(*one) == canonical(*other)) is held_equal(one_key, one, other)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=numbers, other=numbers)
def test_numbers_compare_by_value_whatever_their_type(one_key: Collection[Any], one: Value, other: Value) -> None:
    assert (canonical(*one) == canonical(*other)) is held_equal(one_key, one, other)


@pytest.mark.parametrize("names", [(b"0", b"1"), (b"0", b"7"), (b"x", b"y")])
def test_the_names_within_an_array_are_no_part_of_the_key(one_key: Collection[Any], names: tuple[bytes, bytes]) -> None:
    def id_with(*used: bytes) -> Value:
        return 0x03, build([(0x04, b"a", build([(0x08, name, b"\x01") for name in used]))])

    assert held_equal(one_key, id_with(b"0", b"1"), id_with(*names))
    assert canonical(*id_with(b"0", b"1")) == canonical(*id_with(*names))


def test_a_key_of_several_fields_is_their_values_in_order() -> None:
    record = bson.encode({"a": 1, "b": {"c": "x"}, "d": "1"})

    assert key_of(record, ("a", "b.c")) == key_of(bson.encode({"b": {"c": "x"}, "a": 1.0}), ("a", "b.c"))
    assert key_of(record, ("a", "d")) != key_of(record, ("d", "a"))
    assert key_of(record, ("a", "missing")) is None
    assert key_of(record, ("missing",)) is None
    assert key_of(record) is None


def test_joined_keys_cannot_run_into_each_other() -> None:
    one, other = bson.encode({"a": "x", "b": "yz"}), bson.encode({"a": "xy", "b": "z"})

    assert key_of(one, ("a", "b")) != key_of(other, ("a", "b"))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (7, "7"),
        (bson.Int64(-(2**63)), "-9223372036854775808"),
        (2.5, "2.5"),
        (Decimal128("2.50"), "2.5"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ("text", "text"),
        (bson.ObjectId("65a000000000000000000001"), "65a000000000000000000001"),
        (bson.DatetimeMS(1_764_585_000_123), "2025-12-01T10:30:00.123Z"),
        (bson.DatetimeMS(253_402_300_800_000), "253402300800000 ms"),
        ({"a": 1, "b": ["x", None]}, "{a: 1, b: [x, null]}"),
        (bson.Binary(bytes(range(16)), 4), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (True, "true"),
        (bson.Binary(b"ab", 0), "0x0502000000006162"),
    ],
)
def test_a_key_is_shown_as_people_write_it(given: object, shown: str) -> None:
    found = key_of(bson.encode({"_id": given}))

    assert found is not None
    assert key_text(found) == shown


def test_two_keys_that_differ_are_shown_differently() -> None:
    near = [value(0.1), value(Decimal128("0.1")), value(Decimal128("0.1000000000000000055511151231257827"))]

    assert len({key_text(canonical(*one)) for one in near}) == 3


def test_several_fields_are_shown_with_a_bar_between_them() -> None:
    key = key_of(bson.encode({"a": 1, "b": "x"}), ("a", "b"))

    assert key is not None
    assert key_text(key, ("a", "b")) == "1 | x"


def element(python: object) -> Element:
    kind, raw = value(python)
    return kind, b"_id", raw


def test_true_and_one_are_two_keys() -> None:
    assert key_of(build([element(True)])) != key_of(build([element(1)]))
