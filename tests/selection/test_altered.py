"""What a backup holds that is not what was written is not restored in silence: it waits until it is named."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import gridfs
import pytest

from recovery_nb import Case
from recovery_nb.backups import Compression
from recovery_nb.browse.browser import Browser
from recovery_nb.browse.view import View
from recovery_nb.restore import RestoreResult
from recovery_nb.selection import Choice

from .conftest import Bench

HELD = "does not agree with its manifest"


def backup(bench: Bench, compression: Compression = "none") -> Path:
    return bench.case.backup(compression=compression).path


def alter(backup: Path, name: str, old: bytes, new: bytes) -> None:
    """Change bytes of a file of a backup, of which there is one such place, to as many others."""
    path = next(backup.rglob(name))
    whole = path.read_bytes()
    assert whole.count(old) == 1
    assert len(old) == len(new)
    path.write_bytes(whole.replace(old, new))


def restored(bench: Bench, *sources: Path, keys: list[Choice] | None = None, **more: Any) -> RestoreResult:
    """Restore what the sources have; what the dry run foretells is what happens."""
    comparison = bench.case.compare(*sources)
    plan = bench.case.plan(comparison, keys=keys, **more)
    foretold = bench.case.restore(plan, comparison, dry_run=True)
    done = bench.case.restore(plan, comparison)
    assert foretold.outcomes == done.outcomes
    assert done.success
    return done


def held(result: RestoreResult) -> int:
    """How many records wait; each is told why, and what brings it back."""
    waiting = {reason: n for reason, n in result.outcomes.get("skipped", {}).items() if reason.startswith("held: ")}
    assert all("name its key in a --keys FILE" in reason for reason in waiting)
    return sum(waiting.values())


@pytest.fixture
def lost(bench: Bench) -> Bench:
    """Two collections."""
    for name in ("a", "b"):
        bench.db[name].insert_many([{"_id": n, "v": f"{name}-value-{n:02}"} for n in range(20)])
    return bench


def drop(bench: Bench) -> None:
    for name in ("a", "b"):
        bench.db.drop_collection(name)


def test_an_altered_byte_holds_back_the_records_of_its_file_and_of_no_other(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    drop(lost)
    result = restored(lost, folder)

    assert lost.db.a.count_documents({}) == 0
    assert lost.db.b.count_documents({}) == 20
    assert (held(result), result.skipped, result.failed) == (20, 20, 0)
    assert {(one.collection, HELD in one.reason) for one in result.conflicts} == {("a", True)}
    assert f"{lost.name}/a.bson" in result.conflicts[0].reason


def test_what_is_named_by_key_is_restored(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    drop(lost)
    restored(lost, folder, keys=[Choice("3", collection="a")])
    assert list(lost.db.a.find()) == [{"_id": 3, "v": "a-value-03"}]

    restored(lost, folder, keys=[Choice("7")])
    assert lost.db.a.find_one({"_id": 7}) == {"_id": 7, "v": "a-valUe-07"}
    assert lost.db.b.distinct("_id") == [7]


def test_a_query_names_no_record(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    drop(lost)
    assert held(restored(lost, folder, query='{"_id": 7}')) == 1
    assert lost.db.a.count_documents({}) == 0


def test_no_sound_record_is_replaced_by_an_altered_one(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    result = restored(lost, folder, on_conflict="replace")

    assert held(result) == 1
    assert lost.db.a.find_one({"_id": 7}) == {"_id": 7, "v": "a-value-07"}


def test_what_another_source_holds_with_the_same_bytes_is_not_in_doubt(lost: Bench) -> None:
    other = lost.dump("other", "a")
    lost.db.a.update_one({"_id": 3}, {"$set": {"v": "newer"}})
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    drop(lost)
    result = restored(lost, folder, other)

    assert held(result) == 0
    assert [one["v"] for one in lost.db.a.find().sort("_id")] == [f"a-value-{n:02}" for n in range(20)]


def test_a_record_that_only_the_altered_file_has_waits_while_the_others_come_from_elsewhere(lost: Bench) -> None:
    other = lost.dump("other", "a")
    lost.db.a.insert_one({"_id": 99, "v": "since"})
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    drop(lost)
    result = restored(lost, folder, other)

    assert held(result) == 1
    assert [one.key for one in result.conflicts] == ["99"]
    assert lost.db.a.find_one({"_id": 7}) == {"_id": 7, "v": "a-value-07"}


def test_two_altered_copies_do_not_vouch_for_each_other(lost: Bench) -> None:
    first, second = backup(lost), backup(lost)
    for folder in (first, second):
        alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    alter(second, "a.bson", b"a-value-08", b"a-valUe-08")
    drop(lost)
    assert held(restored(lost, first, second)) == 20
    assert lost.db.a.count_documents({}) == 0


def test_it_is_so_for_a_file_that_is_named_by_itself_and_in_another_process(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    drop(lost)
    lost.case.compare(next(folder.rglob("a.bson")))
    lost.case.comparison = None  # it is read from the case again
    result = lost.case.restore(lost.case.plan())

    assert held(result) == 20
    assert lost.db.list_collection_names() in ([], ["a"])


def test_what_is_before_the_cut_of_a_file_is_restored(lost: Bench) -> None:
    folder = backup(lost)
    path = next(folder.rglob("a.bson"))
    path.write_bytes(path.read_bytes()[:-10])
    drop(lost)
    assert held(restored(lost, folder)) == 0
    assert lost.db.a.distinct("_id") == list(range(19))


def test_a_cut_between_two_records_shows_nowhere_so_all_of_the_file_waits(lost: Bench) -> None:
    folder = backup(lost)
    path = next(folder.rglob("a.bson"))
    path.write_bytes(path.read_bytes()[: -len(bson.encode({"_id": 1, "v": "a-value-07"}))])
    drop(lost)
    assert held(restored(lost, folder)) == 19


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_a_packed_file_that_was_exchanged_for_another_waits(lost: Bench, compression: Compression) -> None:
    older = backup(lost, compression)
    lost.db.a.update_one({"_id": 7}, {"$set": {"v": "corrected"}})
    newer = backup(lost, compression)
    (there,) = newer.rglob("a.bson.*")
    there.write_bytes(next(older.rglob("a.bson.*")).read_bytes())
    drop(lost)
    assert held(restored(lost, newer)) == 20
    assert lost.db.a.count_documents({}) == 0


def test_of_a_packed_file_the_frame_that_is_damaged_waits_and_what_is_altered_is_never_written(bench: Bench) -> None:
    chance = random.Random(3)
    wrote = [{"_id": n, "v": chance.randbytes(512 * 1024).hex()} for n in range(12)]
    bench.db.a.insert_many(wrote)
    folder = backup(bench, "zstd")
    path = next(folder.rglob("a.bson.zst"))
    whole = bytearray(path.read_bytes())
    seen = 0
    for place in range(50_000, 4_000_000, 987_682):  # in the first frame, of eight records
        altered = whole.copy()
        altered[place] ^= 4
        path.write_bytes(altered)
        bench.db.drop_collection("a")
        result = restored(bench, folder)
        back = {one["_id"]: one for one in bench.db.a.find()}
        assert all(one == wrote[key] for key, one in back.items())
        assert {*range(8, 12)} <= back.keys(), "frames of their own, whose checksums hold"
        seen += held(result)
    assert seen > 0


def test_an_altered_description_of_a_collection_holds_back_no_record(lost: Bench) -> None:
    lost.db.a.create_index("v", name="by_v")
    folder = backup(lost)
    alter(folder, "a.metadata.json", b'"by_v"', b'"by_w"')
    drop(lost)
    assert held(restored(lost, folder)) == 0
    assert lost.db.a.count_documents({}) == 20


def test_an_altered_name_of_a_collection_does_not_bring_its_records_to_another(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.metadata.json", b'"collectionName" : "a"', b'"collectionName" : "b"')
    drop(lost)
    restored(lost, folder)
    assert {one["v"][0] for one in lost.db.b.find()} <= {"b"}
    assert lost.db.a.count_documents({}) == 0


def test_a_file_that_the_manifest_does_not_know_waits(lost: Bench) -> None:
    folder = backup(lost)
    (folder / lost.name / "c.bson").write_bytes(bson.encode({"_id": 1}))
    drop(lost)
    assert held(restored(lost, folder)) == 1
    assert sorted(lost.db.list_collection_names()) == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]"])
def test_where_the_manifest_is_broken_nothing_vouches_for_any_record(lost: Bench, content: bytes) -> None:
    folder = backup(lost)
    a, b = (next(folder.rglob(f"{name}.bson")) for name in "ab")
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    (folder / "manifest.json").write_bytes(content)
    drop(lost)
    result = restored(lost, folder)

    assert "nothing vouches for its files" in lost.case.scanned.errors[0]
    assert (held(result), result.restored) == (40, 0)
    assert [lost.db[name].count_documents({}) for name in "ab"] == [0, 0]
    assert "is not as it was written" in result.conflicts[0].reason

    restored(lost, folder, keys=[Choice("3", collection="a")])
    assert list(lost.db.a.find()) == [{"_id": 3, "v": "b-value-03"}]


def test_a_broken_manifest_costs_nothing_that_another_source_holds(lost: Bench) -> None:
    other = lost.dump("other", "a")
    folder = backup(lost)
    (folder / "manifest.json").write_bytes(b"")
    drop(lost)
    assert held(restored(lost, folder, other)) == 20
    assert [lost.db[name].count_documents({}) for name in "ab"] == [20, 0]


def test_a_manifest_of_another_program_holds_back_nothing_of_a_dump(lost: Bench) -> None:
    other = lost.dump("other")
    for content in (b'{"name": "x"}', b"{"):
        (other / "manifest.json").write_bytes(content)
        (other.parent / "manifest.json").write_bytes(content)
        drop(lost)
        assert held(restored(lost, other)) == 0
        assert lost.db.a.count_documents({}) == 20


def test_what_has_no_manifest_is_taken_as_it_is(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-07", b"a-valUe-07")
    (folder / "manifest.json").unlink()
    drop(lost)
    assert held(restored(lost, folder)) == 0
    assert lost.db.a.count_documents({}) == 20


def test_a_file_in_gridfs_with_an_altered_chunk_waits_whole_until_it_is_named(bench: Bench) -> None:
    for bucket in ("papers", "photos"):
        files = gridfs.GridFS(bench.db, bucket)
        for number in range(3):
            files.put(f"{bucket}-{number}-".encode() * 200, _id=number, filename=f"{number}", chunk_size=256)
    folder = backup(bench)
    path = next(folder.rglob("papers.chunks.bson"))
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"papers-1-") + 2] ^= 1
    path.write_bytes(whole)
    for name in bench.db.list_collection_names():
        bench.db.drop_collection(name)
    result = restored(bench, folder)

    assert held(result) == result.skipped
    assert [bench.db[name].count_documents({}) for name in ("papers.files", "papers.chunks")] == [0, 0]
    assert gridfs.GridFS(bench.db, "photos").get(1).read() == b"photos-1-" * 200

    restored(bench, folder, keys=[Choice("2", collection="papers.files")])
    assert gridfs.GridFS(bench.db, "papers").get(2).read() == b"papers-2-" * 200
    assert bench.db["papers.files"].distinct("_id") == [2]


def test_an_altered_bucket_of_a_time_series_does_not_keep_another_source_s_from_being_written(bench: Bench) -> None:
    bench.db.create_collection("heat", timeseries={"timeField": "at", "metaField": "of"})
    start = datetime(2025, 12, 1, tzinfo=UTC)
    bench.db.heat.insert_many([{"at": start + timedelta(seconds=n), "of": "oven", "v": f"h{n:02}"} for n in range(20)])
    other = bench.dump("other", "heat")
    folder = backup(bench)
    alter(folder, "system.buckets.heat.bson", b"h07", b"h77")
    bench.db.drop_collection("heat")
    assert held(restored(bench, folder)) == 1
    assert bench.db.heat.count_documents({}) == 0

    restored(bench, folder, other)
    assert sorted(one["v"] for one in bench.db.heat.find()) == [f"h{n:02}" for n in range(20)]


def moment(bench: Bench) -> str:
    """The time of the newest entry of the oplog, as `as_of` takes it."""
    optime = bench.client.admin.command("hello")["lastWrite"]["opTime"]["ts"]
    return f"{optime.time}:{optime.inc}"


def test_a_state_takes_the_newest_base_that_is_as_it_was_backed_up(lost: Bench) -> None:
    older = backup(lost)
    lost.db.a.update_one({"_id": 7}, {"$set": {"v": "corrected"}})
    newer = backup(lost)
    alter(newer, "a.bson", b"a-value-08", b"a-valUe-08")
    when = moment(lost)
    drop(lost)
    comparison = lost.case.compare(older, newer, "oplog:", as_of=when)

    notes = "\n".join(comparison.summary.notes)
    assert f"its base is {older / lost.name}, " in notes
    assert f"not used for that state: {newer / lost.name}, of " in notes
    assert "which is not as it was backed up: " in notes
    lost.case.restore(lost.case.plan(comparison), comparison)
    assert lost.db.a.find_one({"_id": 7}) == {"_id": 7, "v": "corrected"}
    assert lost.db.a.find_one({"_id": 8}) == {"_id": 8, "v": "a-value-08"}
    assert lost.db.a.count_documents({}) == 20


def test_of_a_state_whose_only_base_was_altered_what_may_be_wrong_waits(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-08", b"a-valUe-08")
    when = moment(lost)
    drop(lost)
    comparison = lost.case.compare(folder, "oplog:", as_of=when)

    assert any("that base is not as it was backed up" in note for note in comparison.summary.notes)
    result = lost.case.restore(lost.case.plan(comparison), comparison)
    assert held(result) == 20
    assert [lost.db[name].count_documents({}) for name in "ab"] == [0, 20]

    lost.case.restore(lost.case.plan(comparison, keys=[Choice("3", collection="a")]), comparison)
    assert list(lost.db.a.find()) == [{"_id": 3, "v": "a-value-03"}]


def test_a_collection_that_got_another_name_after_its_base_was_altered_waits_too(lost: Bench) -> None:
    folder = backup(lost)
    alter(folder, "a.bson", b"a-value-08", b"a-valUe-08")
    lost.db.a.rename("c")
    when = moment(lost)
    lost.db.drop_collection("c")
    comparison = lost.case.compare(folder, "oplog:", as_of=when)

    assert comparison.summary.collections["c"]["missing"] == 20
    assert lost.case.restore(lost.case.plan(comparison), comparison).restored == 0
    assert lost.db.c.count_documents({}) == 0


def test_a_state_of_a_base_with_a_broken_manifest_waits_whole(lost: Bench) -> None:
    folder = backup(lost)
    (folder / "manifest.json").write_bytes(b"{")
    when = moment(lost)
    for file in (folder / lost.name).iterdir():  # nothing else tells when it was taken
        os.utime(file, (int(when.partition(":")[0]) - 1,) * 2)
    drop(lost)
    comparison = lost.case.compare(folder, "oplog:", as_of=when)
    result = lost.case.restore(lost.case.plan(comparison), comparison)

    assert held(result) == 40


def test_the_doubt_is_still_known_when_the_case_goes_on_later(lost: Bench) -> None:
    """Another process compares with what the case knows, and a third looks at what it found."""
    sound, altered = lost.case.backup(collections=["b"]).path, backup(lost)
    alter(altered, "a.bson", b"a-value-07", b"a-value-!!")
    lost.case.scan(altered, sound)
    for name in ("a", "b"):
        lost.db[name].drop()
    with Case.open(lost.case.folder, database=lost.case.uri) as later:
        found = later.compare()
        assert any("not as it was backed up" in note for note in found.summary.notes)
    with Case.open(lost.case.folder, database=lost.case.uri) as last, Browser(last.last_comparison()) as browser:
        (doubted,) = last.last_comparison().summary.doubted
        assert last.last_comparison().sources[doubted].path.is_relative_to(altered)
        matched = browser.pick_matching(View())
        assert (matched.picked, matched.doubtful) == (20, 20), "b is in another backup, which is sound"
        assert {row.doubt for row in browser.page(View(collections=("a",))).rows} == {
            "its source does not agree with its checksum"
        }
