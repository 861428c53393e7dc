"""A share of the campaign of kills, full disks and dropped connections, and that it sees what it looks for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.embedded import EmbeddedMongod

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
try:
    import crash
finally:
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.seeded(1)
def test_every_record_is_as_it_was_or_as_planned(seed: int) -> None:
    share = ["--kills", "8", "--servers", "1", "--faults", "1", "--seed", str(1_000 + seed)]
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "crash.py", *share], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    trials = [line.split()[-2:] for line in done.stdout.splitlines()[1:]]
    assert len(trials) == 7
    assert all(int(count) > 0 == int(violations) for count, violations in trials)


def test_a_lost_a_wrong_and_an_unplanned_record_are_seen(mongod: EmbeddedMongod, tmp_path: Path) -> None:
    with MongoClient[Any](mongod.uri(), document_class=RawBSONDocument) as client:
        trial = crash.Trial(mongod, client, tmp_path / "trial", "seen", 20)
        try:
            things = client[trial.name].things
            trial.old_or_planned("nothing")
            assert trial.violations == []
            things.delete_one({"_id": 2})
            things.update_one({"_id": 4}, {"$set": {"v": "half"}})
            things.insert_one({"_id": "new"})
            trial.old_or_planned("harm")
            trial.to_the_old("harm")
        finally:
            client.drop_database(trial.name)
    assert [one.partition(": ")[2] for one in trial.violations] == [
        "harm: a wrong record", "harm: a wrong record", "harm: a record is lost", "harm: written without a journal",
    ]  # fmt: skip
