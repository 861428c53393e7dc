from __future__ import annotations

import struct
from datetime import datetime
from typing import Any
from uuid import UUID

import bson
import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128

from recovery_nb.compare.explain import diff, newer_in_database, verdict
from recovery_nb.compare.model import ChangeKind, Status
from recovery_nb.records.elements import InvalidRecordError, build, elements
from recovery_nb.sources.base import Typing

NAN, OTHER_NAN = struct.pack("<Q", 0x7FF8000000000000), struct.pack("<Q", 0x7FF8000000000001)
UUID_BYTES = UUID("00010203-0405-0607-0809-0a0b0c0d0e0f").bytes


def compared(database: Any, source: Any, typing: Typing = Typing.FULL) -> tuple[Status, list[tuple[str, str]]]:
    changes = diff(bson.encode(database), bson.encode(source), typing=typing)
    return verdict(changes), [(change.path, change.kind.value) for change in changes]


@pytest.mark.parametrize(
    ("database", "source"),
    [
        (True, 1),
        (False, 0),
        (-0.0, 0.0),
        (Decimal128("7.0"), Decimal128("7.00")),
        (Binary(UUID_BYTES, 4), Binary(UUID_BYTES, 3)),
        (Binary(UUID_BYTES, 4), "00010203-0405-0607-0809-0a0b0c0d0e0f"),
        (datetime(2025, 12, 1), datetime(2025, 12, 1, 0, 0, 0, 1_000)),
        (datetime(2025, 12, 1), "2025-12-01T00:00:00Z"),
        (None, ""),
        (1, "1"),
        (float("nan"), 0.0),
        ([1, 2], [2, 1]),
        (bson.Regex("a", "i"), bson.Regex("a", "m")),
        (2**53 + 1, float(2**53)),
    ],
)
def test_values_of_another_kind_are_changed(database: object, source: object) -> None:
    assert compared({"v": database}, {"v": source})[0] is Status.CHANGED


@pytest.mark.parametrize(
    ("database", "source"), [(1, 1.0), (bson.Int64(1), 1), (1.0, Decimal128("1.00")), (0, -0.0), (2**53, 2.0**53)]
)
def test_the_same_number_in_another_width_is_equivalent(database: object, source: object) -> None:
    assert compared({"v": database}, {"v": source}) == (Status.EQUIVALENT, [("/v", "width")])


def test_nan_is_itself_and_its_payload_counts() -> None:
    def nan(payload: bytes) -> bytes:
        return build([(0x01, b"v", payload)])

    assert verdict(diff(nan(NAN), nan(NAN))) is Status.IDENTICAL
    assert verdict(diff(nan(NAN), nan(OTHER_NAN))) is Status.CHANGED


def test_missing_and_null_are_two_things() -> None:
    assert compared({"v": None}, {}) == (Status.CHANGED, [("/v", "added")])
    assert compared({}, {"v": None}) == (Status.CHANGED, [("/v", "removed")])


def test_only_the_order_of_fields_differs() -> None:
    assert compared({"a": 1, "b": 2}, {"b": 2, "a": 1}) == (Status.EQUIVALENT, [("", "order")])
    assert compared({"o": {"a": 1, "b": 2}}, {"o": {"b": 2, "a": 1}}) == (Status.EQUIVALENT, [("/o", "order")])


def test_paths_are_json_pointers() -> None:
    database = {"a/b": {"c~d": [{"e": 1}]}, "": 1}

    assert compared(database, {"a/b": {"c~d": [{"e": 2}]}, "": 1})[1] == [("/a~1b/c~0d/0/e", "value")]
    assert compared(database, {"a/b": {"c~d": [{"e": 1}]}, "": 2})[1] == [("/", "value")]


def test_a_longer_list_has_an_element_more() -> None:
    assert compared({"v": [1, 2]}, {"v": [1]})[1] == [("/v/1", "added")]


@pytest.mark.parametrize(
    ("database", "source"),
    [
        (datetime(2025, 12, 1), "2025-12-01T00:00:00.000Z"),
        (bson.ObjectId("65a000000000000000000001"), "65a000000000000000000001"),
        (Decimal128("7.00"), "7.00"),
        (Decimal128("7"), 7),
        (b"\x00a", "b'\\x00a'"),
        (float("nan"), None),
        (-0.0, 0),
        (-0.0, 0.0),
    ],
)
def test_what_plain_json_cannot_hold_is_equivalent_there_and_changed_elsewhere(database: Any, source: Any) -> None:
    assert compared({"v": database}, {"v": source}, Typing.PLAIN)[0] is Status.EQUIVALENT
    if (database, source) != (-0.0, 0) and not isinstance(source, int):
        assert compared({"v": database}, {"v": source}, Typing.FULL)[0] is Status.CHANGED


@pytest.mark.parametrize(
    ("database", "source"),
    [
        ({"v": None}, {}),
        ({"v": ""}, {}),
        ({"v": []}, {}),
        ({"v": {}}, {}),
        ({"v": [""]}, {"v": [None]}),
        ({"v": 7}, {"v": "7"}),
        ({"v": bson.Int64(7)}, {"v": 7}),
        ({"v": 1e6}, {"v": "1e+06"}),
        ({"v": True}, {"v": "true"}),
        ({"v": Decimal128("7.00")}, {"v": Decimal128("7")}),
        ({"v": Decimal128("7.00")}, {"v": "7.00"}),
        ({"v": -0.0}, {"v": 0.0}),
        ({"v": float("nan")}, {"v": "NaN"}),
        ({"v": Binary(UUID_BYTES, 4)}, {"v": "000102030405060708090A0B0C0D0E0F"}),
        ({"v": bson.ObjectId("65a000000000000000000001")}, {"v": "ObjectId(65a000000000000000000001)"}),
        ({"v": datetime(2025, 12, 1, 0, 0, 0, 123_000)}, {"v": datetime(2025, 12, 1)}),
        ({"v": datetime(2025, 12, 1, 0, 0, 0, 123_000)}, {"v": "2025-12-01 00:00:00"}),
    ],
)
def test_what_csv_cannot_hold_is_equivalent_there_and_not_in_full_formats(database: Any, source: Any) -> None:
    status, ((path, kind),) = compared(database, source, Typing.TEXT)

    assert (status, path.startswith("/v"), kind in ("lost type", "width")) == (Status.EQUIVALENT, True, True)
    if kind != "width":
        assert compared(database, source, Typing.FULL)[0] is Status.CHANGED


@pytest.mark.parametrize(
    ("database", "source"),
    [
        ({"v": "a"}, {"v": "b"}),
        ({"v": 7}, {"v": "8"}),
        ({"v": True}, {"v": "false"}),
        ({"v": 7}, {"v": "07"}),
        ({}, {"v": "7"}),
        ({"v": None}, {"v": "7"}),
        ({"v": 7}, {"v": None}),
        ({"v": datetime(2025, 12, 1, 0, 0, 1)}, {"v": datetime(2025, 12, 1)}),
        ({"v": datetime(2025, 12, 1)}, {"v": datetime(2025, 12, 1, 0, 0, 0, 1_000)}),
    ],
)
def test_another_value_is_another_value_in_csv_too(database: Any, source: Any) -> None:
    assert compared(database, source, Typing.TEXT)[0] is Status.CHANGED


def test_a_field_that_csv_does_not_have_is_not_stated_and_never_a_change() -> None:
    assert compared({"_id": 1, "v": 7}, {"_id": 1}, Typing.TEXT) == (Status.EQUIVALENT, [("/v", "not stated")])
    assert compared({"_id": 1, "v": 7}, {"_id": 1}, Typing.PLAIN) == (Status.CHANGED, [("/v", "added")])


def test_field_names_that_stand_twice_leave_only_the_whole_to_compare() -> None:
    one = list(elements(bson.encode({"a": 1})))
    twice, other = build([*one, *one]), build([*one, *elements(bson.encode({"a": 2}))])

    assert [(change.path, change.kind) for change in diff(twice, other)] == [("", ChangeKind.VALUE)]
    assert diff(twice, twice) == []


def test_values_are_shown_with_their_types_and_cut() -> None:
    (change,) = diff(bson.encode({"v": 1}), bson.encode({"v": "x" * 1_000}))
    assert change.database == "1 (int)"
    assert change.source == "x" * 200 + "… (1,000 characters)"
    unreadable = build([(0x02, b"v", b"\x02\x00\x00\x00\xff\x00")])
    assert diff(bson.encode({"v": 1}), unreadable)[0].source == "(unreadable string)"
    assert verdict(diff(unreadable, bson.encode({"v": "x"}), typing=Typing.PLAIN)) is Status.CHANGED


def test_a_broken_document_is_refused() -> None:
    with pytest.raises(InvalidRecordError):
        diff(bson.encode({"v": 1}), b"\x06\x00\x00\x00\x55\x00")


def test_a_later_date_tells_that_the_database_is_newer() -> None:
    def at(day: int, **more: object) -> bytes:
        return bson.encode({"updated_at": datetime(2025, 12, day), **more})

    assert "updated_at is later in the database (2025-12-09" in newer_in_database(at(9), at(1))
    assert newer_in_database(at(1), at(1, v=1)) == ""
    assert newer_in_database(at(1), at(9)) == ""
    far = build([(0x09, b"d", struct.pack("<q", 2**62))])
    assert f"{2**62} ms" in newer_in_database(far, bson.encode({"d": datetime(2025, 1, 1)}))
