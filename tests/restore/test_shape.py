"""What a record becomes before it is written, and what no server takes."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import PyMongoError

from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import build, elements
from recovery_nb.restore.shape import MAX_STORED_LEVELS, hard, marked, refusal, replaceable

MOMENT = 1_700_000_000_123
SUB = build([(0x10, b"a", bytes(4)), (0x10, b"b", bytes(4)), (0x10, b"a", bytes(4))])


def nested(levels: int, kind: int) -> bytes:
    """A record whose field holds so many documents or arrays in each other."""
    value = build([])
    for _ in range(levels - 1):
        value = build([(kind, b"0", value)])
    return build([(0x10, b"_id", struct.pack("<i", levels)), (kind, b"d", value)])


class TestRefusalIsTheServers:
    def taken(self, database: Any, record: bytes) -> bool:
        try:
            database.client[database.name].things.insert_one(RawBSONDocument(record))
        except PyMongoError:
            return False
        return True

    @pytest.mark.parametrize("kind", [3, 4])
    @pytest.mark.parametrize("levels", [MAX_STORED_LEVELS - 1, MAX_STORED_LEVELS, MAX_STORED_LEVELS + 1, 250])
    def test_of_depth(self, database: Any, kind: int, levels: int) -> None:
        record = nested(levels, kind)
        assert (refusal(record) == "") == self.taken(database, record) == (levels <= MAX_STORED_LEVELS)

    @pytest.mark.parametrize(
        "own",
        [
            {"$x": 1}, {"a": 1, "$x": 1}, {"a": {"$x": 1}}, {"a": [{"$x": 1}]}, {"a.b": 1}, {"": 1}, {"a": [1]},
            {"$ref": "a", "$id": 1}, [1], bson.Regex("x"), bson.Code("x"), None, 1.5, {"a": bson.Regex("x")},
            {"a$": 1}, {"a": "$x"}, bson.MinKey(), bson.Timestamp(0, 0),
        ],
    )  # fmt: skip
    def test_of_an_id(self, database: Any, own: Any) -> None:
        record = bson.encode({"_id": own})
        assert (refusal(record) == "") == self.taken(database, record)

    def test_of_two_ids(self, database: Any) -> None:
        record = build([(0x10, b"_id", bytes(4)), (0x10, b"_id", bytes(4))])
        assert refusal(record) == "it holds _id twice"
        assert not self.taken(database, record)

    def test_of_size(self, database: Any) -> None:
        largest, larger = (bson.encode({"_id": more, "b": bytes(2**24 - 22 + more)}) for more in (0, 1))
        assert (refusal(largest), len(largest)) == ("", 2**24)
        assert self.taken(database, largest)
        assert "16 MiB" in refusal(larger)
        assert not self.taken(database, larger)

    def test_of_a_name_at_any_place_but_the_id(self, database: Any) -> None:
        record = bson.encode({"_id": 1, "$a": {"$b": 1, "c.d": 1, "": 1}})
        assert refusal(record) == ""
        assert self.taken(database, record)


class TestHard:
    @pytest.mark.parametrize(
        "record",
        [
            build([(0x10, b"a", bytes(4)), (0x10, b"a", bytes(4))]),
            build([(0x03, b"s", SUB)]),
            build([(0x04, b"l", build([(0x03, b"0", SUB)]))]),
            build([(0x04, b"l", build([(0x10, b"0", bytes(4)), (0x10, b"0", bytes(4))]))]),
            bson.encode({"$a": 1}),
            bson.encode({"a": 1, "$b": 1}),
        ],
    )
    def test_what_must_not_be_put_over_another(self, record: bytes) -> None:
        assert hard(record)

    @pytest.mark.parametrize(
        "record",
        [
            bson.encode({"a": {"$a": 1}, "a.b": 1, "": 1, "t": bson.Timestamp(0, 0)}),
            bson.encode({"a": {"a": {"a": [{"a": 1}, {"a": 1}]}}}),
            nested(150, 3),
        ],
    )
    def test_what_may(self, record: bytes) -> None:
        assert not hard(record)

    def test_what_is_there_counts_where_a_difference_is_taken(self) -> None:
        plain, twice, stamped = (
            bson.encode({"a": 1}),
            build([(0x03, b"s", SUB)]),
            bson.encode({"t": bson.Timestamp(0, 0)}),
        )
        assert replaceable(twice, plain)
        assert replaceable(plain, stamped)
        assert not replaceable(twice, stamped)
        assert not replaceable(plain, twice)

    def test_the_deepest_takes_no_longer_than_it_is_large(self) -> None:
        assert not hard(nested(4_000, 3))
        assert "nested" in refusal(nested(4_000, 4))


class TestMarked:
    def test_a_date_is_added_at_the_end(self) -> None:
        record = bson.encode({"_id": 1, "a": 1})
        assert marked(record, "restored_at", MOMENT) == bson.encode(
            {"_id": 1, "a": 1, "restored_at": datetime.fromtimestamp(MOMENT / 1000, UTC)}
        )

    def test_what_was_there_makes_place(self) -> None:
        record = build([(0x10, b"_id", bytes(4)), (2, b"m", b"\1\0\0\0\0"), (0x10, b"a", bytes(4)), (0x0A, b"m", b"")])
        assert list(elements(marked(record, "m", -1))) == [
            (0x10, b"_id", bytes(4)),
            (9, b"m", b"\xff" * 8),
            (0x10, b"a", bytes(4)),
        ]

    def test_twice_is_once(self) -> None:
        once = marked(bson.encode({"_id": 1}), "m", 1)
        assert marked(marked(once, "m", 2), "m", 1) == once

    @pytest.mark.parametrize("name", ["", "_id", "$a", "a.b", "a\0b", "\ud800", "."])
    def test_a_name_that_no_date_can_have(self, name: str) -> None:
        with pytest.raises(BadInputError, match="cannot be the name of a mark"):
            marked(bson.encode({"_id": 1}), name, 1)

    @given(st.dictionaries(st.text(alphabet="abm$.", max_size=2), st.integers(-9, 9), max_size=6), st.just("m"))
    def test_all_else_stays(self, fields: dict[str, int], name: str) -> None:
        before = [part for part in elements(bson.encode(fields)) if part[1] != b"m"]
        after = list(elements(marked(bson.encode(fields), name, MOMENT)))
        assert [part for part in after if part[1] != b"m"] == before
        assert [part for part in after if part[1] == b"m"] == [(9, b"m", struct.pack("<q", MOMENT))]
