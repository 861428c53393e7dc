"""A file that is done has been read back from the disk, byte by byte."""

from __future__ import annotations

import hashlib
import random
import threading
from pathlib import Path

import pytest

from recovery_nb.backups.files import HashedFile, hash_file, write_whole
from recovery_nb.errors import RecoveryError

LONG = 80_000_000
"""Bytes: several of the stretches in which files are read back."""


def test_a_file_of_many_stretches_is_whole_and_knows_its_hash(tmp_path: Path) -> None:
    chance, expected = random.Random(1), hashlib.sha256()
    with HashedFile(tmp_path / "file") as file:
        while file.bytes < LONG:
            block = chance.randbytes(chance.choice((0, 1, 1_000, 1_000_000, 9_000_000)))
            file.write(block)
            expected.update(block)
    assert hash_file(tmp_path / "file") == (file.bytes, expected.hexdigest())
    assert file.sha256 == expected.hexdigest()


@pytest.mark.parametrize("place", [0, 1_250_000, 32_000_000, 34_000_000, LONG - 1])
def test_a_byte_that_the_disk_gives_back_otherwise_is_found(tmp_path: Path, place: int) -> None:
    path, block = tmp_path / "file", bytes(range(250)) * 5_000

    def write() -> None:
        with HashedFile(path) as file, path.open("r+b", buffering=0) as disk:
            for start in range(0, LONG, len(block)):  # at none of these places does a stretch end
                file.write(block)
                if start <= place < start + len(block):
                    disk.seek(place)
                    disk.write(b"\xff")

    with pytest.raises(RecoveryError, match="file does not read back as it was written"):
        write()


def test_nothing_that_exists_is_written_over(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


def test_what_is_given_up_leaves_no_thread(tmp_path: Path) -> None:
    def give_up() -> None:
        with HashedFile(tmp_path / "file") as file:
            for _ in range(5):
                file.write(bytes(16_000_000))
            raise KeyboardInterrupt

    before = threading.enumerate()
    with pytest.raises(KeyboardInterrupt):
        give_up()
    left = [one for one in threading.enumerate() if one not in before and not one.name.startswith("pymongo")]
    assert left == []
