"""BSON files: one by itself, and the folder that `mongodump` writes of one database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from bson import json_util
from bson.codec_options import DatetimeConversion

from recovery_nb.errors import DamagedSourceError
from recovery_nb.records.batch import MAX_RECORD_BYTES, Damage, RecordBatch, Ref
from recovery_nb.sources.base import Header, Kind, Typing
from recovery_nb.sources.framing import frame, is_whole, looks_like_bson

__all__ = ["BsonSource", "DumpSource", "looks_like_bson"]

_BSON = ".bson"
_METADATA = ".metadata.json"
_MANIFEST = "manifest.json"
_MANIFEST_FORMAT = "recovery_nb.backup"
_METADATA_MAX = 16 * 1024 * 1024
_OPTIONS = json_util.JSONOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class BsonSource:
    """A single file of BSON documents, read-only.

    Args:
        path: The file. The collection is named by the metadata file beside it, else by its own name.

    Raises:
        DamagedSourceError: The file is empty or cannot be opened.
    """

    kind = Kind.BSON

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as file:
            if os.fstat(file).st_size == 0:
                raise DamagedSourceError(f"{path} is empty", hint="look for another copy of this file")

    def files(self) -> list[Path]:
        """Return the file."""
        return [self.path]

    def header(self) -> Header:
        """Return the options and indexes that the metadata file beside it records."""
        metadata = _metadata(_beside(self.path))
        return Header(options={self._collection(): metadata} if metadata else {})

    def typing(self) -> Typing:
        """Return that every type is as it was."""
        return Typing.FULL

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record, in the file's order, and every stretch that is none."""
        with _opened(self.path) as file:
            yield from frame(file, member="", collection=self._collection())

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the records at `refs`, in their order.

        Raises:
            DamagedSourceError: There is no record (any more).
        """
        with _opened(self.path) as file:
            for ref in refs:
                yield _fetched(file, ref, self.path)

    def _collection(self) -> str:
        return _collection(self.path)


class DumpSource:
    """The folder of one database as `mongodump` writes it, read-only.

    Each `NAME.bson` in it is a member of that name. Collections without one (views, time-series) appear only
    in the header's options; the buckets of a time-series are the collection `system.buckets.NAME`.

    Args:
        path: The folder that holds the `.bson` files.

    Raises:
        DamagedSourceError: It cannot be listed.
    """

    kind = Kind.DUMP

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._files = sorted(entry for entry in path.iterdir() if entry.is_file())
        except OSError as error:
            raise _unreadable(path, error) from None

    def files(self) -> list[Path]:
        """Return the `.bson` and metadata files, by name."""
        return [file for file in self._files if file.name.endswith((_BSON, _METADATA)) or file.name == "prelude.json"]

    def collections(self) -> dict[str, str]:
        """Return the collection that each member (`NAME.bson`) holds."""
        return {file.name: _collection(file) for file in self._files if file.suffix == _BSON}

    def header(self) -> Header:
        """Return when it was taken, if it lies in a backup of ours, and what its metadata files record."""
        manifest = self._manifest()
        prelude = _metadata(self.path / "prelude.json") or {}
        taken_at = _moment(manifest.get("taken_at"))
        options: dict[str, dict[str, object]] = {}
        for file in self._files:
            if file.name.endswith(_METADATA) and (metadata := _metadata(file)):
                options[_named(metadata, file.name.removesuffix(_METADATA))] = metadata
        return Header(
            taken_at=taken_at,
            taken_from="manifest" if taken_at else "",
            version=str(manifest.get("version") or prelude.get("ToolVersion") or ""),
            origin=str(manifest.get("database") or self.path.name),
            checksum=str(manifest.get("manifest_sha256") or ""),
            options=options,
        )

    def typing(self) -> Typing:
        """Return that every type is as it was."""
        return Typing.FULL

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record, member by member, and every stretch that is none.

        A metadata file that cannot be read, or a member that cannot be opened, is a `Damage` of its own.
        """
        for path in self._files:
            if path.name.endswith(_METADATA) and _metadata(path) is None:
                yield Damage(path.name, 0, path.stat().st_size, "a metadata file that is not Extended JSON")
        for member, collection in self.collections().items():
            with ExitStack() as stack:
                try:
                    file = stack.enter_context(_opened(self.path / member))
                except DamagedSourceError as error:
                    yield Damage(member, 0, -1, error.message, collection)
                    continue
                yield from frame(file, member=member, collection=collection)

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the records at `refs`, in their order.

        Raises:
            DamagedSourceError: There is no record (any more).
        """
        members = {file.name: file for file in self._files if file.suffix == _BSON}
        with ExitStack() as stack:
            opened: dict[str, int] = {}
            for ref in refs:
                if ref.member not in members:
                    raise DamagedSourceError(
                        f"{self.path} holds no {ref.member or 'unnamed member'}", hint="scan it again"
                    )
                path = members[ref.member]
                if ref.member not in opened:
                    opened[ref.member] = stack.enter_context(_opened(path))
                yield _fetched(opened[ref.member], ref, path)

    def _manifest(self) -> dict[str, Any]:
        for place in (self.path, self.path.parent):
            manifest = _metadata(place / _MANIFEST)
            if manifest and manifest.get("format") == _MANIFEST_FORMAT:
                return cast("dict[str, Any]", manifest)
        return {}


def _collection(path: Path) -> str:
    return _named(_metadata(_beside(path)) or {}, path.stem)


def _named(metadata: dict[str, object], stem: str) -> str:
    """Return the name in the metadata, else the file's own, in which `mongodump` escapes some letters."""
    name = metadata.get("collectionName")
    return name if isinstance(name, str) and name else unquote(stem)


def _beside(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_BSON) + _METADATA)


def _metadata(path: Path) -> dict[str, object] | None:
    """Return an Extended JSON object from a small file; None where it cannot be read as one."""
    try:
        if not path.is_file() or path.stat().st_size > _METADATA_MAX:
            return None
        value = json_util.loads(path.read_text("utf-8"), json_options=_OPTIONS)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError, json.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    try:
        # Without waiting: a pipe under a dump's name must not hold us up.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        yield file
    finally:
        os.close(file)


def _unreadable(path: Path, error: OSError) -> DamagedSourceError:
    return DamagedSourceError(f"{path} cannot be read: {error.strerror}", hint="check the path and its permissions")


def _fetched(file: int, ref: Ref, path: Path) -> bytes:
    record = os.pread(file, ref.length, ref.offset) if ref.offset >= 0 and 0 < ref.length <= MAX_RECORD_BYTES else b""
    if not is_whole(record):
        raise DamagedSourceError(
            f"{path} holds no record of {ref.length:,} bytes at offset {ref.offset:,} any more",
            hint="scan it again",
        )
    return record
