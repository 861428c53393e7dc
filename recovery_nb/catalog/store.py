"""The catalog: reads each source once for each content, and knows where its table is."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import bson
from bson import json_util

from recovery_nb.catalog.entry import DamageEntry, SourceEntry
from recovery_nb.catalog.table import FingerprintTable, well_formed
from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.records.elements import CODEC, elements
from recovery_nb.sources.base import FileSource

__all__ = ["Catalog", "digest_of"]

_SAMPLES = 3
_FIELD_SAMPLE = 200
_MAX_DAMAGE = 1_000


def digest_of(source: FileSource) -> str:
    """Return SHA-256, in hex, over the names and contents of a source's files.

    Raises:
        BadInputError: A file cannot be read.
    """
    whole = hashlib.sha256()
    files = source.files()
    for path in files:
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise BadInputError(
                f"cannot read {path}: {error.strerror}", hint="check its permissions"
            ) from None
        if len(files) == 1:
            return content.hex()
        whole.update(path.name.encode() + b"\x00" + content)
    return whole.hexdigest()


def plain(record: bytes) -> object:
    """Return a record as JSON values, for eyes: relaxed Extended JSON; None where it does not decode."""
    try:
        document = bson.decode(record, CODEC)
    except Exception:
        return None
    return json.loads(json_util.dumps(document, json_options=json_util.RELAXED_JSON_OPTIONS))


class _Facts:
    """Collects, while a source is read, what its entry says."""

    def __init__(self) -> None:
        self.collections: Counter[str] = Counter()
        self.fields: dict[str, Counter[str]] = {}
        self.samples: list[object] = []
        self.damage: list[DamageEntry] = []

    def take(self, batch: RecordBatch) -> None:
        seen = self.collections[batch.collection]
        self.collections[batch.collection] += len(batch)
        fields = self.fields.setdefault(batch.collection, Counter())
        for record in batch.records[: max(0, _FIELD_SAMPLE - seen)]:
            fields.update(name.decode("utf-8", "replace") for _, name, _ in elements(record))
        if len(self.samples) < _SAMPLES:
            self.samples += [plain(record) for record in batch.records[: _SAMPLES - len(self.samples)]]

    def harm(self, damage: Damage) -> None:
        if len(self.damage) < _MAX_DAMAGE:
            self.damage.append(
                DamageEntry(
                    member=damage.member, offset=damage.offset, length=damage.length,
                    reason=damage.reason, collection=damage.collection,
                )
            )  # fmt: skip


def sound(batch: RecordBatch) -> Iterator[RecordBatch | Damage]:
    """Yield the batch without the records whose elements cannot be walked, and these as damage."""
    reasons = ["" if record[4:9] == b"\x07_id\x00" else well_formed(record) for record in batch.records]
    if not any(reasons):
        yield batch
        return
    good = [index for index, reason in enumerate(reasons) if not reason]
    yield RecordBatch(
        batch.collection, batch.member, [batch.records[index] for index in good],
        [batch.offsets[index] for index in good], [batch.lengths[index] for index in good],
    )  # fmt: skip
    for index, reason in enumerate(reasons):
        if reason:
            yield Damage(batch.member, batch.offsets[index], batch.lengths[index], reason, batch.collection)


class Catalog:
    """The sources of a case.

    Args:
        folder: Where the catalog is kept; made when something is first catalogued.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def table(self, entry: SourceEntry) -> Path:
        """Return the Parquet file with the fingerprints of a source's records."""
        return self.folder / entry.id / "records.parquet"

    def entries(self) -> list[SourceEntry]:
        """Return every catalogued source, the newest content first."""
        found = [
            SourceEntry.model_validate_json(path.read_bytes()) for path in self.folder.glob("*/source.json")
        ]
        return sorted(found, key=lambda entry: entry.taken_at, reverse=True)

    def entry(self, identifier: str) -> SourceEntry:
        """Return the source that has this id.

        Raises:
            BadInputError: The case knows no such source.
        """
        path = self.folder / identifier / "source.json"
        if not path.is_file():
            raise BadInputError(f"this case knows no source {identifier}", hint="scan it first")
        return SourceEntry.model_validate_json(path.read_bytes())

    def scan(self, source: FileSource, *, emit: Emit = silent) -> SourceEntry:
        """Read a source into the catalog, or return what is known if its content was read before.

        Raises:
            DamagedSourceError: No record can be read from it.
            BadInputError: A file cannot be opened.
        """
        digest = digest_of(source)
        files = source.files()
        stats = [path.stat() for path in files]
        modified = datetime.fromtimestamp(max((stat.st_mtime for stat in stats), default=0), UTC)
        path = source.path.absolute()
        folder = self.folder / digest[:16]
        if (folder / "source.json").is_file():
            known = SourceEntry.model_validate_json((folder / "source.json").read_bytes())
            if known.path == path and known.modified == modified:
                return known
        size = sum(stat.st_size for stat in stats)
        work = self.folder / f".{digest[:16]}.{os.getpid()}"
        try:
            work.mkdir(parents=True, exist_ok=True)
            facts = self._read(source, work / "records.parquet", size, emit)
            entry = self._entry(source, facts, digest, size, modified, path)
            (work / "source.json").write_text(entry.model_dump_json(indent=1), encoding="utf-8")
            self._publish(work, folder)
        except OSError as error:
            raise RecoveryError(
                f"cannot write the catalog in {self.folder}: {error.strerror}",
                hint="give the case a folder with space and write permission (--case)",
            ) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return entry

    @staticmethod
    def _publish(work: Path, folder: Path) -> None:
        if folder.exists():  # same content, other path: the table is the same, the facts are fresher
            (work / "source.json").replace(folder / "source.json")
            return
        work.replace(folder)

    @staticmethod
    def _read(source: FileSource, table: Path, size: int, emit: Emit) -> _Facts:
        facts, done = _Facts(), 0
        with FingerprintTable(table) as rows:
            for item in source.read():
                for part in [item] if isinstance(item, Damage) else sound(item):
                    if isinstance(part, Damage):
                        facts.harm(part)
                        continue
                    facts.take(part)
                    rows.add(
                        part.collection, part.records, member=part.member,
                        offsets=part.offsets, lengths=part.lengths,
                    )  # fmt: skip
                    done += sum(part.lengths)
                    emit(Event("scan", source.path.name, done, size, "bytes"))
        return facts

    @staticmethod
    def _entry(
        source: FileSource, facts: _Facts, digest: str, size: int, modified: datetime, path: Path
    ) -> SourceEntry:
        header = source.header()
        if not facts.collections and not header.options and facts.damage:
            first = facts.damage[0]
            where = f"{path}/{first.member}" if first.member else str(path)
            raise DamagedSourceError(
                f"no record can be read from {where}: {first.reason} (at byte {first.offset:,})",
                hint="look for another copy of it",
            )
        check = getattr(source, "verify_checksum", None)
        return SourceEntry(
            id=digest[:16], digest=digest, path=path, name=path.name, kind=source.kind, typing=source.typing(),
            size=size, modified=modified, taken_at=header.taken_at or modified,
            taken_from=header.taken_from if header.taken_at else "modification time",
            version=header.version, origin=header.origin,
            checksum_ok=check() if header.checksum and check else None,
            collections=dict(facts.collections), fields={name: dict(count) for name, count in facts.fields.items()},
            samples=facts.samples, damage=facts.damage,
            options={name: _jsonable(options) for name, options in header.options.items()},
            scanned_at=datetime.now(UTC),
        )  # fmt: skip


def _jsonable(options: dict[str, object]) -> dict[str, object]:
    """Options may hold BSON types (a validator's Decimal128): keep them as canonical Extended JSON."""
    loaded: dict[str, object] = json.loads(
        json_util.dumps(options, json_options=json_util.CANONICAL_JSON_OPTIONS)
    )
    return loaded
