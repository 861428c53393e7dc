"""What a sharded collection refuses because of its shard key; told from the records alone."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Int64, Regex

from recovery_nb.restore.forecast.indexes import path_of
from recovery_nb.restore.forecast.shard import shard_refusal

KEY = [path_of("user"), path_of("at.day")]


def refusal(record: dict[str, Any], current: dict[str, Any] | None = None, version: tuple[int, int] = (6, 0)) -> str:
    there = None if current is None else bson.encode(current)
    return shard_refusal(bson.encode(record), there, KEY, version=version)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"user": 1, "at": {"day": 2}}, ""),
        ({"user": None, "at": {"day": {"of": [1]}}}, ""),
        ({"user": [1], "at": {"day": 2}}, "user, a field of the shard key, leads to an array"),
        ({"user": 1, "at": [{"day": 2}]}, "at.day, a field of the shard key, leads to an array"),
        ({"user": 1, "at": {"day": []}}, "at.day, a field of the shard key, leads to an array"),
        ({"user": Regex("x"), "at": {"day": 2}}, "user, a field of the shard key, is a regular expression"),
    ],
)
def test_no_field_of_the_key_may_be_an_array(record: dict[str, Any], reason: str) -> None:
    assert refusal(record) == reason


def test_a_missing_field_is_refused_before_mongodb_4_4() -> None:
    record = {"user": 1, "at": 5}
    assert refusal(record, version=(4, 4)) == ""
    assert refusal(record, version=(4, 2)) == "it lacks at.day, a field of the shard key"


def test_a_replacement_may_not_change_the_key() -> None:
    current = {"user": 1, "at": {"day": 2}}
    assert refusal({"user": Int64(1), "at": {"day": 2.0}, "more": 1}, current) == ""
    assert refusal({"user": 2, "at": {"day": 2}}, current) == "it would change user, a field of the shard key"
    assert refusal({"user": 1}, current) == "it would change at.day, a field of the shard key"
    assert refusal({"user": 1, "at": {"day": None}}, {"user": 1}) == ""


def test_a_collection_without_a_shard_key_refuses_nothing() -> None:
    assert shard_refusal(bson.encode({"user": [1]}), None, [], version=(4, 0)) == ""
