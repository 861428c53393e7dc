"""What the catalog says of one source: facts found while it was read, kept as JSON beside its table."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from recovery_nb.audit.values import printable
from recovery_nb.sources.base import Kind, Typing

__all__ = ["DamageEntry", "SourceEntry"]


_RAW = "bytes:"


def _stored(path: Path) -> str:
    """Return a path as text; one whose name is no UTF-8 by its bytes."""
    text = str(path)
    return text if text.isascii() or text == printable(path) else _RAW + os.fsencode(path).hex()


def _path(value: object) -> Path:
    text = str(value)
    return Path(os.fsdecode(bytes.fromhex(text.removeprefix(_RAW))) if text.startswith(_RAW) else text)


StoredPath = Annotated[Path, PlainValidator(_path), PlainSerializer(_stored)]
"""A path that survives JSON, whatever bytes it is named by."""


class DamageEntry(BaseModel):
    """A stretch that could not be read: see `records.batch.Damage`.

    Attributes:
        partial: How what could still be read of a record there begins, as canonical Extended JSON; "" for nothing.
    """

    model_config = ConfigDict(frozen=True)

    member: str
    offset: int
    length: int
    reason: str
    collection: str = ""
    partial: str = ""


class SourceEntry(BaseModel):
    """One catalogued source.

    Attributes:
        id: 16 hex digits that tell content and what it was read as: how tables, plans and reports name it.
        digest: SHA-256 of its content, expanded, in hex; of a folder, over its files' names and contents.
        size: Of all its files, in bytes.
        modified: The newest modification time among its files, in UTC.
        taken_at: When its content was read from the database: its own word, else `modified`.
        taken_from: What says so: "manifest", "timestamp", "last entry", "file name" or "modification time".
        optime: The exact point of the read as (seconds, increment), where it was at one point and is known.
        checksum_ok: Whether the checksum it carries holds; None where it carries none.
        collections: Records by the name that the source gives their collection; "" where it gives none.
        versions: Where it holds several versions of a record over time: how many there are, by collection.
        buckets: The time-series among these, whose records here are buckets of measurements, with how many of those.
        fields: The top-level fields of the first records of each collection, with how many have them.
        keyless: By collection, how many records have no `_id`.
        samples: The first three records, as relaxed Extended JSON values.
        options: By collection, the options and indexes that a dump's metadata records.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    digest: str
    path: StoredPath
    name: str
    kind: Kind
    typing: Typing
    size: int
    modified: datetime
    taken_at: datetime
    taken_from: str
    optime: tuple[int, int] | None = None
    version: str = ""
    origin: str = ""
    checksum_ok: bool | None = None
    collections: dict[str, int] = Field(default_factory=dict)
    versions: dict[str, int] = Field(default_factory=dict)
    buckets: dict[str, int] = Field(default_factory=dict)
    fields: dict[str, dict[str, int]] = Field(default_factory=dict)
    keyless: dict[str, int] = Field(default_factory=dict)
    samples: list[Any] = Field(default_factory=list)
    damage: list[DamageEntry] = Field(default_factory=list)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    scanned_at: datetime

    @property
    def records(self) -> int:
        """How many records could be read."""
        return sum(self.collections.values())

    @property
    def whole(self) -> bool:
        """Whether every byte was read as records and no checksum speaks against it."""
        return not self.damage and self.checksum_ok is not False
