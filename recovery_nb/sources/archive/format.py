"""The documents that hold an archive of `mongodump --archive` together.

The format is that of mongo-tools' `common/archive/spec.md`: a magic number; a prelude of one header and the metadata
of each collection, then a terminator; then blocks of a namespace header, documents and a terminator. Blocks of several
namespaces take turns. A header with `EOF` ends its namespace and carries the CRC-64 of all its documents.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.elements import InvalidRecordError, elements

__all__ = [
    "BORDER_TAIL",
    "MAGIC",
    "OPLOG",
    "TERMINATOR",
    "Border",
    "Listing",
    "Namespace",
    "Preface",
    "border",
    "listing",
    "looks_like_archive",
    "preface",
]

MAGIC = b"\x6d\xe2\x99\x81"
TERMINATOR = b"\xff\xff\xff\xff"
BORDER_TAIL = b"\x08EOF\x00"
"""What every namespace header holds: where this is, one may be."""

_LENGTH = struct.Struct("<i")
_CHECKSUM = struct.Struct("<Q")
_MAX_BORDER = 2048
"""No namespace header is longer: a namespace has at most 255 bytes, in old servers 120."""
_FIRST_FIELD = re.compile(rb"[\x01-\x13\x7f\xff][ -~\x80-\xff]{1,64}\x00")
_PREFACE = b"\x10concurrent_collections\x00"


class Namespace(NamedTuple):
    """A collection of a database."""

    database: str
    collection: str

    def __str__(self) -> str:
        """Return it as the server writes it."""
        return f"{self.database}.{self.collection}" if self.database else self.collection


OPLOG = Namespace("", "oplog")
"""What `mongodump --oplog` files the oplog under."""


@dataclass(frozen=True, slots=True)
class Border:
    """A namespace header: it begins a block, or ends its namespace.

    Attributes:
        namespace: Whose block it is.
        ends: Whether the namespace has no more documents.
        checksum: CRC-64 of all its documents if it ends, else 0.
    """

    namespace: Namespace
    ends: bool
    checksum: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What the prelude says of one collection.

    Attributes:
        namespace: The collection.
        metadata: Its options and indexes as Extended JSON text; "" for none.
        type: "collection", "view", "timeseries"; "" where an old version does not say.
    """

    namespace: Namespace
    metadata: str
    type: str

    def data(self) -> Namespace | None:
        """Return where its documents are filed: a view has none, a time-series has them in its buckets."""
        if self.type == "view":
            return None
        if self.type == "timeseries":
            return Namespace(self.namespace.database, f"system.buckets.{self.namespace.collection}")
        return self.namespace


@dataclass(frozen=True, slots=True)
class Preface:
    """The header of the whole archive.

    Attributes:
        server: The version of the server that was dumped.
        tool: The version of the `mongodump` that wrote it.
    """

    server: str
    tool: str


def border(document: bytes) -> Border | None:
    """Return the namespace header that a document is: `db`, `collection`, `EOF`, `CRC`, no more; None if it is none."""
    if len(document) > _MAX_BORDER:
        return None
    fields = _fields(document)
    if [name for _, name, _ in fields] != [b"db", b"collection", b"EOF", b"CRC"]:
        return None
    database, collection = _text(fields[0]), _text(fields[1])
    (flag_type, _, flag), (sum_type, _, checksum) = fields[2:]
    if database is None or not collection or (flag_type, sum_type) != (0x08, 0x12) or flag not in (b"\x00", b"\x01"):
        return None
    found = Border(Namespace(database, collection), flag == b"\x01", _CHECKSUM.unpack(checksum)[0])
    return found if found.ends or not found.checksum else None


def listing(document: bytes) -> Listing | None:
    """Return what a document of the prelude says of a collection; None if it is none."""
    if document[4:8] != b"\x02db\x00":
        return None
    fields = _fields(document)
    names = [name for _, name, _ in fields]
    if names[:3] != [b"db", b"collection", b"metadata"] or not {b"size", b"type"}.issuperset(names[3:]):
        return None
    database, collection, metadata = (_text(field) for field in fields[:3])
    if database is None or not collection or metadata is None:
        return None
    kind = next((_text(field) for field in fields[3:] if field[1] == b"type"), "")
    return Listing(Namespace(database, collection), metadata, kind or "")


def preface(document: bytes) -> Preface | None:
    """Return the header of an archive that a document is; None if it is none."""
    if document[4 : 4 + len(_PREFACE)] != _PREFACE:
        return None
    fields = {name: _text((kind, name, value)) or "" for kind, name, value in _fields(document)}
    return Preface(fields.get(b"server_version", ""), fields.get(b"tool_version", ""))


def looks_like_archive(head: bytes) -> bool:
    """Say whether content that begins with `head` (some KiB) is an archive, or what is left of one.

    The magic number says so, or the header behind it. Where neither is left, a terminator and a namespace header
    say so, unless the head begins with a whole document: then they are within a record.
    """
    if head.startswith(MAGIC) or head[8 : 8 + len(_PREFACE)] == _PREFACE:
        return True
    if len(head) < 5:
        return False
    (length,) = _LENGTH.unpack_from(head)
    begun = 5 <= length <= MAX_RECORD_BYTES and _FIRST_FIELD.match(head, 4)
    if begun and (length > len(head) or not head[length - 1]):
        return False
    hit = head.find(BORDER_TAIL)
    while hit >= 0:
        start = head.rfind(b"\x02db\x00", max(0, hit - _MAX_BORDER), hit) - 4
        if start >= 4 and head[start - 4 : start] == TERMINATOR:
            (length,) = _LENGTH.unpack_from(head, start)
            if 5 <= length <= _MAX_BORDER and border(head[start : start + length]):
                return True
        hit = head.find(BORDER_TAIL, hit + 1)
    return False


def _fields(document: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the first elements of a document, more than any of these documents has; none if it is broken."""
    found: list[tuple[int, bytes, bytes]] = []
    try:
        for element in elements(document):
            found.append(element)
            if len(found) > 8:
                break
    except InvalidRecordError:
        return []
    return found


def _text(field: tuple[int, bytes, bytes]) -> str | None:
    kind, _, value = field
    if kind != 0x02 or len(value) < 5 or value[-1]:
        return None
    try:
        text = value[4:-1].decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text
