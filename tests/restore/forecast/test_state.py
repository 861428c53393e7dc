"""What a plan will have written is noted in a file without a name, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from recovery_nb.errors import RecoveryError
from recovery_nb.restore.forecast.state import Now, State

LONG = b"\x02" + b"x" * 5_000


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path)
    yield made
    made.close()


def test_its_file_has_no_name(state: State, tmp_path: Path) -> None:
    with state.batch():
        state.put(0, b"1", Now(b"f", valid=True), {0: [b"k"]})
    assert list(tmp_path.iterdir()) == []


def test_a_record_and_its_keys_are_followed(state: State) -> None:
    with state.batch():
        for place in (b"1", LONG):
            assert state.now(0, place) is None
            state.put(0, place, Now(b"f", valid=False), {3: [b"k" + place[:1], b"l" + place[:1]], 4: [place[:1]]})
            assert state.now(0, place) == Now(b"f", valid=False)
            assert state.now(1, place) is None
    with state.batch():
        assert state.takes(3, [b"k1"], b"other")
        assert not state.takes(3, [b"k1", b"l1"], b"1")
        assert state.takes(3, [b"k1", b"k\x02"], b"1")
        assert not state.takes(4, [b"k1"], b"other")
        state.put(0, LONG, Now(None, valid=True), {})
        assert state.now(0, LONG) == Now(None, valid=True)
        assert not state.takes(3, [b"k\x02", b"l\x02"], b"other")
        assert state.takes(3, [b"l1"], LONG)


def test_a_batch_is_taken_back_alone(state: State) -> None:
    with state.batch():
        state.put(0, b"1", Now(b"f", valid=True), {0: [b"k"]})
    with state.batch():
        state.put(0, b"2", Now(b"f", valid=True), {0: [b"l"]})
        state.put(0, b"1", Now(b"g", valid=True), {0: [b"m"]})
        state.take_back()
    with state.batch():
        assert state.now(0, b"2") is None
        assert state.now(0, b"1") == Now(b"f", valid=True)
        assert state.takes(0, [b"k"], b"2")
        assert not state.takes(0, [b"l", b"m"], b"3")


def test_a_batch_that_fails_leaves_nothing(state: State) -> None:
    with pytest.raises(RecoveryError, match="UNIQUE"), state.batch():
        state.put(0, b"1", Now(b"f", valid=True), {0: [b"k", b"k"]})
    with state.batch():
        assert state.now(0, b"1") is None


def test_a_folder_that_is_missing_is_not_made(tmp_path: Path) -> None:
    State(tmp_path / "missing").close()
    assert not (tmp_path / "missing").exists()


def test_a_file_that_cannot_be_written_is_an_error_that_says_what_to_do(state: State) -> None:
    state.close()
    with pytest.raises(RecoveryError, match="free space"), state.batch():
        pass
