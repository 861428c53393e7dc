"""Which collection an operation was on: those of one name are told apart, and those that were renamed are followed."""

from __future__ import annotations

from dataclasses import dataclass

from recovery_nb.sources.oplog.entries import Command, Operation

__all__ = ["COMMANDS", "NO_RECORDS", "Collection", "Collections"]

COMMANDS = frozenset((b"create", b"drop", b"dropDatabase", b"renameCollection", b"emptycapped", b"importCollection"))
"""The commands that `Collections.apply` takes account of."""

_INDEXES = (b"createIndexes", b"startIndexBuild", b"commitIndexBuild", b"abortIndexBuild", b"dropIndexes", b"dropIndex")
_OLDER = (b"deleteIndexes", b"deleteIndex", b"convertToCapped")
_NEWER = (b"modifyCollectionShardingIndexCatalog", b"createDatabaseMetadata", b"dropDatabaseMetadata")
NO_RECORDS = frozenset((b"collMod", b"dbCheck", *_INDEXES, *_OLDER, *_NEWER))
"""Commands that change no record. (A collection becomes capped by way of another, whose entries say it all.)"""


@dataclass(slots=True, eq=False)
class Collection:
    """A collection, from its creation until it is dropped, whatever its names.

    Attributes:
        number: Its number in this pass.
        identity: What it is known by in every pass over the same oplog: its UUID, or its name and which of that name.
        raw: What it is called now, without the database, as the oplog has it.
        ui: Its UUID, 16 bytes; b"" where that is not known.
        created: The `create` command; None where the oplog does not hold it.
        live: Whether it exists now.
    """

    number: int
    identity: bytes
    raw: bytes
    ui: bytes = b""
    created: Command | None = None
    live: bool = True

    @property
    def name(self) -> str:
        """What it is called now, without the database."""
        return self.raw.decode("utf-8", "replace")


class Collections:
    """The collections of one database, as the entries of its oplog tell of them one after another.

    Args:
        database: The database's name.

    Attributes:
        all: Every collection so far, by its number.
        changes: How often it changed which collection a name or UUID means.
    """

    def __init__(self, database: str) -> None:
        self._prefix = database.encode() + b"."
        self.all: list[Collection] = []
        self.changes = 0
        self._by_ui: dict[bytes, Collection] = {}
        self._by_name: dict[bytes, Collection] = {}
        self._ends: dict[bytes, int] = {}  # how many collections of a name came to their end, as commands tell
        self._drops = 0

    def live(self) -> list[Collection]:
        """Return the collections that exist now, by name."""
        return sorted((one for one in self.all if one.live), key=lambda one: one.name)

    def of(self, name: bytes, ui: bytes) -> Collection:
        """Return the collection that an operation was on.

        Args:
            name: Its name then, without the database.
            ui: Its UUID; b"" where the entry has none.
        """
        named = self._by_name.get(name)
        if named is not None and (not ui or named.ui == ui):
            return named
        if not ui:
            return self._new(name, ui)
        known = self._by_ui.get(ui)
        if known is not None:
            self._rename(known, name)
            return known
        if named is not None and not named.ui:  # a base that does not know its collections' UUIDs
            named.ui = ui
            self._by_ui[ui] = named
            self.changes += 1
            return named
        return self._new(name, ui)

    def apply(self, operation: Operation, said: Command) -> None:
        """Take account of one of `COMMANDS`."""
        target = said.text()
        match said.name:
            case b"create":
                collection = self.of(target, operation.ui)
                collection.created, collection.live = said, True
            case b"drop":
                self._drop(self._meant(target, operation.ui))
                self._ended(target)
            case b"dropDatabase":
                for collection in list(self._by_name.values()):
                    self._drop(collection)
                self._drops += 1
            case b"renameCollection":
                self._renamed(operation, target, said)
            case b"emptycapped":
                self._ended(target)
                self._replace(self._meant(target, operation.ui))
            case b"importCollection":
                name = target.removeprefix(self._prefix)
                self._ended(name)
                self._replace(self.of(name, operation.ui))

    def _meant(self, name: bytes, ui: bytes) -> Collection | None:
        """Return the collection that a command was on, if it is known: one of another UUID is not it."""
        named = self._by_name.get(name)
        if ui and (named is None or named.ui):
            return self._by_ui.get(ui)
        return named

    def _renamed(self, operation: Operation, source: bytes, said: Command) -> None:
        target = said.text(b"to")
        before, name = source.removeprefix(self._prefix), target.removeprefix(self._prefix)
        collection = self.of(before, operation.ui)
        self._ended(before)
        if target.startswith(self._prefix):
            self._ended(name)
            self._rename(collection, name)
        else:  # into another database
            self._drop(collection)

    def _rename(self, collection: Collection, name: bytes) -> None:
        self._forget(collection)
        if (replaced := self._by_name.get(name)) is not None and replaced is not collection:
            self._drop(replaced)
        collection.raw, collection.live = name, True
        self._by_name[name] = collection

    def _ended(self, name: bytes) -> None:
        self._ends[name] = self._ends.get(name, 0) + 1

    def _drop(self, collection: Collection | None) -> None:
        if collection is not None:
            self._forget(collection)
            collection.live = False

    def _forget(self, collection: Collection) -> None:
        self.changes += 1
        if self._by_name.get(collection.raw) is collection:
            del self._by_name[collection.raw]

    def _new(self, name: bytes, ui: bytes) -> Collection:
        self._drop(self._by_name.get(name))
        identity = ui or name + b"\x00%d %d" % (self._drops, self._ends.get(name, 0))
        collection = Collection(len(self.all), identity, name, ui)
        self.all.append(collection)
        self.changes += 1
        self._by_name[name] = collection
        if ui:
            self._by_ui[ui] = collection
        return collection

    def _replace(self, collection: Collection | None) -> None:
        """Put a collection without records in the place of one."""
        if collection is not None:
            self._drop(collection)
            self._new(collection.raw, collection.ui).created = collection.created
