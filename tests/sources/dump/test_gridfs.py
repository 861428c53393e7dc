from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import bson
import gridfs
import pytest
from gridfs import GridFSBucket

from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.records.elements import split
from recovery_nb.sources.dump.gridfs import GridFSCheck

CHUNK = 1024
md5 = partial(hashlib.md5, usedforsecurity=False)


def batch(collection: str, records: Iterable[bytes], **more: Any) -> RecordBatch:
    held = list(records)
    offsets = [sum(map(len, held[:at])) for at in range(len(held))]
    return RecordBatch(collection, f"{collection}.bson", held, offsets, [len(record) for record in held], **more)


def checked(*batches: RecordBatch) -> list[Damage]:
    check = GridFSCheck()
    for each in batches:
        check.take(each)
    return list(check.problems())


class Bucket:
    """A bucket as a driver wrote it, and ways to harm it."""

    def __init__(self, database: Any) -> None:
        self.database = database.client[database.name]
        self.bucket = GridFSBucket(self.database, bucket_name="scans", chunk_size_bytes=CHUNK)
        self.files, self.chunks = self.database["scans.files"], self.database["scans.chunks"]

    def put(self, name: str, length: int) -> bson.ObjectId:
        data = random.Random(name).randbytes(length)
        file = self.bucket.upload_from_stream(name, data)
        self.files.update_one({"_id": file}, {"$set": {"md5": md5(data).hexdigest()}})
        return file

    def problems(self, *, files_first: int = 0) -> list[Damage]:
        parts = [batch(c.name, self._raw(c)) for c in (self.chunks, self.files)]
        return checked(*parts[:: -1 if files_first else 1])

    @staticmethod
    def _raw(collection: Any) -> list[bytes]:
        return [record for part in collection.find_raw_batches({}) for record in split(part)]

    def place_of(self, file: bson.ObjectId) -> tuple[int, int]:
        records = self._raw(self.files)
        at = next(at for at, record in enumerate(records) if bson.decode(record)["_id"] == file)
        return sum(map(len, records[:at])), len(records[at])


@pytest.fixture
def bucket(database: Any) -> Bucket:
    return Bucket(database)


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 10 * CHUNK])
@pytest.mark.parametrize("files_first", [0, 1])
def test_whole_files_are_no_problem(bucket: Bucket, length: int, files_first: int) -> None:
    bucket.put("a.pdf", length)
    bucket.put("b.pdf", 3 * CHUNK)

    assert bucket.problems(files_first=files_first) == []


def test_the_dumped_bucket_is_whole(samples: Path) -> None:
    dump = samples / "mongodump/shop"
    parts = [
        batch(name, split((dump / f"{name}.bson").read_bytes())) for name in ("attachments.chunks", "attachments.files")
    ]

    assert checked(*parts) == []


def test_a_damage_names_the_file_and_the_place_of_its_document(bucket: Bucket) -> None:
    bucket.put("whole.pdf", 2 * CHUNK)
    file = bucket.put("scan 7.pdf", 5 * CHUNK)
    bucket.chunks.delete_one({"files_id": file, "n": 2})

    offset, length = bucket.place_of(file)
    assert bucket.problems() == [
        Damage(
            "scans.files.bson",
            offset,
            length,
            f"the file scan 7.pdf (_id {file}) is not whole: missing chunks (of 0-4): 2; "
            "its chunks hold 4,096 bytes, not 5,120",
            "scans.files",
        )
    ]


def faults(bucket: Bucket) -> str:
    (damage,) = bucket.problems()
    return damage.reason.split(" is not whole: ")[1]


def test_several_missing_chunks_are_named_as_stretches(bucket: Bucket) -> None:
    file = bucket.put("a", 20 * CHUNK)
    bucket.chunks.delete_many({"files_id": file, "n": {"$in": [0, 3, 4, 5, 17, 18, 19]}})

    assert faults(bucket).startswith("missing chunks (of 0-19): 0, 3-5, 17-19;")


def test_many_gaps_are_not_all_named(bucket: Bucket) -> None:
    file = bucket.put("a", 100 * CHUNK)
    bucket.chunks.delete_many({"files_id": file, "n": {"$mod": [2, 1]}})

    assert faults(bucket).startswith("missing chunks (of 0-99): 1, 3, 5, 7, 9, …;")


def test_a_file_without_any_chunk_is_not_whole(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.chunks.delete_many({"files_id": file})

    assert faults(bucket) == "missing chunks (of 0-2): 0-2; its chunks hold 0 bytes, not 3,072"


def test_a_chunk_that_is_there_twice_is_told(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.chunks.drop_indexes()
    again = bucket.chunks.find_one({"files_id": file, "n": 1}, {"_id": 0})
    bucket.chunks.insert_one(again)

    assert faults(bucket) == "doubled chunks: 1; its chunks hold 4,096 bytes, not 3,072"


def test_a_chunk_of_the_wrong_size_is_told(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.chunks.update_one({"files_id": file, "n": 1}, {"$set": {"data": b"abc"}})

    assert faults(bucket) == (
        "chunks of the wrong size: 1 (3 bytes instead of 1,024); its chunks hold 2,051 bytes, not 3,072"
    )


def test_chunks_beyond_the_end_are_told(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.files.update_one({"_id": file}, {"$set": {"length": bson.Int64(CHUNK)}})

    assert faults(bucket) == "chunks beyond its end: 1, 2; its chunks hold 3,072 bytes, not 1,024"


def test_a_length_that_the_chunks_do_not_have_is_told(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.files.update_one({"_id": file}, {"$set": {"length": 3 * CHUNK - 1}})

    assert faults(bucket) == (
        "chunks of the wrong size: 2 (1,024 bytes instead of 1,023); its chunks hold 3,072 bytes, not 3,071"
    )


def test_content_that_has_another_md5_is_told(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.chunks.update_one({"files_id": file, "n": 1}, {"$set": {"data": bytes(CHUNK)}})

    assert faults(bucket).startswith("its MD5 is ")


def test_the_md5_is_not_checked_where_the_document_has_none(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.chunks.update_one({"files_id": file, "n": 1}, {"$set": {"data": bytes(CHUNK)}})
    bucket.files.update_one({"_id": file}, {"$unset": {"md5": 1}})

    assert bucket.problems() == []


def test_nothing_is_claimed_of_the_md5_of_chunks_out_of_order(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.chunks.update_one({"files_id": file, "n": 2}, {"$set": {"data": bytes(CHUNK)}})
    first = bucket.chunks.find_one_and_delete({"files_id": file, "n": 0})
    bucket.chunks.insert_one(first)

    assert bucket.problems() == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"length": "many"}, "its document states no length"),
        ({"length": -1}, "its document states no length"),
        ({"length": 1e300}, "its document states no length"),
        ({"chunkSize": 0}, "its document states no size of chunks"),
        ({"chunkSize": None}, "its document states no size of chunks"),
        ({"length": bson.Int64(2**61), "chunkSize": 1}, f"missing chunks (of 0-{2**61 - 1}): 2-{2**61 - 1};"),
    ],
)
def test_a_document_that_cannot_be_true_is_told(bucket: Bucket, change: dict[str, Any], fault: str) -> None:
    file = bucket.put("a", 2 * CHUNK)
    bucket.files.update_one({"_id": file}, {"$set": change})

    assert fault in faults(bucket)


def test_numbers_may_be_of_any_width(bucket: Bucket) -> None:
    file = bucket.put("a", 3 * CHUNK)
    bucket.files.update_one({"_id": file}, {"$set": {"length": 3.0 * CHUNK, "chunkSize": bson.Int64(CHUNK)}})
    bucket.chunks.update_one({"files_id": file, "n": 1}, {"$set": {"n": 1.0}})

    assert bucket.problems() == []


def test_chunks_without_a_document_are_told_with_the_first_ones_place(bucket: Bucket) -> None:
    bucket.put("whole", 2 * CHUNK)
    file = bucket.put("lost", 3 * CHUNK)
    bucket.files.delete_one({"_id": file})

    (damage,) = bucket.problems()
    first = 2 * len(bson.encode(bucket.chunks.find_one({"n": 0})))
    assert damage.reason == f"the file _id {file} has no document, but 3 chunks of 3,072 bytes"
    assert (damage.collection, damage.member, damage.offset) == ("scans.chunks", "scans.chunks.bson", first)


def test_files_are_told_apart_by_id_and_bucket(bucket: Bucket) -> None:
    ids: list[Any] = [1, "1", bson.Int64(2), b"1", {"a": 1}, None, "x" * 1000, "x" * 1001]
    for file in ids:
        with bucket.bucket.open_upload_stream_with_id(file, "same name") as stream:
            stream.write(random.Random(0).randbytes(2 * CHUNK))
    assert bucket.problems() == []

    bucket.chunks.update_many({"files_id": 2}, {"$set": {"files_id": 2.0}})
    assert bucket.problems() == []

    other = GridFSBucket(bucket.database, bucket_name="other")
    other.upload_from_stream_with_id("1", "elsewhere", b"abc")
    bucket.chunks.delete_many({"files_id": {"$in": ["1", "x" * 1000]}})
    assert [damage.reason.split(" is not")[0] for damage in bucket.problems()] == [
        "the file same name (_id 1)",
        "the file same name (with an _id of many bytes)",
    ]


def test_names_fit_in_a_line(bucket: Bucket) -> None:
    file = bucket.put("a\nb" + "x" * 500, CHUNK)
    bucket.chunks.delete_many({"files_id": file})

    (damage,) = bucket.problems()
    assert "the file a\ufffdbxxx" in damage.reason
    assert len(damage.reason) < 300
    assert damage.reason.isprintable()


@pytest.mark.parametrize("name", ["files", "chunks", "my.files", "my.chunks", "users"])
def test_collections_that_only_have_the_names_of_a_bucket_are_none(name: str) -> None:
    records = [bson.encode(fields) for fields in ({"_id": 1, "path": "/a"}, {"_id": 2, "n": 1, "text": "b"}, {})]

    assert checked(batch(name, [*records, b"\x07\0\0\0\xff"])) == []


def test_versions_over_time_make_no_file() -> None:
    chunk = bson.encode({"_id": 1, "files_id": 1, "n": 0, "data": b"a"})

    assert checked(batch("fs.chunks", [chunk, chunk], at=[1, 2])) == []
    assert len(checked(batch("fs.chunks", [chunk, chunk]))) == 1


def test_more_files_than_are_digested_at_a_time_are_checked_all_the_same(bucket: Bucket) -> None:
    data = {file: [random.Random(f"{file}{n}").randbytes(9) for n in range(3)] for file in range(2_000)}
    parts = [
        batch("fs.chunks", [bson.encode({"_id": 0, "files_id": file, "n": n, "data": data[file][n]}) for file in data])
        for n in range(3)
    ]
    documents = [
        {"_id": file, "length": 27, "chunkSize": 9, "md5": md5(b"".join(chunks)).hexdigest()}
        for file, chunks in data.items()
    ]

    assert checked(*parts, batch("fs.files", map(bson.encode, documents))) == []
    assert len(checked(*parts[:2], batch("fs.files", map(bson.encode, documents)))) == 2_000


def test_a_bucket_that_a_driver_reads_back_is_whole_whatever_its_chunk_size(bucket: Bucket) -> None:
    store = gridfs.GridFS(bucket.database, collection="scans")
    for length in (0, 5, 255 * 1024, 600_000):
        store.put(bytes(length), filename=f"{length}")

    assert bucket.problems() == []
