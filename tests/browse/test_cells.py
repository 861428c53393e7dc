"""A value as text: with all that tells it from another, and never longer than a cell."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from recovery_nb.browse.cells import Cell, cell
from recovery_nb.browse.masking import Masking, Veil
from recovery_nb.compare.explain import Value
from recovery_nb.records.elements import elements


def value(one: object) -> Value:
    ((kind, _, raw),) = elements(bson.encode({"v": one}))
    return kind, raw


def shown(one: object) -> Cell:
    return cell(value(one), "/v", Veil(Masking()))


@pytest.mark.parametrize(
    ("one", "text", "name"),
    [
        (1, "1", "int"), (Int64(1), "1", "long"), (1.0, "1.0", "double"), (-0.0, "-0.0", "double"),
        (Decimal128("1.00"), "1.00", "decimal"), (True, "true", "bool"), (None, "null", "null"),
        ("é\n", "é\n", "string"),
        (float("nan"), "nan", "double"), (datetime(2025, 12, 1, tzinfo=UTC), "2025-12-01T00:00:00.000+00:00", "date"),
        (DatetimeMS(2**60), f"{2**60} ms", "date"), (ObjectId("0" * 24), "0" * 24, "objectId"),
        (Binary(b"ab", 128), "subtype 128, 2 bytes: 6162", "binary"),
        (Binary(bytes(16), 4), "00000000-0000-0000-0000-000000000000 (subtype 4)", "binary"),
        (Regex("a", "i"), "Regex('a', 2)", "regex"), (Timestamp(2, 1), "Timestamp(2, 1)", "timestamp"),
        (Code("f()"), "f()", "javascript"), (MaxKey(), "MaxKey()", "maxKey"), ({}, "{}", "object"), ([], "[]", "array"),
        ({"a": [1, Int64(1), "x"], "b": {"c": None}}, '{a: [1, 1 (long), "x"], b: {c: null}}', "object"),
    ],
)  # fmt: skip
def test_a_value_is_shown_as_text_beside_its_type(one: object, text: str, name: str) -> None:
    assert shown(one) == Cell(text, name)


def test_values_that_differ_only_in_bits_look_different() -> None:
    odd = cell((0x01, struct.pack("<Q", 0x7FF8000000000001)), "/v", Veil(Masking()))
    assert odd.text == "nan, bits 7ff8000000000001"

    one, other = (
        cell((0x02, struct.pack("<i", 2) + byte + b"\0"), "/v", Veil(Masking())) for byte in (b"\xff", b"\xfe")
    )
    assert (one.text, other.text) == ("\\xff", "\\xfe")


def test_what_is_long_is_cut_and_says_so() -> None:
    assert shown("x" * 600).text == "x" * 500 + "… (600 bytes)"
    assert shown("€" * 600).text == "€" * 500 + "… (1,800 bytes)"
    assert shown(b"x" * 600).text.startswith("subtype 0, 600 bytes: 7878")
    assert shown({f"f{number}": "x" * 100 for number in range(1000)}).text.endswith("(cut)")
    assert all(
        len(shown(one).text) < 600
        for one in (
            "x" * 10**7,
            b"x" * 10**7,
            {"x" * 10**7: 1},
            [[["x" * 10**6]]],
            Regex("x" * 10**6),
            list(range(10**5)),
        )
    )


def test_what_is_nested_deeper_than_a_cell_shows_is_left_out() -> None:
    deep: dict[str, object] = {}
    for _ in range(90):
        deep = {"a": deep}

    assert shown(deep).text == "{a: " * 6 + "{…}" + "}" * 6


@pytest.mark.parametrize(
    "broken",
    [(0x01, b"\0"), (0x09, b""), (0x03, b"\x05\0\0"), (0x03, b"\x0c\0\0\0\x10a\0\1\0"), (0x99, b"x"),
     (0x0B, b"\xff\xfe"), (0x05, b"\1\0\0\0\0"), (0x02, b"")],
)  # fmt: skip
def test_what_does_not_decode_is_shown_as_bytes_and_never_an_error(broken: Value) -> None:
    assert isinstance(cell(broken, "/v", Veil(Masking())).text, str)
