"""Ten thousand records of a real replica set, through everything that can be done to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from recovery_nb.records.batch import Ref, moment
from recovery_nb.records.keys import key_of
from recovery_nb.sources.content import File, Folder
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.oplog.source import OplogSource
from recovery_nb.sources.oplog.state import write_state

from . import updates
from .conftest import Live, Records, told

COUNT = 10_000


@dataclass(frozen=True, slots=True)
class Workload:
    path: Path
    copies: list[tuple[int, Records]]
    before_loss: Records


def done(live: Live, random: Random) -> Iterator[str]:
    """Do it, and stop after each step."""
    db, client = live.db, live.client
    numbers = list(range(COUNT))
    for start in range(0, COUNT, 2500):
        records = [{"_id": number, **updates.document(random)} for number in numbers[start : start + 2500]]
        db.a.insert_many(records, ordered=start % 5000 == 0)
        yield "inserted"
    db.b.insert_many({"_id": {"n": number, "x": "é"}, "list": []} for number in range(300))
    db.create_collection("capped", capped=True, size=1 << 20, max=50)
    db.capped.insert_many({"n": number} for number in range(80))
    db.create_collection("weather", timeseries={"timeField": "t", "metaField": "m"})
    for hour in range(30):
        db.weather.insert_one({"t": dt.datetime(2025, 1, 1, hour % 24, tzinfo=dt.UTC), "m": hour % 3, "v": hour / 2})
    yield "filled"
    for _ in range(6):
        writes: list[Any] = []
        for number in random.sample(numbers, 1500):
            which = {"_id": number}
            chance = random.random()
            if chance < 0.05:
                writes.append(ReplaceOne(which, updates.document(random), upsert=True))
            elif chance < 0.08:
                writes += [DeleteOne(which), InsertOne({"_id": number, "again": chance})]
            else:
                writes.append(UpdateOne(which, updates.update(random)))
        with pytest.raises(BulkWriteError):
            db.a.bulk_write(writes, ordered=False)
        db.b.update_many({"_id.n": {"$lt": 50}}, {"$push": {"list": {"$each": [random.random()], "$slice": -3}}})
        yield "updated"
    with client.start_session() as session:
        for number in range(0, 200, 10):
            with session.start_transaction():
                db.a.update_one({"_id": number}, {"$set": {"t.u": number}}, session=session)
                db.a.update_one({"_id": number}, [{"$set": {"w": "$t"}}], session=session)
                db.b.insert_one({"_id": f"in {number}", "k": 1}, session=session)
                db.b.update_one({"_id": f"in {number}"}, {"$inc": {"k": 1.5}}, session=session)
                db.a.delete_one({"_id": number + 1}, session=session)
        with session.start_transaction():
            db.large.insert_many([{"_id": n, "text": "x" * 3_000_000} for n in range(4)], session=session)
            db.large.insert_many([{"_id": n, "text": "y" * 3_000_000} for n in range(4, 8)], session=session)
            db.large.update_one({"_id": 1}, {"$set": {"text": "short"}}, session=session)
            db.large.update_one({"_id": 1}, {"$push": {"list": 5}}, session=session)
            db.b.delete_one({"_id": "in 0"}, session=session)
        with session.start_transaction():
            db.b.insert_one({"_id": "never", "k": 1}, session=session)
            session.abort_transaction()
    yield "transactions"
    db.b.rename("renamed")
    db.renamed.update_many({}, {"$set": {"after": 1}})
    db.b.insert_many({"_id": n, "second": True} for n in range(20))
    yield "renamed"
    db.b.drop()
    db.b.insert_many({"_id": n, "third": n} for n in range(10, 30))
    db.b.update_many({}, {"$inc": {"third": 1}})
    db.a.aggregate([{"$match": {"_id": {"$lt": 100}}}, {"$out": "out"}])
    yield "made anew"


@pytest.fixture(scope="module")
def workload(mongod: Any, _client: Any, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    random = Random(3)
    name = "test_oplog_workload"
    _client.drop_database(name)
    live = Live(mongod.uri(name), name, _client)
    copies: list[tuple[int, Records]] = []
    before: Records = {}
    start = live.now()
    for step in done(live, random):
        if step == "updated":  # at a random time in it
            times = [entry["ts"] for entry in live.entries(ns={"$regex": f"^{name}"}, ts={"$gt": start})]
            stamp = random.choice(times)
            before = live.stored_at(stamp)
        else:
            stamp, before = live.now(), live.stored()
        copies.append((moment(stamp.time, stamp.inc), before))
        start = live.now()
    live.db.a.delete_many({"_id": {"$lt": 5000}})
    stamp = live.now()
    copies.append((moment(stamp.time, stamp.inc), live.stored()))
    live.db.a.drop()
    live.db.renamed.delete_many({})
    live.client.drop_database(name)
    return Workload(live.copy(tmp_path_factory.mktemp("oplog")), copies, before)


def test_all_come_back_with_the_bytes_they_had_at_the_end(workload: Workload) -> None:
    found = told(OplogSource(File.on_disk(workload.path)))
    assert found.damages == []
    assert sum(map(len, workload.before_loss.values())) > COUNT - 100
    for name, records in workload.before_loss.items():
        newest = {key: found.records[name].get(key) for key in records}
        assert newest == records, name


def test_the_state_at_any_time_is_that_of_a_copy_taken_then(workload: Workload, tmp_path: Path) -> None:
    oplog = OplogSource(File.on_disk(workload.path))
    for number, (at, copy) in enumerate(Random(1).sample(workload.copies, 10)):
        state = write_state([oplog], at=at, folder=tmp_path / str(number))
        assert state.problems == []
        assert read_back(state.path / state.database) == copy
        assert state.collections == {name: len(records) for name, records in copy.items()}


def test_a_state_on_a_base_is_that_of_a_copy_taken_then(workload: Workload, tmp_path: Path) -> None:
    oplog = OplogSource(File.on_disk(workload.path))
    (early, _), (late, copy) = workload.copies[7], workload.copies[12]
    base = write_state([oplog], at=early, folder=tmp_path)
    for base_at in (early, None):  # only what came after it is applied; or all of it, once more
        dump = DumpSource(Folder.on_disk(base.path / base.database))
        state = write_state([oplog], at=late, folder=tmp_path, base=dump, base_at=base_at)
        assert read_back(state.path / state.database) == copy
        assert state.problems == []


def test_a_version_is_read_again_at_its_place(workload: Workload) -> None:
    source = OplogSource(File.on_disk(workload.path))
    expected: list[bytes] = []
    refs: list[Ref] = []
    for batch in source.read():
        expected += batch.records[::7]
        refs += [Ref("", *place) for place in zip(batch.offsets[::7], batch.lengths[::7], strict=True)]
    assert len(refs) == len({ref.offset for ref in refs}) > 2000
    assert list(OplogSource(File.on_disk(workload.path)).fetch(refs)) == expected


def read_back(folder: Path) -> Records:
    source = DumpSource(Folder.on_disk(folder))
    found: Records = {name: {} for name in source.collections().values()}
    for batch in source.read():
        found[batch.collection] |= {key_of(record) or b"": record for record in batch.records}
    return found
