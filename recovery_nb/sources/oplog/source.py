"""`oplog.bson`, of a dump or copied from a live server, as a source of every version of every record."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from recovery_nb.errors import BadInputError, DamagedSourceError
from recovery_nb.records.batch import MAX_RECORD_BYTES, Damage, RecordBatch, Ref, moment
from recovery_nb.records.elements import InvalidRecordError
from recovery_nb.records.salvage import leading_fields
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS, Header, Kind, Typing
from recovery_nb.sources.content import MANIFEST, Content, File
from recovery_nb.sources.oplog.diff import is_replacement
from recovery_nb.sources.oplog.entries import parse_operation
from recovery_nb.sources.oplog.fold import Fold
from recovery_nb.sources.oplog.namespaces import Collections
from recovery_nb.sources.oplog.store import Store
from recovery_nb.sources.oplog.survey import Survey, databases, survey
from recovery_nb.sources.oplog.versions import UNSURE, Version, entry_damage, replaced

__all__ = ["FORMAT", "OplogSource"]

FORMAT = "recovery_nb.oplog"
"""What the manifest beside a copied oplog says that it is."""

_KEPT = 4
_KEPT_FOLDS: OrderedDict[tuple[str, int, float, str], _Kept] = OrderedDict()
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a finished fold left for `fetch`."""

    store: Store
    place: int


class OplogSource:
    """The oplog of one database, read-only.

    Every operation that leaves a record with new content gives a version: the record's bytes, when it was written
    (`RecordBatch.at`), and the place of the operation's own document in the file. A version's collection is the one
    that it is in after all renames, since that is where it belongs now. A record that was deleted, or dropped with
    its collection, has versions as any other; the newest is what it was at last.

    An update is told only if all of the record is known: from its insert, or a replacement, in the same oplog. What
    is told after a damaged stretch is sure only if it is a whole record; the rest is `Damage`, with its bytes.

    Args:
        file: The oplog.
        database: The database to read; "" for the one that the manifest beside it names, or the only one in it.

    Raises:
        DamagedSourceError: The file is empty or cannot be opened.
    """

    kind = Kind.OPLOG

    def __init__(self, file: File, database: str = "") -> None:
        self.path, self.file = file.path, file
        self.doubted = False
        if not file.head(1):
            raise DamagedSourceError(f"{file.path} is empty", hint="look for another copy of this file")
        self._manifest = _manifest(file)
        self._database = database or str(self._manifest.get("database") or "")
        self._survey: Survey | None = None

    @property
    def database_is_known(self) -> bool:
        """Whether someone said which database is read: who made the source, or the manifest."""
        return bool(self._database)

    @property
    def database(self) -> str:
        """The name of the database that is read.

        Raises:
            BadInputError: There are several, or none.
        """
        if not self._database:
            found = list(databases(self.file.open()))
            if len(found) != 1:
                listed = f"several databases: {', '.join(found)}" if found else "no database's operations"
                raise BadInputError(f"{self.path} holds {listed}", hint="name the database whose records are wanted")
            self._database = found[0]
        return self._database

    @property
    def window(self) -> tuple[int, int]:
        """The times, as `moment` gives them, between which the oplog holds everything that was done.

        A copied oplog holds one database's entries; its manifest tells from when to when the whole one reached.
        """
        found = self._surveyed()
        first, last = (_stated(self._manifest.get(name)) for name in ("first", "last"))
        return min(first or found.first, found.first or first), max(last, found.last)

    @property
    def named(self) -> str:
        """What it was read as: the name of its database."""
        return self.database

    def files(self) -> list[File]:
        """Return the file."""
        return [self.file]

    def header(self) -> Header:
        """Return when its last entry was written, and the database."""
        last = self.window[1]
        taken_at = datetime.fromtimestamp(last >> 32, UTC) if last else None
        return Header(taken_at=taken_at, taken_from="last entry" if taken_at else "", origin=self.database)

    def typing(self) -> Typing:
        """Return that every type is as it was."""
        return Typing.FULL

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every version of every record, in the order of the operations, and what gives none.

        Memory is bounded: the records' states are kept in a temporary file where they are many.
        """
        names = self._surveyed().names
        waiting = _Waiting()
        for item in self._folded():
            if isinstance(item, Damage):
                yield self._salvaged(item) if item.partial else item
                continue
            operation = item.operation
            name = names.get(item.collection.identity) or item.collection.name
            if not item.sure:
                yield entry_damage(operation.offset, operation.length, UNSURE, collection=name, partial=item.record)
            elif waiting.add(name, item):
                yield from waiting.batches()
        yield from waiting.batches()
        self.doubted = bool(self.file.open().doubt)

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the records at `refs`, in their order; of a damaged one, what could be made of it.

        Raises:
            DamagedSourceError: There is no record (any more).
        """
        content = self.file.open()
        for ref in refs:
            record = self._partial(content, ref) if ref.partial else self._record(content, ref)
            if not record:
                raise DamagedSourceError(
                    f"{self.path} holds no record of {ref.length:,} bytes at offset {ref.offset:,} any more",
                    hint="scan it again",
                )
            yield record

    def _surveyed(self) -> Survey:
        if self._survey is None:
            self._survey = survey(self.file.open(), self.database)
        return self._survey

    def _folded(self) -> Iterator[Version | Damage]:
        """Fold, and keep for `fetch` what was made."""
        store = Store()
        fold = Fold(self.file.open(), self.database, store=store, collections=Collections(self.database))
        yield from fold.read()
        store.settle()
        with _LOCK:
            _KEPT_FOLDS[self._key()] = _Kept(store, fold.place)
            if len(_KEPT_FOLDS) > _KEPT:
                _KEPT_FOLDS.popitem(last=False)

    def _key(self) -> tuple[str, int, float, str]:
        return str(self.path), self.file.stored, self.file.modified, self.database

    def _made(self, ref: Ref, *, sure: bool) -> bytes:
        """Return what the update at a place made; b"" if there is none."""
        if self._key() not in _KEPT_FOLDS:
            for _ in self._folded():
                pass
        with _LOCK:
            kept = _KEPT_FOLDS[self._key()]
            found = kept.store.folded(kept.place + ref.offset)
        return found.record if found and found.sure == sure else b""

    def _record(self, content: Content, ref: Ref) -> bytes:
        if ref.offset < 0 or not 0 < ref.length <= MAX_RECORD_BYTES:
            return b""
        try:
            operation = parse_operation(content.read_at(ref.offset, ref.length), ref.offset)
            if operation.op == b"i":
                return operation.o
            if operation.op == b"u":
                return replaced(operation) if is_replacement(operation.o) else self._made(ref, sure=True)
        except InvalidRecordError:
            pass
        return b""

    def _partial(self, content: Content, ref: Ref) -> bytes:
        left = leading_fields(content.read_at(ref.offset, min(ref.length, MAX_RECORD_BYTES)))
        return self._salvaged(entry_damage(ref.offset, ref.length, "", partial=left)).partial or self._made(
            ref, sure=False
        )

    def _salvaged(self, damage: Damage) -> Damage:
        """Return a damage whose partial content is the record in what was left of an entry, if that is an insert."""
        collection, record = "", b""
        try:
            operation = parse_operation(damage.partial, damage.offset)
            name, dot, collection = operation.ns.decode("utf-8", "replace").partition(".")
            if operation.op == b"i" and dot and name == self.database:
                record = operation.o
        except InvalidRecordError:
            pass
        return entry_damage(
            damage.offset, damage.length, damage.reason, collection=collection if record else "", partial=record
        )


@dataclass(slots=True)
class _Waiting:
    """Versions that wait until there are enough for a batch, by collection."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    count: int = 0
    bytes: int = 0

    def add(self, name: str, version: Version) -> bool:
        """Add a version; say whether it is time for batches."""
        self.versions.setdefault(name, []).append(version)
        self.count += 1
        self.bytes += len(version.record)
        return self.count >= BATCH_RECORDS or self.bytes >= BATCH_BYTES

    def batches(self) -> Iterator[RecordBatch]:
        """Yield what waits, a batch for each collection."""
        versions, self.versions, self.count, self.bytes = self.versions, {}, 0, 0
        for name, found in versions.items():
            yield RecordBatch(
                name,
                "",
                [version.record for version in found],
                [version.operation.offset for version in found],
                [version.operation.length for version in found],
                [version.at for version in found],
            )


def _manifest(file: File) -> dict[str, object]:
    beside = file.beside(MANIFEST)
    try:
        found = json.loads(beside.small()) if beside else None
    except (DamagedSourceError, ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) and found.get("format") == FORMAT else {}


def _stated(value: object) -> int:
    """Return the moment that a manifest states as [seconds, increment]; 0 where it states none."""
    match value:
        case [int(seconds), int(increment)] if 0 <= increment < 1 << 32:
            return moment(seconds, increment)
    return 0
