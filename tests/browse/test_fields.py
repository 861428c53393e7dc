"""Several versions of a record side by side: strict by type and bytes, and in bounded time whatever they hold."""

from __future__ import annotations

import struct
import time
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64

from recovery_nb.browse.fields import Column, FieldLine, field_lines
from recovery_nb.records.elements import build
from recovery_nb.sources.base import Typing


def lines(*records: Any, typing: Typing = Typing.FULL) -> list[FieldLine]:
    """Return the lines of the database's record and its candidates, each a document, its bytes, or None."""
    raw = [one if one is None or isinstance(one, bytes) else bson.encode(one) for one in records]
    return field_lines([Column(raw[0], in_database=True), *(Column(one, typing) for one in raw[1:])])


def kinds(*records: Any, typing: Typing = Typing.FULL) -> dict[str, str]:
    return {line.path: line.kind for line in lines(*records, typing=typing)}


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (1, Int64(1), "width"), (1, 1.0, "width"), (1, True, "value"), (0.0, -0.0, "value"), (1.0, 1.5, "value"),
        (Decimal128("1.0"), Decimal128("1.00"), "value"), (Binary(b"a", 0), Binary(b"a", 128), "value"),
        ("1", 1, "value"), (None, "", "value"), ({}, [], "value"), (float("nan"), float("nan"), "same"),
        (-0.0, -0.0, "same"),
    ],
)  # fmt: skip
def test_values_are_told_apart_by_type_and_bytes(one: object, other: object, kind: str) -> None:
    assert kinds({"v": one}, {"v": other}) == {"/v": kind}


def test_two_nan_with_another_payload_differ() -> None:
    odd = build([(0x01, b"v", struct.pack("<Q", 0x7FF8000000000001))])

    assert kinds({"v": float("nan")}, odd) == {"/v": "value"}


def test_what_differs_comes_first_and_only_it_is_taken_apart() -> None:
    inner = {"x": [1, {"y": 1}], "z": 1}
    found = lines({"a": 1, "b": inner, "c": inner}, {"a": 1, "b": {**inner, "x": [1, {"y": 2}]}, "c": inner})

    assert [(line.path, line.kind) for line in found] == [
        ("/b/x/1/y", "value"), ("/a", "same"), ("/b/x/0", "same"), ("/b/z", "same"), ("/c", "same")
    ]  # fmt: skip


def test_fields_that_one_side_lacks_are_added_or_removed() -> None:
    assert kinds({"a": 1}, {"b": 1}) == {"/a": "added", "/b": "removed"}
    assert kinds({"a": 1, "b": 1}, {"b": "1"}, typing=Typing.TEXT) == {"/a": "not stated", "/b": "lost type"}


def test_the_order_of_fields_is_a_line_of_its_own() -> None:
    assert kinds({"a": 1, "b": 2}, {"b": 2, "a": 1}) == {"": "order", "/a": "same", "/b": "same"}


def test_a_name_twice_leaves_only_the_whole_to_compare() -> None:
    twice = build([(0x10, b"a", b"\1\0\0\0"), (0x10, b"a", b"\2\0\0\0")])

    assert kinds({"a": 1}, twice) == {"": "value"}
    assert kinds({"d": {"a": 1}, "e": 1}, build([(0x03, b"d", twice), (0x10, b"e", b"\1\0\0\0")])) == {
        "/d": "value", "/e": "same"
    }  # fmt: skip


def test_every_version_has_a_column_and_one_that_is_not_there_neither_agrees_nor_differs() -> None:
    (line,) = lines({"a": 1}, None, {"a": 1}, {"a": 2})
    assert line.kind == "value"
    assert [value and value[1] for value in line.values] == [b"\1\0\0\0", None, b"\1\0\0\0", b"\2\0\0\0"]

    assert kinds(None, {"a": 1}) == {"/a": "same"}
    assert kinds(None, {"a": 1, "b": 1}, {"a": Int64(1)}) == {"/a": "value", "/b": "value"}
    assert kinds(None, None) == {}


def test_names_are_steps_of_json_pointers() -> None:
    assert set(kinds({"a/b": 1, "m~n": 1, "": 1}, {})) == {"/a~1b", "/m~0n", "/"}


def test_a_broken_record_is_compared_as_a_whole() -> None:
    assert kinds({"a": 1}, b"\x09\0\0\0\x10a\0\1\0") == {"": "value"}


def nested(levels: int, value: object, payload: str = "") -> bytes:
    record: dict[str, object] = {"v": value, "p": payload}
    for _ in range(levels):
        record = {"a": record}
    return bson.encode(record)


def test_a_field_ninety_levels_deep_is_found() -> None:
    assert [line.path for line in lines(nested(90, 1), nested(90, 2))] == ["/a" * 90 + "/v", "/a" * 90 + "/p"]


HOSTILE = {
    "5,000 fields": lambda one: bson.encode({f"f{number}": number * one for number in range(5_000)}),
    "16 MB, 90 levels deep": lambda one: nested(90, one, "x" * 15_000_000),
    "a string of 16 MB": lambda one: bson.encode({"s": "x" * 15_000_000 + str(one)}),
    "a million elements": lambda one: bson.encode({"a": [0] * 1_000_000 + [one]}),
    "deeper than any server takes": lambda one: _deep(4_000, one),
}


def _deep(levels: int, value: int) -> bytes:
    record = build([(0x10, b"v", struct.pack("<i", value))])
    for _ in range(levels):
        record = build([(0x03, b"a", record)])
    return record


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_too_much_is_compared_as_a_whole_in_bounded_time(name: str) -> None:
    records = [HOSTILE[name](number) for number in (1, 2, 3)]

    start = time.perf_counter()
    found = lines(*records)

    assert time.perf_counter() - start < 3  # 0.2 s at most where nothing else runs
    assert found[0].kind == "value"
