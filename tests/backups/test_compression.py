"""Frames: each read for itself, by anyone's reader, and never taken for an attack."""

from __future__ import annotations

import gzip
import random
import shutil
import subprocess
from typing import Any

import pytest
from backports import zstd

from recovery_nb.backups.compression import FRAME_BYTES, frames, pack
from recovery_nb.sources.expand.limits import Limits

UNPACK = {"zstd": zstd.decompress, "gzip": gzip.decompress}


@pytest.mark.parametrize("compression", UNPACK)
def test_frames_back_to_back_are_one_file_to_every_reader(compression: Any) -> None:
    chance = random.Random(7)
    pieces = [b"", b"one", chance.randbytes(100_000), bytes(9_000_000), b"word " * 100_000]
    packed = b"".join(pack(piece, compression) for piece in pieces)
    assert UNPACK[compression](packed) == b"".join(pieces)
    if command := shutil.which(compression):
        done = subprocess.run([command, "-dc"], input=packed, capture_output=True, check=True)
        assert done.stdout == b"".join(pieces)


@pytest.mark.parametrize("compression", UNPACK)
def test_a_frame_is_never_so_small_that_a_reader_takes_it_for_an_attack(compression: Any) -> None:
    for size in (0, 1_000, 1_000_000, 24_000_000):
        assert size <= len(pack(bytes(size), compression)) * Limits().ratio / 2


def test_the_same_bytes_are_packed_to_the_same_bytes() -> None:
    data = random.Random(3).randbytes(1_000) * 50
    assert pack(data, "gzip") == pack(data, "gzip")
    assert pack(data, "gzip")[4:8] == bytes(4), "no time is in it"
    assert pack(data, "none") == data


def test_frames_end_where_records_end() -> None:
    chance = random.Random(5)
    records = [chance.randbytes(size) for size in (10, FRAME_BYTES, 1, 2, FRAME_BYTES + 5, FRAME_BYTES // 2, 7)]
    found = list(frames(records))
    assert b"".join(found) == b"".join(records)
    assert [len(piece) for piece in found] == [10 + FRAME_BYTES, 1 + 2 + FRAME_BYTES + 5, FRAME_BYTES // 2 + 7]
    assert list(frames([])) == []
