"""The recovery report: the specification's keys, and what else was found beside them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from recovery_nb.audit.redact import redact, redact_text
from recovery_nb.audit.values import printable

__all__ = [
    "BackupFacts",
    "Candidates",
    "Counts",
    "DamageFacts",
    "DatabaseFacts",
    "Filesystem",
    "Findings",
    "ProblemFacts",
    "Report",
    "RestoreFacts",
    "SourceFacts",
    "Status",
    "Summary",
    "Unrecoverable",
    "VerificationFacts",
    "filesystem",
    "is_export",
]

MAX_UNRECOVERABLE = 1000
"""How many unrecoverable records a report names; it counts all of them."""


def _text(value: object) -> object:
    return value if value is None else redact_text(printable(value))


Text = Annotated[str, BeforeValidator(_text)]
"""Text of which secrets are masked, and that UTF-8 can encode."""

Sample = Annotated[list[Any], BeforeValidator(lambda value: redact(value)[:3] if value else value)]
Named = Annotated[list["Unrecoverable"], BeforeValidator(lambda value: list(value)[:MAX_UNRECOVERABLE])]


class Model(BaseModel):
    """What all parts of a report share: they do not change."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Status(StrEnum):
    """How a recovery stands; `reports.advice.decide_status` says when which holds."""

    PENDING = "pending"
    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"


class DatabaseFacts(Model):
    """The database as it was read. `total_found` counts its records."""

    connected: bool = False
    name: Text = ""
    collections: dict[Text, int] = {}
    total_found: int = 0


class DamageFacts(Model):
    """A stretch of a source that could not be read: offset and length in bytes, length -1 if unknown."""

    member: Text = ""
    offset: int
    length: int
    reason: Text


class SourceFacts(Model):
    """A backup or an export.

    Attributes:
        path: Where it is.
        name: Its file name.
        size: Bytes, of all its files.
        record_count: Records that can be read from it.
        modified: Its modification time.
        sample: Up to three records, as Extended JSON.
        kind: Its format, as `sources.Kind` names it.
        typing: How much of BSON's types it kept: "full", "relaxed", "plain".
        taken_at: When it was read from its database; None where it does not say.
        taken_from: Which of its parts says so.
        digest: SHA-256 (hex) of its files.
        collections: Its records by collection.
        inferred: Of a collection that it does not name itself: what says that it is this one.
        damage: What could not be read.
    """

    path: Text
    name: Text
    size: int
    record_count: int
    modified: datetime
    sample: Sample | None = Field(default=None, exclude_if=lambda value: value is None)
    kind: Text = ""
    typing: Text = ""
    taken_at: datetime | None = None
    taken_from: Text = ""
    digest: Text = ""
    collections: dict[Text, int] = {}
    inferred: dict[Text, Text] = {}
    damage: list[DamageFacts] = []


class CopyFacts(Model):
    """A file, or a folder, that holds the same as a source and is not counted again.

    Attributes:
        path: Where it is.
        of: Where that source is.
    """

    path: Text
    of: Text


class Filesystem(Model):
    """The sources that are files. `total_found` counts the records in all of them."""

    backups: list[SourceFacts] = []
    exports: list[SourceFacts] = []
    copies: list[CopyFacts] = []
    total_found: int = 0


class Counts(Model):
    """The records of one collection, by how database and sources differ."""

    identical: int = 0
    equivalent: int = 0
    changed: int = 0
    missing: int = 0
    extra: int = 0
    duplicate: int = 0
    corrupt: int = 0


class Candidates(Model):
    """What can be recovered of one collection: missing records in all, and by source (path)."""

    recoverable: int = 0
    sources: dict[Text, int] = {}


class Unrecoverable(Model):
    """A record, or a place in a source, that cannot be recovered; by its key, or by where it is."""

    collection: Text = ""
    key: Text | None = None
    where: Text | None = None
    reason: Text
    source: Text = ""
    offset: int = -1


class ProblemFacts(Model):
    """One thing that is wrong, and where."""

    what: Text
    where: Text


class RestoreFacts(Model):
    """What a restore did, or would do (`dry_run`), in records."""

    restore_id: Text = ""
    plan_digest: Text = ""
    success: bool
    dry_run: bool = False
    planned: int = 0
    restored: int = 0
    skipped: int = 0
    failed: int = 0
    errors: list[Text] = []


class VerificationFacts(Model):
    """What a verification found: `checked` things, of which `problems` are wrong."""

    ok: bool
    checked: int = 0
    problems: list[ProblemFacts] = []


class BackupFacts(Model):
    """The backup that was taken before anything was changed; size in bytes."""

    path: Text
    collections: dict[Text, int] = {}
    records: int = 0
    bytes: int = 0


class Findings(Model):
    """Everything a report states as found; its summary is computed from it.

    `database_uri` holds no secrets. `apart` tells what was not compared, since something else stands in its place.
    `structures` are the collections, time-series and views that the database lacks and sources describe, by kind.
    """

    timestamp: datetime
    database: DatabaseFacts = DatabaseFacts()
    filesystem: Filesystem = Filesystem()
    version: str = "1.0"
    case: Text = ""
    database_uri: Text = ""
    run: Text | None = Field(default=None, exclude_if=lambda value: value is None)
    comparison: dict[Text, Counts] = {}
    candidates: dict[Text, Candidates] = {}
    apart: list[Text] = []
    structures: dict[Text, Text] = {}
    unrecoverable: Named = []
    unrecoverable_total: int = 0
    restore: RestoreFacts | None = None
    verification: VerificationFacts | None = None
    backup: BackupFacts | None = None

    @property
    def sources(self) -> list[SourceFacts]:
        """The backups, then the exports."""
        return [*self.filesystem.backups, *self.filesystem.exports]


class Summary(Model):
    """How the recovery stands and what to do next.

    Attributes:
        total_recovered: Once a restore was applied, the records it restored; before that, the records
            that are missing from the database and can be recovered, each counted once.
        status: See `reports.advice.decide_status`.
        recommendations: Sentences, each with the command to run next.
        errors: What could not be read or done, one line each.
    """

    total_recovered: int = 0
    status: Status = Status.PENDING
    recommendations: list[Text] = []
    errors: list[Text] = []


class Report(Findings):
    """The recovery report, `recovery_report_<timestamp>.json`."""

    summary: Summary = Summary()


def is_export(name: str, kind: str) -> bool:
    """Return whether a source is an export: by its name, or as one record a line or row (mongoexport)."""
    return name.lower().startswith("export") or kind in {"jsonl", "csv", "tsv"}


def filesystem(sources: Iterable[SourceFacts], copies: Iterable[CopyFacts] = ()) -> Filesystem:
    """Sort sources into backups and exports and count their records."""
    backups: list[SourceFacts] = []
    exports: list[SourceFacts] = []
    for source in sources:
        (exports if is_export(source.name, source.kind) else backups).append(source)
    total = sum(source.record_count for source in [*backups, *exports])
    return Filesystem(backups=backups, exports=exports, copies=list(copies), total_found=total)
