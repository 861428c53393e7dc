"""The closed vocabulary of differences, and one row of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

import pyarrow as pa

__all__ = ["CANDIDATES", "DIFFERENCES", "Change", "ChangeKind", "Counts", "Status"]


class Status(StrEnum):
    """How a record in the sources and the database's record of the same key relate."""

    IDENTICAL = "identical"
    EQUIVALENT = "equivalent"
    CHANGED = "changed"
    MISSING = "missing"
    EXTRA = "extra"
    DUPLICATE = "duplicate"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records of one collection have each status.

    Attributes:
        identical: In both, byte for byte.
        equivalent: In both; only field order, numeric width, or what a lossy format drops differs.
        changed: In both, with different content.
        missing: In a source, not in the database.
        extra: In the database, in no source.
        duplicate: Keys that one source holds more than once.
        corrupt: Stretches and records of the sources that could not be read.
    """

    identical: int = 0
    equivalent: int = 0
    changed: int = 0
    missing: int = 0
    extra: int = 0
    duplicate: int = 0
    corrupt: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counts by status."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, damaged or in doubt; records that no source holds are no loss."""
        return not (self.changed or self.missing or self.duplicate or self.corrupt)


class ChangeKind(StrEnum):
    """How one field differs between the database and a source."""

    VALUE = "value"
    ADDED = "added"
    """Only the database has it."""
    REMOVED = "removed"
    """Only the source has it."""
    ORDER = "order"
    """The same fields in another order."""
    WIDTH = "width"
    """The same number in another numeric type."""
    LOST_TYPE = "lost type"
    """The same value, but for the type that the source's format cannot hold."""
    NOT_STATED = "not stated"
    """Only the database has it, and the source cannot say that the record did not: CSV without that column."""
    PARTIAL = "partial"
    """Of a damaged record, what could be read: the rest is lost."""

    @property
    def harmless(self) -> bool:
        """Whether it leaves the record `equivalent`."""
        return self in (ChangeKind.ORDER, ChangeKind.WIDTH, ChangeKind.LOST_TYPE, ChangeKind.NOT_STATED)


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs.

    Attributes:
        path: A JSON Pointer (RFC 6901); "" is the whole record.
        kind: How it differs.
        database: The value there, as text for people with its BSON type; "" where it has none.
        source: The value in the source, likewise.
    """

    path: str
    kind: ChangeKind
    database: str = ""
    source: str = ""


DIFFERENCES = pa.schema(
    [
        ("collection", pa.string()),  # in the database
        ("status", pa.string()),
        ("key", pa.string()),  # for people
        ("key_bytes", pa.binary()),  # canonical
        ("id", pa.binary()),  # the database's `_id` element, else the candidate's; null for none
        ("current", pa.binary(32)),  # fingerprint in the database; null where absent
        ("source", pa.string()),  # id of the best candidate's source
        ("source_name", pa.string()),
        ("source_collection", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("fingerprint", pa.binary(32)),  # of the bytes a restore would write
        ("inferred", pa.string()),
        ("candidates", pa.int64()),  # how many versions the sources hold
        ("confidence", pa.string()),
        ("newer", pa.string()),  # why the database's version is newer than the source, "" if nothing says so
        ("note", pa.string()),
        ("fields", pa.list_(pa.string())),  # paths that changed
        ("changes", pa.string()),  # JSON: the changes, for eyes
        ("made", pa.timestamp("ms", tz="UTC")),  # when the record was made, by its collection's field for that
    ]
)
"""One row for each difference. It locates the source's record; its bytes are read again from there."""

CANDIDATES = pa.schema(
    [
        ("collection", pa.string()),
        ("key", pa.string()),
        ("key_bytes", pa.binary()),
        ("rank", pa.int64()),  # 1 is the one a restore takes
        ("source", pa.string()),
        ("source_name", pa.string()),
        ("source_collection", pa.string()),
        ("taken_at", pa.timestamp("ms", tz="UTC")),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("length", pa.int64()),
        ("id", pa.binary()),
        ("fingerprint", pa.binary(32)),
        ("inferred", pa.string()),
        ("confidence", pa.string()),
        ("at", pa.int64()),  # when this version was written (`records.batch.moment`); 0 where the source does not say
    ]
)
"""One row for each version of a differing record that a source holds."""
