from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import bson
from bson import ObjectId
from gridfs import GridFS

from recovery_nb.restore import Selected
from recovery_nb.selection import Choice


def put(bench: Any, name: str, content: bytes, *, md5: bool = False, **more: Any) -> ObjectId:
    own: ObjectId = GridFS(bench.db).put(content, filename=name, chunk_size=1000, **more)
    if md5:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        bench.db["fs.files"].update_one({"_id": own}, {"$set": {"md5": digest}})
    return own


def lose(bench: Any, *owns: ObjectId) -> None:
    for own in owns:
        GridFS(bench.db).delete(own)


def collections(chosen: list[Selected]) -> list[str]:
    return [one.collection for one in chosen]


def test_a_file_that_is_named_brings_its_chunks_and_they_come_first(bench: Any) -> None:
    content = os.urandom(4321)
    own, other = put(bench, "report.pdf", content), put(bench, "other.pdf", b"x" * 2500)
    comparison_source = bench.dump()
    lose(bench, own, other)
    comparison = bench.case.compare(comparison_source)

    chosen = bench.select(comparison, keys=[Choice(str(own), "fs.files")])

    assert collections(chosen) == ["fs.chunks"] * 5 + ["fs.files"]
    assert not any(one.hold for one in chosen)
    assert bench.restore(comparison, chosen).restored == 6
    assert GridFS(bench.db).get(own).read() == content
    assert not GridFS(bench.db).exists(other)


def test_all_deleted_files_come_back_whole(bench: Any) -> None:
    contents = {put(bench, f"{n}", os.urandom(n * 700), md5=True): n for n in range(5)}
    read = {own: GridFS(bench.db).get(own).read() for own in contents}
    source = bench.dump()
    lose(bench, *contents)
    comparison = bench.case.compare(source)

    result = bench.restore(comparison, bench.select(comparison))

    assert (result.failed, result.skipped) == (0, 0)
    assert {own: GridFS(bench.db).get(own).read() for own in contents} == read


def test_collection_of_the_files_means_their_chunks_too(bench: Any) -> None:
    content = os.urandom(2345)
    own = put(bench, "a", content)
    source = bench.dump()
    lose(bench, own)

    comparison = bench.case.compare(source, collection="fs.files")

    assert sorted(comparison.summary.collections) == ["fs.chunks", "fs.files"]
    bench.restore(comparison, bench.select(comparison))
    assert GridFS(bench.db).get(own).read() == content


def test_files_can_go_to_another_bucket(bench: Any) -> None:
    content = os.urandom(2345)
    own = put(bench, "a", content)
    comparison = bench.case.compare(bench.dump(), collection="fs.files", target="back.files")

    bench.restore(comparison, bench.select(comparison))

    assert GridFS(bench.db, "back").get(own).read() == content


def test_a_file_of_which_a_chunk_is_lost_is_held_with_all_of_it_unless_partial_is_said(bench: Any) -> None:
    own, whole = put(bench, "broken", b"a" * 3500), put(bench, "whole", b"b" * 1500)
    bench.db["fs.chunks"].delete_one({"files_id": own, "n": 2})
    source = bench.dump()
    lose(bench, own, whole)
    comparison = bench.case.compare(source)

    held = {one.hold for one in bench.select(comparison) if one.hold}
    count = sum(1 for one in bench.select(comparison) if one.hold)

    assert held == {"not whole: missing chunks (of 0-3): 2; its chunks hold 2,500 bytes, not 3,500"}
    assert count == 4
    named = bench.select(comparison, keys=[Choice(str(own), "fs.files", partial=True)])
    assert collections(named) == ["fs.chunks"] * 3 + ["fs.files"]
    assert not any(one.hold for one in named)


def test_a_file_whose_md5_does_not_hold_is_held(bench: Any) -> None:
    own = put(bench, "a", b"a" * 2500, md5=True)
    bench.db["fs.chunks"].update_one({"files_id": own, "n": 1}, {"$set": {"data": b"b" * 1000}})
    source = bench.dump()
    lose(bench, own)

    holds = {one.hold for one in bench.select(bench.case.compare(source))}

    assert len(holds) == 1
    assert "not whole: its MD5 is" in holds.pop()


def test_the_md5_of_a_file_counts_the_chunks_that_the_database_still_has(bench: Any) -> None:
    content = os.urandom(5500)
    own = put(bench, "a", content, md5=True)
    source = bench.dump()
    bench.db["fs.chunks"].delete_many({"files_id": own, "n": {"$in": [1, 4]}})
    bench.db["fs.files"].delete_one({"_id": own})
    comparison = bench.case.compare(source)

    chosen = bench.select(comparison, keys=[Choice(str(own))])

    assert collections(chosen) == ["fs.chunks"] * 2 + ["fs.files"]
    assert not any(one.hold for one in chosen)
    bench.restore(comparison, chosen)
    assert GridFS(bench.db).get(own).read() == content


def test_a_file_that_was_stored_anew_is_not_mixed_with_the_old_one(bench: Any) -> None:
    own = put(bench, "a", b"old" * 700)
    source = bench.dump()
    lose(bench, own)
    put(bench, "a", b"new" * 700, _id=own)
    comparison = bench.case.compare(source)

    chosen = bench.select(comparison)

    assert {one.hold for one in chosen} == {"the database holds other chunks of this file"}
    bench.restore(comparison, chosen)
    assert GridFS(bench.db).get(own).read() == b"new" * 700


def test_of_two_versions_in_two_backups_the_files_own_chunks_are_taken(bench: Any) -> None:
    own = put(bench, "a", b"old" * 700)
    old = bench.dump("old", day=1)
    lose(bench, own)
    put(bench, "a", b"new" * 700, _id=own)
    new = bench.dump("new", day=2)
    lose(bench, own)
    comparison = bench.case.compare(old, new)

    chosen = bench.select(comparison)

    assert {one.hold for one in chosen} == {"", "a chunk of another version of its file"}
    bench.restore(comparison, chosen)
    assert GridFS(bench.db).get(own).read() == b"new" * 700


def test_chunks_and_files_in_two_sources_make_whole_files(bench: Any, tmp_path: Path) -> None:
    content = os.urandom(2222)
    own = put(bench, "a", content, md5=True)
    paths = []
    for name in ("fs.files", "fs.chunks"):
        paths.append(tmp_path / f"{name}.bson")
        paths[-1].write_bytes(b"".join(bench.raw(name)))
    lose(bench, own)
    comparison = bench.case.compare(*paths)

    bench.restore(comparison, bench.select(comparison))

    assert GridFS(bench.db).get(own).read() == content


def test_documents_without_any_chunk_are_held(bench: Any, tmp_path: Path) -> None:
    own = put(bench, "a", b"x" * 1500)
    path = tmp_path / "fs.files.bson"
    path.write_bytes(b"".join(bench.raw("fs.files")))
    lose(bench, own)

    (one,) = bench.select(bench.case.compare(path))

    assert one.hold == "not whole: missing chunks (of 0-1): 0-1; its chunks hold 0 bytes, not 1,500"


def test_a_lost_chunk_of_a_file_that_is_there_comes_back(bench: Any) -> None:
    content = os.urandom(3100)
    own = put(bench, "a", content)
    source = bench.dump()
    bench.db["fs.chunks"].delete_one({"files_id": own, "n": 1})
    comparison = bench.case.compare(source)

    bench.restore(comparison, bench.select(comparison))

    assert GridFS(bench.db).get(own).read() == content


def test_collections_that_are_only_called_like_gridfs_are_records_like_others(bench: Any, bson_file: Any) -> None:
    path = bson_file("my.files.bson", [{"_id": n, "name": "x"} for n in range(3)])

    chosen = bench.select(bench.case.compare(path))

    assert [bson.decode(one.planned)["_id"] for one in chosen] == [0, 1, 2]
    assert not any(one.hold for one in chosen)
