"""Folding an oplog: from what was done, one operation after another, to what each record was after it."""

from __future__ import annotations

from collections.abc import Iterator

from recovery_nb.records.batch import Damage
from recovery_nb.records.elements import InvalidRecordError, invalid_reason
from recovery_nb.records.salvage import leading_fields
from recovery_nb.sources.content import Content
from recovery_nb.sources.dump.framing import frame
from recovery_nb.sources.oplog.diff import UnfitUpdateError, apply_update, is_replacement
from recovery_nb.sources.oplog.entries import BROKEN, Entry, Operation, command, flatten, is_record_namespace, parse
from recovery_nb.sources.oplog.namespaces import COMMANDS, NO_RECORDS, Collection, Collections
from recovery_nb.sources.oplog.store import State, Store, is_spooled
from recovery_nb.sources.oplog.transactions import Part, Transactions
from recovery_nb.sources.oplog.versions import (
    ALL,
    NOT_HELD,
    UNFIT,
    Span,
    Version,
    entry_damage,
    operation_damage,
    record_key,
    replaced,
)

__all__ = ["Fold"]

_WRITES = frozenset((b"i", b"u", b"d"))
_UNKNOWN = -1
"""The length in the state of a record of which something is known, but not what it is."""


class Fold:
    """One pass over an oplog.

    Args:
        content: The oplog, entries back to back.
        database: The database whose operations count.
        store: The states of its records, before and after.
        collections: Its collections, before and after.
        epoch: How many interruptions there were before: a state of an earlier epoch makes what follows unsure.
        span: Which operations count.
        replay: Whether the states may be later than the first operations (`apply_update`).

    Attributes:
        epoch: How many interruptions there were so far.
        first: The time of the first entry; -1 before it was read.
        last: The time of the entry that was read last.
        place: The place where the content begins in the store.
    """

    def __init__(
        self,
        content: Content,
        database: str,
        *,
        store: Store,
        collections: Collections,
        epoch: int = 0,
        span: Span = ALL,
        replay: bool = False,
    ) -> None:
        self._content, self._store, self._collections = content, store, collections
        self._prefix = database.encode() + b"."
        self.place = store.add_content(content)
        self._span, self._replay = span, replay
        self._transactions = Transactions(content)
        self._known: dict[tuple[bytes, bytes], Collection | None] = {}  # until the next command
        self.epoch = epoch
        self.first = self.last = -1

    def read(self) -> Iterator[Version | Damage]:
        """Yield every version, in the order of the operations, and every stretch or operation that gives none.

        Of a transaction's versions of one record only the last is yielded: the others never were there for anyone.
        """
        prefix, after, until = self._prefix, self._span.after, self._span.until
        for item in frame(self._content, member="", collection=""):
            if isinstance(item, Damage):
                self.epoch += 1
                yield item
                continue
            for record, offset in zip(item.records, item.offsets, strict=True):
                try:
                    entry = parse(record, offset)
                    if entry.at > self.last and entry.operation.op in _WRITES:  # nearly all are; the rest is slower
                        self.last = entry.at
                        if self.first < 0:
                            self.first = entry.at
                        if entry.operation.ns.startswith(prefix) and after < entry.at <= until:
                            found = self._apply(entry.operation, entry.at, self.epoch)
                            if found is not None:
                                yield found
                    else:
                        yield from self._entry(entry)
                except InvalidRecordError as error:
                    self.epoch += 1
                    yield entry_damage(
                        offset, len(record), f"an entry that cannot be read: {error}", partial=leading_fields(record)
                    )
        for part in self._transactions.open():
            if self._concerns(part):
                yield entry_damage(part.offset, part.length, "a transaction whose end this oplog does not hold")

    def _entry(self, entry: Entry) -> Iterator[Version | Damage]:
        operation = entry.operation
        if entry.at <= self.last:
            self.epoch += 1
            yield operation_damage(operation, "an entry that is not newer than the one before it")
        self.last = entry.at
        if self.first < 0:
            self.first = entry.at
        if operation.op in _WRITES:
            if operation.ns.startswith(self._prefix) and self._counts(entry.at):
                found = self._apply(operation, entry.at, self.epoch)
                if found is not None:
                    yield found
        elif operation.op == b"c":
            yield from self._command(entry)
        elif operation.op != b"n" and (found := self._other(operation)):
            yield found

    def _counts(self, at: int) -> bool:
        return self._span.after < at <= self._span.until

    def _command(self, entry: Entry) -> Iterator[Version | Damage]:
        operation = entry.operation
        if operation.o[5:-1].startswith((b"applyOps\x00", b"commitTransaction\x00", b"abortTransaction\x00")):
            step = self._transactions.step(entry, self.epoch)
            if step.interrupted:
                if entry.previous >= self.first:  # what is missing is no older than the oplog: it was lost in it
                    self.epoch += 1
                yield operation_damage(operation, step.interrupted)
            if step.parts and self._counts(step.at):
                yield from self._commit(step.parts, step.at)
        elif self._counts(entry.at) and (found := self._other(operation)):
            yield found

    def _commit(self, parts: list[Part], at: int) -> Iterator[Version | Damage]:
        """Yield what a transaction, or another `applyOps`, left: first all is applied, then it is told."""
        before = self.epoch
        for part in parts:
            try:
                for operation in self._operations(part):
                    found = self._apply(operation, at, part.epoch + self.epoch - before)
                    if isinstance(found, Damage):
                        yield found
            except InvalidRecordError as error:
                self.epoch += 1
                yield entry_damage(part.offset, part.length, f"operations that cannot be read: {error}")
        for part in parts:
            try:
                for operation in self._operations(part):
                    if version := self._current(operation, at):
                        yield version
            except InvalidRecordError:
                continue  # it was said already

    def _operations(self, part: Part) -> Iterator[Operation]:
        for operation in flatten(self._transactions.operation(part), transaction=bool(part.transaction)):
            if operation.ns.startswith(self._prefix) or operation.ns == b"admin.$cmd" or operation.op == BROKEN:
                yield operation

    def _concerns(self, part: Part) -> bool:
        try:
            return any(operation.ns.startswith(self._prefix) for operation in self._operations(part))
        except InvalidRecordError:
            return True

    def _current(self, operation: Operation, at: int) -> Version | None:
        """Return the version that an operation made, if the record is still that."""
        collection = self._collection(operation) if operation.op in (b"i", b"u") else None
        if collection is None:
            return None
        try:
            key = self._key(collection, operation)
        except InvalidRecordError:
            return None
        if key is None:
            return Version(collection, operation, at, operation.o, True) if operation.op == b"i" else None
        state = self._store.get(key)
        if state is None or state.length < 0 or state.operation != self.place + operation.offset:
            return None
        return Version(collection, operation, at, self._store.record(state), state.epoch >= 0)

    def _collection(self, operation: Operation) -> Collection | None:
        """Return the collection that an operation was on; None where it holds no records."""
        known = operation.ns, operation.ui
        if known not in self._known:
            name = operation.ns[len(self._prefix) :]
            changes = self._collections.changes
            found = self._collections.of(name, operation.ui) if is_record_namespace(name) else None
            if changes != self._collections.changes:
                self._known.clear()
            self._known[known] = found
        return self._known[known]

    def _key(self, collection: Collection, operation: Operation) -> bytes | None:
        return record_key(collection, operation.o2 if operation.op == b"u" and operation.o2 else operation.o)

    def _apply(self, operation: Operation, at: int, epoch: int) -> Version | Damage | None:
        if operation.op == b"n":
            return None
        if operation.op == BROKEN:
            self.epoch += 1
            return operation_damage(operation, "an operation that cannot be read")
        name = ""
        try:
            if operation.op not in _WRITES:
                return self._other(operation)
            collection = self._collection(operation)
            if collection is None:
                return None
            name = collection.name
            key = self._key(collection, operation)
            if operation.op == b"i":
                return self._full(collection, key, operation, operation.o, at=at, epoch=epoch)
            if key is None:
                raise InvalidRecordError("it has no _id")
            if operation.op == b"d":
                self._store.delete(key)
                return None
            if is_replacement(operation.o):
                return self._full(collection, key, operation, replaced(operation), at=at, epoch=epoch)
        except InvalidRecordError as error:
            self.epoch += 1
            return operation_damage(operation, f"an operation that cannot be read: {error}", name)
        return self._update(collection, key, operation, at=at, epoch=epoch)

    def _full(
        self, collection: Collection, key: bytes | None, operation: Operation, record: bytes, *, at: int, epoch: int
    ) -> Version:
        """Take note of a whole record: inserted, or in the place of another."""
        if key is not None:
            place = self.place + operation.body if record is operation.o else self._store.spool(record)
            self._store.put(key, State(self.place + operation.offset, place, len(record), epoch, record))
        return Version(collection, operation, at, record, True)

    def _update(
        self, collection: Collection, key: bytes, operation: Operation, *, at: int, epoch: int
    ) -> Version | Damage:
        name = self.place + operation.offset
        state = self._store.get(key)
        if state is None or state.length < 0:
            self._store.put(key, State(name, 0, _UNKNOWN, epoch))
            return operation_damage(operation, NOT_HELD, collection.name)
        try:
            before = self._store.record(state)
            if (reason := invalid_reason(operation.o)) or (
                not is_spooled(state) and (reason := invalid_reason(before))
            ):
                raise InvalidRecordError(reason)  # what is broken inside must not be carried on from here
            record = apply_update(before, operation.o, replay=self._replay, by_command=operation.by_command)
        except (UnfitUpdateError, InvalidRecordError) as error:
            self._store.put(key, State(name, 0, _UNKNOWN, epoch))
            return operation_damage(operation, f"{UNFIT}: {error}", collection.name)
        sure = state.epoch >= epoch
        place = self._store.spool(record)
        self._store.remember(name, place, len(record), sure=sure)
        self._store.put(key, State(name, place, len(record), state.epoch if sure else -1, record))
        return Version(collection, operation, at, record, sure)

    def _other(self, operation: Operation) -> Damage | None:
        """Take account of a command, or of an operation of a kind that is not known."""
        ours = operation.ns.startswith(self._prefix)
        if not ours and not operation.ns.startswith(b"admin."):
            return None
        if operation.op != b"c":
            self.epoch += ours  # who knows what it changed
            kind = operation.op.decode("utf-8", "replace")
            return operation_damage(operation, f"an entry of a kind not known: {kind!r}")
        said = command(operation)
        if said.name in NO_RECORDS or not (ours or said.name not in COMMANDS):
            return None
        if said.name not in COMMANDS:
            self.epoch += ours
            name = said.name.decode("utf-8", "replace")
            return operation_damage(operation, f"a command of a kind not known: {name!r}")
        self._known.clear()
        self._collections.apply(operation, said)
        if said.name == b"importCollection":
            return operation_damage(operation, "an import of a collection's files: its records are not in the oplog")
        return None
