from __future__ import annotations

import struct
import time
from contextlib import suppress

import bson
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.records.bson_column import Budget, decode_column
from recovery_nb.records.elements import InvalidRecordError, elements
from recovery_nb.records.simple8b import slots

Item = tuple[int, bytes] | None

# As the server's documentation has it: selector, extension, slots, bits of the number, bits that count its zeros,
# zeros that one counts for.
SMALL = [(9, 2), (8, 3), (7, 4), (6, 5), (5, 7), (4, 10), (3, 14), (2, 24), (1, 52)]
NIBBLES = [(7, 4), (6, 5), (5, 7), (4, 10), (3, 14), (2, 24), (1, 52)]
WIDER = [(6, 4), (5, 6), (4, 9), (3, 13), (2, 23), (1, 51)]
LAYOUTS = [
    *[(s, None, 60 // bits, bits, 0, 0) for s, bits in enumerate([1, 2, 3, 4, 5, 6], 1)],
    *[(s, None, 60 // bits, bits, 0, 0) for s, bits in enumerate([10, 12, 15, 20, 30, 60], 9)],
    (7, 0, 8, 7, 0, 0),
    (8, 0, 7, 8, 0, 0),
    *[(7, e, n, bits, 4, 1) for e, (n, bits) in enumerate(SMALL, 1)],
    *[(8, e, n, bits, 4, 4) for e, (n, bits) in enumerate(NIBBLES, 1)],
    *[(8, e, n, bits, 5, 4) for e, (n, bits) in enumerate(WIDER, 8)],
]


def pack(layout: tuple[int, int | None, int, int, int, int], numbers: list[int | None]) -> int:
    selector, extension, _, bits, zeros, unit = layout
    block, shift = selector | (extension or 0) << 4, 4 if extension is None else 8
    for number in numbers:
        if number is None:
            slot = (1 << bits + zeros) - 1
        else:
            tail = 0
            while unit and number and number % (1 << unit) == 0 and tail < (1 << zeros) - 1:
                number, tail = number >> unit, tail + 1  # noqa: PLW2901 - what is left of it
            assert number < 1 << bits
            slot = number << zeros | tail
        block |= slot << shift
        shift += bits + zeros
    assert block < 1 << 64
    return block


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@given(data=st.data())
def test_a_block_gives_back_what_was_packed(layout: tuple[int, int | None, int, int, int, int], data: st.DataObject):
    _, _, count, bits, zeros, unit = layout
    tails = st.integers(0, min((1 << zeros) - 1, (128 - bits) // unit) if unit else 0)
    numbers = st.none() | st.builds(lambda n, tail: n << tail * unit, st.integers(0, (1 << bits) - 2), tails)
    packed = data.draw(st.lists(numbers, min_size=count, max_size=count))

    assert slots(pack(layout, packed), 0, width=128) == packed


@pytest.mark.parametrize("last", [None, 0, 5])
def test_a_run_repeats_the_slot_before_it(last: int | None) -> None:
    assert slots(0x0F, last, width=64) == [last] * 120
    assert slots(0xFF, last, width=64) == [last] * 1920


@pytest.mark.parametrize("low", [0x00, 0xF0, 0xA7, 0xF7, 0xE8, 0xF8])
def test_a_selector_that_there_is_not_is_refused(low: int) -> None:
    with pytest.raises(InvalidRecordError, match="selector"):
        slots(low, 0, width=64)


def test_a_number_beyond_its_width_is_refused() -> None:
    block = pack((8, 13, 1, 51, 5, 4), [1 << 100])

    assert slots(block, 0, width=128) == [1 << 100]
    with pytest.raises(InvalidRecordError, match="64 bits"):
        slots(block, 0, width=64)


def literal(value: object) -> bytes:
    kind, _, raw = next(elements(bson.encode({"": value})))
    return bytes([kind]) + b"\0" + raw


def items(*values: object) -> list[Item]:
    found = []
    for value in values:
        kind, _, raw = next(elements(bson.encode({"": value})))
        found.append((kind, raw))
    return found


def blocks(*packed: int, control: int = 0x80) -> bytes:
    return bytes([control + len(packed) - 1]) + struct.pack(f"<{len(packed)}Q", *packed)


def changes(*numbers: int | None, control: int = 0x80) -> bytes:
    """One number a block: the changes from value to value, None for a gap."""
    layout = (14, None, 1, 60, 0, 0)
    packed = [pack(layout, [None if n is None else n * 2 if n >= 0 else -n * 2 - 1]) for n in numbers]
    return blocks(*packed, control=control)


def decoded(*parts: bytes) -> list[Item]:
    return decode_column(b"".join(parts) + b"\0", limit=100_000)


def test_literals_stand_for_themselves() -> None:
    values = [1, "text", None, {"a": 1}, [1], bson.MinKey(), bson.MaxKey(), bson.Regex("a"), bson.Code("f", {"x": 1})]

    assert decoded(*map(literal, values)) == items(*values)


def test_an_empty_column_has_no_values() -> None:
    assert decoded() == []


def test_before_the_first_literal_there_are_only_gaps() -> None:
    assert decoded(blocks(pack((1, None, 60, 1, 0, 0), [None] * 60)), literal(1)) == [None] * 60 + items(1)


@pytest.mark.parametrize(
    ("first", "numbers", "values"),
    [
        (7, (1, None, 0, -9), (8, None, 8, -1)),
        (bson.Int64(2**63 - 1), (1, -1), (bson.Int64(-(2**63)), bson.Int64(2**63 - 1))),
        (False, (1, 0, -1), (True, True, False)),
        ("ab", (1, ord("z") * 65536), ("ac", "zac")),
        ("x", (-ord("x"), ord("y")), ("", "y")),
        ("longer than sixteen bytes", (0, ord("y")), ("longer than sixteen bytes", "y")),
        ("\0a", (0, ord("y")), ("\0a", "y")),
        (bson.Code("f"), (1,), (bson.Code("g"),)),
        (bson.Binary(b"\1\0\0", 9), (1, 65536), (bson.Binary(b"\2\0\0", 9), bson.Binary(b"\2\0\1", 9))),
        (Decimal128("1"), (1, -2), (Decimal128("2"), Decimal128("0"))),
        (None, (0, None), (None, None)),
        ({"a": 1}, (0,), ({"a": 1},)),
    ],
)
def test_a_block_holds_the_changes_from_value_to_value(
    first: object, numbers: tuple[int | None, ...], values: tuple[object, ...]
) -> None:
    expected = [
        None if number is None else item
        for number, item in zip([0, *numbers], items(first, *values), strict=True)
    ]  # fmt: skip

    assert decoded(literal(first), changes(*numbers)) == expected


def test_dates_timestamps_and_ids_hold_the_changes_of_changes() -> None:
    first = bson.ObjectId("650000000000000000000001")
    ids = [bson.ObjectId(f"65000000000000000000000{n}") for n in (2, 3, 5)]

    assert decoded(literal(bson.DatetimeMS(1000)), changes(5, 0, -5)) == items(
        *[bson.DatetimeMS(ms) for ms in (1000, 1005, 1010, 1010)]
    )
    assert decoded(literal(bson.Timestamp(1, 1)), changes(1, None, 0)) == [
        *items(bson.Timestamp(1, 1), bson.Timestamp(1, 2)),
        None,
        *items(bson.Timestamp(1, 3)),
    ]
    assert decoded(literal(first), changes(1, 0, 1)) == items(first, *ids)


@pytest.mark.parametrize(
    ("control", "scale"), [(0x90, 1), (0xA0, 10), (0xB0, 100), (0xC0, 10_000), (0xD0, 100_000_000)]
)
def test_doubles_are_scaled_to_integers(control: int, scale: int) -> None:
    assert decoded(literal(7 / scale), changes(1, -9, control=control)) == items(7 / scale, 8 / scale, -1 / scale)


def test_doubles_that_do_not_scale_are_the_integers_that_their_bytes_are() -> None:
    first, second = struct.unpack("<dd", struct.pack("<qq", 4_500_000_000_000_000_000, 4_500_000_000_000_000_009))

    assert decoded(literal(first), changes(9)) == items(first, second)


def test_the_scale_may_change_within_a_column() -> None:
    assert decoded(literal(1.5), changes(1, control=0xA0), changes(0, 12, control=0xB0)) == items(1.5, 1.6, 1.6, 1.72)


def test_a_run_goes_on_over_the_blocks_of_another_control_byte() -> None:
    assert decoded(literal(1), changes(2), blocks(0x0F)) == items(*range(1, 244, 2))
    assert decoded(literal(1), changes(None), blocks(0x0F)) == [*items(1), *[None] * 121]


def test_a_literal_ends_what_a_run_would_repeat() -> None:
    assert decoded(literal(1), changes(2), literal("a"), blocks(0x0F)) == items(1, 3, *["a"] * 121)


def interleaved(reference: dict[str, object], *parts: bytes, control: int = 0xF1) -> bytes:
    return bytes([control]) + bson.encode(reference) + b"".join(parts) + b"\0"


def test_objects_are_put_together_from_a_stream_for_each_scalar() -> None:
    column = interleaved(
        {"a": 1, "b": {"c": "x", "d": []}}, changes(0, 1, 1), changes(0, None), changes(1), literal("z")
    )

    with pytest.raises(InvalidRecordError):
        decoded(column)

    column = interleaved({"a": 1, "b": {"c": "x", "d": []}}, changes(0, 1, 1), changes(0, None, 1))

    assert decoded(column) == items(
        {"a": 1, "b": {"c": "x", "d": []}}, {"a": 2, "b": {"d": []}}, {"a": 3, "b": {"c": "y", "d": []}}
    )


def test_an_object_none_of_whose_fields_is_there_is_not_there_itself() -> None:
    column = interleaved({"a": 1, "b": {"c": 5}}, changes(0, None, 1), changes(None, None, 0))

    assert decoded(column) == [*items({"a": 1}), None, *items({"a": 2, "b": {"c": 5}})]


def test_a_streams_literal_may_be_of_another_type() -> None:
    column = interleaved({"a": 1, "b": 1}, changes(0), changes(0, 1), literal("x"))

    assert decoded(column) == items({"a": 1, "b": 1}, {"a": "x", "b": 2})


def test_arrays_are_taken_apart_or_not_as_the_control_byte_says() -> None:
    whole = {"a": [1, 2], "b": 0}

    assert decoded(interleaved(whole, changes(0, 0), changes(0, 1), control=0xF0)) == items(
        whole, {"a": [1, 2], "b": 1}
    )
    assert decoded(interleaved(whole, changes(0, 1), changes(0, 1), changes(0, 0))) == items(
        whole, {"a": [2, 3], "b": 0}
    )
    assert decoded(interleaved({"0": 1, "1": 5}, changes(0, 1), changes(0, 1), control=0xF2)) == items([1, 5], [2, 6])


def test_after_interleaved_objects_the_last_one_may_be_repeated() -> None:
    column = interleaved({"a": 1}, changes(0, 1))

    assert decoded(column, changes(0, None), literal(3)) == [
        *items({"a": 1}, {"a": 2}, {"a": 2}),
        None,
        *items(3),
    ]


@pytest.mark.parametrize(
    "column",
    [
        b"",
        b"\x10\0\1\0\0\0",
        b"\x10a\0\1\0\0\0\0",
        b"\x10\0\1\0\0\0\0\0",
        literal(1) + b"\x80\1\0\0\0\0\0\0\0",
        literal(1) + changes(0) * 2,
        literal(1) + changes(2**40) + b"\0",
        literal(True) + changes(1) + b"\0",
        literal(None) + changes(1) + b"\0",
        literal(1) + changes(1, control=0x90) + b"\0",
        literal(1.5) + changes(1, control=0xE0) + b"\0",
        literal(1e300) + changes(1, control=0x90) + b"\0",
        literal(float("nan")) + changes(1, control=0x90) + b"\0",
        literal(b"abc") + changes(2**40) + b"\0",
        literal(b"0123456789abcdef!") + changes(1) + b"\0",
        literal(bson.ObjectId("650000000000000000000001")) + changes(2**58) + b"\0",
        b"\x40\0\0",
        b"\xf3\0\0",
        interleaved({"a": 1}) + b"\0",
        interleaved({"a": {}}, changes(0)) + b"\0",
        interleaved({"a": 1, "b": 2}, changes(0, 0), changes(0)) + b"\0",
        interleaved({"a": 1, "b": 2}, changes(0), changes(0, 0)) + b"\0",
        interleaved({"a": 1}, changes(0)),
        b"\xf1\xff\xff\xff\x7f" + bson.encode({"a": 1})[4:] + changes(0) + b"\0\0",
        b"\xf1\x05\0\0\0" + bson.encode({"a": 1})[4:] + changes(0) + b"\0\0",
    ],
)
def test_what_is_no_column_is_refused(column: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        decode_column(column, limit=1000)


def test_more_values_than_the_bucket_has_are_refused() -> None:
    column = literal(1) + blocks(0x0F) + b"\0"

    assert len(decode_column(column, limit=121)) == 121
    with pytest.raises(InvalidRecordError, match="more than 120"):
        decode_column(column, limit=120)


HOSTILE = [
    literal(1) + blocks(*[0xFF] * 16) * 10_000,
    literal("x" * 1_000_000) + blocks(*[0xFF] * 16),
    b"\xf1" + bson.encode({str(i): 1 for i in range(100_000)}) + blocks(*[0xFF] * 16) * 100_000 + b"\0",
    b"\xf1" + bson.encode({str(i): {} for i in range(1_000_000)} | {"a": 1}) + blocks(*[0xFF] * 16) + b"\0",
    b"\xf1" + bson.encode({"a": "x" * 1_000_000}) + blocks(*[0xFF] * 16) + b"\0",
    b"\xf1" + bson.encode({"x" * 1_000_000: 1}) + blocks(*[0xFF] * 16) + b"\0",
    b"\xf1" + bson.encode({str(i): {} for i in range(100_000)} | {"a": 1}) + blocks(*[0xFF] * 16) + b"\0",
    b"\xf1" + struct.pack("<i", 16_000_005) + b"\x0a\0" * 8_000_000 + b"\0" + blocks(0xFF) + b"\0",
    b"\xf1" + struct.pack("<i", 8_000_000) + b"\x03a\0\xff\xff\xff\0" * 2_000_000,
]


@pytest.mark.parametrize("column", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_column_costs_little_and_is_refused(column: bytes) -> None:
    began = time.process_time()

    with pytest.raises(InvalidRecordError):
        decode_column(column + b"\0", limit=1 << 31)

    assert time.process_time() - began < 5


def test_interleaved_objects_may_be_nested_only_as_deep_as_documents() -> None:
    nested: dict[str, object] = {"a": 1}
    for _ in range(150):
        nested = {"a": nested}
    too_deep = nested
    for _ in range(100):
        too_deep = {"a": too_deep}

    assert decoded(interleaved(nested, changes(0))) == items(nested)
    with pytest.raises(InvalidRecordError, match="too deeply"):
        decoded(interleaved(too_deep, changes(0)))


parts = st.sampled_from(
    [
        *map(
            literal,
            [
                1,
                1.5,
                "a",
                True,
                None,
                bson.ObjectId("650000000000000000000001"),
                bson.DatetimeMS(9),
                b"abc",
                Decimal128("1"),
            ],
        ),
        changes(0, 1),
        changes(None),
        changes(1, control=0xA0),
        blocks(0x0F),
        b"\xf1" + bson.encode({"a": 1, "b": {"c": "x"}}),
        b"\0",
    ]
)


@given(st.lists(parts | st.binary(max_size=10), max_size=12), st.data())
def test_any_bytes_are_a_column_or_refused(made: list[bytes], data: st.DataObject) -> None:
    column = bytearray(b"".join(made) + b"\0")
    for _ in range(data.draw(st.integers(0, 3))):
        column[data.draw(st.integers(0, len(column) - 1))] = data.draw(st.integers(0, 255))

    with suppress(InvalidRecordError):
        for item in decode_column(bytes(column), limit=10_000, budget=Budget(1_000_000)):
            assert item is None or 0 < item[0] <= 0xFF
