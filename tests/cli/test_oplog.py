"""What the oplog gives back, from the command line: records that no backup ever held, and the database at any time."""

from __future__ import annotations

import os
import time
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument


def raw(database: Any, name: str) -> dict[object, bytes]:
    """Return the collection's records, byte for byte."""
    found = (
        database.client[database.name]
        .get_collection(name)
        .with_options(codec_options=database.client.codec_options.with_options(document_class=RawBSONDocument))
    )
    return {document["_id"]: document.raw for document in found.find()}


def now(database: Any) -> str:
    """Return the time of the newest entry of the oplog, as --as-of takes it."""
    optime = database.client.admin.command("hello")["lastWrite"]["opTime"]["ts"]
    return f"{optime.time}:{optime.inc}"


@pytest.fixture
def past(database: Any) -> dict[str, Any]:
    """A collection that was filled, changed and dropped: what it held at the end, and in the middle, with that time."""
    orders = database.client[database.name].orders
    orders.insert_many([{"_id": n, "state": "new", "items": [n, n + 1]} for n in range(300)])
    orders.update_many({"_id": {"$lt": 200}}, {"$set": {"state": "paid", "at.hour": 9}, "$push": {"items": 7.5}})
    middle, when = raw(database, "orders"), now(database)
    orders.update_many({"_id": {"$gte": 100}}, {"$unset": {"items": 1}, "$inc": {"total": 2**40}})
    orders.delete_many({"_id": {"$lt": 20}})
    last = raw(database, "orders")
    orders.drop()
    return {"middle": middle, "when": when, "last": {**{n: middle[n] for n in range(20)}, **last}}


def test_a_dropped_collection_comes_back_from_the_live_oplog(cli: Any, database: Any, past: dict[str, Any]) -> None:
    done = cli("compare", "oplog:", "--json")
    assert done.code == 1, done.text
    assert done.json["collections"]["orders"]["missing"] == 300
    assert done.json["collections"]["orders"]["duplicate"] == 0
    done = cli("restore", "oplog:", "--yes", "--json")
    assert (done.code, done.json["restored"]) == (0, 300), done.text
    assert raw(database, "orders") == past["last"]


def test_the_database_comes_back_as_it_was_at_a_time(cli: Any, database: Any, past: dict[str, Any]) -> None:
    done = cli("restore", "oplog:", "--as-of", past["when"], "--yes", "--json")
    assert (done.code, done.json["restored"]) == (0, 300), done.text
    assert raw(database, "orders") == past["middle"]
    done = cli("verify", "case", "--json")
    assert (done.code, done.json["problems"]) == (0, [])
    (copied,) = cli.case.glob("copies/oplog_*/oplog.bson")
    copied.write_bytes(copied.read_bytes()[:-1] + b"x")
    (problem,) = cli("verify", "case", "--json").json["problems"]
    assert problem["what"] == "the oplog is not as it was copied"


def test_a_state_is_no_base_for_another(cli: Any, database: Any, past: dict[str, Any]) -> None:
    cli("compare", "oplog:", "--as-of", past["when"])
    (state,) = cli.case.glob("copies/state_*")
    database.client[database.name].later.insert_one({"_id": 1})
    done = cli("compare", "oplog:", state, "--as-of", now(database), "--json")
    assert any("without a base" in note for note in done.json["notes"]), done.json["notes"]


def test_a_backup_is_the_base_of_what_the_oplog_tells_of_later(cli: Any, database: Any) -> None:
    users = database.client[database.name].users
    users.insert_many([{"_id": n, "name": f"u{n}"} for n in range(50)])
    taken = cli("backup", "--json").json["path"]
    users.update_many({"_id": {"$lt": 25}}, {"$set": {"name": "changed"}})
    users.insert_one({"_id": 100, "name": "later"})
    wanted, when = raw(database, "users"), now(database)
    users.delete_many({})
    done = cli("restore", taken, "oplog:", "--as-of", when, "--yes", "--json")
    assert (done.code, done.json["restored"]) == (0, 51), done.text
    assert raw(database, "users") == wanted


def test_times_that_cannot_be_used_are_refused(cli: Any, database: Any, samples: Any) -> None:
    database.client[database.name].orders.insert_one({"_id": 1})
    cli("scan", "oplog:")
    cli.refused("compare", "oplog:", "--as-of", "yesterday", says="not a point in time")
    dump = samples / "mongodump" / "shop"
    cli.refused("compare", dump, "--as-of", "2026-01-01", says="--as-of needs an oplog")
    far = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    done = cli("compare", "oplog:", "--as-of", far, "--json")
    assert done.code == 2
    assert done.err.count("\n") == 1


def test_a_dump_of_another_database_is_no_base_and_a_stale_one_is_told(cli: Any, database: Any) -> None:
    database.client[database.name].users.insert_one({"_id": "written"})
    long_ago = time.time() - 30 * 86_400
    for name, record in (("other", "foreign"), (database.name, "old")):
        dumped = cli.folder / "dump" / name / "users.bson"
        dumped.parent.mkdir(parents=True)
        dumped.write_bytes(bson.encode({"_id": record}))
        os.utime(dumped, (long_ago, long_ago))
    done = cli("compare", "oplog:", "dump/other", "--as-of", now(database), "--json")
    assert any("is of a database called other" in note for note in done.json["notes"]), done.text
    assert (done.json["collections"]["users"]["identical"], done.json["collections"]["users"]["missing"]) == (1, 0)
    done = cli("compare", "oplog:", f"dump/{database.name}", "--as-of", now(database), "--json")
    assert any("its base is" in note for note in done.json["notes"])
    assert any("no oplog tells of the time from" in note for note in done.json["notes"]), done.json["notes"]
    assert done.json["collections"]["users"]["missing"] == 1
