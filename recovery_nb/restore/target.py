"""The database that a restore writes to: what is there, and collections made and removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import stamina
from bson.binary import UUID_SUBTYPE, Binary
from bson.raw_bson import RawBSONDocument
from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from pymongo.write_concern import WriteConcern

from recovery_nb.audit.redact import redact_uri
from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import build, id_element, split
from recovery_nb.records.keys import canonical
from recovery_nb.sources.mongodb import connect, explained

__all__ = ["DURABLE", "Target", "id_filter"]

DURABLE = WriteConcern(w="majority", j=True, wtimeout=60_000)
"""A write counts when a majority of the members has it in its journal."""

_NAMESPACE_EXISTS = 48
_UNAUTHORIZED = 13
_DROPPED_OPTIONS = frozenset({"uuid", "autoIndexId"})
_DROPPED_INDEX_KEYS = frozenset({"ns", "background"})


def id_filter(ids: Sequence[bytes]) -> RawBSONDocument:
    """Return the query for these `_id`s, each type byte and value bytes, to the bit."""
    if len(ids) == 1 and ids[0][0] not in (0x03, 0x0B):
        return RawBSONDocument(build([(ids[0][0], b"_id", ids[0][1:])]))
    listed = build([(own[0], str(place).encode(), own[1:]) for place, own in enumerate(ids)])
    return RawBSONDocument(build([(0x03, b"_id", build([(0x04, b"$in", listed)]))]))


class Target:
    """A database that is written.

    Args:
        uri: `mongodb://host:port/NAME`. It is kept only for messages, redacted.

    Attributes:
        label: The URI without secrets.
        transactional: Whether the server has transactions.
        session: The session that every write goes through. It is one, and known to the restore's header, so
            that what a killed process left open on the server can be ended before it is looked at.
    """

    def __init__(self, uri: str) -> None:
        self.label = redact_uri(uri)
        self.client, name = connect(uri)
        self.database = self.client.get_database(name, write_concern=DURABLE, read_preference=ReadPreference.PRIMARY)
        with explained(uri):
            hello = self.client.admin.command("hello")
            self._entries: dict[str, Mapping[str, Any]] = {
                entry["name"]: entry for entry in self.database.list_collections()
            }
        self.session = self.client.start_session()
        self.transactional = "setName" in hello or hello.get("msg") == "isdbgrid"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.end_session()
        self.client.close()

    @property
    def session_id(self) -> str:
        """The session's id, in hexadecimal."""
        return bytes(self.session.session_id["id"]).hex()

    def end_sessions(self, ids: Iterable[str]) -> None:
        """End the writes and transactions of sessions whose processes are dead.

        A server does not notice that its client was killed: an open transaction of a minute's lifetime would
        hold its records, and an insert under way would come after we have looked.
        """
        dead = [{"id": Binary(bytes.fromhex(one), UUID_SUBTYPE)} for one in ids if one]
        if dead:
            # A server that does not let us is met record by record: what they hold is reported.
            with suppress(OperationFailure):
                self.client.admin.command({"killSessions": dead})

    def collection(self, name: str) -> Collection[Any]:
        """Return the driver's collection, with a durable write concern, read from the primary."""
        return self.database[name]

    def exists(self, name: str) -> bool:
        """Return whether the collection existed when we connected or has been created since by us."""
        return name in self._entries

    def uuid(self, name: str) -> bytes:
        """Return what identifies the collection of this name now, whatever it is called later; b"" for none."""
        for entry in self.database.list_collections(filter={"name": name}):
            return bytes(entry.get("info", {}).get("uuid", b""))
        return b""

    def capped(self, name: str) -> bool:
        """Return whether the collection is capped: those take no transactions."""
        options: Mapping[str, object] = self._entries.get(name, {}).get("options", {})
        return bool(options.get("capped"))

    def check(self, names: Iterable[str], options: Mapping[str, Mapping[str, Any]]) -> None:
        """Check that every collection can take records.

        Raises:
            BadInputError: One is a view, a time-series or the server's own.
        """
        for name in names:
            entry = self._entries.get(name, {})
            wanted = options.get(name, {}).get("options", {}) if not entry else {}
            kind = entry.get("type", "collection")
            if kind == "view" or "viewOn" in wanted:
                raise BadInputError(
                    f"{name} in {self.label} is a view and holds no records",
                    hint="restore into the collection that it shows, or name a --target-collection",
                )
            if kind == "timeseries" or "timeseries" in wanted:
                raise BadInputError(
                    f"{name} in {self.label} is a time-series, which is not restored record by record",
                    hint="name a --target-collection",
                )
            if not name or "$" in name or name.startswith("system."):
                raise BadInputError(
                    f"{name or 'a collection without a name'} in {self.label} is not for records",
                    hint="name a --target-collection",
                )

    def create(self, name: str, options: Mapping[str, Any]) -> None:
        """Create a collection with the options that a dump's metadata records."""
        wanted = {key: value for key, value in options.items() if key not in _DROPPED_OPTIONS}
        try:
            self.database.command({"create": name, **wanted, "writeConcern": DURABLE.document})
        except OperationFailure as error:
            if error.code == _UNAUTHORIZED:
                raise
            if error.code != _NAMESPACE_EXISTS:
                raise BadInputError(
                    f"the collection {name} cannot be created in {self.label} with its backup's options: "
                    f"{_message(error)}",
                    hint="create it by hand, then run the command again",
                ) from None
        self._entries[name] = {"name": name, "type": "collection", "options": wanted}

    def build_indexes(self, name: str, indexes: Iterable[Mapping[str, Any]]) -> list[str]:
        """Build the indexes that a dump's metadata records, and return what could not be built and why."""
        problems = []
        for index in indexes:
            spec = {key: value for key, value in index.items() if key not in _DROPPED_INDEX_KEYS}
            if spec.get("name") == "_id_":
                continue
            if spec.get("v") not in (None, 1, 2):
                del spec["v"]
            try:
                self.database.command({"createIndexes": name, "indexes": [spec], "writeConcern": DURABLE.document})
            except PyMongoError as error:
                problems.append(f"index {spec.get('name')} was not built: {_message(error)}")
        return problems

    def drop_if_empty(self, name: str) -> bool:
        """Drop a collection that holds nothing; return whether it was dropped."""
        if self._entries.get(name, {}).get("type") != "collection":
            return False
        if next(iter(self.collection(name).find({}, {"_id": 1}).limit(1)), None) is not None:
            return False
        self.database.drop_collection(name)
        del self._entries[name]
        return True

    def read(self, name: str, ids: Sequence[bytes], session: ClientSession | None = None) -> dict[bytes, bytes]:
        """Return the records that have these `_id`s now, raw, by the canonical form of their `_id`.

        A lost connection is tried again, for half a minute at most; not so within a transaction of `session`.
        """
        if not ids:
            return {}
        if session is not None:
            return self._find(name, ids, session)
        found: dict[bytes, bytes] = {}
        for attempt in stamina.retry_context(on=ConnectionFailure, attempts=5, wait_initial=0.2, wait_max=5.0):
            with attempt:
                found = self._find(name, ids, None)
        return found

    def _find(self, name: str, ids: Sequence[bytes], session: ClientSession | None) -> dict[bytes, bytes]:
        found = {}
        for buffer in self.collection(name).find_raw_batches(id_filter(ids), session=session):
            for record in split(buffer):
                own = id_element(record) or b"\x0a"
                found[canonical(own[0], own[1:])] = record
        return found


def _message(error: PyMongoError) -> str:
    if isinstance(error, OperationFailure) and error.details:
        return str(error.details.get("errmsg", error.code))
    return type(error).__name__
