"""The journal: what was flushed comes back; what was torn was never acted upon."""

from __future__ import annotations

from pathlib import Path

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import build
from recovery_nb.restore.journal import UNSENT, Intent, Intents, Journal, JournalReader, Left

TWICE = build([(0x10, b"_id", b"\1\0\0\0"), (0x10, b"a", b"\1\0\0\0"), (0x10, b"a", b"\2\0\0\0")])


def intents(batch: int) -> list[Intent]:
    return [
        Intent(
            batch * 10 + one, "things", f"key {one} ü", "replace", b"\x10\1\0\0\0", TWICE if one else None, b"f" * 32
        )
        for one in range(3)
    ]


def read_back(path: Path) -> list[list[Intent]]:
    return [list(batch) for _, batch in JournalReader(path).batches()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four batches, two of them under way together, which come back in another order."""
    path = tmp_path_factory.mktemp("journal") / "journal.bson"
    with Journal(path, {"restore": "r1"}) as journal:
        journal.created("things")
        journal.collection("things", b"u" * 16)
        numbers = [journal.write(Intents.of(intents(one)), [Left(one * 10 + 5, "skipped", "there")]) for one in (0, 1)]
        journal.sync()
        for number in reversed(numbers):
            journal.settle(number, [Left(number * 10 - 10, "failed", "a reason"), Left(number * 10 - 9, UNSENT, "")])
        for one in (2, 3):
            journal.settle(journal.intend(Intents.of(intents(one))), [])
        journal.end({"restored": 8})
    return path


def test_what_was_written_is_read(whole: Path) -> None:
    read = JournalReader(whole)
    assert read.header == {"version": 2, "restore": "r1"}
    assert (read.created, read.collections, read.ended, read.torn) == (["things"], {"things": b"u" * 16}, True, False)
    assert [list(batch) for _, batch in read.batches()] == [intents(one) for one in range(4)]
    assert [number for number, _ in read.batches(newest_first=True)] == [4, 3, 2, 1]
    assert (read.settled, read.last_batch, read.last_seq) == ({1, 2, 3, 4}, 4, 32)


def test_what_was_left_is_told_by_record_and_what_was_passed_over_by_reason(whole: Path) -> None:
    read = JournalReader(whole)
    assert read.left == {
        0: Left(0, "failed", "a reason"), 1: Left(1, UNSENT, ""),
        10: Left(10, "failed", "a reason"), 11: Left(11, UNSENT, ""),
    }  # fmt: skip
    assert read.passed == {5: Left(5, "skipped", "there"), 15: Left(15, "skipped", "there")}


def test_a_batch_of_which_nothing_is_sent_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "journal.bson"
    with Journal(path, {}) as journal:
        journal.write(Intents("", [], [], [], [], [], []), [Left(7, "failed", "gone"), Left(8, "failed", "gone")])
    read = JournalReader(path)
    assert (list(read.batches()), read.settled, read.last_seq) == ([], {1}, 8)
    assert read.passed == {seq: Left(seq, "failed", "gone") for seq in (7, 8)}


def test_it_is_plain_bson(whole: Path) -> None:
    entries = bson.decode_all(whole.read_bytes())
    assert [entry["t"] for entry in entries[:3]] == ["begin", "mark", "created"]


def test_a_collection_that_someone_else_made_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "journal.bson"
    with Journal(path, {}) as journal:
        journal.created("mine")
        journal.created("theirs")
        journal.existed("theirs")
    assert JournalReader(path).created == ["mine"]


@settings(max_examples=60)
@given(cut=st.floats(0, 1))
def test_cut_anywhere_it_gives_whole_batches_from_the_first_on(whole: Path, cut: float) -> None:
    data = whole.read_bytes()
    path = whole.with_name("cut.bson")
    path.write_bytes(data[: int(len(data) * cut)])
    read = JournalReader(path)
    batches = read_back(path)
    assert batches == [intents(one) for one in range(len(batches))]
    assert read.torn == (read.end < path.stat().st_size)


@settings(max_examples=60)
@given(place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_believed(whole: Path, place: int, bit: int) -> None:
    data = bytearray(whole.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path = whole.with_name("flipped.bson")
    path.write_bytes(data)
    assert JournalReader(path).torn
    batches = read_back(path)
    assert batches == [intents(one) for one in range(len(batches))]


def test_a_torn_journal_is_continued_after_its_last_whole_block(whole: Path) -> None:
    path = whole.with_name("continued.bson")
    path.write_bytes(whole.read_bytes()[:-10])
    with Journal(path, {"restore": "r1"}) as journal:
        journal.intend(Intents.of(intents(4)))
    read = JournalReader(path)
    assert not read.torn
    assert [number for number, _ in read.batches()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "entry",
    [
        {"t": "begin", "version": 1},
        {"t": "batch", "b": 1, "c": "things", "n": 2, "s": bytes(16), "i": b"", "k": b"", "a": b"", "f": b"", "x": []},
        {"t": "batch", "b": 1, "n": -1},
        {"t": "outcomes", "b": 1, "x": [["skipped"]]},
        {"t": "outcomes", "b": 1, "x": [["skipped", "", b"123"]]},
        {"t": "collection", "c": "things"},
        {"t": "existed", "c": "never made"},
    ],
    ids=["an earlier version", "false columns", "no columns", "no places", "half a place", "no UUID", "not ours"],
)
def test_what_no_journal_of_ours_says_is_refused_in_one_line(tmp_path: Path, entry: dict[str, object]) -> None:
    path = tmp_path / "journal.bson"
    with Journal(path, {}) as journal:
        journal._append(entry)
    with pytest.raises(BadInputError, match=r"version 1|is no journal"):
        JournalReader(path)
