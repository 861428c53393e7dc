from __future__ import annotations

import json
import time
from pathlib import Path

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.records.elements import build, elements, invalid_reason, split
from recovery_nb.records.extended_json import to_bson, to_json
from recovery_nb.records.salvage import MAX_FIELDS, leading_fields, leading_json_fields

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
DUMPED = [
    record
    for name in ("types", "conversations", "quotes")
    for record in split((SAMPLES / f"mongodump/shop/{name}.bson").read_bytes())[:40]
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1).map(bson.Int64)
    | st.integers(-(2**31), 2**31 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
    | st.builds(bson.ObjectId, st.binary(min_size=12, max_size=12))
    | st.datetimes()
    | st.sampled_from([bson.Regex("^a", "i"), bson.Code("f()", {"x": 1}), bson.MaxKey(), bson.Timestamp(7, 1)])
)
names = st.text(st.characters(exclude_characters="\x00$", exclude_categories=("Cs",)), max_size=5)
documents = st.dictionaries(
    names,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
    ),
    max_size=6,
).map(bson.encode)


def first(record: bytes, count: int) -> bytes:
    return build(list(elements(record))[:count]) if count else b""


def whole_within(record: bytes, cut: int) -> int:
    """How many top-level fields end at or before `cut`."""
    count, position = 0, 4
    for _, name, value in elements(record):
        position += 2 + len(name) + len(value)
        count += position <= cut
    return count


@given(documents, st.data())
def test_a_document_cut_anywhere_gives_exactly_the_fields_that_end_before_the_cut(
    record: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(record)))

    assert leading_fields(record[:cut]) == first(record, whole_within(record, cut))


@pytest.mark.parametrize("record", DUMPED[:40], ids=range(40))
def test_each_dumped_document_is_salvaged_up_to_each_cut(record: bytes) -> None:
    for cut in range(len(record) + 1):
        assert leading_fields(record[:cut]) == first(record, whole_within(record, cut))


@given(documents, documents)
def test_what_follows_a_document_is_none_of_its_fields(record: bytes, next_record: bytes) -> None:
    assert leading_fields(record + next_record) == first(record, whole_within(record, len(record)))


@given(documents, st.integers(-(2**31), 2**31 - 1))
def test_a_false_length_prefix_adds_no_field(record: bytes, length: int) -> None:
    broken = length.to_bytes(4, "little", signed=True) + record[4:]

    assert leading_fields(broken) in {first(record, count) for count in range(len(list(elements(record))) + 1)}


@given(documents, st.data())
def test_before_a_zeroed_tail_the_fields_are_as_they_were(record: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(4, len(record)))
    whole = whole_within(record, cut)

    found = leading_fields(record[:cut] + bytes(len(record) - cut))

    assert found[4:-1].startswith(first(record, whole)[4:-1])


@given(documents, st.data())
def test_whatever_the_bytes_the_result_is_a_valid_document_or_nothing(record: bytes, data: st.DataObject) -> None:
    broken = bytearray(record)
    for _ in range(data.draw(st.integers(1, 5))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))

    found = leading_fields(bytes(broken))

    assert found == b"" or (not invalid_reason(found) and broken[4:].startswith(found[4:-1]))


def test_a_field_is_kept_only_whole() -> None:
    record = bson.encode({"_id": 1, "inner": {"a": 1, "b": "xyz"}})

    assert leading_fields(record[:-4]) == bson.encode({"_id": 1})


def test_a_field_that_does_not_decode_ends_the_document_wherever_it_is() -> None:
    record = bson.encode({f"n{i}": i for i in range(1500)} | {"text": "abc", "after": 1})
    broken = record.replace(b"abc", b"a\xffc")

    assert leading_fields(broken) == bson.encode({f"n{i}": i for i in range(1500)})


@given(documents, st.data())
def test_a_json_text_cut_anywhere_gives_a_prefix_of_its_fields(record: bytes, data: st.DataObject) -> None:
    text = to_json(record).encode()
    cut = data.draw(st.integers(0, len(text)))

    assert leading_json_fields(text[:cut]) in {first(record, count) for count in range(len(list(elements(record))) + 1)}


@given(documents)
def test_a_whole_json_text_gives_all_of_its_fields(record: bytes) -> None:
    whole = first(record, len(list(elements(record))))

    assert leading_json_fields(to_json(record).encode()) == whole
    assert leading_json_fields(to_json(record).encode() + b', {"x": 1}') == whole


@pytest.mark.parametrize("record", DUMPED, ids=range(len(DUMPED)))
def test_dumped_documents_as_json_lose_only_the_field_that_is_cut(record: bytes) -> None:
    text = to_json(record).encode()
    count = len(list(elements(record)))

    assert leading_json_fields(text) == record
    assert leading_json_fields(text[:-1]) in (record, first(record, count - 1))
    assert leading_json_fields(text[: len(text) // 2]) in {first(record, i) for i in range(count)}


def test_plain_json_over_several_lines_is_read_too() -> None:
    fields = {"_id": 7, "name": 'Ö "x" \\', "tags": ["a", {"b": None}], "price": 1.5, "done": False}
    text = json.dumps(fields, indent=2).encode()

    assert leading_json_fields(text) == to_bson(text)
    assert leading_json_fields(b"\xef\xbb\xbf  " + text) == to_bson(text)
    assert leading_json_fields(text[: text.index(b'"price"')]) == bson.encode({k: fields[k] for k in list(fields)[:3]})


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (b'{"a": 12', {}),
        (b'{"a": 12,', {"a": 12}),
        (b'{"a": tru', {}),
        (b'{"a": "x"', {"a": "x"}),
        (b'{"a": "x", "b": "y" z"}', {"a": "x"}),
        (b'{"a": "x", "b": "y", z"}', {"a": "x"}),
        (b'{"a": 1, "b": [1, 2}, "c": 3}', {"a": 1}),
        (b'{"a": 1, "b": {"$oid": "12"}, "c": 3}', {"a": 1}),
        (b'{"a": 1, "b": "\xff", "c": 3}', {"a": 1}),
        (b'{"a": 1, "b\\u0000": 2}', {"a": 1}),
        (b'{"a": 1 "b": 2}', {}),
        (b'{"a": 1, b: 2}', {}),
        (b'["a", 1]', {}),
        (b'{"$oid": "0123456789abcdef01234567"}', {}),
        (b"", {}),
        (b"{", {}),
        (b"{}", {}),
    ],
)
def test_a_json_field_counts_only_if_what_is_around_it_is_json(text: bytes, fields: dict[str, object]) -> None:
    assert leading_json_fields(text) == (bson.encode(fields) if fields else b"")


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": ' + b"[" * 2_000_000,
        b'{"a": "' + b'\\"' * 1_000_000,
        b'{"a": [' + b'"x",' * 500_000,
        b'{"a": [' + b'"' * 1_000_001,
        b"{" + b" " * 2_000_000,
        b'{"a": ' + b"1" * 2_000_000 + b"}",
        b"{" + b'"a":1,' * 400_000,
        b"{" + b'"a":NaN,' * 400_000,
        b'{"a": [NaN' + b",1" * 8_000_000 + b'], "b": 1',
    ],
    ids=["brackets", "escapes", "strings", "quotes", "spaces", "digits", "fields", "slow fields", "slow values"],
)
def test_hostile_json_takes_time_in_proportion_to_its_length(text: bytes) -> None:
    began = time.process_time()
    found = leading_json_fields(text)

    assert time.process_time() - began < 5
    assert len(found) <= 5 + MAX_FIELDS * 11


def test_hostile_bson_takes_time_in_proportion_to_its_length() -> None:
    began = time.process_time()

    assert len(leading_fields(b"\xff\xff\xff\x7f" + b"\x0a\x00" * 8_000_000)) == 5 + MAX_FIELDS * 2
    assert leading_fields(b"\xff\xff\xff\x7f" + b"\x03a\x00\xff\xff\xff\x00" * 2_000_000) == b""
    assert time.process_time() - began < 5
