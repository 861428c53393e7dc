"""Files in GridFS come back whole: with all of their chunks, or not at all.

A file is a document in B.files and its bytes, numbered, in B.chunks. It is judged as the source has it: the chunks that
would be written, and those that the database has exactly as the source does. See `sources.dump.gridfs` for the format.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby, starmap
from operator import itemgetter
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from recovery_nb.records.elements import CODEC, InvalidRecordError, build, find_element, id_element
from recovery_nb.records.keys import canonical
from recovery_nb.sources.dump.gridfs import temporary_file
from recovery_nb.sources.dump.gridfs_file import Chunk, FileFacts, file_faults

__all__ = ["Files", "chunks_of", "file_of_chunk"]

_SCHEMA = """
PRAGMA cache_size = -8192;
PRAGMA journal_mode = OFF;
CREATE TABLE files (file BLOB PRIMARY KEY, element BLOB, source TEXT, length INTEGER, chunk_size INTEGER, md5 TEXT,
                    partial INTEGER, hold TEXT);
CREATE TABLE chunks (file BLOB, n INTEGER, own BLOB, element BLOB, size INTEGER, source TEXT, place TEXT,
                     current INTEGER, doubt TEXT, part INTEGER DEFAULT 1, hold TEXT DEFAULT '');
CREATE INDEX chunks_by_file ON chunks (file, n, current, source);
CREATE INDEX chunks_by_id ON chunks (own, current);
CREATE TABLE extra (own BLOB PRIMARY KEY);
CREATE TABLE verdicts (file BLOB PRIMARY KEY, hold TEXT, digested INTEGER DEFAULT 0);
"""
_OTHER_VERSION = """
UPDATE chunks SET part = 0, hold = 'a chunk of another version of its file'
WHERE current = 0 AND source <> (SELECT f.source FROM files f WHERE f.file = chunks.file) AND EXISTS (
    SELECT 1 FROM chunks o WHERE o.file = chunks.file AND o.n = chunks.n AND o.current = 0
    AND o.source = (SELECT f.source FROM files f WHERE f.file = chunks.file))
"""
"""A file that was stored anew under its `_id` has other chunks of the same numbers: those of its own source are its."""
_SAME_CHUNK = """
UPDATE chunks SET part = 0
WHERE current = 1 AND EXISTS (SELECT 1 FROM chunks o WHERE o.own = chunks.own AND o.current = 0)
"""
_OTHER_CHUNKS = """
INSERT INTO verdicts (file, hold) SELECT f.file, coalesce(nullif(f.hold, ''), CASE WHEN EXISTS (
    SELECT 1 FROM chunks c JOIN extra e USING (own) WHERE c.file = f.file AND c.current = 1
) THEN 'the database holds other chunks of this file' ELSE '' END) FROM files f
"""
_DOUBTED = """
UPDATE verdicts SET hold = coalesce(
    (SELECT c.doubt FROM chunks c WHERE c.file = verdicts.file AND c.part AND c.doubt <> '' LIMIT 1), ''
) WHERE hold = ''
"""
"""A file is as sure as its least sure chunk."""
_IDS = 500
_BATCH = 500
_BATCH_BYTES = 16 * 1024 * 1024

ReadChunks = Callable[[Sequence[tuple[str, bytes]]], Sequence[bytes]]
"""Reads chunks again: each by its place in a source, as JSON, or, where that is "", by its `_id` in the database."""


@dataclass(frozen=True, slots=True)
class _File:
    length: int | None
    chunk_size: int | None
    md5: str


def chunks_of(files: str) -> str:
    """Return the collection that holds the chunks of the files in `B.files`."""
    return files.removesuffix(".files") + ".chunks"


def file_of_chunk(record: bytes) -> bytes | None:
    """Return what identifies the file that a chunk is of; None where the record is no chunk."""
    with suppress(InvalidRecordError):
        found = find_element(record, "files_id")
        return None if found is None else canonical(*found)
    return None


class Files:
    """The files of one GridFS bucket that are wanted, and which of them are whole.

    What it has to remember is in a temporary file that SQLite removes: memory is bounded whatever the number of files.
    Close it when it is done with.
    """

    def __init__(self) -> None:
        self._table = sqlite3.connect("", check_same_thread=False)
        self._table.executescript(_SCHEMA)

    def close(self) -> None:
        """Remove the temporary file."""
        self._table.close()

    def want(self, record: bytes, *, source: str, partial: bool, hold: str) -> None:
        """Note a file that is wanted; a record that describes none is passed over.

        Args:
            record: Its document.
            source: The id of the source that it is from.
            partial: Whether the chunks that are left are wanted though others are lost.
            hold: Why its document is not written, "" if it is: its chunks share its fate.

        Raises:
            RecoveryError: The temporary file cannot be written.
        """
        own, facts = _key(id_element(record)), _facts(record)
        if own is None or facts is None:
            return
        values = (own, id_element(record), source, facts.length, facts.chunk_size, facts.md5, partial, hold)
        with temporary_file():
            self._table.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)

    def __len__(self) -> int:
        """Return how many files are wanted."""
        return int(self._table.execute("SELECT count(*) FROM files").fetchone()[0])

    def queries(self) -> Iterator[RawBSONDocument]:
        """Yield queries that find the chunks of all wanted files in the database."""
        names = self._table.execute("SELECT element FROM files")
        while batch := names.fetchmany(_IDS):
            ids = build([(own[0], str(n).encode(), own[1:]) for n, (own,) in enumerate(batch)])
            yield RawBSONDocument(build([(0x03, b"files_id", build([(0x04, b"$in", ids)]))]))

    def planned(self, record: bytes, *, source: str, place: object, doubt: str = "") -> None:
        """Note a chunk that differs, as a source has it; one of a file that is not wanted is passed over.

        Args:
            record: The chunk.
            source: The id of the source.
            place: What `read` of `settle` finds it by: anything that JSON holds.
            doubt: Why it may have been altered, "" if nothing says so: its file is then not written.
        """
        self._chunk(record, source, json.dumps(place), current=0, doubt=doubt)

    def current(self, record: bytes) -> None:
        """Note a chunk that the database has."""
        self._chunk(record, "", "", current=1)

    def foreign(self, own: bytes) -> None:
        """Note that no source holds a chunk of the database (the type byte and value bytes of its `_id`)."""
        with temporary_file():
            self._table.execute("INSERT OR IGNORE INTO extra VALUES (?)", (canonical(own[0], own[1:]),))

    def _chunk(self, record: bytes, source: str, place: str, *, current: int, doubt: str = "") -> None:
        file, element = file_of_chunk(record), id_element(record)
        known = self._table.execute("SELECT 1 FROM files WHERE file = ?", (file,)).fetchone()
        if known is None or element is None:
            return
        n, data = _content(record) or (-1, b"")
        values = (file, n, _key(element), element, len(data), source, place, current, doubt)
        with temporary_file():
            self._table.execute(
                "INSERT INTO chunks (file, n, own, element, size, source, place, current, doubt)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )

    def settle(self, read: ReadChunks) -> None:
        """Decide which files are whole, once all their chunks are noted.

        Args:
            read: Reads chunks again; used for files whose document has an MD5.

        Raises:
            RecoveryError: The temporary file cannot be written.
        """
        with temporary_file():
            for sql in (_OTHER_VERSION, _SAME_CHUNK, _OTHER_CHUNKS, _DOUBTED):
                self._table.execute(sql)
            sql = "SELECT file, length, chunk_size, md5 FROM files WHERE hold = '' AND NOT partial"
            for file, *stated in self._table.execute(sql):
                facts = _File(*stated)
                chunks = self._table.execute("SELECT n, size FROM chunks WHERE file = ? AND part ORDER BY n", (file,))
                if self._verdict(file):
                    continue
                if faults := file_faults(FileFacts(facts.length, facts.chunk_size, "", 0, ""), starmap(Chunk, chunks)):
                    self._refuse(file, f"not whole: {'; '.join(faults)}")
                elif facts.md5 and facts.length:
                    self._table.execute("UPDATE verdicts SET digested = 1 WHERE file = ?", (file,))
            self._digest(read)

    def _digest(self, read: ReadChunks) -> None:
        """Compare the MD5 of the files whose document has one; their chunks are read in order, many at a time."""
        chunks = self._table.execute(
            "SELECT file, md5, c.size, place, c.element"
            " FROM chunks c JOIN files USING (file) JOIN verdicts USING (file) WHERE part AND digested ORDER BY file, n"
        )
        for (file, stated), group in groupby(self._contents(chunks, read), key=itemgetter(0, 1)):
            md5 = hashlib.md5(usedforsecurity=False)
            for _, _, record in group:
                md5.update((_content(record) or (0, b""))[1])
            if md5.hexdigest() != stated.lower():
                self._refuse(file, f"not whole: its MD5 is {md5.hexdigest()}, not {stated}")

    @staticmethod
    def _contents(
        chunks: Iterable[tuple[bytes, str, int, str, bytes]], read: ReadChunks
    ) -> Iterator[tuple[bytes, str, bytes]]:
        batch: list[tuple[bytes, str, int, str, bytes]] = []
        size = 0
        for chunk in chain(chunks, [None]):
            if batch and (chunk is None or len(batch) == _BATCH or size + chunk[2] > _BATCH_BYTES):
                records = read([(place, element) for _, _, _, place, element in batch])
                yield from ((one[0], one[1], record) for one, record in zip(batch, records, strict=True))
                batch, size = [], 0
            if chunk is not None:
                batch.append(chunk)
                size += chunk[2]

    def _verdict(self, file: bytes | None) -> str | None:
        """Return why a file is not written, "" if it is; None if it is not wanted."""
        found = self._table.execute("SELECT hold FROM verdicts WHERE file = ?", (file,)).fetchone()
        return None if found is None else str(found[0])

    def _refuse(self, file: bytes, reason: str) -> None:
        self._table.execute("UPDATE verdicts SET hold = ? WHERE file = ?", (reason, file))

    def hold_of_file(self, own: bytes) -> str:
        """Return why the document of a file is not written, "" if it is."""
        return self._verdict(_key(own)) or ""

    def hold_of_chunk(self, record: bytes) -> str | None:
        """Return why a chunk is not written, "" if it is; None where its file is not wanted."""
        hold = self._verdict(file_of_chunk(record))
        if hold == "":
            asked = (_key(id_element(record)),)
            found = self._table.execute("SELECT hold FROM chunks WHERE own = ? AND current = 0", asked).fetchone()
            return str(found[0]) if found else ""
        return hold


def _key(own: bytes | None) -> bytes | None:
    return canonical(own[0], own[1:]) if own else None


def _decoded(record: bytes) -> dict[str, Any]:
    """Return a record's fields; none where it does not decode."""
    try:
        return bson.decode(record, CODEC)
    except Exception:  # the driver raises many kinds, RecursionError among them
        return {}


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and -(2**62) < value < 2**62 and value == int(value) else None


def _facts(record: bytes) -> _File | None:
    """Return what a file's document says of its bytes; None where the record describes no file."""
    fields = _decoded(record)
    if not {"length", "chunkSize"} <= fields.keys():
        return None
    md5 = fields.get("md5")
    return _File(_whole(fields["length"]), _whole(fields["chunkSize"]), md5 if isinstance(md5, str) else "")


def _content(record: bytes) -> tuple[int, bytes] | None:
    """Return a chunk's number and bytes; None where it has none."""
    fields = _decoded(record)
    n, data = _whole(fields.get("n")), fields.get("data")
    return None if n is None or not isinstance(data, bytes) else (n, bytes(data))
