from __future__ import annotations

import struct
import time
from collections.abc import Callable

import bson
import pytest
from bson import Binary, Timestamp

from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.sources.content import Gap, Memory
from recovery_nb.sources.dump.framing import frame
from recovery_nb.sources.dump.resync import next_document


def documents(count: int, **fields: object) -> list[bytes]:
    return [bson.encode({"_id": number, "text": "x" * number, **fields}) for number in range(count)]


def records(content: Memory) -> list[bytes]:
    return [
        one
        for part in frame(content, member="", collection="")
        if isinstance(part, RecordBatch)
        for one in part.records
    ]


def test_the_next_document_is_found_behind_damage() -> None:
    first, second, third = documents(3)
    data = first[7:] + second + third
    assert next_document(Memory(data), 0) == len(first) - 7


def test_documents_in_a_damaged_record_are_no_records() -> None:
    embedded = {"_id": 1, "text": "inner"}
    whole = documents(
        20, one=embedded, many=[embedded, embedded], raw=Binary(bson.encode(embedded) * 3), deep={"a": {"b": embedded}}
    )
    for cut in range(1, len(whole[0])):
        assert records(Memory(whole[0][cut:] + b"".join(whole[1:]))) == whole[1:], cut


def test_a_record_that_took_the_beginning_of_the_next_costs_only_itself() -> None:
    whole = [bson.encode({"_id": number, "state": "open", "total": bson.Int64(number)}) for number in range(10)]
    shorter = whole[4][:-3] + whole[4][-1:]
    assert records(Memory(b"".join([*whole[:4], shorter, *whole[5:]]))) == whole[:4] + whole[5:]


def test_records_between_damage_and_a_gap_are_read() -> None:
    whole = documents(30)
    head = b"".join(whole[:10])
    broken = struct.pack("<i", -1) + b"".join(whole[10:20])[4:]
    content = Memory(head + broken + whole[20][:30] + b"".join(whole[21:]))
    content.gaps = [Gap(len(head + broken) + 30, "a hole")]
    assert records(content) == whole[:10] + whole[11:20] + whole[21:]
    reasons = [part.reason for part in frame(content, member="", collection="") if isinstance(part, Damage)]
    assert reasons == ["a length of -1 bytes, which no document has", "a hole"]


def entries(count: int) -> list[bytes]:
    """Return what an oplog holds: documents whose first field is no `_id`, with another document inside."""
    return [
        bson.encode({"op": "i", "ns": "shop.a", "o": {"_id": n, "x": "y"}, "ts": Timestamp(n, 1), "wall": n})
        for n in range(count)
    ]


@pytest.mark.parametrize("zeros", [1, 2, 7, 8, 9, 16, 99, 5_000])
@pytest.mark.parametrize("before", [1, 2, 3, 4])
@pytest.mark.parametrize("make", [documents, entries])
def test_zeros_between_records_cost_none(make: Callable[[int], list[bytes]], before: int, zeros: int) -> None:
    whole = make(before + 4)
    assert records(Memory(b"".join([*whole[:before], bytes(zeros), *whole[before:]]))) == whole


def test_documents_at_the_head_that_are_of_another_kind_are_what_is_left_of_a_binary() -> None:
    inner = bson.encode({"_id": 1, "x": "y"})
    whole = documents(5, last={"raw": Binary(inner * 3)})
    left = whole[0][whole[0].index(inner) :]
    assert records(Memory(left + b"".join(whole[1:]))) == whole[1:]


def test_a_false_length_that_ends_where_an_embedded_document_does_costs_no_other_record() -> None:
    embedded = {"_id": 1, "text": "inner"}
    whole = documents(20, one=embedded)
    start = len(b"".join(whole[:3]))
    end = len(b"".join(whole[:9])) + whole[9].index(bson.encode(embedded)) + len(bson.encode(embedded))
    data = bytearray(b"".join(whole))
    data[start : start + 4] = struct.pack("<i", end - start)
    assert records(Memory(bytes(data))) == whole[:3] + whole[4:]


@pytest.mark.parametrize("filler", [b"\x00", b"\xfe"])
def test_a_shortened_record_that_leads_to_what_looks_like_another_costs_only_itself(filler: bytes) -> None:
    whole = documents(10)
    length = 60  # from the place that the record before leads to, to the end of this one
    bait = struct.pack("<i", length) + b"\x02a\x00" + filler * (length - 8) + b"\x00"
    whole[5] = bson.encode({"_id": 5, "text": "x" * 50, "in": Binary(bait[: length - 1])})
    assert whole[5].endswith(bait)
    broken = struct.pack("<i", len(whole[4]) - 1 + len(whole[5]) - length) + whole[4][4:-1]
    data = b"".join([*whole[:4], broken, whole[5], *whole[6:]])
    assert records(Memory(data)) == whole[:4] + whole[5:]


def test_records_that_each_claim_those_behind_them_cost_time_in_proportion() -> None:
    (small,) = documents(1)
    claim = struct.pack("<i", 10_000) + small[4:9]
    began = time.perf_counter()
    assert len(records(Memory((claim + small) * 5_000))) == 5_000
    assert time.perf_counter() - began < 10


def test_many_documents_in_a_whole_record_cost_time_in_proportion() -> None:
    huge = bson.encode({"_id": 1, "in": Binary(b"".join(documents(1) * 100_000)), "last": 1})
    (small,) = documents(1)
    began = time.perf_counter()
    assert records(Memory(huge + small)) == [huge, small]
    assert time.perf_counter() - began < 10


def test_many_documents_in_a_damaged_record_cost_time_in_proportion() -> None:
    huge = bson.encode({"_id": 1, "many": [{"_id": number} for number in range(100_000)]})
    (small,) = documents(1)
    began = time.perf_counter()
    assert records(Memory(huge[10:] + small)) == [small]
    assert time.perf_counter() - began < 10
