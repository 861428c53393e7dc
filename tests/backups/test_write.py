from __future__ import annotations

import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.backups import verify_backup, write_backup
from recovery_nb.backups.json_layout import sorted_compact
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Event
from recovery_nb.records.batch import RecordBatch
from recovery_nb.sources.content import Folder
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.dump.names import file_stem
from recovery_nb.sources.mongodb import Database


def test_the_bson_layout_holds_the_records_byte_for_byte(shop: Database, samples: Path, tmp_path: Path) -> None:
    result = write_backup(shop, tmp_path)
    dump = samples / "mongodump" / "shop"
    for original in dump.glob("*.bson"):
        assert (result.path / shop.name / original.name).read_bytes() == original.read_bytes(), original.name
    truth = json.loads((samples / "truth.json").read_text())["counts"]
    stored = {name: n for name, n in truth.items() if name not in ("metrics", "open_quotes")}
    assert {name: n for name, n in result.collections.items() if not name.startswith("system.")} == stored
    assert verify_backup(result.path).ok


def test_what_is_not_of_the_snapshot_is_said(shop: Database, tmp_path: Path) -> None:
    whole = write_backup(shop, tmp_path, collections=["quotes", "users"])
    assert whole.consistent
    assert whole.cluster_time is not None
    notes: list[Event] = []
    mixed = write_backup(shop, tmp_path, collections=["quotes", "events_capped"], emit=notes.append)
    assert not mixed.consistent
    assert [event.what for event in notes if event.note] == ["events_capped"]
    collections = json.loads((mixed.path / "manifest.json").read_text())["collections"]
    assert {name: entry["consistent"] for name, entry in collections.items()} == {
        "events_capped": False,
        "quotes": True,
    }


def test_metadata_is_what_mongodump_writes(shop: Database, samples: Path, tmp_path: Path) -> None:
    folder = write_backup(shop, tmp_path).path / shop.name
    for original in (samples / "mongodump" / "shop").glob("*.metadata.json"):
        ours = json_util.loads((folder / original.name).read_text())
        theirs = json_util.loads(original.read_text())
        assert re.fullmatch("[0-9a-f]{32}", ours.pop("uuid", "0" * 32))
        theirs.pop("uuid", None)
        assert ours == theirs, original.name
        assert list(ours) == list(theirs)


def test_a_dump_source_reads_a_backup_and_says_when_it_was_taken(small: Database, tmp_path: Path) -> None:
    result = write_backup(small, tmp_path)
    source = DumpSource(Folder.on_disk(result.path / small.name))
    header = source.header()
    assert (header.taken_at, header.taken_from) == (result.taken_at, "manifest")
    assert (header.origin, header.version) == (small.name, "2")
    assert sum(len(batch) for batch in source.read() if isinstance(batch, RecordBatch)) == 25


def test_the_json_layout_is_the_specifications(shop: Database, tmp_path: Path, samples: Path) -> None:
    result = write_backup(shop, tmp_path, layout="json", prefix="pre_recovery")
    assert re.fullmatch(r"pre_recovery_\d{8}_\d{6}\.json", result.path.name)
    value = json.loads(result.path.read_text("utf-8"))
    assert list(value) == ["timestamp", "version", "source", "collections", "metadata"]
    assert (value["version"], value["source"]) == ("1.0", shop.name)
    truth = json.loads((samples / "truth.json").read_text())["counts"]
    counts = {name: n for name, n in truth.items() if name != "open_quotes"}
    assert {name: len(records) for name, records in value["collections"].items()} == counts == result.collections
    canonical = json.dumps(value["collections"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert value["metadata"]["checksum"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert value["metadata"]["total_records"] == sum(counts.values())
    assert verify_backup(result.path).ok


@given(st.dictionaries(st.text(), st.text() | st.integers(0, 2**32) | st.booleans() | st.none(), max_size=8))
def test_the_checksums_form_is_that_of_pythons_json(value: dict[str, object]) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sorted_compact(json.dumps({"a": value})) == f'{{"a":{expected}}}'.encode()


@pytest.mark.parametrize("layout", ["bson", "json"])
def test_a_backup_under_concurrent_writes_is_of_one_point_in_time(database: Any, tmp_path: Path, layout: Any) -> None:
    store = database.client[database.name]
    store.accounts.insert_many([{"_id": n, "balance": 100, "pad": "x" * 2000} for n in range(4000)])
    store.ledger.insert_many([{"_id": n, "paid": 0, "pad": "x" * 2000} for n in range(4000)])
    done, moves = threading.Event(), [0]

    def move() -> None:
        with database.client.start_session() as session:
            while not done.is_set():
                with session.start_transaction():
                    which = {"_id": moves[0] % 4000}
                    store.accounts.update_one(which, {"$inc": {"balance": -1}}, session=session)
                    store.ledger.update_one(which, {"$inc": {"paid": 1}}, session=session)
                moves[0] += 1

    opened, during = Database(database.uri), []
    writer = threading.Thread(target=move)
    writer.start()
    try:
        result = write_backup(opened, tmp_path, layout=layout, emit=lambda event: during.append(moves[0]))
    finally:
        done.set()
        writer.join()
        opened.close()
    assert during[-1] > during[0], "nothing was written while the backup ran: the test shows nothing"
    if layout == "json":
        value = json_util.loads(result.path.read_text())["collections"]
        sums = [sum(r["balance"] for r in value["accounts"]), sum(r["paid"] for r in value["ledger"])]
    else:
        folder = result.path / database.name
        sums = [
            sum(r[field] for r in bson.decode_all((folder / f"{name}.bson").read_bytes()))
            for name, field in (("accounts", "balance"), ("ledger", "paid"))
        ]
    assert sum(sums) == 400_000


def test_odd_collection_names_are_escaped_and_come_back(database: Any, tmp_path: Path) -> None:
    names = ["a/b", "per%cent", "sp ace", "ünïcode", "a" * 180 + "/" * 20]
    for name in names:
        database.client[database.name][name].insert_one({"_id": name})
    opened = Database(database.uri)
    result = write_backup(opened, tmp_path)
    opened.close()
    assert result.collections == dict.fromkeys(sorted(names), 1)
    source = DumpSource(Folder.on_disk(result.path / database.name))
    assert sorted(source.collections().values()) == sorted(names)
    assert file_stem("a/b") == "a%2Fb"
    assert verify_backup(result.path).ok


def test_only_the_collections_asked_for(small: Database, tmp_path: Path) -> None:
    assert write_backup(small, tmp_path, collections=["users"]).collections == {"users": 5}
    with pytest.raises(BadInputError, match=r"no collection uesrs; it has quotes, users"):
        write_backup(small, tmp_path, collections=["uesrs"])


def test_an_empty_database_makes_an_empty_backup(database: Any, tmp_path: Path) -> None:
    opened = Database(database.uri)
    for layout in ("bson", "json"):
        result = write_backup(opened, tmp_path, layout=layout)  # type: ignore[arg-type]  # mypy widens the loop
        assert (result.records, result.collections) == (0, {})
        assert result.path.exists()
    opened.close()


@pytest.mark.parametrize("layout", ["bson", "json"])
def test_an_existing_backup_is_never_overwritten(small: Database, tmp_path: Path, layout: Any) -> None:
    paths = {write_backup(small, tmp_path, layout=layout).path for _ in range(4)}
    assert len(paths) == 4
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name for path in paths}
    assert all(verify_backup(path).ok for path in paths)


def test_progress_is_told(small: Database, tmp_path: Path) -> None:
    events: list[Event] = []
    write_backup(small, tmp_path, emit=events.append)
    assert [(event.what, event.done) for event in events if event.done] == [("quotes", 20), ("users", 5)]


def test_records_that_decoding_would_change_are_kept(database: Any, tmp_path: Path) -> None:
    twice = bson.encode({"_id": 1, "a": 1}).replace(b"\x10a\x00", b"\x10a\x00\x01\x00\x00\x00\x10a\x00")
    record = len(twice).to_bytes(4, "little") + twice[4:]
    database.client[database.name].odd.insert_one(RawBSONDocument(record))
    opened = Database(database.uri)
    result = write_backup(opened, tmp_path)
    opened.close()
    assert (result.path / database.name / "odd.bson").read_bytes() == record


def test_a_target_that_is_no_folder_is_refused_in_one_line(small: Database, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    for target in (file, file / "below", link, Path("/proc/nowhere"), Path("/proc/self/fdinfo")):
        with pytest.raises(RecoveryError) as caught:
            write_backup(small, target)
        assert caught.value.exit_code == 2
        assert str(target) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert file.read_text() == "mine"
    assert {entry.name for entry in tmp_path.iterdir()} == {"file", "link"}
