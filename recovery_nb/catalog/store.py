"""The catalog: reads each source once for each content, and knows where its table is."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import bson
import duckdb
from bson import json_util

from recovery_nb.catalog.entry import DamageEntry, SourceEntry
from recovery_nb.catalog.table import FingerprintTable, well_formed
from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.files import sync_file, sync_folder, write_whole
from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.records.buckets import count
from recovery_nb.records.elements import CODEC, InvalidRecordError, elements
from recovery_nb.records.extended_json import NotARecordError, to_json
from recovery_nb.records.salvage import leading_fields
from recovery_nb.sources.ahead import ahead
from recovery_nb.sources.base import BUCKETS, FileSource, Header, Kind
from recovery_nb.sources.content import Content
from recovery_nb.sources.discover import open_source
from recovery_nb.sources.dump.gridfs import GridFSCheck
from recovery_nb.sources.tree import Tree

__all__ = ["Catalog", "digest_of", "plain", "preview", "sha256_of", "sound"]

_SAMPLES = 3
_FIELD_SAMPLE = 200
_MAX_DAMAGE = 1_000
_SMALL = 256 * 1024
_HASHED = 8 * 1024 * 1024
_PREVIEW = 500
_SHOWN_DEPTH = 100
"""No record that is nested deeper is shown: what writes an entry as JSON goes no deeper than 250."""


def digest_of(source: FileSource) -> str:
    """Return SHA-256, in hex, over the names and the expanded contents of a source's files.

    So a copy has the digest of its original, also where it is compressed, or within an archive.

    Raises:
        DamagedSourceError: A file cannot be read.
    """
    whole = hashlib.sha256()
    files = source.files()
    for file in files:
        content = sha256_of(file.open())
        if source.kind not in (Kind.DUMP, Kind.FILES):
            return content.hex()
        whole.update(file.name.encode() + b"\x00" + content)
    return whole.hexdigest()


def _distinct(table: Path) -> Counter[str]:
    """Count the records of a table that holds several versions of them, by collection."""
    with duckdb.connect() as db:
        rows = db.execute(
            """SELECT collection, count(DISTINCT key) + count(*) FILTER (key IS NULL) FROM read_parquet(?)
               GROUP BY collection""",
            [str(table)],
        ).fetchall()
    return Counter(dict(rows))


def _identifier(source: FileSource, digest: str) -> str:
    """Return what names a source: the same for copies, another where the same bytes are read as something else."""
    read_as = f"{source.kind.value}\n{getattr(source, 'named', '')}\n{digest}"
    return hashlib.sha256(read_as.encode()).hexdigest()[:16]


def sha256_of(content: Content) -> bytes:
    """Hash content in large pieces: for each, a thread must wait for the interpreter's lock."""
    digest, position = hashlib.sha256(), 0
    while piece := content.read_at(position, _HASHED):
        digest.update(piece)
        position += len(piece)
    return digest.digest()


class _Stats(NamedTuple):
    """Size in bytes and newest modification time of a source's files, and of those on disk that they are in."""

    size: int
    modified: datetime
    on_disk: tuple[tuple[int, int], ...]


def _stats(source: FileSource) -> _Stats:
    files = source.files()
    try:
        roots = [root.stat() for root in dict.fromkeys(file.root for file in files)]
    except OSError as error:
        raise DamagedSourceError(f"{source.path} went away: {error.strerror}", hint="scan what is left again") from None
    newest = max((file.modified for file in files), default=0)
    return _Stats(
        sum(file.stored for file in files), _moment(newest), tuple((one.st_size, one.st_mtime_ns) for one in roots)
    )


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def plain(record: bytes) -> object:
    """Return a record as JSON values, for eyes: relaxed Extended JSON; None if it does not decode or is too deep."""
    try:
        document = bson.decode(record, CODEC)
        value = json.loads(json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS))
    except Exception:
        return None
    return value if _is_shallow(value) else None


def _is_shallow(value: object, left: int = _SHOWN_DEPTH) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left > 0 and all(_is_shallow(one, left - 1) for one in inside)


class _Facts:
    """Collects, while a source is read, what its entry says."""

    def __init__(self) -> None:
        self.collections: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.buckets: Counter[str] = Counter()
        self.timed = False
        self.fields: dict[str, Counter[str]] = {}
        self.keyless: Counter[str] = Counter()
        self.samples: list[object] = []
        self.damage: list[DamageEntry] = []
        self.harmed = 0

    def take(self, batch: RecordBatch) -> None:
        if batch.collection.startswith(BUCKETS):
            name = batch.collection.removeprefix(BUCKETS)
            self.buckets[name] += len(batch)
            for record, offset, length in zip(batch.records, batch.offsets, batch.lengths, strict=True):
                try:
                    self.collections[name] += count(record)
                except InvalidRecordError as error:
                    reason = f"a bucket whose measurements cannot be counted: {error}"
                    self.harm(Damage(batch.member, offset, length, reason, batch.collection))
            return
        self.timed = self.timed or batch.at is not None
        seen = self.collections[batch.collection]
        self.collections[batch.collection] += len(batch)
        fields = self.fields.setdefault(batch.collection, Counter())
        for record in batch.records[: max(0, _FIELD_SAMPLE - seen)]:
            with suppress(InvalidRecordError):  # what is broken behind its `_id` is told when it is looked at
                fields.update([name.decode("utf-8", "replace") for _, name, _ in elements(record)])
        if len(self.samples) < _SAMPLES:
            self.samples += [plain(record) for record in batch.records[: _SAMPLES - len(self.samples)]]

    def harm(self, damage: Damage) -> None:
        self.harmed += 1
        if len(self.damage) < _MAX_DAMAGE:
            self.damage.append(
                DamageEntry(
                    member=damage.member, offset=damage.offset, length=damage.length,
                    reason=damage.reason, collection=damage.collection, partial=preview(damage.partial),
                )
            )  # fmt: skip

    def harms(self) -> list[DamageEntry]:
        """Return the damage, and where there is more than an entry should hold, a last line that says how much."""
        if (more := self.harmed - len(self.damage)) <= 0:
            return self.damage
        last = self.damage[-1]
        rest = DamageEntry(
            member=last.member, offset=last.offset + max(last.length, 0), length=-1,
            reason=f"{more:,} more stretches that cannot be read", collection=last.collection,
        )  # fmt: skip
        return [*self.damage, rest]


def sound(batch: RecordBatch, *, whole: bool = False) -> Iterator[RecordBatch | Damage]:
    """Yield the batch without the records whose elements cannot be walked, and these as damage.

    Args:
        batch: The records.
        whole: Walk every record to its end, and not only as far as its `_id`.
    """
    reasons = [
        "" if not whole and record[4:9] == b"\x07_id\x00" and len(record) > 21 else well_formed(record, whole=whole)
        for record in batch.records
    ]
    if not any(reasons):
        yield batch
        return
    if good := [index for index, reason in enumerate(reasons) if not reason]:
        yield batch.only(good)
    for index, reason in enumerate(reasons):
        if reason:
            yield Damage(
                batch.member, batch.offsets[index], batch.lengths[index], reason, batch.collection,
                leading_fields(batch.records[index]),
            )  # fmt: skip


def preview(partial: bytes) -> str:
    """Return what could be read of a damaged record, for eyes: its beginning, as canonical Extended JSON."""
    if not partial:
        return ""
    try:
        text = to_json(partial)
    except NotARecordError:
        return "(unreadable)"
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}…"


class Catalog:
    """The sources of a case.

    Args:
        folder: Where the catalog is kept; made when something is first catalogued.
        tree: What opens the sources.
    """

    def __init__(self, folder: Path, tree: Tree | None = None) -> None:
        self.folder = folder
        self.tree = tree or Tree()

    def open(self, entry: SourceEntry) -> FileSource:
        """Open a catalogued source again.

        Raises:
            BadInputError: It is not there any more.
        """
        return open_source(entry.path, self.tree)

    def table(self, entry: SourceEntry) -> Path:
        """Return the Parquet file with the fingerprints of a source's records."""
        return self.folder / entry.id / "records.parquet"

    def entries(self) -> list[SourceEntry]:
        """Return every catalogued source, the newest content first."""
        found = [SourceEntry.model_validate_json(path.read_bytes()) for path in self.folder.glob("*/source.json")]
        return sorted(found, key=lambda entry: entry.taken_at, reverse=True)

    def entry(self, identifier: str) -> SourceEntry:
        """Return the source that has this id.

        Raises:
            BadInputError: The case knows no such source.
        """
        path = self.folder / identifier / "source.json"
        if not path.is_file():
            raise BadInputError(f"this case knows no source {identifier}", hint="scan it first")
        return SourceEntry.model_validate_json(path.read_bytes())

    def scan(self, source: FileSource, *, emit: Emit = silent) -> SourceEntry:
        """Read a source into the catalog, or return what is known if its content was read before.

        Raises:
            DamagedSourceError: No record can be read from it.
            BadInputError: A file cannot be opened.
        """
        before = _stats(source)
        work = self.folder / f".{secrets.token_hex(8)}.{os.getpid()}"
        try:
            if before.size <= _SMALL:  # not worth a thread
                digest = digest_of(source)
                if known := self._known(digest, source, before):
                    return known
                work.mkdir(parents=True)
                facts = self._read(source.read(), source, work / "records.parquet", before.size, emit)
            else:
                work.mkdir(parents=True)
                with ThreadPoolExecutor(1) as hasher:  # hashing needs no lock of the interpreter: it costs no time
                    hashing = hasher.submit(digest_of, source)

                    def known_already() -> bool:
                        return hashing.done() and self._known(hashing.result(), source, before) is not None

                    items = takewhile(lambda _: not known_already(), ahead(source.read()))
                    facts = self._read(items, source, work / "records.parquet", before.size, emit)
                    digest = hashing.result()
                if known := self._known(digest, source, before):
                    return known
            if _stats(source) != before:
                raise BadInputError(f"{source.path} changed while it was read", hint="scan it again when it is at rest")
            entry = self._entry(source, facts, digest, before)
            write_whole(work / "source.json", entry.model_dump_json(indent=1).encode())
            self._publish(work, self.folder / entry.id)
        except OSError as error:
            raise RecoveryError(
                f"cannot write the catalog in {self.folder}: {error.strerror}",
                hint="give the case a folder with space and write permission (--case)",
            ) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return entry

    def _known(self, digest: str, source: FileSource, stats: _Stats) -> SourceEntry | None:
        """Return the entry of this content at this path; None if it must be read."""
        path = self.folder / _identifier(source, digest) / "source.json"
        if not path.is_file():
            return None
        known = SourceEntry.model_validate_json(path.read_bytes())
        if known.path == source.path.absolute():
            return known if known.modified == stats.modified else None
        if not self.tree.exists(known.path):
            return None  # it was moved: the entry takes its new place
        # A copy of what is still there: the entry stays as it is, and is handed out with the place that was asked for.
        name = source.path.name
        return known.model_copy(update={"path": source.path.absolute(), "name": name, "modified": stats.modified})

    @staticmethod
    def _publish(work: Path, folder: Path) -> None:
        if folder.exists():  # same content, other path: the table is the same, the facts are fresher
            (work / "source.json").replace(folder / "source.json")
            sync_folder(folder)
            return
        sync_file(work / "records.parquet")
        sync_folder(work)
        work.replace(folder)
        sync_folder(folder.parent)

    @staticmethod
    def _read(items: Iterable[RecordBatch | Damage], source: FileSource, table: Path, size: int, emit: Emit) -> _Facts:
        facts, done, files = _Facts(), 0, GridFSCheck()
        checked = source.kind is not Kind.BSON  # one collection alone holds files or their chunks, never both
        with FingerprintTable(table) as rows:
            for item in items:
                for part in [item] if isinstance(item, Damage) else sound(item):
                    if isinstance(part, Damage):
                        facts.harm(part)
                        continue
                    facts.take(part)
                    if checked:
                        files.take(part)
                    rows.add(
                        part.collection, part.records, member=part.member,
                        offsets=part.offsets, lengths=part.lengths, at=part.at,
                    )  # fmt: skip
                    done += sum(part.lengths)
                    emit(Event("scan", source.path.name, done, size, "bytes"))
            for problem in files.problems():
                facts.harm(problem)
            facts.keyless = rows.keyless
        if facts.timed:
            facts.versions = facts.collections
            facts.collections = _distinct(table)
        return facts

    @staticmethod
    def _entry(source: FileSource, facts: _Facts, digest: str, stats: _Stats) -> SourceEntry:
        header, path = source.header(), source.path.absolute()
        if not facts.collections and not header.options and facts.damage:
            first = facts.damage[0]
            where = f"{path}/{first.member}" if first.member else str(path)
            why = "; ".join(dict.fromkeys([f"{first.reason} (at byte {first.offset:,})", facts.damage[-1].reason]))
            why = why.removesuffix(f"; {first.reason}")
            raise DamagedSourceError(
                f"no record can be read from {where}: {why}",
                hint="look for another copy of it",
            )
        return SourceEntry(
            id=_identifier(source, digest), digest=digest, path=path, name=path.name,
            kind=source.kind, typing=source.typing(),
            size=stats.size, modified=stats.modified, taken_at=header.taken_at or stats.modified,
            taken_from=header.taken_from if header.taken_at else "modification time",
            optime=header.optime, version=header.version, origin=header.origin,
            checksum_ok=_checksum_ok(source, header),
            collections=dict(facts.collections), versions=dict(facts.versions), buckets=dict(facts.buckets),
            fields={name: dict(count) for name, count in facts.fields.items()},
            keyless=dict(facts.keyless), samples=facts.samples, damage=facts.harms(),
            options={name: _jsonable(options) for name, options in header.options.items()},
            scanned_at=datetime.now(UTC),
        )  # fmt: skip


def _checksum_ok(source: FileSource, header: Header) -> bool | None:
    """Return whether the checksums of a source hold: those of its compression, its format, and its own."""
    if source.doubted:
        return False
    check = getattr(source, "verify_checksum", None)
    return check() if header.checksum and check else None


def _jsonable(options: dict[str, object]) -> dict[str, object]:
    """Options may hold BSON types (a validator's Decimal128): keep them as canonical Extended JSON."""
    loaded: dict[str, object] = json.loads(json_util.dumps(options, json_options=json_util.CANONICAL_JSON_OPTIONS))
    return loaded
