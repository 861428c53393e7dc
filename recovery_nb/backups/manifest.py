"""`manifest.json`: what a backup folder holds, byte for byte, and a check of itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, ValidationError

from recovery_nb.backups.compression import ENDINGS, Compression
from recovery_nb.backups.encryption import ENDING
from recovery_nb.errors import BadInputError, DamagedSourceError

__all__ = ["FORMAT", "MANIFEST", "VERSION", "CollectionEntry", "FileEntry", "Manifest", "load", "render"]

MANIFEST = "manifest.json"
FORMAT: Final = "recovery_nb.backup"
VERSION = 2
_MAX_BYTES = 256 * 1024 * 1024
_SELF_CHECK = "manifest_sha256"
_SINCE_2: Any = {"compression": True, "encryption": True, "recipients": True, "collections": {"__all__": {"kind"}}}
"""What version 1 does not have: its files are plain BSON."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class FileEntry(_Entry):
    """A file as it is stored, packed and encrypted: its size in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


class CollectionEntry(_Entry):
    """A collection.

    Attributes:
        records: How many records it has.
        bytes: How many bytes they have, before they are packed.
        file: The file that holds them.
        consistent: Whether they are of the snapshot.
        kind: "collection", "capped", "clustered" or "timeseries" (whose records are its buckets).
    """

    records: int
    bytes: int
    file: str
    consistent: bool
    kind: str = "collection"


class Manifest(_Entry):
    """What a backup folder holds.

    Attributes:
        format: Always `FORMAT`.
        version: The version of this layout.
        taken_at: When the database was read, ISO 8601 in UTC.
        database: The database's name.
        server: The server's version and topology.
        consistent: Whether every record is of one point in time.
        cluster_time: The optime of that point as (seconds, increment).
        compression: How its files are packed.
        encryption: What they are encrypted with; "" where they are not. Then nothing in here tells what is in them:
            no hash of what they hold is kept.
        recipients: To how many keys they are encrypted.
        collections: By name, every collection whose records are here.
        files: By path within the folder, every file but the manifest.
        records: How many records there are.
        bytes: How many bytes they have.
    """

    format: Literal["recovery_nb.backup"] = FORMAT
    version: int = VERSION
    taken_at: str
    database: str
    server: dict[str, str]
    consistent: bool
    cluster_time: tuple[int, int] | None
    compression: Compression = "none"
    encryption: Literal["", "age"] = ""
    recipients: int = 0
    collections: dict[str, CollectionEntry]
    files: dict[str, FileEntry]
    records: int
    bytes: int

    @property
    def ending(self) -> str:
        """What the names of the files of records end with, after `.bson`."""
        return ENDINGS[self.compression] + (ENDING if self.encryption else "")


def render(manifest: Manifest) -> bytes:
    """Return the file's content, with the SHA-256 of the RFC 8785 form of everything else in it."""
    return _render({**_plain(manifest), _SELF_CHECK: _digest(_plain(manifest))})


def load(path: Path) -> Manifest:
    """Read a manifest and check it against itself, to the byte.

    Raises:
        BadInputError: A newer version wrote it.
        DamagedSourceError: It is not as it was written.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError
        content = path.read_bytes()
        value: dict[str, Any] = json.loads(content)
        stated = value.pop(_SELF_CHECK)
        sound = value["format"] == FORMAT and stated == _digest(value)
        version = int(value["version"])
    except OSError as error:
        raise DamagedSourceError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _damaged(path) from None
    if sound and version > VERSION:
        raise BadInputError(
            f"{path} was written by a newer recovery_nb (its layout is version {version}, not {VERSION})",
            hint="use that recovery_nb or a newer one",
        )
    try:
        manifest = Manifest.model_validate_json(json.dumps(value))
    except ValidationError:
        raise _damaged(path) from None
    # The digest is of the content; white space and spelling are checked by writing it again.
    if not sound or render(manifest) != content:
        raise _damaged(path)
    return manifest


def _plain(manifest: Manifest) -> dict[str, Any]:
    return manifest.model_dump(mode="json", exclude=_SINCE_2 if manifest.version == 1 else None)


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(rfc8785.dumps(value)).hexdigest()


def _render(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _damaged(path: Path) -> DamagedSourceError:
    return DamagedSourceError(f"{path} is not as it was written", hint="use another backup")
