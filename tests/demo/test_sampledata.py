from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import bson
import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.demo.sampledata import COLLECTIONS

NAMES = sorted(COLLECTIONS)


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from chain.from_iterable(map(strings, value.values()))
    elif isinstance(value, list):
        yield from chain.from_iterable(map(strings, value))


@pytest.mark.parametrize("name", NAMES)
@given(split=st.integers(0, 30))
def test_a_later_range_continues_an_earlier_one(name: str, split: int) -> None:
    make = COLLECTIONS[name]
    assert [*make(split), *make(30 - split, start=split)] == list(make(30))


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_makes_other_records(name: str) -> None:
    assert list(COLLECTIONS[name](5, seed=1)) != list(COLLECTIONS[name](5, seed=2))


@pytest.mark.parametrize(("name", "unique"), [("conversations", "session_id"), ("quotes", "quote_no")])
def test_keys_are_unique(name: str, unique: str) -> None:
    records = list(COLLECTIONS[name](2000))
    assert len({record["_id"] for record in records}) == 2000
    assert len({record[unique] for record in records}) == 2000


def test_they_have_the_types_that_backups_lose() -> None:
    stored: dict[str, Any] = {name: bson.decode(bson.encode(next(COLLECTIONS[name](1)))) for name in NAMES}
    assert type(stored["conversations"]["_id"]) is ObjectId
    assert type(stored["conversations"]["messages"][0]["bot_response"]["confidence"]) is float
    assert type(stored["sessions"]["duration_s"]) is Int64
    assert type(stored["quotes"]["_id"]) is int
    assert type(stored["quotes"]["amount"]) is Decimal128


@pytest.mark.parametrize("name", ["conversations", "quotes"])
def test_text_reaches_beyond_ascii(name: str) -> None:
    text = "".join(chain.from_iterable(map(strings, COLLECTIONS[name](50))))
    assert not text.isascii()
