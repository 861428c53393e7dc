"""BSON files: one by itself, and the folder that `mongodump` writes of one database."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from bson import json_util
from bson.codec_options import DatetimeConversion

from recovery_nb.errors import DamagedSourceError, RecoveryError
from recovery_nb.records.batch import MAX_RECORD_BYTES, Damage, RecordBatch, Ref
from recovery_nb.records.salvage import leading_fields
from recovery_nb.sources.base import AS_OF, BATCH_BYTES, Header, Kind, Typing
from recovery_nb.sources.content import MANIFEST, Content, File, Folder
from recovery_nb.sources.dump.framing import frame, is_whole

__all__ = ["METADATA", "PRELUDE", "BsonSource", "DumpSource", "fetched", "parsed_metadata"]

_BSON = ".bson"
METADATA = ".metadata.json"
PRELUDE = "prelude.json"
_TAKEN_FROM = {"recovery_nb.backup": "manifest", "recovery_nb.state": AS_OF}
"""By the format that a manifest states: what its time is. A state is what it was put together for, not a reading."""
_OPTIONS = json_util.JSONOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)


class BsonSource:
    """A single file of BSON documents, read-only.

    Args:
        file: The file. The collection is named by the metadata file beside it, else by its own name.

    Raises:
        DamagedSourceError: The file is empty or cannot be opened.
    """

    kind = Kind.BSON

    def __init__(self, file: File) -> None:
        self.path, self.file = file.path, file
        self.doubted = False
        if not file.head(1):
            raise DamagedSourceError(f"{file.path} is empty", hint="look for another copy of this file")

    @property
    def named(self) -> str:
        """The collection that its records are of."""
        return _collection(self.file)

    def files(self) -> list[File]:
        """Return the file."""
        return [self.file]

    def header(self) -> Header:
        """Return the options and indexes that the metadata file beside it records."""
        metadata = _metadata(_beside(self.file))
        return Header(options={self.named: metadata} if metadata else {})

    def typing(self) -> Typing:
        """Return that every type is as it was."""
        return Typing.FULL

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record, in the file's order, and every stretch that is none."""
        content = self.file.open()
        yield from frame(content, member="", collection=self.named)
        self.doubted = bool(content.doubt)

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the records at `refs`, in their order.

        Raises:
            DamagedSourceError: There is no record (any more).
        """
        content = self.file.open()
        for run in _runs(refs):
            yield from _fetched_together(content, run, self.path)


class DumpSource:
    """The folder of one database as `mongodump` writes it, read-only.

    Each `NAME.bson` in it is a member of that name. Collections without one (views, time-series) appear only
    in the header's options; the buckets of a time-series are the collection `system.buckets.NAME`.

    Args:
        folder: The folder that holds the `.bson` files.
    """

    kind = Kind.DUMP

    def __init__(self, folder: Folder) -> None:
        self.path, self._folder = folder.path, folder
        self.doubted = False

    def files(self) -> list[File]:
        """Return the `.bson` and metadata files, by name."""
        return [file for file in self._folder.files if file.name.endswith((_BSON, METADATA)) or file.name == PRELUDE]

    def without(self, names: Collection[str]) -> DumpSource:
        """Return the same dump without the files of these names."""
        return DumpSource(
            replace(self._folder, files=tuple(file for file in self._folder.files if file.name not in names))
        )

    def collections(self) -> dict[str, str]:
        """Return the collection that each member (`NAME.bson`) holds."""
        return {file.name: _collection(file) for file in self._members()}

    def header(self) -> Header:
        """Return when it was taken, if it lies in a backup of ours, and what its metadata files record."""
        manifest = self._manifest()
        prelude = _metadata(self._folder.file(PRELUDE)) or {}
        taken_at = _moment(manifest.get("taken_at"))
        options: dict[str, dict[str, object]] = {}
        for file in self._folder.files:
            if file.name.endswith(METADATA) and (metadata := _metadata(file)):
                options[_named(metadata, file.name.removesuffix(METADATA))] = metadata
        return Header(
            taken_at=taken_at,
            taken_from=_TAKEN_FROM[str(manifest["format"])] if taken_at else "",
            optime=_optime(manifest.get("cluster_time")),
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
        for file in self._folder.files:
            if file.name.endswith(METADATA) and (fault := _fault(file)):
                yield Damage(file.name, 0, file.stored, fault)
        for file in self._members():
            collection = _collection(file)
            try:
                content = file.open()
                yield from frame(content, member=file.name, collection=collection)
                self.doubted = self.doubted or bool(content.doubt)
            except RecoveryError as error:
                yield Damage(file.name, 0, -1, str(error), collection)

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the records at `refs`, in their order.

        Raises:
            DamagedSourceError: There is no record (any more).
        """
        members = {file.name: file for file in self._members()}
        opened: dict[str, Content] = {}
        for run in _runs(refs):
            name = run[0].member
            if name not in members:
                raise DamagedSourceError(f"{self.path} holds no {name or 'unnamed member'}", hint="scan it again")
            if name not in opened:
                opened = {name: members[name].open()}
            yield from _fetched_together(opened[name], run, members[name].path)

    def _members(self) -> list[File]:
        return [file for file in self._folder.files if file.name.endswith(_BSON)]

    def _manifest(self) -> dict[str, Any]:
        for place in (self._folder.files, self._folder.above):
            for file in place:
                manifest = _metadata(file) if file.name == MANIFEST else None
                if manifest and manifest.get("format") in _TAKEN_FROM:
                    return cast("dict[str, Any]", manifest)
        return {}


def _collection(file: File) -> str:
    return _named(_metadata(_beside(file)) or {}, file.name.removesuffix(_BSON))


def _beside(file: File) -> File | None:
    return file.beside(file.name.removesuffix(_BSON) + METADATA)


def _named(metadata: dict[str, object], stem: str) -> str:
    """Return the name in the metadata, else the file's own, in which `mongodump` escapes some letters."""
    name = metadata.get("collectionName")
    return name if isinstance(name, str) and name else unquote(stem)


def _metadata(file: File | None) -> dict[str, object] | None:
    """Return an Extended JSON object from a small file; None where it cannot be read as one."""
    try:
        return parsed_metadata(file.small()) if file else None
    except RecoveryError:
        return None


def _fault(file: File) -> str:
    """Return why a metadata file cannot be read, "" where it can."""
    try:
        return "" if parsed_metadata(file.small()) is not None else "a metadata file that is not Extended JSON"
    except RecoveryError as error:
        return str(error)


def parsed_metadata(text: bytes) -> dict[str, object] | None:
    """Return the Extended JSON object that `mongodump` writes of a collection; None where it is none."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=_typed)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, json.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


def _typed(pairs: list[tuple[str, Any]]) -> Any:
    """Return the BSON value of a JSON object. A `$regex` is a query's: canonically, a value is `$regularExpression`."""
    if any(name == "$regex" for name, _ in pairs):
        return dict(pairs)
    return json_util.object_pairs_hook(pairs, _OPTIONS)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _optime(value: object) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return int(value[0]), int(value[1])
    return None


def _runs(refs: Iterable[Ref]) -> Iterator[list[Ref]]:
    """Yield references in runs of those that lie one behind the other: they are read at once."""
    run: list[Ref] = []
    size = 0
    for ref in refs:
        last = run[-1] if run else ref
        adjoins = ref.offset == last.offset + last.length and ref.member == last.member
        if run and not (adjoins and 0 < ref.length <= BATCH_BYTES - size and not (ref.partial or last.partial)):
            yield run
            run, size = [], 0
        run.append(ref)
        size += ref.length
    if run:
        yield run


def _fetched_together(content: Content, run: Sequence[Ref], path: Path) -> Iterator[bytes]:
    if len(run) == 1:
        yield fetched(content, run[0], path)
        return
    start = run[0].offset
    found = content.read_at(start, run[-1].offset + run[-1].length - start)
    for ref in run:
        record = found[ref.offset - start : ref.offset - start + ref.length]
        yield record if is_whole(record) else fetched(content, ref, path)


def fetched(content: Content, ref: Ref, path: Path) -> bytes:
    """Return the document at `ref`, or, of a damaged stretch, what can be read of it.

    Raises:
        DamagedSourceError: There is none (any more).
    """
    if ref.partial:
        record = leading_fields(content.read_at(ref.offset, min(ref.length, MAX_RECORD_BYTES)))
    elif ref.offset >= 0 and 0 < ref.length <= MAX_RECORD_BYTES:
        record = content.read_at(ref.offset, ref.length)
    else:
        record = b""
    if not is_whole(record):
        raise DamagedSourceError(
            f"{path} holds no record of {ref.length:,} bytes at offset {ref.offset:,} any more",
            hint="scan it again",
        )
    return record
