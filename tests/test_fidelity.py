"""Fidelity: what comes back from a backup, through the public API alone, is to the bit what was there.

Two servers, one name: the second holds nothing but what restores have written, and answers as the first does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import pytest
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import MongoClient

from recovery_nb import Case
from recovery_nb.backups import Compression
from recovery_nb.compare.result import Comparison
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.records.elements import build, elements, split
from recovery_nb.restore import RestoreResult
from recovery_nb.restore.shape import MAX_STORED_BYTES

from .specimens import fill, put

NAME = "shop"
CAPPED = ("narrow", "ring")
DROPPED = ("clustered", "empty", "ticks", "a view of a view", "of nothing")


@dataclass(frozen=True)
class State:
    """All that a server tells of a database.

    Attributes:
        hashes: What the server itself says that the records of each collection are.
        records: The records of each, in the order of their `_id`s; of a capped one, in the order that it keeps.
        structure: Its kind with its options, and its indexes by their names; all undecoded. The buckets of a
            time-series have no indexes of their own: theirs are the server's translation of the series'.
    """

    hashes: dict[str, str]
    records: dict[str, list[bytes]]
    structure: dict[str, tuple[bytes, list[bytes]]]


@dataclass(frozen=True)
class Server:
    """A server of the test's own, and the database in it."""

    uri: str
    client: MongoClient[Any]

    @property
    def store(self) -> Any:
        return self.client[NAME]

    def told(self, command: str, name: str | int = 1) -> list[RawBSONDocument]:
        return list(self.store.cursor_command(command, name, codec_options=DEFAULT_RAW_BSON_OPTIONS))

    def state(self) -> State:
        hashes = dict(self.store.command("dbHash")["collections"])
        structure = {}
        for entry in self.told("listCollections"):
            name, fields = entry["name"], {field: value for _, field, value in elements(bytes(entry.raw))}
            indexed = entry["type"] != "view" and not name.startswith("system.buckets.")
            indexes = self.told("listIndexes", name) if indexed else []
            structure[name] = (fields[b"type"] + fields[b"options"], sorted(bytes(index.raw) for index in indexes))
        return State(hashes, {name: self.records(name) for name in hashes}, structure)

    def records(self, name: str) -> list[bytes]:
        cursor = self.store[name].find_raw_batches({}, sort=None if name in CAPPED else [("_id", 1)])
        return [record for buffer in cursor for record in split(buffer)]


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file with a secret age key, and its public one."""
    key = pyrage.x25519.Identity.generate()
    path = tmp_path_factory.mktemp("keys") / "key.txt"
    path.write_text(f"{key}\n")
    return path, str(key.to_public())


@contextmanager
def _server(folder: Path) -> Iterator[Server]:
    with EmbeddedMongod(folder) as mongod, MongoClient(mongod.uri(), datetime_conversion="DATETIME_AUTO") as client:
        yield Server(mongod.uri(NAME), client)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, samples: Path) -> Iterator[Server]:
    """The server that holds one of everything."""
    with _server(tmp_path_factory.mktemp("first")) as server:
        fill(server.store, samples)
        yield server


@pytest.fixture(scope="module")
def original(first: Server) -> State:
    return first.state()


@pytest.fixture(scope="module")
def _second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with _server(tmp_path_factory.mktemp("second")) as server:
        yield server


@pytest.fixture
def second(_second: Server) -> Iterator[Server]:
    """Another server, with nothing in it."""
    yield _second
    _second.client.drop_database(NAME)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch, identity: tuple[Path, str]) -> None:
    monkeypatch.setenv("RECOVERY_NB_AGE_IDENTITIES", str(identity[0]))


def assert_same(found: State, original: State) -> None:
    assert found.hashes == original.hashes
    for name, described in original.structure.items():
        assert found.structure[name] == described, name
    for name, records in original.records.items():
        assert found.records[name] == records, name
    assert found.structure.keys() == original.structure.keys()


def assert_clean(comparison: Comparison, original: State) -> None:
    """Every record is identical, and none is passed over but those of the server itself."""
    counts = {name: +Counter(count) for name, count in comparison.summary.collections.items()}
    assert counts == {name: {"identical": count} for name, count in held(original).items()}


def held(state: State) -> dict[str, int]:
    """How many records each collection has that has any; a view is none, though the server keeps it as one."""
    return {name: len(found) for name, found in state.records.items() if found and name != "system.views"}


def restored(case: Case, comparison: Comparison) -> RestoreResult:
    """Restore everything that differs, foretold before and verified afterwards."""
    plan = case.plan(comparison, only=("missing", "changed", "equivalent"), on_conflict="replace")
    foretold = case.restore(plan, comparison, dry_run=True)
    done = case.restore(plan, comparison)
    assert (done.failed, done.skipped, done.errors, done.conflicts, done.success) == (0, 0, [], [], True)
    assert (foretold.failed, foretold.skipped, foretold.errors, foretold.conflicts, foretold.success) == (
        (done.failed, done.skipped, done.errors, done.conflicts, done.success)
    )
    assert foretold.outcomes == done.outcomes
    assert foretold.planned == done.planned == done.restored
    assert case.verify(done.restore_id).problems == ()
    return done


def made_the_same(case: Case, backup: Path, second: Server, original: State) -> None:
    """Restore a backup into an empty database, and hold the two against each other in every way there is."""
    done = restored(case, case.compare(backup))
    assert done.outcomes == {"inserted": {"": sum(held(original).values())}}
    assert_same(second.state(), original)
    assert_clean(case.compare(backup), original)
    assert case.verify(backup, live=True).problems == ()


@pytest.mark.parametrize(("compression", "encrypted"), [("none", False), ("gzip", False), ("zstd", True)])
def test_an_empty_database_becomes_the_same_one(
    compression: Compression, encrypted: bool, first: Server, original: State, second: Server,
    identity: tuple[Path, str], tmp_path: Path,
) -> None:  # fmt: skip
    with Case.open(tmp_path / "first", database=first.uri) as case:
        backup = case.backup(compression=compression, age_recipients=[identity[1]] if encrypted else []).path
    with Case.open(tmp_path / "second", database=second.uri) as case:
        made_the_same(case, backup, second, original)


def test_what_was_lost_and_changed_comes_back_and_a_rollback_takes_it_away_again(
    first: Server, original: State, second: Server, tmp_path: Path
) -> None:
    with Case.open(tmp_path / "first", database=first.uri) as case:
        backup = case.backup(compression="zstd").path
        assert case.verify(backup, live=True).problems == ()
    with Case.open(tmp_path / "second", database=second.uri) as case:
        made_the_same(case, backup, second, original)
        own = case.backup()
        assert {name: count for name, count in own.collections.items() if count} == held(original)
        assert case.verify(own.path, live=True).problems == ()
        damage(second)
        before = second.state()
        done = restored(case, case.compare(backup))
        assert done.outcomes.keys() == {"inserted", "replaced"}
        assert_same(second.state(), original)
        undone = case.rollback(done.restore_id)
        assert (undone.failed, undone.skipped, undone.errors) == (0, 0, [])
        assert undone.reverted == done.restored
        assert sorted(undone.dropped) == sorted(DROPPED)
        assert_same(second.state(), before)


def damage(server: Server) -> None:
    """Of every collection, delete records, add to some and turn the fields of others; drop a few collections."""
    for name in DROPPED:
        server.store.drop_collection(name)
    for name, records in server.state().records.items():
        if name in CAPPED:
            server.store[name].update_one({}, {"$set": {"text": "y" * 50}})
            if name == "ring":  # what comes back is the newest record, and a live collection is not filled to the brim
                remove(server, name, records[-1])
        elif name.startswith("system.buckets."):
            for record in records[:1]:
                remove(server, name, record)
        elif name != "system.views":
            for place, record in enumerate(records):
                spoil(server, name, record, ("lost", "longer", "kept", "lost", "turned")[place % 5])


def spoil(server: Server, name: str, record: bytes, how: str) -> None:
    own, *others = elements(record)
    full = len(record) == MAX_STORED_BYTES
    made = {
        "kept": record,
        "lost": b"",
        "longer": build([own]) if full else build([own, *others, (0x10, b"more", bytes(4))]),
        "turned": build([own, *reversed(others)]),
    }[how]
    if made != record:
        remove(server, name, record)
        put(server.store, name, [made] if made else [])


def remove(server: Server, name: str, record: bytes) -> None:
    kind, _, value = next(iter(elements(record)))
    wanted = RawBSONDocument(build([(0x03, b"_id", build([(kind, b"$eq", value)]))]))
    assert server.store[name].delete_one(wanted).deleted_count == 1
