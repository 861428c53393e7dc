"""Whether the files that a source keeps in GridFS are whole: each file's chunks against what its document says.

A bucket is two collections: PREFIX.files has a document a file (`length`, `chunkSize`, `filename`, once `md5`),
PREFIX.chunks its bytes, numbered from 0 (`files_id`, `n`, `data`). The format:
https://github.com/mongodb/specifications/blob/master/source/gridfs/gridfs-spec.md
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from recovery_nb.errors import RecoveryError
from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.records.elements import InvalidRecordError, elements
from recovery_nb.records.keys import canonical, key_text
from recovery_nb.sources.dump.gridfs_file import Chunk, FileFacts, file_faults

__all__ = ["GridFSCheck", "temporary_file"]

_FILES, _CHUNKS = "files", "chunks"
_BINARY, _STRING = 0x05, 0x02
_OLD_BINARY = 2
"""A binary of this subtype has its length once more before its bytes."""
_OPEN_DIGESTS = 1024
"""Of so many files at a time is the MD5 computed while their chunks pass; of the others it is not checked."""
_LONG_KEY = 128
_HASHED = b"\xfe"
_NAME_LENGTH = 100
_NUMBERS = {0x01: struct.Struct("<d"), 0x10: struct.Struct("<i"), 0x12: struct.Struct("<q")}
_BEYOND = 1 << 62

_SCHEMA = """
PRAGMA cache_size = -8192;
PRAGMA journal_mode = OFF;
CREATE TABLE files (bucket TEXT, file BLOB, name TEXT, length INTEGER, chunk_size INTEGER, md5 TEXT,
                    member TEXT, offset INTEGER, size INTEGER);
CREATE TABLE chunks (bucket TEXT, file BLOB, n INTEGER, bytes INTEGER, member TEXT, offset INTEGER, size INTEGER);
CREATE TABLE digests (bucket TEXT, file BLOB, chunks INTEGER, md5 TEXT);
"""
_INDEXES = """
CREATE INDEX IF NOT EXISTS files_by_file ON files (bucket, file);
CREATE INDEX IF NOT EXISTS chunks_by_file ON chunks (bucket, file, n);
CREATE INDEX IF NOT EXISTS digests_by_file ON digests (bucket, file);
"""


class GridFSCheck:
    """Takes what a source yields and says in the end which files are not whole.

    What it has to remember is in a temporary file that SQLite removes: memory is bounded whatever the number of files.
    Nothing is made before a collection has a name that a GridFS bucket has.
    """

    def __init__(self) -> None:
        self._table: sqlite3.Connection | None = None
        self._digests: OrderedDict[tuple[str, bytes], _Digest] = OrderedDict()

    def take(self, batch: RecordBatch) -> None:
        """Note the files and chunks of a batch; any other collection's is passed over.

        Versions of records over time (`batch.at`) are passed over too: chunks of several times make no file.

        Raises:
            RecoveryError: The temporary file cannot be written.
        """
        bucket, _, part = batch.collection.rpartition(".")
        if not bucket or part not in (_FILES, _CHUNKS) or batch.at is not None:
            return
        with temporary_file():
            if self._table is None:
                self._table = sqlite3.connect("", check_same_thread=False)
                self._table.executescript(_SCHEMA)
            rows = list(_files(bucket, batch) if part == _FILES else self._chunks(bucket, batch))
            marks = ", ".join("?" * (9 if part == _FILES else 7))
            self._table.executemany(f"INSERT INTO {part} VALUES ({marks})", rows)

    def problems(self) -> Iterator[Damage]:
        """Yield one damage for each file that is not whole, and for each file of which there are only chunks.

        A file's MD5 is compared if its document has one and its chunks came in order; nothing is said if not.

        Raises:
            RecoveryError: The temporary file cannot be written.
        """
        if self._table is not None:
            with temporary_file():
                self._table.executescript(_INDEXES)
                while self._digests:
                    self._put_away(self._table)
                yield from _files_in_parts(self._table)
                yield from _orphans(self._table)

    def _chunks(self, bucket: str, batch: RecordBatch) -> Iterator[tuple[object, ...]]:
        for record, offset, size in zip(batch.records, batch.offsets, batch.lengths, strict=True):
            with suppress(InvalidRecordError):
                fields = _fields(record)
                if not {b"files_id", b"n", b"data"} <= fields.keys():
                    continue
                file, n, data = _key(*fields[b"files_id"]), _whole(*fields[b"n"]), _data(*fields[b"data"])
                self._digest(bucket, file, n, data)
                yield bucket, file, -1 if n is None else n, len(data), batch.member, offset, size

    def _digest(self, bucket: str, file: bytes, n: int | None, data: memoryview) -> None:
        """Go on with a file's MD5, if this is the chunk that comes next."""
        if n == 0:
            if len(self._digests) >= _OPEN_DIGESTS and self._table:
                self._put_away(self._table)
            self._digests[bucket, file] = _Digest()
        digest = self._digests.get((bucket, file))
        if digest is None or not digest.goes_on(n, data):
            self._digests.pop((bucket, file), None)
        else:
            self._digests.move_to_end((bucket, file))

    def _put_away(self, table: sqlite3.Connection) -> None:
        (bucket, file), digest = self._digests.popitem(last=False)
        table.execute("INSERT INTO digests VALUES (?, ?, ?, ?)", (bucket, file, digest.chunks, digest.text()))


class _Digest:
    """The MD5 of a file's first chunks, as long as they come one after the other."""

    def __init__(self) -> None:
        self.chunks = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def goes_on(self, n: int | None, data: memoryview) -> bool:
        """Add a chunk if it is the next one; say whether it was."""
        if n != self.chunks:
            return False
        self._md5.update(data)
        self.chunks += 1
        return True

    def text(self) -> str:
        return self._md5.hexdigest()


@contextmanager
def temporary_file() -> Iterator[None]:
    """Turn what SQLite says of its temporary file into one clear line."""
    try:
        yield
    except sqlite3.Error as error:
        raise RecoveryError(
            f"the temporary file of the GridFS check cannot be used: {error}", hint="free some space in TMPDIR"
        ) from error


def _files_in_parts(table: sqlite3.Connection) -> Iterator[Damage]:
    for bucket, file, name, length, chunk_size, md5, member, offset, size in table.execute("SELECT * FROM files"):
        at = (bucket, file)
        digests = table.execute("SELECT chunks, md5 FROM digests WHERE bucket = ? AND file = ?", at).fetchmany(2)
        facts = FileFacts(length, chunk_size, md5, *(digests[0] if len(digests) == 1 else (0, "")))
        chunks = table.execute("SELECT n, bytes FROM chunks WHERE bucket = ? AND file = ? ORDER BY n", at)
        if faults := file_faults(facts, (Chunk(*row) for row in chunks)):
            reason = f"the file {name} ({_shown(file)}) is not whole: {'; '.join(faults)}"
            yield Damage(member, offset, size, reason, f"{bucket}.{_FILES}")


def _orphans(table: sqlite3.Connection) -> Iterator[Damage]:
    found = table.execute(
        "SELECT bucket, file, COUNT(*), SUM(bytes), member, offset, size, MIN(rowid) FROM chunks AS c"
        " WHERE NOT EXISTS (SELECT 1 FROM files AS f WHERE f.bucket = c.bucket AND f.file = c.file)"
        " GROUP BY bucket, file"
    )
    for bucket, file, count, total, member, offset, size, _ in found:
        reason = f"the file {_shown(file)} has no document, but {count:,} chunks of {total:,} bytes"
        yield Damage(member, offset, size, reason, f"{bucket}.{_CHUNKS}")


def _files(bucket: str, batch: RecordBatch) -> Iterator[tuple[object, ...]]:
    for record, offset, size in zip(batch.records, batch.offsets, batch.lengths, strict=True):
        with suppress(InvalidRecordError):
            fields = _fields(record)
            if not {b"_id", b"length", b"chunkSize"} <= fields.keys():
                continue
            file, name = _key(*fields[b"_id"]), _text(fields.get(b"filename")) or "without a name"
            length, chunk_size = _whole(*fields[b"length"]), _whole(*fields[b"chunkSize"])
            yield bucket, file, name, length, chunk_size, _text(fields.get(b"md5")), batch.member, offset, size


def _fields(record: bytes) -> dict[bytes, tuple[int, bytes]]:
    return {name: (kind, value) for kind, name, value in elements(record)}


def _key(kind: int, value: bytes) -> bytes:
    key = canonical(kind, value)
    return key if len(key) <= _LONG_KEY else _HASHED + hashlib.sha256(key).digest()


def _shown(key: bytes) -> str:
    return "with an _id of many bytes" if key[:1] == _HASHED else f"_id {_line(key_text(key))}"


def _text(value: tuple[int, bytes] | None) -> str:
    return _line(value[1][4:-1].decode("utf-8", "replace")) if value and value[0] == _STRING else ""


def _line(text: str) -> str:
    """Return a text that fits in a line, whatever is in it."""
    cut = text if len(text) <= _NAME_LENGTH else text[: _NAME_LENGTH - 1] + "…"
    return "".join(character if character.isprintable() else "\ufffd" for character in cut)


def _whole(kind: int, value: bytes) -> int | None:
    """Return a number as an integer of 64 bits, None if it is none."""
    if kind not in _NUMBERS:
        return None
    (number,) = _NUMBERS[kind].unpack(value)
    return int(number) if -_BEYOND < number < _BEYOND and number == int(number) else None


def _data(kind: int, value: bytes) -> memoryview:
    """Return the bytes of a binary; none of anything else."""
    if kind != _BINARY:
        return memoryview(b"")
    return memoryview(value)[9 if value[4] == _OLD_BINARY else 5 :]
