"""A database as it was at one time: a base, if there is one, and what the oplog says was done after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import cast

from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.files import write_json
from recovery_nb.records.batch import Damage, moment
from recovery_nb.records.elements import InvalidRecordError
from recovery_nb.records.keys import key_text
from recovery_nb.sources.base import FileSource
from recovery_nb.sources.content import MANIFEST
from recovery_nb.sources.oplog.dump import write_dump
from recovery_nb.sources.oplog.entries import is_record_namespace
from recovery_nb.sources.oplog.fold import Fold
from recovery_nb.sources.oplog.namespaces import Collection, Collections
from recovery_nb.sources.oplog.source import OplogSource
from recovery_nb.sources.oplog.store import State, Store
from recovery_nb.sources.oplog.times import time_text
from recovery_nb.sources.oplog.versions import NOT_HELD, UNFIT, Span, record_key
from recovery_nb.sources.oplog.whole import whole_folder

__all__ = ["FORMAT", "Problem", "WrittenState", "write_state"]

FORMAT = "recovery_nb.state"
"""What the manifest of a written state says that it is."""

MAX_PROBLEMS = 1_000
"""No more records than this are named; all are counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that is not in the state because what it was then is not known.

    Attributes:
        collection: Its collection.
        key: Its `_id`, for a person.
        reason: Why it is not known.
    """

    collection: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class WrittenState:
    """A state that was written, whole.

    Attributes:
        path: The folder: a manifest, and in it the folder of the database as `mongodump` writes it.
        database: The database's name.
        at: The moment whose state it is.
        collections: By name, how many records of it were written.
        problems: Records whose state is not known, `MAX_PROBLEMS` of them at most.
        unknown: How many there are.
        gaps: What else speaks against it, a line each: times that nothing tells of, damage.
    """

    path: Path
    database: str
    at: int
    collections: dict[str, int]
    problems: list[Problem]
    unknown: int
    gaps: list[str]


def write_state(
    oplogs: Sequence[OplogSource],
    *,
    at: int,
    folder: Path,
    base: FileSource | None = None,
    base_at: int | None = None,
    base_about: int | None = None,
    emit: Emit = silent,
) -> WrittenState:
    """Write a database as it was at a time to `<folder>/state_<database>_<seconds>_<increment>`, as a dump.

    The base's records are taken, then every operation up to and including `at` is applied. Where it is known exactly
    what the base holds (`base_at`), only later operations are; else all are applied again, as a server does in a
    replay: an insert takes the place of what is there, and what was deleted is gone. (What a capped collection lets
    go is in no oplog of a server before MongoDB 5.0: there, such records stay.)

    Args:
        oplogs: Oplogs of one database.
        at: The time, as `parse_time` gives it.
        folder: Where the folder is to be made.
        base: A dump that was taken before `at`, with all its types; None where there is none.
        base_at: The moment whose state the base is (a backup's cluster time), where that is known exactly.
        base_about: When it was taken, where that is not; its own header's time if None.
        emit: Hears how far it is.

    Raises:
        BadInputError: `at` is outside of the oplogs, or before the base; they are of several databases; the folder
            cannot be written to.
        DamagedSourceError: A source cannot be read.
    """
    ordered = sorted(oplogs, key=lambda oplog: oplog.window)
    database = _database(ordered)
    _check_time(ordered, at)
    work = _Work(database, at)
    after, epoch = work.begin(base, base_at, base_about, ordered[0].window[0])
    for before, oplog in pairwise([None, *ordered]):
        if oplog is None:
            continue
        if before is not None and oplog.window[0] > before.window[1]:
            work.gaps.append(
                f"no oplog tells of the time from {time_text(before.window[1])} to {time_text(oplog.window[0])}"
            )
            epoch += 1
        emit(Event("scan", str(oplog.path), note="applying its operations"))
        epoch = work.apply(oplog, epoch, Span(after, at), replay=base is not None and base_at is None)
        after = max(after, oplog.window[1])
    return work.write(folder, base, ordered)


def _database(oplogs: Sequence[OplogSource]) -> str:
    names = sorted({oplog.database for oplog in oplogs})
    if len(names) != 1:
        found = f"of several databases: {', '.join(names)}" if names else "none"
        raise BadInputError(f"the oplogs are {found}", hint="name oplogs of one database")
    return names[0]


def _check_time(oplogs: Sequence[OplogSource], at: int) -> None:
    first, last = oplogs[0].window[0], max(oplog.window[1] for oplog in oplogs)
    if at < first or at >> 32 > last >> 32:
        raise BadInputError(
            f"{time_text(at)} is outside of the oplog, which tells of {time_text(first)} to {time_text(last)}",
            hint="choose a time in between, or name another oplog",
        )


@dataclass(slots=True)
class _Work:
    """A state while it is made."""

    database: str
    at: int
    store: Store = field(default_factory=Store)
    gaps: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unknown: int = 0
    metadata: dict[int, dict[str, object]] = field(default_factory=dict)
    collections: Collections = field(init=False)

    def __post_init__(self) -> None:
        self.collections = Collections(self.database)

    def begin(
        self, base: FileSource | None, base_at: int | None, base_about: int | None, first: int
    ) -> tuple[int, int]:
        """Take the base's records; return after when operations count, and the epoch in which they begin."""
        if base is None:
            self.gaps.append(f"without a base, records that were not written after {time_text(first)} are missing")
            return -1, 0
        taken_at = base.header().taken_at
        about = moment(taken_at.timestamp()) if taken_at else base_about
        taken = about if base_at is None else base_at
        if taken is not None and taken >> 32 > self.at >> 32:
            raise BadInputError(
                f"{base.path} was taken at {time_text(taken)}, after {time_text(self.at)}",
                hint="name a base that is older than the time that is wanted",
            )
        self._seed(base)
        if taken is None:
            self.gaps.append(f"{base.path} does not say when it was taken: the state is right for later times only")
        elif taken < first if base_at is not None else taken >> 32 < first >> 32:
            self.gaps.append(
                f"no oplog tells of the time from {time_text(taken)}, when the base was taken, to {time_text(first)}: "
                "what was done in between is missing"
            )
            return -1, 1
        return -1 if base_at is None else base_at, 0

    def _seed(self, base: FileSource) -> None:
        options = base.header().options
        for name, metadata in options.items():
            if metadata.get("type", "collection") == "collection":
                self._based(name, metadata)
        for item in base.read():
            if isinstance(item, Damage):
                where = f"{item.member or base.path} at byte {item.offset:,}"
                self._say(f"the base is damaged: {where}: {item.reason}")
                continue
            collection = self._based(item.collection, options.get(item.collection, {}))
            for record in item.records:
                try:
                    key = record_key(collection, record)
                except InvalidRecordError:
                    key = None
                if key is None:
                    self._say(f"the base holds a record of {item.collection} whose _id cannot be read")
                    continue
                if self.store.get(key) is not None:
                    self._say(f"the base holds a record of {item.collection} twice: {key_text(key[4:])}")
                self.store.put(key, State(-1, self.store.spool(record), len(record), 0))
        if base.doubted:
            self._say(f"{base.path} cannot be trusted: a checksum speaks against it")

    def _based(self, name: str, metadata: dict[str, object]) -> Collection:
        uuid = metadata.get("uuid")
        ui = bytes.fromhex(uuid) if isinstance(uuid, str) and len(uuid) == 32 and _is_hex(uuid) else b""
        collection = self.collections.of(name.encode(), ui)
        self.metadata.setdefault(collection.number, metadata)
        return collection

    def apply(self, oplog: OplogSource, epoch: int, span: Span, *, replay: bool) -> int:
        """Apply an oplog's operations; return the epoch in which the next one begins."""
        content = oplog.file.open()
        fold = Fold(
            content, self.database, store=self.store, collections=self.collections,
            epoch=epoch, span=span, replay=replay,
        )  # fmt: skip
        for item in fold.read():
            if isinstance(item, Damage) and fold.last <= self.at and not item.reason.startswith((NOT_HELD, UNFIT)):
                self._say(f"{oplog.path} at byte {item.offset:,}: {item.reason}")
        if content.doubt:
            self._say(f"{oplog.path} cannot be trusted: {content.doubt}")
        return fold.epoch

    def write(self, folder: Path, base: FileSource | None, oplogs: Sequence[OplogSource]) -> WrittenState:
        """Write what is known."""
        name = f"state_{self.database}_{self.at >> 32}_{self.at & 0xFFFFFFFF}"
        with whole_folder(folder, name) as growing:
            alive = (one for one in self.collections.live() if is_record_namespace(one.raw))
            known = ((one, self.metadata.get(one.number), self._records(one)) for one in alive)
            options = base.header().options if base else {}
            others = {name: metadata for name, metadata in options.items() if _without_records(metadata)}
            counts = write_dump(growing.path / self.database, collections=known, others=others)
            manifest = {
                "format": FORMAT,
                "version": 1,
                "database": self.database,
                "as_of": [self.at >> 32, self.at & 0xFFFFFFFF],
                "taken_at": datetime.fromtimestamp(self.at >> 32, UTC).isoformat(),
                "written_at": datetime.now(UTC).replace(microsecond=0).isoformat(),
                "base": str(base.path) if base else None,
                "oplogs": [str(oplog.path) for oplog in oplogs],
                "collections": counts,
                "unknown": self.unknown,
                "gaps": self.gaps,
            }
            write_json(growing.path / MANIFEST, manifest)
        return WrittenState(growing.path, self.database, self.at, counts, self.problems, self.unknown, self.gaps)

    def _records(self, collection: Collection) -> Iterator[bytes]:
        for key, state in self.store.states(collection.number.to_bytes(4, "big")):
            if state.length >= 0 and state.epoch >= 0:
                yield self.store.record(state)
                continue
            self.unknown += 1
            if len(self.problems) < MAX_PROBLEMS:
                reason = (
                    "its last update is known, but not what it was before"
                    if state.length < 0
                    else "it was updated after a gap or a damaged stretch, in which it may have changed"
                )
                self.problems.append(Problem(collection.name, key_text(key[4:]), reason))

    def _say(self, gap: str) -> None:
        if len(self.gaps) < MAX_PROBLEMS:
            self.gaps.append(gap)


def _without_records(metadata: dict[str, object]) -> bool:
    return cast("str", metadata.get("type", "collection")) in ("view", "timeseries")


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in text)
