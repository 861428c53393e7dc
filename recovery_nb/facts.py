"""What the report states: the case's findings turned into the report's facts. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path

from recovery_nb.audit.values import printable
from recovery_nb.backups import BackupResult
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.model import Status
from recovery_nb.compare.resolve import place
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.reports import (
    BackupFacts,
    Candidates,
    CopyFacts,
    Counts,
    DamageFacts,
    DatabaseFacts,
    Findings,
    ProblemFacts,
    RestoreFacts,
    SourceFacts,
    Unrecoverable,
    VerificationFacts,
    filesystem,
)
from recovery_nb.restore.apply import RestoreResult
from recovery_nb.verification import Verification

__all__ = ["Inferred", "findings", "inferred_collections", "source_facts"]

_LISTED = 1_000


def source_facts(entry: SourceEntry, inferred: Inferred | None = None) -> SourceFacts:
    """Return a source as the report describes it.

    Args:
        entry: The source.
        inferred: The collection of what it does not name itself, and what says so.
    """
    name, reason = (inferred or {}).get(entry.id, ("(not named)", ""))
    collections: Counter[str] = Counter()
    for given, count in entry.collections.items():
        collections[given or name] += count
    return SourceFacts(
        path=_shown(entry.path), name=entry.name, size=entry.size, record_count=entry.records, modified=entry.modified,
        sample=entry.samples, kind=entry.kind.value, typing=entry.typing.value, taken_at=entry.taken_at,
        taken_from=entry.taken_from, digest=entry.digest,
        collections=dict(collections), inferred={name: reason} if reason and "" in entry.collections else {},
        damage=[
            DamageFacts(member=one.member, offset=one.offset, length=one.length, reason=one.reason)
            for one in entry.damage
        ],
    )  # fmt: skip


Inferred = Mapping[str, tuple[str, str]]
"""By source id: a collection that is inferred, and by what."""


def inferred_collections(sources: Sequence[SourceEntry], fields: Mapping[str, Set[str]]) -> Inferred:
    """Return which collection the records belong to that a source files under no name.

    Args:
        sources: Catalogued sources.
        fields: The fields of the database's collections; empty where it was not read.
    """
    if not any("" in source.collections for source in sources):
        return {}
    try:
        placements, _ = place(sources, fields)
    except BadInputError:
        return {}
    return {one.source.id: (one.collection, one.reason) for one in placements if not one.given}


def _shown(path: Path) -> str:
    """Return a path as the user would type it: relative where it is below the working folder."""
    try:
        return printable(path.relative_to(Path.cwd()))
    except ValueError:
        return printable(path)


def findings(
    *,
    case: Path,
    database: str,
    uri: str = "",
    counts: Mapping[str, int] | None,
    sources: Sequence[SourceEntry],
    comparison: Comparison | None = None,
    backup: BackupResult | None = None,
    restore: RestoreResult | None = None,
    verification: Verification | None = None,
    structures: Mapping[str, str] | None = None,
    unrecoverable: Iterable[Unrecoverable] = (),
    copies: Iterable[tuple[Path, Path]] = (),
    fields: Mapping[str, Set[str]] | None = None,
) -> Findings:
    """Return everything the report states as found.

    Args:
        case: The case's folder.
        database: The database's name; "" where none was given.
        uri: Its URI without its secrets.
        counts: Its records by collection; None where it was not reached.
        sources: What was scanned.
        comparison: What was compared, if anything was.
        backup: The backup that was taken before.
        restore: What was restored.
        verification: What a check of that found.
        structures: What the database lacks of collections, time-series and views: name and kind.
        unrecoverable: What is known to be lost beyond the sources' own damage.
        copies: What holds the same as a source: its path, and that source's.
        fields: The fields of the database's collections, for sources that name none.
    """
    inferred = inferred_collections(sources, fields or {})
    lost = [*unrecoverable, *_unreadable(sources, comparison)]
    return Findings(
        timestamp=datetime.now(UTC),
        case=_shown(case.absolute()),
        database_uri=uri,
        database=DatabaseFacts(
            connected=counts is not None, name=database, collections=dict(counts or {}),
            total_found=sum((counts or {}).values()),
        ),
        filesystem=filesystem(
            [source_facts(entry, inferred) for entry in sources],
            [CopyFacts(path=_shown(path), of=_shown(of)) for path, of in copies],
        ),
        comparison={} if comparison is None else {
            name: Counts(**one.as_dict()) for name, one in comparison.counts.items()
        },
        candidates={} if comparison is None else _candidates(comparison),
        apart=[] if comparison is None else comparison.summary.apart,
        structures=dict(structures or {}),
        unrecoverable=lost[:_LISTED],
        unrecoverable_total=len(lost),
        backup=None if backup is None else BackupFacts(
            path=_shown(backup.path), collections=backup.collections, records=backup.records, bytes=backup.bytes
        ),
        restore=None if restore is None else RestoreFacts(
            restore_id=restore.restore_id, plan_digest=restore.plan_digest, success=restore.success,
            dry_run=restore.dry_run, planned=restore.planned, restored=restore.restored, skipped=restore.skipped,
            failed=restore.failed, errors=[f"{e.collection}/{e.key}: {e.reason}" for e in restore.errors],
        ),
        verification=None if verification is None else VerificationFacts(
            ok=verification.ok, checked=verification.checked,
            problems=[ProblemFacts(what=one.what, where=one.where) for one in verification.problems[:_LISTED]],
        ),
    )  # fmt: skip


def _candidates(comparison: Comparison) -> dict[str, Candidates]:
    """Count, for each collection, the missing records that can be recovered, by the source a restore takes."""
    best: dict[str, Counter[str]] = defaultdict(Counter)
    for row in comparison.rows((Status.MISSING,), columns=("collection", "status", "source")):
        best[row["collection"]][_shown(comparison.sources[row["source"]].path)] += 1
    return {name: Candidates(recoverable=by.total(), sources=dict(by)) for name, by in sorted(best.items())}


def _unreadable(sources: Sequence[SourceEntry], comparison: Comparison | None) -> Iterator[Unrecoverable]:
    """Yield the stretches of sources that hold records no one can read; what else holds them is not known."""
    used = comparison.sources.values() if comparison else sources
    for entry in used:
        for one in entry.damage:
            yield Unrecoverable(
                collection=one.collection, where=f"{one.length:,} bytes" if one.length >= 0 else "to the end",
                reason=one.reason, source=_shown(entry.path / one.member if one.member else entry.path),
                offset=one.offset,
            )  # fmt: skip
