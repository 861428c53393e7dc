"""Undoing: the former state, byte for byte, wherever the restore ended; nobody else's work is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bson
import pytest

from recovery_nb.errors import BadInputError
from recovery_nb.restore import OnConflict, State, list_restores
from recovery_nb.restore.journal import JournalReader

CHILD = """
import sys
from pathlib import Path
from recovery_nb.records.elements import split
from recovery_nb.restore import Plan, apply, rollback

verb, uri, folder, what = sys.argv[1:]
if verb == "apply":
    records = split((Path(folder) / "source.bson").read_bytes())
    apply(Plan.load(Path(what)), uri, payload=lambda writes: [records[one.ref.offset] for one in writes],
          folder=Path(folder) / "restores", batch=40)
else:
    rollback(Path(folder) / "restores" / what, uri)
"""


def things(bench: Any, count: int) -> tuple[list[bytes], list[bytes]]:
    """Records in the database, and the selection: half of it replaces those, half of it is missing."""
    made = random.Random(count)
    live = [{"_id": one, "v": "live", "x": made.random()} for one in range(0, count, 2)]
    bench.put(live)
    planned = [bson.encode({"_id": one, "v": "planned", "x": made.randbytes(40)}) for one in range(count)]
    return bench.raw(), planned


def kill_when(path: Path, size: int, *command: str) -> None:
    """Run a child and kill it as soon as a file has reached a size."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, *command], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while child.poll() is None and time.monotonic() < deadline:
        found = next(iter(path.parent.glob(path.name)), None) if path.parent.exists() else None
        found = found or next(iter(path.parent.parent.glob(f"*/{path.name}")), None)
        if found is not None and found.stat().st_size >= size:
            break
    child.send_signal(signal.SIGKILL)
    _, complaint = child.communicate(timeout=10)
    assert complaint == b""


def test_five_thousand_mixed_writes_leave_no_trace(bench: Any) -> None:
    before, planned = things(bench, 5_000)
    hashed = bench.client[bench.name].command("dbHash")["collections"]
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    assert (result.restored, bench.raw()) == (5_000, planned)
    assert bench.verify(result.restore_id).checked == 5_000
    undone = bench.rollback(result.restore_id)
    assert (undone.reverted, undone.skipped, undone.failed) == (5_000, 0, 0)
    assert bench.raw() == before
    assert bench.client[bench.name].command("dbHash")["collections"] == hashed
    assert bench.verify(result.restore_id).ok
    again = bench.rollback(result.restore_id)
    assert (again.already, again.reverted, bench.raw()) == (True, 0, before)


@pytest.mark.seeded(6)
def test_a_killed_restore_leaves_each_record_old_or_planned(bench: Any, seed: int) -> None:
    before, planned = things(bench, 1_200)
    plan = bench.plan(planned, on_conflict=OnConflict.REPLACE)
    (bench.folder / "source.bson").write_bytes(b"".join(planned))
    size = random.Random(seed).randrange(1, 150_000)
    journal = bench.restores / "any" / "journal.bson"
    kill_when(journal, size, "apply", bench.uri, str(bench.folder), str(plan.path))
    old = {bson.decode(one)["_id"]: one for one in before}
    for record in bench.raw():
        own = bson.decode(record)["_id"]
        assert record in (old.get(own), planned[own])
    assert len({bson.decode(one)["_id"] for one in bench.raw()}) == len(bench.raw())
    (info,) = list_restores(bench.restores)
    if info.state is not State.APPLYING:  # it was quicker than the kill
        assert (info.state, bench.raw()) == (State.DONE, planned)
    if seed % 3 == 0:  # go on with a new plan
        result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
        assert (result.failed, bench.raw()) == (0, planned)
        bench.rollback(result.restore_id)
    elif seed % 3 == 1:  # the rollback is killed too
        kill_when(info.path / "rollback.bson", size // 3 + 1, "rollback", bench.uri, str(bench.folder), info.id)
    undone = bench.rollback(info.id)
    assert (undone.failed, undone.skipped) == (0, 0)
    assert bench.raw() == before


def test_what_others_wrote_since_is_left_alone(bench: Any) -> None:
    before, planned = things(bench, 10)
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    collection = bench.client[bench.name].things
    collection.update_one({"_id": 0}, {"$set": {"v": "theirs"}})
    collection.delete_one({"_id": 1})
    collection.delete_one({"_id": 2})
    collection.update_one({"_id": 3}, {"$set": {"v": "theirs"}})
    assert {one.where for one in bench.verify(result.restore_id).problems} == {f"things/{n}" for n in range(4)}
    undone = bench.rollback(result.restore_id)
    assert (undone.reverted, undone.skipped, undone.unchanged, undone.failed) == (6, 3, 1, 0)
    assert {(one.key, one.reason) for one in undone.errors} == {
        ("0", "changed since the restore, by someone else"),
        ("2", "deleted since the restore, by someone else"),
        ("3", "changed since the restore, by someone else"),
    }
    forced = bench.rollback(result.restore_id, force=True)
    assert (forced.reverted, forced.unchanged) == (3, 7)
    assert bench.raw() == before


def test_what_a_rollback_removes_is_kept(bench: Any) -> None:
    _, planned = things(bench, 10)
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    bench.rollback(result.restore_id)
    kept = JournalReader(bench.restores / result.restore_id / "rollback.bson")
    assert sorted(one.before for _, batch in kept.batches() for one in batch) == sorted(planned)


def test_a_rollback_that_cannot_put_all_back_can_be_run_again(bench: Any) -> None:
    before, planned = things(bench, 10)
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    database = bench.client[bench.name]
    database.command("collMod", "things", validator={"_id": {"$ne": 4}})
    assert bench.rollback(result.restore_id).failed == 1
    database.command("collMod", "things", validator={})
    undone = bench.rollback(result.restore_id)
    assert (undone.reverted, undone.failed) == (1, 0)
    assert bench.raw() == before


def test_large_records_are_exchanged_too(bench: Any) -> None:
    size = 16 * 1024 * 1024 - 200
    old, new = bson.encode({"_id": 1, "v": b"o" * size}), bson.encode({"_id": 1, "v": b"n" * size})
    bench.put([old])
    result = bench.apply(bench.plan([new], on_conflict=OnConflict.REPLACE))
    assert (result.restored, bench.raw()) == (1, [new])
    assert bench.rollback(result.restore_id).reverted == 1
    assert bench.raw() == [old]


def test_a_torn_journal_tail_does_not_matter(bench: Any) -> None:
    before, planned = things(bench, 10)
    result = bench.apply(bench.plan(planned, on_conflict=OnConflict.REPLACE))
    path = bench.restores / result.restore_id / "journal.bson"
    path.write_bytes(path.read_bytes()[:-150])  # the end and the outcomes
    assert bench.rollback(result.restore_id).reverted == 10
    assert bench.raw() == before


def test_an_unknown_restore_names_the_known_ones(bench: Any) -> None:
    result = bench.apply(bench.plan([{"_id": 1}]))
    with pytest.raises(BadInputError, match=result.restore_id):
        bench.rollback("r20000101T000000Z-0000")
