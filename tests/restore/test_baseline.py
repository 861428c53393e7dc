"""The records that a restore does not touch: fingerprints of them are kept, and hold the restore to its plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import pyarrow.parquet as pq
import pytest
from pymongo import MongoClient

from recovery_nb.records.elements import id_element
from recovery_nb.restore import OnConflict, baseline
from recovery_nb.restore.baseline import load_baseline
from recovery_nb.restore.exchange import Change, exchange
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.target import Target

from .servers import server


@pytest.fixture
def restored(bench: Any) -> str:
    """Twenty records, of which a restore replaced ten, and it added ten."""
    bench.put([{"_id": one, "v": "live"} for one in range(20)])
    plan = bench.plan([{"_id": one, "v": "planned"} for one in range(10, 30)], on_conflict=OnConflict.REPLACE)
    return str(bench.apply(plan).restore_id)


def as_the_restore(bench: Any, restore_id: str, change: Change) -> None:
    """Write as if the restore had: through a session that its header names."""
    path = bench.restores / restore_id / "restore.json"
    with Target(bench.uri) as target:
        exchange(target, "things", [change])
        told = json.loads(path.read_bytes())
        path.write_text(json.dumps({**told, "sessions": [*told["sessions"], *target.session_ids]}))


def stray(bench: Any, own: int, wanted: bytes | None) -> Change:
    there = next((one for one in bench.raw() if bson.decode(one)["_id"] == own), None)
    element = id_element(there or wanted or b"") or b""
    return Change(element, fingerprint(there) if there else None, wanted)


def test_every_record_of_a_collection_that_was_there_is_kept_by_its_fingerprint(bench: Any, restored: str) -> None:
    kept = load_baseline(bench.restores / restored)
    assert kept is not None
    assert (kept.collections, kept.left_out, kept.optime is not None) == ({"things": 20}, {}, True)
    rows = pq.read_table(kept.table, columns=["collection", "id", "fingerprint"]).to_pylist()
    live = [bson.encode({"_id": one, "v": "live"}) for one in range(20)]
    assert sorted((one["id"], one["fingerprint"]) for one in rows) == sorted(
        (id_element(one), fingerprint(one)) for one in live
    )


def test_a_collection_that_was_missing_or_empty_needs_none(bench: Any) -> None:
    bench.client[bench.name].create_collection("things")
    made = bench.apply(bench.plan([{"_id": 1}])).restore_id
    kept = load_baseline(bench.restores / made)
    assert kept is not None
    assert (kept.collections, kept.table.exists()) == ({}, False)
    assert bench.verify(made).ok


def test_untouched_others_are_proven_so(bench: Any, restored: str) -> None:
    found = bench.verify(restored)
    assert (found.ok, found.checked, found.notes) == (True, 30, ())
    bench.rollback(restored)
    assert (bench.verify(restored).ok, bench.verify(restored).checked) == (True, 30)


@pytest.mark.parametrize(
    ("own", "wanted", "what"),
    [
        (3, {"_id": 3, "v": "stray"}, "changed"),
        (3, None, "went"),
        (99, {"_id": 99}, "came"),
    ],
)
def test_another_record_that_the_restore_wrote_is_named(
    bench: Any, restored: str, own: int, wanted: Any, what: str
) -> None:
    as_the_restore(bench, restored, stray(bench, own, wanted and bson.encode(wanted)))
    doubt = "; the server's oplog does not tell by whom" if what == "came" else ""  # inserts name no session
    found = bench.verify(restored)
    assert [(one.what, one.where) for one in found.problems] == [
        (f"it is not in the plan, and {what} since the restore began{doubt}", f"things/{own}")
    ]


def test_what_someone_else_wrote_is_a_note(bench: Any, restored: str) -> None:
    collection = bench.client[bench.name].things
    collection.update_many({"_id": {"$lt": 3}}, {"$set": {"v": "theirs"}})  # names no session
    collection.delete_one({"_id": 4})
    with bench.client.start_session() as session, session.start_transaction():
        collection.insert_one({"_id": 50}, session=session)
    as_the_restore(bench, restored, stray(bench, 5, bson.encode({"_id": 5, "v": "stray"})))
    found = bench.verify(restored)
    assert [one.where for one in found.problems] == ["things/5"]
    assert found.notes == ("other records of things that someone else has written since: 5",)


def test_of_a_collection_that_is_too_large_the_oplog_tells(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline, "MOST_RECORDS", 19)
    bench.put([{"_id": one, "v": "live"} for one in range(20)])
    plan = bench.plan([{"_id": one, "v": "planned"} for one in range(10, 30)], on_conflict=OnConflict.REPLACE)
    made = bench.apply(plan).restore_id
    bench.client[bench.name].things.update_one({"_id": 1}, {"$set": {"v": "theirs"}})
    found = bench.verify(made)
    assert (found.ok, len(found.notes)) == (True, 1)
    assert found.notes[0].startswith("things was too large (20 records) to be read before the restore: the oplog tells")
    as_the_restore(bench, made, stray(bench, 5, None))
    assert [one.where for one in bench.verify(made).problems] == ["things/5"]


def test_without_an_oplog_it_is_not_known_who_wrote(bench: Any, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    with server(tmp_path / "db") as (port, client):
        bench.client, bench.uri = client, f"mongodb://127.0.0.1:{port}/{bench.name}?directConnection=true"
        bench.put([{"_id": one, "v": "live"} for one in range(5)])
        made = bench.apply(bench.plan([{"_id": 7}])).restore_id
        assert (bench.verify(made).ok, bench.verify(made).checked) == (True, 6)
        with MongoClient(port=port) as other:
            other[bench.name].things.delete_one({"_id": 2})
        (problem,) = bench.verify(made).problems
        assert (problem.where, "does not tell by whom" in problem.what) == ("things/2", True)


def test_a_restore_from_before_there_were_any_says_so(bench: Any, restored: str) -> None:
    (bench.restores / restored / "baseline.json").unlink()
    found = bench.verify(restored)
    assert (found.ok, found.checked) == (True, 20)
    assert found.notes == ("of the other records it was not kept how they were before the restore",)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": "recovery_nb.baseline", "version": 2}'])
def test_one_that_cannot_be_read_is_a_problem_and_the_rest_is_verified(
    bench: Any, restored: str, content: bytes
) -> None:
    (bench.restores / restored / "baseline.json").write_bytes(content)
    found = bench.verify(restored)
    assert ([one.where for one in found.problems], found.checked) == ([restored], 20)


@pytest.mark.parametrize("content", [None, b"", b"PAR1" * 100])
def test_so_is_a_table_that_cannot_be_read(bench: Any, restored: str, content: bytes | None) -> None:
    table = bench.restores / restored / "baseline.parquet"
    table.unlink() if content is None else table.write_bytes(content)
    found = bench.verify(restored)
    assert ([one.where for one in found.problems], found.checked) == ([str(table)], 20)


def test_many_that_are_not_as_before_are_counted(bench: Any) -> None:
    bench.put([{"_id": one} for one in range(1_200)])
    made = bench.apply(bench.plan([{"_id": "mine"}])).restore_id
    path = bench.restores / made / "restore.json"
    told = json.loads(path.read_bytes())
    with Target(bench.uri) as target:
        records = bench.raw()[:1_100]
        exchange(target, "things", [Change(id_element(one) or b"", fingerprint(one), None) for one in records])
        path.write_text(json.dumps({**told, "sessions": [*told["sessions"], *target.session_ids]}))
    problems = bench.verify(made).problems
    assert (len(problems), problems[-1].what) == (1_001, "100 more at least are not as before")
