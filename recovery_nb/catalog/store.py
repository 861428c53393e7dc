"""The catalog: reads each source once for each content, and knows where its table is."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import duckdb
from bson import json_util

from recovery_nb.audit.values import printable
from recovery_nb.catalog.digest import Stats, digest_of, identifier, stats_of, unsettled
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.facts import Facts, sound
from recovery_nb.catalog.table import FingerprintTable
from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.files import sync_file, sync_folder, write_whole
from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.sources.base import FileSource, Header, Kind
from recovery_nb.sources.discover import open_source
from recovery_nb.sources.dump.files import DumpSource
from recovery_nb.sources.dump.gridfs import GridFSCheck
from recovery_nb.sources.small_files import SmallFiles
from recovery_nb.sources.tree import Tree

__all__ = ["Catalog"]

_SMALL = 256 * 1024
_ATTEMPTS = 3
"""How often a folder is read in which files change, each time without those that did."""


def _distinct(table: Path) -> Counter[str]:
    """Count the records of a table that holds several versions of them, by collection."""
    with duckdb.connect() as db:
        rows = db.execute(
            """SELECT collection, count(DISTINCT key) + count(*) FILTER (key IS NULL) FROM read_parquet(?)
               GROUP BY collection""",
            [str(table)],
        ).fetchall()
    return Counter(dict(rows))


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

        Of a folder, a file that changes while it is read, or goes away, is damage; the others are catalogued.

        Raises:
            DamagedSourceError: No record can be read from it.
            BadInputError: A file cannot be opened, or it changes.
        """
        lost: list[Damage] = []
        for _ in range(_ATTEMPTS):
            found = self._scan(source, lost, emit)
            if isinstance(found, SourceEntry):
                return found
            lost += found
            if isinstance(source, DumpSource | SmallFiles):  # no other has more files than one
                source = source.without({one.member for one in found})
        raise BadInputError(f"{source.path} changed while it was read", hint="scan it again when it is at rest")

    def _scan(self, source: FileSource, lost: list[Damage], emit: Emit) -> SourceEntry | list[Damage]:
        """Return the entry of a source; or, as damage, which of its files changed while they were read.

        Args:
            source: The source.
            lost: What was left out of it, for the same reason; then nothing that is known is as fresh as what is read.
            emit: Hears of the progress.
        """
        before = stats_of(source)
        if gone := unsettled(source, before):
            return gone
        work = self.folder / f".{secrets.token_hex(8)}.{os.getpid()}"
        try:
            if before.size <= _SMALL:  # not worth a thread
                digest = digest_of(source)
                if not lost and (known := self._known(digest, source, before)):
                    return known
                work.mkdir(parents=True)
                facts = self._read(source.read(), source, work / "records.parquet", before.size, emit)
            else:
                work.mkdir(parents=True)
                with ThreadPoolExecutor(1) as hasher:  # hashing needs no lock of the interpreter: it costs no time
                    hashing = hasher.submit(digest_of, source)

                    def known_already() -> bool:
                        return not lost and hashing.done() and self._known(hashing.result(), source, before) is not None

                    items = takewhile(lambda _: not known_already(), source.read())
                    facts = self._read(items, source, work / "records.parquet", before.size, emit)
                    digest = hashing.result()
                if not lost and (known := self._known(digest, source, before)):
                    return known
            if changed := unsettled(source, before):
                return changed
            for one in lost:
                facts.harm(one)
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

    def _known(self, digest: str, source: FileSource, stats: Stats) -> SourceEntry | None:
        """Return the entry of this content at this path; None if it must be read."""
        path = self.folder / identifier(source, digest) / "source.json"
        if not path.is_file():
            return None
        known = SourceEntry.model_validate_json(path.read_bytes())
        if known.path == source.path.absolute():
            return known if known.modified == stats.modified else None
        try:
            self.open(known)
        except RecoveryError:
            return None  # it was moved, or opens no more: the entry takes the new place
        # A copy of what is still there: the entry stays as it is, and is handed out with the place that was asked for.
        name = printable(Path(source.path.name))
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
    def _read(items: Iterable[RecordBatch | Damage], source: FileSource, table: Path, size: int, emit: Emit) -> Facts:
        facts, done, files = Facts(), 0, GridFSCheck()
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
    def _entry(source: FileSource, facts: Facts, digest: str, stats: Stats) -> SourceEntry:
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
            id=identifier(source, digest), digest=digest, path=path, name=printable(Path(path.name)),
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
