from __future__ import annotations

import struct
import time

import bson
from bson import Binary

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


def test_many_documents_in_a_damaged_record_cost_time_in_proportion() -> None:
    huge = bson.encode({"_id": 1, "many": [{"_id": number} for number in range(100_000)]})
    (small,) = documents(1)
    began = time.perf_counter()
    assert records(Memory(huge[10:] + small)) == [small]
    assert time.perf_counter() - began < 10
