"""Archives as `mongodump --archive` writes them: the collections of one or several databases in one stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import MAX_RECORD_BYTES, Damage, RecordBatch, Ref
from recovery_nb.records.salvage import leading_fields
from recovery_nb.sources.archive.blocks import walk
from recovery_nb.sources.archive.format import OPLOG, Namespace, looks_like_archive
from recovery_nb.sources.archive.owners import MOST_OWNERS, Owners
from recovery_nb.sources.archive.prelude import Prelude, read_prelude
from recovery_nb.sources.archive.steps import Closed, Ended, Lost, Opened, Run
from recovery_nb.sources.base import Header, Kind, Typing
from recovery_nb.sources.content import Content, File, Slice
from recovery_nb.sources.dump.files import fetched, parsed_metadata

__all__ = ["ArchiveSource", "databases", "looks_like_archive"]

_LOOK_BYTES = 16 * 1024 * 1024
"""How much of the blocks tells which databases there are, where the prelude does not."""

_NAMED = 5
"""So many collections are named in a reason."""


def databases(content: Content) -> list[str]:
    """Return the databases that an archive holds; of a damaged one those that its first MiBs name. An oplog is in none.

    Args:
        content: The archive.
    """
    return _databases(_namespaces(content, read_prelude(content)))


class ArchiveSource:
    """An archive of `mongodump`, read-only: one database of it, or all where no two have a collection of one name.

    The buckets of a time-series are the collection `system.buckets.NAME`; views appear only in the header's options.

    Attributes:
        database: The database that is read; "" for all.
        has_oplog: Whether it holds an oplog (`mongodump --oplog`), which `read_oplog` reads.
        doubted: The collections whose checksum does not hold, as far as they have been read.

    Args:
        file: The archive.
        database: The database to read.

    Raises:
        BadInputError: The archive does not hold this database, or holds several that must be chosen from.
        DamagedSourceError: It cannot be opened.
    """

    kind = Kind.ARCHIVE

    def __init__(self, file: File, database: str = "") -> None:
        self.path, self._file = file.path, file
        content = file.open()
        self._prelude = read_prelude(content)
        namespaces = _namespaces(content, self._prelude)
        names = _databases(namespaces)
        if database and self._prelude.whole and database not in names:
            raise BadInputError(f"{file.path} holds no database {database}", hint=f"it holds {', '.join(names)}")
        self._origin = database or (names[0] if len(names) == 1 else "")
        self.database = self._origin if self._prelude.whole else database
        self.has_oplog = OPLOG in namespaces
        self.doubted: set[str] = set()
        self._databases: dict[str, str] = {}
        for entry in self._prelude.listings:
            self._plain(entry.namespace)

    @property
    def named(self) -> str:
        """What it was read as: the name of its database."""
        return self.database

    def files(self) -> list[File]:
        """Return the archive."""
        return [self._file]

    def header(self) -> Header:
        """Return the version of the tool that wrote it, and the options and indexes of each collection."""
        preface = self._prelude.preface
        options: dict[str, dict[str, object]] = {}
        for entry in self._prelude.listings:
            metadata = parsed_metadata(entry.metadata.encode()) if self._wanted(entry.namespace) else None
            if metadata:
                options[entry.namespace.collection] = metadata
        return Header(version=preface.tool or preface.server if preface else "", origin=self._origin, options=options)

    def typing(self) -> Typing:
        """Return that every type is as it was."""
        return Typing.FULL

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record of the database, in the archive's order, and every stretch that may have held some.

        A record whose collection cannot be known is a `Damage` that holds all of it.

        Raises:
            BadInputError: Two databases turn out to have a collection of the same name, and none was chosen.
        """
        self.doubted.clear()
        for offset, length, reason in self._prelude.lost:
            yield Damage("", offset, length, reason)
        for entry in self._prelude.listings:
            if self._wanted(entry.namespace) and entry.metadata and parsed_metadata(entry.metadata.encode()) is None:
                reason = "options and indexes that are not Extended JSON"
                yield Damage("", 0, self._prelude.end, reason, entry.namespace.collection)
        yield from self._read(self._wanted)

    def read_oplog(self) -> Iterator[RecordBatch | Damage]:
        """Yield the entries of the oplog, as the collection `oplog`, and every stretch that may have held some."""
        yield from self._read(OPLOG.__eq__)

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the records at `refs`, in their order.

        Raises:
            DamagedSourceError: There is no record (any more).
        """
        content = self._file.open()
        for ref in refs:
            yield fetched(content, ref, self.path)

    def _read(self, wanted: Callable[[Namespace], bool]) -> Iterator[RecordBatch | Damage]:
        content = self._file.open()
        owners = Owners(content, self._prelude)
        missing = {name for name in self._prelude.expected() if wanted(name)}
        harmed: set[Namespace | None] = set()
        for step in walk(content, self._prelude, owners):
            match step:
                case Run(None):
                    yield from self._unowned(step, owners, wanted)
                case Run(name) if name and wanted(name):
                    yield RecordBatch(self._plain(name), "", step.records, step.offsets, list(map(len, step.records)))
                case Lost(namespace=name):
                    harmed.add(name)
                    if not (name and step.sure) or wanted(name):
                        yield _lost(step, content, name.collection if name and wanted(name) else "")
                case Opened(name) if wanted(name):
                    missing.add(name)
                case Closed(name) if wanted(name):
                    missing.discard(name)
                    if not step.holds:
                        self.doubted.add(name.collection)
                        yield _mismatch(step, expected=bool(harmed & {name, None}))
                case Ended():
                    reason = "the end of this collection was not found: records may be missing"
                    for name in sorted(missing):
                        yield Damage("", step.offset, -1, reason, name.collection)
                case _:
                    pass

    def _wanted(self, name: Namespace) -> bool:
        return name.database == self.database if self.database else name != OPLOG

    def _plain(self, name: Namespace) -> str:
        """Return the collection's name, which must be that of one collection.

        Raises:
            BadInputError: It is the name of two, and no database was chosen.
        """
        other = self._databases.setdefault(name.collection, name.database) if self._wanted(name) else name.database
        if other != name.database:
            raise BadInputError(
                f"{self.path} holds a collection {name.collection} in {other} and in {name.database}",
                hint="choose one of its databases",
            )
        return name.collection

    def _unowned(self, run: Run, owners: Owners, wanted: Callable[[Namespace], bool]) -> Iterator[Damage]:
        possible = owners.possible(run.place)
        if 0 < len(possible) < MOST_OWNERS and not any(map(wanted, possible)):
            return
        names = ", ".join(name.collection for name in possible[:_NAMED]) or "any"
        reason = f"a record whose collection is not known, as the header of its block is lost: {names}"
        for record, offset in zip(run.records, run.offsets, strict=True):
            yield Damage("", offset, len(record), reason, partial=leading_fields(record))


def _mismatch(step: Closed, *, expected: bool) -> Damage:
    reason = (
        "records of this collection are lost or damaged: the archive's checksum vouches for none of the others"
        if expected
        else "the records of this collection can be read, but their checksum is wrong"
    )
    return Damage("", step.offset, step.length, reason, step.namespace.collection)


def _lost(step: Lost, content: Content, collection: str) -> Damage:
    stretch = content.read_at(step.offset, min(step.length, MAX_RECORD_BYTES)) if step.record else b""
    return Damage("", step.offset, step.length, step.reason, collection, leading_fields(stretch))


def _databases(names: list[Namespace]) -> list[str]:
    return list(dict.fromkeys(name.database for name in names if name.database))


def _namespaces(content: Content, prelude: Prelude) -> list[Namespace]:
    """Return the namespaces that the prelude lists, and, if it is damaged, those that the first blocks name."""
    names = dict.fromkeys(entry.namespace for entry in prelude.listings)
    if not prelude.whole:
        beginning = Slice(content, 0, prelude.end + _LOOK_BYTES)
        for step in walk(beginning, prelude, Owners(beginning, prelude)):
            if isinstance(step, Opened | Closed):
                names[step.namespace] = None
    return list(names)
