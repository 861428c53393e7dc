"""The json layout keeps records only: what else the database had is said when the backup is taken, and in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recovery_nb.backups import verify_backup, write_backup
from recovery_nb.sources.mongodb import Database


def stated(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.read_text("utf-8"))["metadata"]["not_kept"]
    return found


def test_every_kind_of_collection_option_and_index_that_is_lost_is_named(everything: Database, tmp_path: Path) -> None:
    store = everything.client[everything.name]
    store.command({"createIndexes": "clustered", "indexes": [{"name": n, "key": {n: 1}} for n in ("x", "y")]})
    store.command({"collMod": "ring", "changeStreamPreAndPostImages": {"enabled": True}})
    taken = write_backup(everything, tmp_path, layout="json")
    lost = stated(taken.path)
    files, chunks = lost.pop("papers.files"), lost.pop("papers.chunks")
    assert (files, chunks) == ("has an index", "has a unique index")
    assert lost == {
        "checked": "has a validator, a collation and a unique index",
        "clustered": "is clustered and has 2 indexes",
        "empty": "is empty and has a validator",
        "ring": "is capped and has the option changeStreamPreAndPostImages",
        "seen": "is a view",
        "series": "is a time-series",
    }
    (note,) = taken.notes
    assert "clustered is clustered and has 2 indexes, empty is empty and has a validator, " in note
    assert note.endswith(
        "series is a time-series: the json format keeps records only; take the bson format to keep them"
    )
    assert taken.summary["not kept"] == note


def test_the_file_is_as_sound_as_without_and_states_its_count_and_checksum_last(
    everything: Database, tmp_path: Path
) -> None:
    taken = write_backup(everything, tmp_path, layout="json", compression="zstd")
    assert verify_backup(taken.path).ok
    plain = write_backup(everything, tmp_path, layout="json").path
    assert list(json.loads(plain.read_text("utf-8"))["metadata"])[-3:] == ["total_records", "exported_by", "checksum"]
    whole = plain.read_bytes()
    for old, new in ((b'"10"', b'"11"'), (b'"total_records": 1', b'"total_records": 2')):
        assert old in whole
        plain.write_bytes(whole.replace(old, new, 1))
        assert not verify_backup(plain).ok


@pytest.mark.parametrize("layout", ["bson", "json"])
def test_nothing_is_said_where_nothing_is_lost(small: Database, tmp_path: Path, layout: Any) -> None:
    taken = write_backup(small, tmp_path, layout=layout)
    assert taken.notes == ()
    assert "not kept" not in taken.summary


def test_the_bson_layout_keeps_all_of_it(everything: Database, tmp_path: Path) -> None:
    assert write_backup(everything, tmp_path).notes == ()


def test_only_what_was_backed_up_is_named(everything: Database, tmp_path: Path) -> None:
    assert list(stated(write_backup(everything, tmp_path, layout="json", collections=["seen", "ring"]).path)) == [
        "ring",
        "seen",
    ]


def test_of_very_many_collections_the_note_and_the_file_name_a_part(database: Any, tmp_path: Path) -> None:
    store = database.client[database.name]
    for number in range(110):
        store.create_collection(f"c{number:03}-{'y' * 100}")
    opened = Database(database.uri)
    try:
        taken = write_backup(opened, tmp_path, layout="json")
    finally:
        opened.close()
    (note,) = taken.notes
    assert note.count("is empty") == 20
    assert "(and 90 more collections)" in note
    assert len(stated(taken.path)) == 100
    assert verify_backup(taken.path).ok
