"""The journal: what was flushed comes back; what was torn was never acted upon."""

from __future__ import annotations

from pathlib import Path

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery_nb.records.elements import build
from recovery_nb.restore.journal import Intent, Journal, JournalReader, Left

TWICE = build([(0x10, b"_id", b"\1\0\0\0"), (0x10, b"a", b"\1\0\0\0"), (0x10, b"a", b"\2\0\0\0")])


def intents(batch: int) -> list[Intent]:
    return [
        Intent(
            batch * 10 + one,
            "things",
            f"key {one}",
            "replace",
            b"\x10\1\0\0\0",
            TWICE if one else None,
            b"f" * 32,
        )
        for one in range(3)
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "journal.bson"
    with Journal(path, {"restore": "r1"}) as journal:
        journal.created("things")
        for batch in range(4):
            number = journal.intend(intents(batch))
            journal.settle(number, [Left(batch * 10, "failed", "a reason")])
        journal.end({"restored": 8})
    return path


def test_what_was_written_is_read(whole: Path) -> None:
    read = JournalReader(whole)
    assert (read.header, read.created, read.ended, read.torn) == ({"restore": "r1"}, ["things"], True, False)
    assert [batch for _, batch in read.batches()] == [intents(one) for one in range(4)]
    assert [number for number, _ in read.batches(newest_first=True)] == [4, 3, 2, 1]
    assert read.left[20] == Left(20, "failed", "a reason")


def test_it_is_plain_bson(whole: Path) -> None:
    entries = bson.decode_all(whole.read_bytes())
    assert [entry["t"] for entry in entries[:3]] == ["begin", "mark", "created"]


@settings(max_examples=60)
@given(cut=st.floats(0, 1))
def test_cut_anywhere_it_gives_whole_batches_from_the_first_on(whole: Path, cut: float) -> None:
    data = whole.read_bytes()
    path = whole.with_name("cut.bson")
    path.write_bytes(data[: int(len(data) * cut)])
    read = JournalReader(path)
    batches = [batch for _, batch in read.batches()]
    assert batches == [intents(one) for one in range(len(batches))]
    assert read.torn == (read.end < path.stat().st_size)


@settings(max_examples=60)
@given(place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_believed(whole: Path, place: int, bit: int) -> None:
    data = bytearray(whole.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path = whole.with_name("flipped.bson")
    path.write_bytes(data)
    read = JournalReader(path)
    assert read.torn
    batches = [batch for _, batch in read.batches()]
    assert batches == [intents(one) for one in range(len(batches))]


def test_a_torn_journal_is_continued_after_its_last_whole_block(whole: Path) -> None:
    path = whole.with_name("continued.bson")
    path.write_bytes(whole.read_bytes()[:-10])
    with Journal(path, {"restore": "r1"}) as journal:
        journal.intend(intents(4))
    read = JournalReader(path)
    assert not read.torn
    assert [number for number, _ in read.batches()] == [1, 2, 3, 4, 5]
