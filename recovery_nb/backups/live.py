"""Comparing a backup with a database as it is now: each record by its bytes, each collection's options and indexes.

It says only that they differ. Which of two versions is the better, field by field, is what a comparison is for.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from recovery_nb.backups.findings import Findings, id_text
from recovery_nb.backups.folder_check import file_names
from recovery_nb.backups.manifest import Manifest
from recovery_nb.backups.structure import JAVASCRIPT, Structure, stored_name
from recovery_nb.files import scratch
from recovery_nb.records.batch import RecordBatch, Ref
from recovery_nb.records.elements import InvalidRecordError, build, id_element
from recovery_nb.records.keys import canonical
from recovery_nb.sources.dump.files import METADATA, DumpSource
from recovery_nb.sources.dump.names import file_stem
from recovery_nb.sources.mongodb import Database

__all__ = ["compare_live"]

_AT_ONCE = 1_000
_SCHEMA = """
PRAGMA cache_size = -16384;
PRAGMA journal_mode = OFF;
CREATE TABLE kept (collection TEXT, key BLOB, print BLOB, member TEXT, offset INTEGER, size INTEGER);
CREATE TABLE live (key BLOB, id BLOB, print BLOB);
"""
_MISSING = """
SELECT member, offset, size FROM kept WHERE collection = ? AND NOT EXISTS (SELECT 1 FROM live WHERE live.key = kept.key)
"""
_CHANGED = """
SELECT member, offset, size FROM kept JOIN live ON live.key = kept.key WHERE collection = ? AND live.print <> kept.print
"""
_EXTRA = """
SELECT id FROM live WHERE NOT EXISTS (SELECT 1 FROM kept WHERE collection = ? AND kept.key = live.key)
"""


def compare_live(source: DumpSource, manifest: Manifest, uri: str, findings: Findings) -> None:
    """Compare what a backup holds with a database, at one point in time where its server can.

    Each difference is looked up once more before it is reported: it may be over. What has to be remembered is in a
    temporary file that SQLite removes: memory is bounded whatever the number of records.

    Args:
        source: The folder of the database in the backup.
        manifest: The backup's.
        uri: The database.
        findings: Takes the differences.

    Raises:
        ConnectionFailedError: The database does not answer.
        RecoveryError: The temporary file cannot be written.
    """
    with closing(Database(uri)) as database, _Table() as table, database.snapshot() as snapshot:
        findings.note(f"compared with {database.label}, as it was while this ran")
        entries = database.collections(system=[JAVASCRIPT])
        _compare_structures(source, manifest, database, entries, findings)
        for part in source.read():
            if isinstance(part, RecordBatch):
                table.keep(part)
        table.index()
        stored = {stored_name(name, entry) for name, entry in entries.items()}
        for name, entry in sorted(manifest.collections.items()):
            if name in stored:
                table.take_live(batch.records for batch in database.read(name, snapshot))
                _report(table, name, source, file_names(manifest), database, findings)
            elif entry.records:
                findings.problem(f"the database has no {name}, nor any of its {entry.records:,} records", entry.file)
        if more := sorted(stored - manifest.collections.keys() - {""}):
            findings.note(f"in the database, and not in the backup: {', '.join(more)}")


def _compare_structures(
    source: DumpSource, manifest: Manifest, database: Database, entries: dict[str, Any], findings: Findings
) -> None:
    """Compare options and indexes as canonical Extended JSON; a UUID is another when a collection was made anew."""
    structure = Structure(database)
    kept = {file.name: file for file in source.files() if file.name.endswith(METADATA)}
    for name in entries:
        if (file := kept.pop(f"{file_stem(name)}{METADATA}", None)) is None:
            continue
        then, now = _loaded(file.small()), _loaded(structure.metadata(name))
        for part in ("type", "options", "indexes"):
            if _comparable(then.get(part)) != _comparable(now.get(part)):
                findings.problem(f"{name} has other {part} in the database", f"{manifest.database}/{file.path.name}")
    for file in kept.values():
        findings.problem("the database has no such collection or view", f"{manifest.database}/{file.path.name}")


def _comparable(part: object) -> list[str]:
    """Return options or indexes as text: the order of an index's fields counts, and that of equal mappings would not.

    The order of the indexes does not count: it is that in which they were built.
    """
    return sorted(map(json.dumps, part)) if isinstance(part, list) else [json.dumps(part)]


def _loaded(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _report(
    table: _Table, name: str, source: DumpSource, places: dict[str, str], database: Database, findings: Findings
) -> None:
    """Look differences up again, and report those that are still there."""
    for what, sql in (("does not have this record", _MISSING), ("has another version of this record", _CHANGED)):
        for rows in table.rows(sql, name):
            records = list(source.fetch(Ref(*row) for row in rows))
            now = database.fetch(name, [one for record in records if (one := _id(record))])
            for (member, offset, _), record in zip(rows, records, strict=True):
                if now.get(_key(record)) != record:
                    where = f"{places.get(member, member)} at offset {offset:,}"
                    findings.problem(f"the database {what} (_id {id_text(record)})", where)
    for rows in table.rows(_EXTRA, name):
        still = database.present(name, [one for (one,) in rows if one])
        for (one,) in rows:
            if not one or canonical(one[0], one[1:]) in still:
                shown = id_text(build([(one[0], b"_id", one[1:])])) if one else ""
                findings.problem(f"the backup does not have a record of the database (_id {shown})", name)


def _id(record: bytes) -> bytes:
    """Return type byte and value of a record's `_id`; nothing where none can be read."""
    try:
        return id_element(record) or b""
    except InvalidRecordError:
        return b""


def _key(record: bytes) -> bytes:
    """Return what tells a record within its collection: its `_id`, or all of it where it has none."""
    found = _id(record)
    try:
        return canonical(found[0], found[1:]) if found else b"\0" + _print(record)
    except (InvalidRecordError, ArithmeticError):
        return b"\0" + _print(record)


def _print(record: bytes) -> bytes:
    return hashlib.sha256(record).digest()[:16]


class _Table:
    """The keys and fingerprints of both sides, in a file."""

    def __enter__(self) -> _Table:
        with scratch("the comparison"):
            self._db = sqlite3.connect("")
            self._db.executescript(_SCHEMA)
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def keep(self, batch: RecordBatch) -> None:
        """Take records of the backup."""
        rows = (
            (batch.collection, _key(record), _print(record), batch.member, offset, length)
            for record, offset, length in zip(batch.records, batch.offsets, batch.lengths, strict=True)
        )
        with scratch("the comparison"):
            self._db.executemany("INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?)", rows)

    def index(self) -> None:
        """Make the records of the backup quick to find: there are all of them now."""
        with scratch("the comparison"):
            self._db.executescript("CREATE INDEX kept_by_key ON kept (collection, key)")

    def take_live(self, batches: Iterable[list[bytes]]) -> None:
        """Take the records of a collection of the database, in place of those of the one before."""
        with scratch("the comparison"):
            self._db.executescript("DROP INDEX IF EXISTS live_by_key; DELETE FROM live;")
            for records in batches:
                rows = ((_key(record), _id(record), _print(record)) for record in records)
                self._db.executemany("INSERT INTO live VALUES (?, ?, ?)", rows)
            self._db.executescript("CREATE INDEX live_by_key ON live (key)")

    def rows(self, sql: str, collection: str) -> Iterator[list[Any]]:
        """Yield the rows of a query, a thousand at a time."""
        with scratch("the comparison"):
            found = self._db.execute(sql, (collection,))
            while rows := found.fetchmany(_AT_ONCE):
                yield rows
