"""A MongoDB database as a source: raw batches, one snapshot where the server can, and look-ups by `_id`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from logging import NullHandler, getLogger
from typing import Any

import stamina
from bson import Int64, Timestamp
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from recovery_nb.audit.redact import redact_text, redact_uri
from recovery_nb.errors import BadInputError, ConnectionFailedError, RecoveryError
from recovery_nb.records.batch import RecordBatch
from recovery_nb.records.elements import CODEC, build, elements, id_element, split, split_array
from recovery_nb.records.keys import canonical

__all__ = ["Database", "Snapshot", "connect"]

RawClient = MongoClient[Any]

getLogger("stamina").addHandler(NullHandler())  # without a handler, each retry would be a line on stderr

_AUTHENTICATION = frozenset({18, 8000})
_UNAUTHORIZED = 13
_SNAPSHOT_GONE = frozenset({239, 246})
"""SnapshotTooOld, SnapshotUnavailable: the server has thrown away how the records were then."""
_LOOKUP = 1_000
_EXAMPLE = "write mongodb://localhost:27017/NAME"
_FIRST_BATCH = 10_000


def _explain(error: PyMongoError, uri: str) -> RecoveryError:
    """Return the one line for what a driver's error means; it never holds the URI's password."""
    where = redact_uri(uri)
    if isinstance(error, OperationFailure):
        if error.code in _AUTHENTICATION:
            return ConnectionFailedError(
                f"{where} refused the user name or password",
                hint="check the credentials and authSource in the URI",
            )
        if error.code == _UNAUTHORIZED:
            return ConnectionFailedError(
                f"{where}: the user is not allowed to do this",
                hint="grant it the read role (readWrite to restore)",
            )
        if error.code in _SNAPSHOT_GONE:
            return ConnectionFailedError(
                f"{where} no longer keeps the moment that was being read (by default it keeps 300 seconds)",
                hint="name fewer collections at a time, or have the server keep more: "
                "db.adminCommand({setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600})",
            )
        return ConnectionFailedError(f"{where} answered: {(error.details or {}).get('errmsg', error.code)}")
    if isinstance(error, ServerSelectionTimeoutError):
        return ConnectionFailedError(
            f"{where} does not answer (3 tries)",
            hint="check host, port and network, and that mongod runs there",
        )
    if isinstance(error, InvalidName):
        return BadInputError(
            f"{where} can hold no collection of that name: {error}", hint="name another with --target-collection"
        )
    if isinstance(error, ConfigurationError):  # of mongodb+srv: what its name's DNS records say is only known now
        return ConnectionFailedError(
            f"{where} cannot be used: {redact_text(str(error))}",
            hint="check the host's name and the options in the URI",
        )
    if isinstance(error, ConnectionFailure):
        return ConnectionFailedError(f"{where}: the connection was lost", hint="run the command again")
    return ConnectionFailedError(f"{where}: {type(error).__name__}")


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what the driver raises inside into one clear line."""
    try:
        yield
    except PyMongoError as error:
        raise _explain(error, uri) from None


def _unusable(uri: str, error: Exception) -> BadInputError:
    """The driver quotes parts of the URI; where there is a password, its words are not repeated."""
    if "@" in uri:
        hint = "percent-encode what is special in user name and password (/ : @ ? # %), and check the options"
        return BadInputError(f"not a MongoDB URI that can be used: {redact_uri(uri)}", hint=hint)
    return BadInputError(f"not a MongoDB URI that can be used: {redact_uri(uri)}: {error}", hint=_EXAMPLE)


def connect(uri: str) -> tuple[RawClient, str]:
    """Connect, in three tries of five seconds, and return the client and the database that the URI names.

    Read preference, TLS and credentials are the URI's; its own `serverSelectionTimeoutMS` wins over ours.

    Raises:
        BadInputError: The URI is malformed or names no database.
        ConnectionFailedError: The server does not answer or refuses the credentials.
    """
    if "://" not in uri:
        raise BadInputError(f"not a MongoDB URI: {redact_uri(uri)}", hint=_EXAMPLE)
    options: dict[str, Any] = {} if "serverselectiontimeoutms" in uri.lower() else {"serverSelectionTimeoutMS": 5000}
    try:
        with warnings.catch_warnings():  # of options it does not know; a library's warning is no line of ours
            warnings.simplefilter("ignore", UserWarning)
            client: RawClient = MongoClient(
                uri, document_class=RawBSONDocument, tz_aware=True, connect=False, appname="recovery_nb",
                datetime_conversion="DATETIME_AUTO",  # an error may quote a date past the year 9999
                **options,
            )  # fmt: skip
        name = client.get_default_database().name
    except ConfigurationError as error:
        if "default database" in str(error):
            raise BadInputError(
                f"{redact_uri(uri)} names no database", hint="add its name: mongodb://localhost:27017/NAME"
            ) from None
        raise _unusable(uri, error) from None
    except (InvalidURI, InvalidName, ValueError) as error:
        raise _unusable(uri, error) from None
    try:
        for attempt in stamina.retry_context(
            on=ConnectionFailure, attempts=3, wait_initial=0.2, wait_max=0.5, wait_jitter=0.1
        ):
            with attempt:
                client.admin.command("ping")
        client[name].command({"listCollections": 1, "nameOnly": True, "authorizedCollections": True})
    except PyMongoError as error:
        client.close()
        raise _explain(error, uri) from None
    return client, name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How a database was read.

    Attributes:
        session: The driver session to read in; None where the server has no snapshots.
        consistent: Whether every read through it sees one point in time.
        cluster_time: The optime of that point as (seconds, increment); None where there is none.
    """

    session: ClientSession | None
    consistent: bool
    cluster_time: tuple[int, int] | None


def _batch(reply: bytes) -> tuple[int, list[bytes]]:
    """Return the cursor's id and the documents of a `find` or `getMore` reply."""
    answer = {name: value for _, name, value in elements(reply)}
    cursor = {name: value for _, name, value in elements(answer[b"cursor"])}
    batch = cursor.get(b"firstBatch") or cursor.get(b"nextBatch") or b""
    return int.from_bytes(cursor[b"id"], "little"), split_array(batch)


def _with_ids(ids: Sequence[bytes]) -> Mapping[str, Any]:
    """Return a query for these `_id`s, each byte as it is: decoding one could change it."""
    wanted = build([(element[0], str(number).encode(), element[1:]) for number, element in enumerate(ids)])
    return RawBSONDocument(build([(0x03, b"_id", build([(0x04, b"$in", wanted)]))]))


class Database:
    """A database that is read, never written.

    Args:
        uri: What `connect` takes. It is kept only for messages, redacted.
        label: What to call it in results, if its URI says little.

    Attributes:
        client: The driver's client; its documents are raw.
        name: The database's name.
        label: What it is called, without secrets.
    """

    def __init__(self, uri: str, *, label: str = "") -> None:
        self._uri = uri
        self.client, self.name = connect(uri)
        self.label = label or redact_uri(uri)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def hello(self) -> dict[str, object]:
        """Return the server's version and whether it is part of a replica set or a sharded cluster."""
        with explained(self._uri):
            answer = self.client.admin.command("hello")
            build = self.client.admin.command("buildInfo")
        alone = "replica set" if "setName" in answer else "standalone"
        topology = "sharded" if answer.get("msg") == "isdbgrid" else alone
        return {"version": build["version"], "topology": topology}

    def collections(self, *, system: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
        """Return every collection that stores records, by name: its `listCollections` entry, decoded.

        Views (`type` "view") and time-series (`type` "timeseries") are included and so marked; the server's
        own `system.` collections are not.

        Args:
            system: Of the server's own, those that are wanted all the same, where they are there: `system.js`.
        """
        with explained(self._uri):
            names = {
                entry["name"]: entry
                # Not by the driver's own method: that decodes with defaults, and a far date in a validator ends it.
                for entry in self.client[self.name].cursor_command("listCollections", codec_options=CODEC)
                if not entry["name"].startswith("system.") or entry["name"] in system
            }
        return dict(sorted(names.items()))

    def count(self, collection: str) -> int:
        """Return the collection's record count from its metadata: an estimate, for progress bars only."""
        with explained(self._uri):
            return self.client[self.name][collection].estimated_document_count()

    def indexes(self, collection: str) -> list[dict[str, Any]]:
        """Return the index specifications, as `listIndexes` gives them."""
        with explained(self._uri):
            return [
                dict(index)
                for index in self.client[self.name].cursor_command("listIndexes", collection, codec_options=CODEC)
            ]

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open a session that reads one point in time, or plain reads where the server has none."""
        if self.hello()["topology"] == "standalone":
            yield Snapshot(None, consistent=False, cluster_time=None)
            return
        with self.client.start_session(snapshot=True) as session:
            if self._has_snapshots(session):
                stamp = session._snapshot_time  # the driver has no public name for it
                optime = (stamp.time, stamp.inc) if stamp else None
                yield Snapshot(session, consistent=True, cluster_time=optime)
            else:
                yield Snapshot(None, consistent=False, cluster_time=None)

    def _has_snapshots(self, session: ClientSession) -> bool:
        """Read one record in the session, which fixes its point in time; only a collection that exists does."""
        uncapped = (
            f"system.buckets.{name}" if info.get("type") == "timeseries" else name
            for name, info in self.collections().items()
            if info.get("type") != "view" and not info.get("options", {}).get("capped")
        )
        probe = next(uncapped, "recovery_nb.probe")
        with explained(self._uri):
            try:
                list(self.client[self.name][probe].find({}, {"_id": 1}, session=session, limit=1))
            except OperationFailure as error:
                if error.code in _AUTHENTICATION or error.code == _UNAUTHORIZED:
                    raise
                return False
        return True

    def read(self, collection: str, snapshot: Snapshot | None = None) -> Iterator[RecordBatch]:
        """Yield the collection's records in natural order, a server batch at a time.

        A capped collection is read outside of the snapshot: servers refuse to read it within one.

        Raises:
            ConnectionFailedError: The server went away, or its snapshot is too old to read on.
        """
        with explained(self._uri):
            inside = snapshot if snapshot and snapshot.session and not self._capped(collection) else None
            for records in self._pinned(collection, inside) if self._one_server() else self._cursor(collection, inside):
                if records:
                    unknown = [-1] * len(records)
                    yield RecordBatch(collection, "", records, unknown, unknown)

    def _one_server(self) -> bool:
        """Whether every command goes to the same server, so that a cursor can be followed by commands."""
        primary = self.client[self.name].read_preference.mode == 0
        kind = self.client.topology_description.topology_type_name
        return kind == "Single" or (kind == "ReplicaSetWithPrimary" and primary)

    def _cursor(self, collection: str, snapshot: Snapshot | None) -> Iterator[list[bytes]]:
        session = snapshot.session if snapshot else None
        with self.client[self.name][collection].find_raw_batches({}, session=session) as cursor:
            for buffer in cursor:
                yield split(buffer)

    def _pinned(self, collection: str, snapshot: Snapshot | None) -> Iterator[list[bytes]]:
        """Follow a cursor by commands whose replies stay raw: the driver's raw batches build an object a record."""
        database = self.client[self.name]
        command: dict[str, object] = {"find": collection, "batchSize": _FIRST_BATCH}
        if snapshot and snapshot.cluster_time:
            command["readConcern"] = {"level": "snapshot", "atClusterTime": Timestamp(*snapshot.cluster_time)}
        cursor = 0
        with self.client.start_session() as session:
            try:
                while True:
                    reply = database.command(command, session=session, codec_options=DEFAULT_RAW_BSON_OPTIONS)
                    cursor, batch = _batch(bytes(reply.raw))
                    yield batch
                    if not cursor:
                        return
                    command = {"getMore": Int64(cursor), "collection": collection}
            finally:
                if cursor:
                    database.command({"killCursors": collection, "cursors": [Int64(cursor)]}, session=session)

    def _capped(self, collection: str) -> bool:
        listing = self.client[self.name].cursor_command
        found = listing("listCollections", filter={"name": collection}, codec_options=CODEC)
        return any(info.get("options", {}).get("capped") for info in found)

    def fetch(self, collection: str, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the records that have these `_id`s now, by the canonical form of their `_id`.

        Args:
            collection: Where to look.
            ids: Type byte and value bytes of each `_id`; of records that do not exist nothing is returned.
        """
        found: dict[bytes, bytes] = {}
        with explained(self._uri):
            for start in range(0, len(ids), _LOOKUP):
                query = _with_ids(ids[start : start + _LOOKUP])
                for buffer in self.client[self.name][collection].find_raw_batches(query):
                    for record in split(buffer):
                        element = id_element(record) or b""
                        found[canonical(element[0], element[1:])] = record
        return found

    def present(self, collection: str, ids: Sequence[bytes]) -> set[bytes]:
        """Return the canonical form of those of these `_id`s that exist now; only `_id`s travel."""
        found: set[bytes] = set()
        with explained(self._uri):
            for start in range(0, len(ids), _LOOKUP):
                query = _with_ids(ids[start : start + _LOOKUP])
                for buffer in self.client[self.name][collection].find_raw_batches(query, {"_id": 1}):
                    for record in split(buffer):
                        element = id_element(record) or b""
                        found.add(canonical(element[0], element[1:]))
        return found

    def first(self, collection: str, count: int) -> list[bytes]:
        """Return the first records in natural order."""
        with explained(self._uri):
            return [
                record
                for buffer in self.client[self.name][collection].find_raw_batches({}, limit=count)
                for record in split(buffer)
            ]

    def find(self, collection: str, query: Mapping[str, object]) -> Iterable[bytes]:
        """Yield the raw records that match a query."""
        with explained(self._uri):
            for buffer in self.client[self.name][collection].find_raw_batches(query):
                yield from split(buffer)
