"""Telling what a file is by its content; its name only hints."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.records.batch import MAX_RECORD_BYTES, RecordBatch
from recovery_nb.sources.archive.format import MAGIC as ARCHIVE
from recovery_nb.sources.archive.source import ArchiveSource, databases, looks_like_archive
from recovery_nb.sources.base import FileSource
from recovery_nb.sources.content import HEAD_BYTES, Content, File, Spliced
from recovery_nb.sources.csv.files import CsvSource, looks_like_csv
from recovery_nb.sources.dump.files import BsonSource
from recovery_nb.sources.dump.framing import looks_like_bson
from recovery_nb.sources.expand.tar import is_tar
from recovery_nb.sources.expand.zip import is_zip
from recovery_nb.sources.json.files import JsonSource, looks_like_json
from recovery_nb.sources.log.files import LogSource, looks_like_json_log, looks_like_log
from recovery_nb.sources.log.lines import line_time, lost_its_head, quotes_records
from recovery_nb.sources.oplog.entries import looks_like_oplog
from recovery_nb.sources.oplog.source import OplogSource
from recovery_nb.sources.oplog.survey import databases as oplog_databases
from recovery_nb.sources.tree import is_text

__all__ = ["BSON", "OPLOG", "UnknownFormatError", "is_misnamed", "sources_of"]

BSON = ".bson"
"""How files of BSON are named; what is damaged at its beginning has nothing else to go by."""

OPLOG = "oplog.bson"
"""How `mongodump --oplog` names the oplog in its folder."""

_KNOWN = "known are mongodump, .bson, JSON, JSON Lines, Extended JSON, CSV, logs with records, an oplog"
_MAGIC = (
    (b"SQLite format 3\x00", "an SQLite database", "export its tables as JSON or CSV first"),
    (b"\x41\xd8\x01\x00", "a WiredTiger file of a MongoDB server", "start a mongod on a copy of its data folder"),
    (b"WiredTiger\n", "a WiredTiger file of a MongoDB server", "start a mongod on a copy of its data folder"),
    (b"PAR1", "Parquet", "it is not a format of backups that this tool reads"),
    (b"\xff\x06\x00\x00sNaPpY", "snappy-compressed, as Percona backups are", "restore it with pbm"),
    (b"\xff\x06\x00\x00S2sTwO", "S2-compressed, as Percona backups are", "restore it with pbm"),
    (b"\x04\x22\x4d\x18", "lz4-compressed", "decompress it first (unlz4)"),
    (b"PGDMP", "a PostgreSQL dump", "restore it with pg_restore"),
    (b"\xff\xfe", "UTF-16 text", "convert it first: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it first: iconv -f UTF-16 -t UTF-8"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first (7z x)"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first (unrar x)"),
)
_CERTAIN = (ARCHIVE, *(magic for magic, *_ in _MAGIC if len(magic) >= 4))
"""How no damaged BSON begins: two bytes may be chance."""

_SQL = re.compile(
    rb"(?im)^(?:-- (?:MySQL|MariaDB|PostgreSQL|SQLite)[^\n]*dump|CREATE TABLE\b|INSERT INTO\b|BEGIN TRANSACTION;"
    rb"|PRAGMA )"
)
_PERCONA = re.compile(rb'"pbm_version"|"replsets"\s*:\s*\[[^\]]*"(?:backup_name|oplog_name)"')
_JSON_NAMES = (".json", ".jsonl", ".ndjson")
_STAMP = re.compile(rb"\s*\[[A-Za-z]*\s*[0-9]")
_OBJECT = re.compile(rb'\{\s*"[^"]*"\s*:')


class UnknownFormatError(BadInputError):
    """A file whose content is no format of records that is known."""


def sources_of(file: File) -> list[FileSource]:
    """Return the source that a file is: one, or for an archive of several databases one each.

    Raises:
        UnknownFormatError: Its content is no format that is known.
        BadInputError: It is a format that is known and not read, or cannot be read.
        DamagedSourceError: It is empty, or holds no records.
    """
    head = file.head(HEAD_BYTES + 1)
    ended, head = len(head) <= HEAD_BYTES, head[:HEAD_BYTES]
    if not head.strip(b" \t\r\n"):
        raise DamagedSourceError(f"{file.path} is empty", hint="look for another copy of it")
    is_bson = looks_like_bson(head, ended=ended) or (file.name.endswith(BSON) and not is_misnamed(file))
    for magic, name, hint in _MAGIC:
        if head.startswith(magic) and not is_bson:
            raise BadInputError(f"{file.path} is {name}, which is not read directly", hint=hint)
    if looks_like_archive(head) or file.name.endswith(".archive"):
        return _archives(file)
    if is_bson:
        if file.name == OPLOG or looks_like_oplog(_first_record(file)):
            return _oplogs(file)
        return [BsonSource(file)]
    return [_text(file, head)]


def is_misnamed(file: File) -> bool:
    """Return whether a file that is named as one of BSON holds another format that is known.

    Its content must say so: where it says nothing, it may be BSON that is damaged. Nothing is said of a file that
    cannot be read.
    """
    try:
        content = file.open()
        head = content.read_at(0, HEAD_BYTES + 1)
        text = b"\x00" not in head and is_text(head)
        if text and len(head) > HEAD_BYTES:  # text that was written over the beginning of BSON ends somewhere
            text = b"\x00" not in content.read_at(content.size() - HEAD_BYTES, HEAD_BYTES)
    except RecoveryError:
        return False
    if looks_like_bson(head, ended=len(head) <= HEAD_BYTES):
        return False
    return is_zip(head) or is_tar(head) or head.startswith(_CERTAIN) or (text and _is_known_text(file, head))


def _is_known_text(file: File, head: bytes) -> bool:
    try:
        _text(file, head[:HEAD_BYTES])
    except (UnknownFormatError, DamagedSourceError):
        return False
    except BadInputError:
        return True  # and why it is not read
    return True


def _first_record(file: File) -> bytes:
    content = file.open()
    length = int.from_bytes(content.read_at(0, 4), "little")
    return content.read_at(0, length) if length <= MAX_RECORD_BYTES else b""


def _archives(file: File) -> list[FileSource]:
    names = databases(file.open())
    if len(names) < 2:
        found = [ArchiveSource(file)]
    else:
        found = [ArchiveSource(replace(file, path=file.path / name), name) for name in names]
    return [*found, *(_oplogs(_oplog_of(found[0], file)) if found[0].has_oplog else ())]


def _oplog_of(archive: ArchiveSource, file: File) -> File:
    """Return the oplog that an archive holds, in pieces, as a file of its own."""
    stretches: list[tuple[int, int]] = []

    def opened() -> Content:
        for part in archive.read_oplog() if not stretches else ():
            if isinstance(part, RecordBatch):
                for offset, length in zip(part.offsets, part.lengths, strict=True):
                    if stretches and sum(stretches[-1]) == offset:
                        stretches[-1] = (stretches[-1][0], stretches[-1][1] + length)
                    else:
                        stretches.append((offset, length))
        return Spliced(file.open(), stretches)

    return replace(file, path=file.path / OPLOG, name=OPLOG, open=opened, beside=lambda _: None)


def _oplogs(file: File) -> list[FileSource]:
    source = OplogSource(file)
    names = [] if source.database_is_known else sorted(oplog_databases(file.open()))
    if len(names) < 2:
        return [source]
    return [OplogSource(replace(file, path=file.path / name), name) for name in names]


def _text(file: File, head: bytes) -> FileSource:
    if _PERCONA.search(head):
        raise BadInputError(f"{file.path} describes a Percona backup, which is not read directly", hint="use pbm")
    if (
        looks_like_json_log(head)
        or quotes_records(head)
        or lost_its_head(head)
        or (_STAMP.match(head) and looks_like_log(head))
    ):
        return LogSource(file)
    if looks_like_json(head):
        return JsonSource(file)
    if file.name.endswith(_JSON_NAMES) and not _is_stamped(head):
        with suppress(DamagedSourceError):  # its beginning is damaged, or lost
            return JsonSource(file)
    if _SQL.search(head[:4096]):
        raise BadInputError(
            f"{file.path} is a dump of an SQL database, which is not read directly",
            hint="load it there, and export its tables as JSON or CSV",
        )
    if looks_like_csv(head, file.name):
        return CsvSource(file)
    if looks_like_log(head) or (file.name.endswith(_JSON_NAMES) and _OBJECT.search(head)):
        return LogSource(file)
    raise UnknownFormatError(f"{file.path} holds no format that is known", hint=_KNOWN)


def _is_stamped(head: bytes) -> bool:
    """Return whether one of the first lines that are whole, and no JSON, begins with a time."""
    lines = [line.lstrip() for line in head.split(b"\n")[:4]]
    return any(line_time(line[:40]) is not None for line in lines[1:] or lines if line[:1] not in b'{}[]",')
