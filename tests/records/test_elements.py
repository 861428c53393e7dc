from __future__ import annotations

import struct
from contextlib import suppress

import bson
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.records.elements import (
    CODEC,
    InvalidRecordError,
    build,
    elements,
    find_element,
    id_element,
    invalid_reason,
    split,
)
from recovery_nb.records.keys import key_of, key_text
from recovery_nb.records.rehydrate import Rehydrator
from recovery_nb.records.schema import observe

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1).map(bson.Int64),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    st.builds(bson.ObjectId, st.binary(min_size=12, max_size=12)),
    st.decimals(allow_nan=False, places=3, min_value=-1000, max_value=1000).map(Decimal128),
    st.datetimes(),
    st.just(bson.Regex("^a", "i")),
    st.just(bson.Code("f()", {"x": 1})),
    st.just(bson.Code("f()")),
    st.just(bson.MaxKey()),
    st.just(bson.Timestamp(7, 1)),
    st.just(bson.Binary(b"0123456789abcdef", 4)),
)
names = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=5)
documents = st.dictionaries(
    names,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
    ),
    max_size=5,
)


@given(documents)
def test_a_document_built_of_its_elements_is_the_document(document: dict[str, object]) -> None:
    record = bson.encode(document)

    assert build(list(elements(record))) == record
    assert [name.decode() for _, name, _ in elements(record)] == list(bson.decode(record))


@given(documents, st.data())
def test_a_damaged_document_is_refused_and_nothing_else_happens(
    document: dict[str, object], data: st.DataObject
) -> None:
    record = bytearray(bson.encode({"_id": 1, **document}))
    for _ in range(data.draw(st.integers(1, 4))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(record[: data.draw(st.integers(0, len(record)))])

    for broken in (bytes(record), cut):
        for walk in (
            _walk,
            id_element,
            _key,
            Rehydrator(()),
            invalid_reason,
            lambda record: find_element(record, "a.b"),
        ):
            with suppress(InvalidRecordError):
                walk(broken)
        observe([broken])


def _walk(record: bytes) -> None:
    for kind, _, value in elements(record):
        if kind in (0x03, 0x04):
            _walk(value)


def _key(record: bytes) -> None:
    key = key_of(record)
    if key:
        assert key_text(key) is not None


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x05\x00\x00\x00",
        b"\x06\x00\x00\x00\x00",
        b"\x05\x00\x00\x00\x01",
        build([(0x02, b"a", b"\x00\x00\x00\x00")]),
        build([(0x02, b"a", b"\xff\xff\xff\xff\x00")]),
        build([(0x03, b"a", b"\x04\x00\x00\x00")]),
        build([(0x05, b"a", b"\xfb\xff\xff\xff\x00")]),
        build([(0x55, b"a", b"")]),
        build([(0x07, b"a", b"short")]),
        b"\x0c\x00\x00\x00\x07_id\x00abc\x00"[:12],
    ],
    ids=["nothing", "four bytes", "false length", "no end", "empty string", "negative string", "tiny document",
         "negative binary", "unknown type", "cut ObjectId", "cut _id"],
)  # fmt: skip
def test_what_is_no_document_is_said_to_be_none(record: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        list(elements(record))


def test_an_id_that_is_cut_is_not_taken_for_one() -> None:
    with pytest.raises(InvalidRecordError):
        id_element(b"\x0e\x00\x00\x00\x07_id\x00abcd\x00")


def test_the_id_is_found_wherever_it_stands() -> None:
    oid = bson.ObjectId()

    assert id_element(bson.encode({"_id": oid, "a": 1})) == b"\x07" + oid.binary
    assert id_element(bson.encode({"a": 1, "_id": oid})) == b"\x07" + oid.binary
    assert id_element(bson.encode({"a": {"_id": oid}})) is None


def test_a_path_steps_into_documents_and_takes_the_first_of_two() -> None:
    inner = build([(0x10, b"b", struct.pack("<i", 1)), (0x10, b"b", struct.pack("<i", 2))])
    record = build([(0x03, b"a", inner), (0x10, b"a.c", struct.pack("<i", 3))])

    assert find_element(record, "a.b") == (0x10, struct.pack("<i", 1))
    assert find_element(record, "a.c") is None
    assert find_element(record, "b") is None


@given(st.lists(documents, max_size=4))
def test_documents_back_to_back_are_split_as_they_were(many: list[dict[str, object]]) -> None:
    records = [bson.encode(document) for document in many]

    assert split(b"".join(records)) == records


@pytest.mark.parametrize(
    "buffer",
    [
        b"\x05\x00",
        b"\x04\x00\x00\x00\x00",
        struct.pack("<i", -1) + bytes(10),
        struct.pack("<i", 2_000_000_000) + bytes(10),
        bson.encode({"a": 1})[:-1],
        bson.encode({"a": 1})[:-1] + b"\x01",
    ],
    ids=["stray bytes", "too short", "negative", "beyond the buffer", "cut", "no end"],
)
def test_a_length_out_of_bounds_is_refused_before_anything_is_taken(buffer: bytes) -> None:
    with pytest.raises(InvalidRecordError):
        split(buffer)


def test_a_full_decode_sees_what_framing_does_not() -> None:
    good = bson.encode({"a": "text"})
    bad = good.replace(b"text", b"t\xff\xfet")

    assert invalid_reason(good) == ""
    assert "utf-8" in invalid_reason(bad).lower()


def test_nesting_beyond_every_server_is_a_reason_and_no_crash() -> None:
    record = bson.encode({"a": 1})
    for _ in range(5_000):
        record = build([(0x03, b"_id", record)])

    assert invalid_reason(record)
    with pytest.raises(InvalidRecordError, match="levels deep"):
        key_of(record)
    assert observe([record]).sampled == 1


def test_dates_past_the_year_9999_decode() -> None:
    record = build([(0x09, b"d", struct.pack("<q", 253_402_300_800_000))])

    assert invalid_reason(record) == ""
    assert bson.decode(record, CODEC)["d"] == bson.DatetimeMS(253_402_300_800_000)
