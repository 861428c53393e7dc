"""The database that a restore writes to: what is there, and collections made and removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import bson
import stamina
from bson.binary import UUID_SUBTYPE, Binary
from bson.codec_options import DatetimeConversion
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import ConnectionFailure, OperationFailure
from pymongo.write_concern import WriteConcern

from recovery_nb.audit.redact import redact_uri
from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import build, id_element, split
from recovery_nb.records.keys import canonical
from recovery_nb.restore.names import check_names
from recovery_nb.restore.primary import await_primary
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.structure import (
    BUCKETS,
    Structure,
    can_refuse,
    crowding,
    listed,
    make_collection,
    make_indexes,
    shown,
)
from recovery_nb.sources.mongodb import connect, explained

__all__ = ["DURABLE", "Target", "id_filter"]

DURABLE = WriteConcern(w="majority", j=True, wtimeout=60_000)
"""A write counts when a majority of the members has it in its journal."""

_VIEWS = "system.views"
"""The collection that holds the definitions of a database's views."""

_ANY_DATE = DEFAULT_RAW_BSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
"""The driver decodes the top level of a query to see whether it is empty: a far date must not end that."""


def id_filter(ids: Sequence[bytes]) -> RawBSONDocument:
    """Return the query for these `_id`s, each type byte and value bytes, to the bit."""
    if len(ids) == 1 and ids[0][0] not in (0x03, 0x0B):
        return RawBSONDocument(build([(ids[0][0], b"_id", ids[0][1:])]), _ANY_DATE)
    listed = build([(own[0], str(place).encode(), own[1:]) for place, own in enumerate(ids)])
    return RawBSONDocument(build([(0x03, b"_id", build([(0x04, b"$in", listed)]))]))


class Target:
    """A database that is written.

    Args:
        uri: `mongodb://host:port/NAME`. It is kept only for messages, redacted.
        patience: How long to wait for a server that has stepped down to be the primary again, in seconds.

    Attributes:
        label: The URI without secrets.
        transactional: Whether the server has transactions.
        session: The session that writes go through, if no other is named. Every session is known to the restore's
            header, so that what a killed process left open on the server can be ended before it is looked at.
    """

    def __init__(self, uri: str, *, patience: float = 30.0) -> None:
        self.patience = patience
        self.label = redact_uri(uri)
        self.client, name = connect(uri)
        self.database = self.client.get_database(name, write_concern=DURABLE, read_preference=ReadPreference.PRIMARY)
        with explained(uri):
            hello = self.client.admin.command("hello")
            self._entries = listed(self.database)
        self._made: set[str] = set()
        self._sessions: list[ClientSession] = []
        self.session = self.new_session()
        self.transactional = "setName" in hello or hello.get("msg") == "isdbgrid"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions:
            session.end_session()
        self.client.close()

    def new_session(self) -> ClientSession:
        """Return one more session, for one thread that writes; it is ended with the target."""
        session = self.client.start_session()
        self._sessions.append(session)
        return session

    @property
    def session_id(self) -> str:
        """The id of `session`, in hexadecimal."""
        return self.session_ids[0]

    @property
    def session_ids(self) -> list[str]:
        """The ids of all sessions, in hexadecimal, in the order in which they were opened."""
        return [bytes(session.session_id["id"]).hex() for session in self._sessions]

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
        """Return what identifies the collection of this name now, whatever it is called later; b"" for none.

        A time-series has none of its own: it is known by its buckets. A view is known by its definition and by the
        collection that holds it, for another database may have the same view.
        """
        found = listed(self.database, name, BUCKETS + name, _VIEWS)
        definitions = found.pop(_VIEWS, {})
        for entry in found.values():
            if entry["type"] == "view":
                return fingerprint(bson.encode(entry["options"]) + _uuid(definitions))[:16]
            if uuid := _uuid(entry):
                return uuid
        return b""

    def capped(self, name: str) -> bool:
        """Return whether the collection is capped: those keep the order of their records, and their size."""
        options: Mapping[str, object] = self._entries.get(name, {}).get("options", {})
        return bool(options.get("capped"))

    def takes_transactions(self, name: str) -> bool:
        """Return whether the collection can be written in a transaction: not if capped, nor if the server's own."""
        own = name.startswith("system.") and not name.startswith(BUCKETS)
        return self.transactional and not own and not self.capped(name)

    def crowded(self, name: str, count: int, size: int) -> str:
        """Return why so many records, of so many bytes in all, cannot go into a capped collection, or "".

        One that existed before is filled to nine tenths only: others write to it.
        """
        return crowding(self.database, name, count, size, ours=name in self._made)

    def check(self, names: Iterable[str], structures: Mapping[str, str]) -> None:
        """Check that the database can be written, and that every collection can take records, as `check_names` does.

        Raises:
            BadInputError: The database is the server's own; or one of the collections is a view, a time-series or
                the server's own, or is to be created under a name that no server takes.
        """
        check_names(self.database.name, self.label, self._entries, names=names, structures=structures)

    def check_transactions(self, names: Iterable[str], structures: Mapping[str, str]) -> None:
        """Check that these collections can be written in transactions; `structures` as `check` takes them.

        Raises:
            BadInputError: The server is a standalone, or a collection is, or will be, capped, or the server's own.
        """
        if not self.transactional:
            raise BadInputError(
                f"{self.label} is a standalone server and has no transactions",
                hint="leave out --transaction, or make the server a replica set",
            )
        told = {name: Structure.parse(structures.get(shown(name), "")) for name in names}
        capped = {name for name, one in told.items() if one.options.get("capped") and not self.exists(name)}
        if refusing := [name for name in told if name in capped or not self.takes_transactions(name)]:
            raise BadInputError(
                f"{', '.join(refusing)} in {self.label} cannot be written in a transaction",
                hint="leave out --transaction, or restore the other collections apart",
            )

    def create(self, name: str, structure: str) -> bool:
        """Create a collection, a time-series (by its name or its buckets') or a view; return whether it was missing.

        Args:
            name: What it is called.
            structure: `{"options": …, "indexes": …}` in canonical Extended JSON; "" for neither.

        Raises:
            BadInputError: The server does not take its options, or something else of this name exists.
        """
        told = Structure.parse(structure)
        made = make_collection(self.database, shown(name), told, label=self.label)
        found = listed(self.database, shown(name), BUCKETS + shown(name))
        if not made and found.get(shown(name), {}).get("type") != told.kind:
            raise BadInputError(
                f"{shown(name)} in {self.label} has been made meanwhile, and is no {told.kind}",
                hint="make a new plan",
            )
        self._entries.update(found)
        if made:
            self._made.update(found)
        return made

    def adopt(self, names: Iterable[str]) -> None:
        """Hold these collections for made by us: they were, by an earlier process of the same restore."""
        self._made.update(name for user in names for name in (user, BUCKETS + user))

    def build_indexes(self, name: str, structure: str, *, unique: bool) -> list[str]:
        """Build indexes of a collection that was created, and return what could not be built and why.

        Args:
            name: What it is called.
            structure: As `create` takes it.
            unique: Build those that can refuse a record, before the records come; or else all the others.
        """
        told = Structure.parse(structure)
        chosen = [index for index in told.indexes if can_refuse(index) == unique]
        if told.kind == "view":
            return []
        return make_indexes(self.database, shown(name), chosen, collated="collation" in told.options)

    def drop_if_empty(self, name: str) -> bool:
        """Drop a collection or a time-series that holds nothing, or a view; return whether it was dropped."""
        user = shown(name)
        entry = self._entries.get(user)
        if entry is None:
            return False
        stored = self.collection(BUCKETS + user if entry["type"] == "timeseries" else user)
        if entry["type"] != "view" and next(iter(stored.find({}, {"_id": 1}).limit(1)), None) is not None:
            return False
        self.database.drop_collection(user)
        self._entries.pop(user)
        self._entries.pop(BUCKETS + user, None)
        return True

    def ensure_primary(self) -> None:
        """Wait until the server takes writes, for as long as `patience`.

        Raises:
            ConnectionFailure: It does not answer.
            ConnectionFailedError: It has stepped down, and stays a secondary.
        """
        await_primary(self.client, self.label, self.patience)

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


def _uuid(entry: Mapping[str, Any]) -> bytes:
    return bytes(entry.get("info", {}).get("uuid", b""))
