"""Restoring by command line: which records, where to, all or nothing, foreseen, interrupted, and undone in parts."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import gridfs
import pytest
from bson.raw_bson import RawBSONDocument

from .conftest import Cli, Done

Content = Callable[[], dict[str, str]]


def dumped(cli: Cli, records: Iterable[dict[str, Any]], *, name: str = "users", database: str = "shop") -> Path:
    """Write a dump of one collection, and return the folder of its database."""
    folder = cli.folder / "dump" / database
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.bson").write_bytes(b"".join(map(bson.encode, records)))
    return folder


def raw_of(collection: Any) -> list[RawBSONDocument]:
    """Return the records as their own bytes, in the order of their keys."""
    options = bson.CodecOptions(document_class=RawBSONDocument)
    return list(collection.with_options(options).find(sort=[("_id", 1)]))


@pytest.fixture
def users(database: Any) -> Any:
    return database.client[database.name]["users"]


RECORDS = [{"_id": n, "status": "open" if n % 3 else "closed", "age": n, "of": -0.0} for n in range(12)]


def test_a_query_chooses_what_comes_back(cli: Cli, users: Any) -> None:
    dump = dumped(cli, RECORDS)
    tried = cli("restore", dump, "--query", '{"age": {"$gte": {"$numberLong": "6"}}}', "--dry-run", "--json")
    assert (tried.code, tried.json["planned"], tried.json["outcomes"]) == (0, 6, {"inserted": {"": 6}})
    assert users.count_documents({}) == 0

    (cli.folder / "query.json").write_text('{"status": "closed", "age": {"$gt": 0}}\n')
    done = cli("restore", dump, "--query", "@query.json", "--yes", "--json")
    assert (done.code, done.json["restored"], done.json["verification"]["ok"]) == (0, 3, True)
    assert [one.raw for one in raw_of(users)] == [bson.encode(RECORDS[n]) for n in (3, 6, 9)]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ('{"age": ', "the query cannot be read"),
        ('{"age": {"$gtx": 1}}', "the server does not take this query"),
        ("@nowhere.json", "cannot read the query in nowhere.json"),
    ],
)
def test_a_query_that_means_nothing_is_refused(cli: Cli, users: Any, query: str, says: str) -> None:
    cli.refused("restore", dumped(cli, RECORDS), "--query", query, "--yes", says=says)
    assert users.count_documents({}) == 0


def test_what_was_restored_is_marked_and_nothing_else(cli: Cli, users: Any, content: Content) -> None:
    kept = [RawBSONDocument(bson.encode(one)) for one in RECORDS[:4]]
    users.insert_many(kept)
    original = content()
    before = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    done = cli("restore", dumped(cli, RECORDS), "--mark", "restored_at", "--yes", "--json")

    assert (done.code, done.json["restored"], done.json["verification"]["ok"]) == (0, 8, True)
    for one, was in zip(raw_of(users), RECORDS, strict=True):
        if was["_id"] < 4:
            assert one.raw == bson.encode(was)
            continue
        marked = bson.decode(one.raw, codec_options=bson.CodecOptions(tz_aware=True))
        at = marked["restored_at"]
        assert before <= at <= datetime.now(UTC)
        assert one.raw == bson.encode({**was, "restored_at": at})
    assert cli("rollback", done.json["restore_id"], "--json").json["reverted"] == 8
    assert content() == original


@pytest.fixture
def other(database: Any) -> Iterator[Any]:
    """A second database of the same server."""
    name = f"{database.name}_other"
    yield database.client[name]
    database.client.drop_database(name)


def test_records_go_into_another_database_and_the_old_one_stays_untouched(
    cli: Cli, users: Any, other: Any, content: Content
) -> None:
    users.insert_many([{"_id": n, "age": "someone's work"} for n in range(6)])
    other["users"].insert_one({"_id": "mine"})
    original = content()
    dumped(cli, [{"_id": "a stranger"}], database="another")
    dump = dumped(cli, RECORDS, database=users.database.name).parent  # of the two, that of the old name is meant
    done = cli("restore", dump, "--target-db", other.name, "--yes", "--json")

    assert (done.code, done.json["restored"], done.json["verification"]["ok"]) == (0, 12, True)
    assert content() == original
    assert [one.raw for one in raw_of(other["users"])[:12]] == [bson.encode(one) for one in RECORDS]
    cli.refused("rollback", done.json["restore_id"], says="name that database (--db)")
    assert content() == original
    cli.db = cli.db.replace(users.database.name, other.name)
    assert cli("rollback", done.json["restore_id"], "--json").json["reverted"] == 12
    assert list(other["users"].find()) == [{"_id": "mine"}]


def test_all_or_nothing_is_one_transaction(cli: Cli, users: Any, content: Content) -> None:
    users.create_index("age", unique=True)
    users.insert_one({"_id": "other", "age": 11})
    original = content()
    dump = dumped(cli, RECORDS)

    tried = cli("restore", dump, "--all-or-nothing", "--dry-run", "--json")
    done = cli("restore", dump, "--all-or-nothing", "--yes", "--json")
    assert (done.code, done.json["restored"], done.json["success"]) == (3, 0, False)
    assert done.json["outcomes"] == tried.json["outcomes"]
    assert content() == original

    users.delete_one({"_id": "other"})
    done = cli("restore", dump, "--all-or-nothing", "--yes", "--json")
    assert (done.code, done.json["restored"], done.json["verification"]["ok"]) == (0, 12, True)
    assert [one.raw for one in raw_of(users)] == [bson.encode(one) for one in RECORDS]


def test_more_than_one_transaction_takes_is_refused_before_anything_is_written(cli: Cli, users: Any) -> None:
    dump = dumped(cli, ({"_id": n} for n in range(10_001)))
    done = cli.refused("restore", dump, "--all-or-nothing", "--yes", says="more than one transaction takes")
    assert "--transaction" in done.err
    assert users.count_documents({}) == 0
    assert not (cli.case / "restores").exists()


@pytest.mark.parametrize("on_conflict", ["skip", "replace"])
def test_a_dry_run_foresees_what_the_restore_then_does(
    cli: Cli, users: Any, content: Content, on_conflict: str
) -> None:
    users.database.command("create", "users", validator={"age": {"$lt": 100}})
    users.create_index("name", unique=True)
    users.insert_many([{"_id": 1, "age": 1, "name": "a"}, {"_id": 2, "age": 2, "name": "b"}])
    dump = dumped(
        cli,
        [
            {"_id": 1, "age": 10, "name": "a"},  # the database holds another version
            {"_id": 3, "age": 3, "name": "b"},  # collides with what is there
            {"_id": 4, "age": 400, "name": "d"},  # the validator refuses it
            {"_id": 5, "age": 5, "name": "e"},
            {"_id": 6, "age": 6, "name": "e"},  # collides with the one before
        ],
    )
    original = content()
    words = ["restore", dump, "--on-conflict", on_conflict, "--json"]
    tried, unchanged = cli(*words, "--dry-run").json, content() == original
    done = cli(*words, "--yes").json

    assert unchanged
    for name in ("plan_digest", "outcomes", "planned", "skipped", "failed", "success"):
        assert tried[name] == done[name], name
    key = "replaced" if on_conflict == "replace" else "skipped"
    assert {name: sum(counts.values()) for name, counts in done["outcomes"].items()} == {
        "inserted": 1, key: 1, "failed": 3,
    }  # fmt: skip
    assert [one["key"] for one in tried["errors"]] == [one["key"] for one in done["errors"]] == ["3", "4", "6"]
    version = 10 if on_conflict == "replace" else 1
    assert [(one["_id"], one["age"]) for one in users.find(sort=[("_id", 1)])] == [(1, version), (2, 2), (5, 5)]


COUNT = 30_000


def killed(cli: Cli, users: Any, number: int, *words: str | Path) -> Done:
    """Run a command, and send it a signal as soon as it has written to the database."""
    process = cli.start(*words)
    deadline = time.monotonic() + 60
    while process.poll() is None and not users.estimated_document_count():
        assert time.monotonic() < deadline
    process.send_signal(number)
    out, err = (stream.decode() for stream in process.communicate(timeout=60))
    return Done(process.returncode, out, err)


@pytest.fixture
def many(cli: Cli) -> Path:
    return dumped(cli, ({"_id": n, "text": "x" * 200} for n in range(COUNT)))


def test_a_killed_restore_is_resumed_and_leaves_every_record_once(
    cli: Cli, users: Any, many: Path, content: Content
) -> None:
    killed(cli, users, signal.SIGKILL, "restore", many, "--yes")
    assert 0 < users.count_documents({}) < COUNT
    (folder,) = (cli.case / "restores").glob("r*")
    cli.refused("restore", "--resume", folder.name, says="confirm with --yes")
    cli.refused("restore", many, "--resume", folder.name, "--yes", says="SOURCE cannot be given with --resume")
    written = content()
    tried = cli.refused("restore", "--resume", folder.name, "--dry-run", "--yes", says="--dry-run cannot be given with")
    assert f"verify {folder.name} says what is left" in tried.err
    assert content() == written
    cli.refused("restore", "--resume", "r-none", "--yes", says=folder.name)
    cli.refused("restore", "--yes", says="--resume ID")

    done = cli("restore", "--resume", folder.name, "--yes", "--json")
    assert done.code == 0, done.text
    assert (done.json["restored"], done.json["failed"], done.json["skipped"]) == (COUNT, 0, 0)
    assert done.json["verification"]["ok"]
    assert b"".join(users.find_raw_batches(sort=[("_id", 1)])) == (many / "users.bson").read_bytes()
    finished = content()
    again = cli("restore", "--resume", folder.name, "--yes", "--json")
    assert (again.code, again.json["restored"]) == (0, COUNT)
    assert any("nothing to do" in note for note in again.json["notes"])
    assert content() == finished


def test_an_interrupted_restore_says_how_to_finish_it(cli: Cli, users: Any, many: Path) -> None:
    done = killed(cli, users, signal.SIGINT, "restore", many, "--yes")
    assert done.code == 130
    told = dict(line.split(": ", 1) for line in done.err.splitlines() if line.startswith("to "))
    command, *words = shlex.split(told["to finish it"])
    assert command == "recovery-nb"
    finished = cli(*words, "--json")
    assert (finished.code, finished.json["restored"]) == (0, COUNT), finished.text
    assert users.count_documents({}) == COUNT
    assert shlex.split(told["to undo it"])[-2:] == ["rollback", finished.json["restore_id"]]


def test_a_restore_is_undone_in_parts_and_against_others_only_by_force(cli: Cli, users: Any, content: Content) -> None:
    users.insert_one({"_id": "kept"})
    original = content()
    identifier = cli("restore", dumped(cli, RECORDS), "--yes", "--json").json["restore_id"]
    (cli.folder / "keys.txt").write_text("3\n4\n4242\n")

    part = cli("rollback", identifier, "--keys", "keys.txt", "--json")
    assert (part.code, part.json["reverted"], part.json["unmatched"]) == (1, 2, ["4242"])
    assert users.count_documents({}) == 11
    users.update_one({"_id": 5}, {"$set": {"age": "someone's work"}})
    rest = cli("rollback", identifier)
    assert rest.code == 1
    assert "9 reverted, 1 left alone, 0 failed" in rest.out
    assert "--force" in rest.out.splitlines()[-1]
    assert {one["_id"] for one in users.find()} == {"kept", 5}
    forced = cli("rollback", identifier, "--force", "--json")
    assert (forced.code, forced.json["reverted"], forced.json["skipped"]) == (0, 1, 0)
    assert content() == original


@pytest.fixture
def everything(database: Any) -> Any:
    """A time-series, a view, a capped collection and a file in GridFS."""
    found = database.client[database.name]
    found.create_collection("metrics", timeseries={"timeField": "at", "metaField": "sensor"})
    start = datetime(2025, 12, 1, tzinfo=UTC)
    found["metrics"].insert_many(
        [{"at": start + timedelta(minutes=n), "sensor": n % 2, "value": n / 3} for n in range(40)]
    )
    found.create_collection("events", capped=True, size=100_000)
    found["events"].insert_many([{"_id": n} for n in (3, 1, 2)])
    found.command("create", "recent", viewOn="events", pipeline=[{"$match": {"_id": {"$gt": 1}}}])
    gridfs.GridFSBucket(found).upload_from_stream_with_id("contract", "contract.pdf", b"signed" * 100_000)
    return found


def described(database: Any) -> dict[str, Any]:
    """Return kind and options of every collection, and its records' own bytes; of the capped one, in its order."""
    listed = {one["name"]: (one["type"], one["options"]) for one in database.list_collections()}
    del listed["system.views"]
    return {
        name: (*facts, b"".join(database[name].find_raw_batches(sort=[("$natural" if name == "events" else "_id", 1)])))
        for name, facts in listed.items()
    }


def test_whatever_a_database_holds_comes_back_from_our_own_backup(cli: Cli, everything: Any) -> None:
    original = described(everything)
    taken = cli("backup", "--json")
    assert taken.code == 0, taken.text
    for name in ("metrics", "events", "recent", "fs.files", "fs.chunks"):
        everything.drop_collection(name)

    tried = cli("restore", taken.json["path"], "--dry-run")
    assert tried.code == 0
    assert "metrics (a time-series)" in tried.out
    assert "recent (a view)" in tried.out
    assert "│ system.buckets" not in tried.out
    done = cli("restore", taken.json["path"], "--yes", "--json")
    assert done.code == 0, done.text
    assert done.json["verification"]["ok"]
    assert described(everything) == original
    assert gridfs.GridFSBucket(everything).open_download_stream("contract").read() == b"signed" * 100_000
    assert sum(one["value"] for one in everything["metrics"].find()) == pytest.approx(sum(range(40)) / 3)
    assert cli("verify", taken.json["path"], "--live", "--json").json["problems"] == []

    undone = cli("rollback", done.json["restore_id"], "--json")
    assert (undone.code, undone.json["reverted"]) == (0, 9)
    assert sorted(undone.json["dropped"]) == ["events", "fs.chunks", "fs.files", "metrics", "recent"]
    assert set(everything.list_collection_names()) <= {"system.views"}
    # What it had made is gone, as it was before: that is as it should be, and there is nothing left to force.
    assert cli("verify", done.json["restore_id"], "--json").json["problems"] == []
    again = cli("rollback", done.json["restore_id"], "--force", "--json")
    assert (again.code, again.json["reverted"]) == (0, 0)


def test_what_a_damaged_backup_lost_is_said_and_costs_the_exit_code(cli: Cli, database: Any) -> None:
    store = database.client[database.name]
    for name in ("a", "b", "c"):
        store[name].insert_many([{"_id": n, "v": f"{name}{n}", "pad": "x" * 50} for n in range(50)])
    backup = Path(cli("backup", "--compression", "none", "--json").json["path"])
    for name in ("a", "b", "c"):
        store.drop_collection(name)
    folder = next(path.parent for path in backup.rglob("a.bson"))
    (folder / "a.bson").write_bytes((folder / "a.bson").read_bytes()[:600])
    (folder / "b.bson").unlink()

    tried = cli("restore", backup, "--dry-run", "--json")
    assert tried.code == 1
    done = cli("restore", backup, "--yes", "--json")
    assert (done.code, done.json["failed"]) == (1, 0)
    assert [one["reason"] for one in done.json["damage"]] == [
        "a record of 84 bytes is cut: the file ends 12 bytes after its start"
    ]
    assert any("b.bson: it is missing" in line for line in done.json["unread"])
    assert all(str(backup) in line and line.endswith(f"verify {backup}") for line in done.json["unread"])
    assert sorted(store.list_collection_names()) == ["a", "c"]  # nothing is made that nothing could be read of
    assert store["c"].count_documents({}) == 50
    assert 0 < store["a"].count_documents({}) < 50
    assert "damaged: " in cli("restore", backup, "--dry-run").out


def test_records_in_the_place_of_others_are_not_restored(cli: Cli, database: Any) -> None:
    store = database.client[database.name]
    for name in ("a", "b"):
        store[name].insert_many([{"_id": n, "v": f"{name}{n}"} for n in range(50)])
    backup = Path(cli("backup", "--compression", "none", "--json").json["path"])
    first, second = next(backup.rglob("a.bson")), next(backup.rglob("b.bson"))
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    store["a"].delete_many({})
    done = cli("restore", backup, "--yes", "--json")
    assert (done.code, done.json["restored"]) == (1, 0)
    assert any("left out" in line and "it holds what" in line for line in done.json["unread"])
    assert store["a"].count_documents({}) == 0


def test_views_and_empty_collections_that_are_lost_are_told_and_made(cli: Cli, everything: Any) -> None:
    everything.create_collection("nothing_yet")
    backup = cli("backup", "--json").json["path"]
    assert (whole := cli("compare", backup, "--json")).code == 0, whole.text
    assert whole.json["structures"] == {}
    for name in ("recent", "nothing_yet"):
        everything.drop_collection(name)

    lost = {"nothing_yet": "collection", "recent": "view"}
    found = cli("compare", backup, "--json")
    assert (found.code, found.json["structures"]) == (1, lost)
    assert sum(counts["missing"] for counts in found.json["collections"].values()) == 0
    told = cli("compare", backup).out
    assert "the database lacks, as the sources describe it: nothing_yet, recent (a view)" in told
    assert "to see what a restore would do: " in told
    assert cli("compare", backup, "--collection", "events", "--json").json["structures"] == {}

    tried = cli("restore", backup, "--dry-run", "--json")
    assert (tried.code, tried.json["made"], tried.json["planned"]) == (0, lost, 0)
    assert "recent" not in everything.list_collection_names()
    done = cli("restore", backup, "--yes", "--json")
    assert (done.code, done.json["made"], done.json["restored"]) == (0, lost, 0)
    assert lost.keys() <= set(everything.list_collection_names())
    assert (again := cli("restore", "--resume", done.json["restore_id"], "--yes", "--json")).code == 0, again.text
    assert again.json["made"] == lost
    assert cli("compare", backup, "--json").json["structures"] == {}
    assert sorted(cli("rollback", done.json["restore_id"], "--json").json["dropped"]) == [*lost]


def test_a_view_that_cannot_be_made_is_not_told_as_made(cli: Cli, database: Any) -> None:
    folder = dumped(cli, RECORDS)
    stated = {"options": {"viewOn": "users", "pipeline": [{"$nonsense": 1}]}, "indexes": [], "type": "view"}
    (folder / "bad.metadata.json").write_text(json.dumps(stated))
    done = cli("restore", folder, "--yes", "--json")
    assert (done.code, done.json["made"], done.json["restored"]) == (3, {}, 12)
    assert [one["collection"] for one in done.json["errors"]] == ["bad"]


def test_a_restore_into_another_database_is_verified_and_ended_from_the_first(
    cli: Cli, other: Any, many: Path, content: Content
) -> None:
    original = content()
    killed(cli, other["users"], signal.SIGKILL, "restore", many, "--target-db", other.name, "--yes")
    (folder,) = (cli.case / "restores").glob("r*")

    for target in (folder.name, cli.case):
        found = cli("verify", target, "--json")
        assert found.code == 1
        assert [one["what"].partition(";")[0] for one in found.json["problems"]] == ["it did not end: applying"]
        assert f"{folder.name} was checked in {other.name}, which it wrote to" in found.json["notes"]
        told = dict(line.split(": ", 1) for line in found.json["notes"] if line.startswith("to "))
    assert f"note: to undo {folder.name}: recovery-nb" in cli("verify", folder.name).out

    elsewhere = Cli(cli.folder)  # the command that is told names the database itself
    _, *words = shlex.split(told[f"to finish {folder.name}"])
    finished = elsewhere(*words, "--json")
    assert (finished.code, finished.json["restored"]) == (0, COUNT), finished.text
    verified = cli("verify", folder.name, "--json")
    assert (verified.code, verified.json["problems"], verified.json["checked"]) == (0, [], COUNT)
    assert not any(line.startswith("to ") for line in verified.json["notes"])
    _, *words = shlex.split(told[f"to undo {folder.name}"])
    assert elsewhere(*words, "--json").json["reverted"] == COUNT
    assert (other["users"].count_documents({}), content()) == (0, original)
