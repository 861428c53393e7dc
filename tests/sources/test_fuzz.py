from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
try:
    import fuzz
finally:
    sys.path.remove(str(BENCHMARKS))

FOUND = Path(__file__).parents[1] / "data" / "fuzz"
INPUTS = 20


@pytest.mark.parametrize("folder", sorted(FOUND.iterdir()), ids=lambda folder: folder.name)
def test_what_once_broke_a_reader_is_read(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "in"
    shutil.copytree(folder, copy)
    (path,) = copy.iterdir()
    began = time.perf_counter()
    fuzz.read_all(path, catalog=True)
    assert time.perf_counter() - began < fuzz.LIMIT_SECONDS


@pytest.mark.seeded(5)
def test_mutated_files_raise_nothing_but_what_tells_the_user(seed: int, tmp_path: Path) -> None:
    for number in range(INPUTS):
        one = fuzz.made(1_000_000 + seed, number)
        outcome = fuzz.attempt(one, tmp_path, catalog=number % 10 == 0)
        assert not outcome.fault, f"input {number} of seed {seed}, {one.name}: {outcome.fault}"
