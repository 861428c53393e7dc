"""What a database is besides its records: each collection's kind, options and indexes, to the last BSON type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument

from recovery_nb.errors import ConnectionFailedError
from recovery_nb.records.elements import build, elements
from recovery_nb.records.extended_json import to_json
from recovery_nb.sources.base import BUCKETS
from recovery_nb.sources.mongodb import Database, explained

__all__ = ["JAVASCRIPT", "Structure", "kind_of", "stored_name"]

JAVASCRIPT = "system.js"
"""Where a server keeps functions: of its own collections, the one that holds what users wrote."""

_NOTHING = 5
"""So many bytes has an empty document."""
_STRING, _DOCUMENT, _ARRAY, _BINARY = 0x02, 0x03, 0x04, 0x05


def kind_of(entry: Mapping[str, Any]) -> str:
    """Return "collection", "capped", "clustered", "timeseries" or "view", from a `listCollections` entry."""
    kind = str(entry.get("type") or "collection")
    options = entry.get("options") or {}
    special = ("capped", "clustered")[not options.get("capped")] if kind == "collection" else kind
    return kind if special == "clustered" and not options.get("clusteredIndex") else special


def stored_name(name: str, entry: Mapping[str, Any]) -> str:
    """Return the collection that holds the records: a time-series has its buckets, a view none ("")."""
    kind = entry.get("type", "collection")
    return {"collection": name, "timeseries": f"{BUCKETS}{name}"}.get(kind, "")


class Structure:
    """The options and indexes of a database as the server gives them, undecoded.

    Decoding would lose what canonical Extended JSON can say: the order and the doubling of names, a regular
    expression's own spelling of its options, dates past the year 9999.

    Raises:
        ConnectionFailedError: The server does not answer, or does not allow it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries = {
            fields[b"name"][1][4:-1].decode(): fields for fields in map(_fields, self._listed("listCollections", 1))
        }

    def metadata(self, name: str) -> bytes:
        """Return what `mongodump` writes of a collection (metadata_dump.go), in canonical Extended JSON.

        A time-series is given the UUID of its buckets: that is what an oplog calls it by.

        Raises:
            ConnectionFailedError: It was dropped meanwhile, or the server does not answer.
        """
        if (entry := self._entries.get(name)) is None:
            raise ConnectionFailedError(
                f"{self._database.label}: {name} was dropped while it was being read", hint="run the command again"
            )
        kind, options = entry[b"type"], entry.get(b"options", (_DOCUMENT, b""))
        parts = [(options[0], b"options", options[1])] if len(options[1]) > _NOTHING else []
        parts.append((_ARRAY, b"indexes", _array(self._indexes(name, kind[1][4:-1]))))
        if uuid := self._uuid(name):
            parts.append((_STRING, b"uuid", _string(uuid)))
        parts += [(_STRING, b"collectionName", _string(name)), (kind[0], b"type", kind[1])]
        return to_json(build(parts)).encode()

    def _uuid(self, name: str) -> str:
        for one in (name, BUCKETS + name):
            info = _fields(self._entries.get(one, {}).get(b"info", (0, b"\5\0\0\0\0"))[1])
            kind, value = info.get(b"uuid", (0, b""))
            if kind == _BINARY:
                return value[5:].hex()
        return ""

    def _indexes(self, name: str, kind: bytes) -> list[bytes]:
        return [] if kind == b"view" else self._listed("listIndexes", name)

    def _listed(self, command: str, value: object) -> list[bytes]:
        with explained(self._database.label):
            database = self._database.client[self._database.name]
            found = database.cursor_command(command, value, codec_options=DEFAULT_RAW_BSON_OPTIONS)
            return [bytes(document.raw) for document in found if isinstance(document, RawBSONDocument)]


def _fields(document: bytes) -> dict[bytes, tuple[int, bytes]]:
    return {name: (kind, value) for kind, name, value in elements(document)}


def _string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return len(data).to_bytes(4, "little") + data


def _array(documents: list[bytes]) -> bytes:
    return build([(_DOCUMENT, str(number).encode(), one) for number, one in enumerate(documents)])
