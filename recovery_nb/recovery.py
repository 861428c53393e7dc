"""The whole workflow in one go: backup, scan, compare, restore, verify, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recovery_nb.case import Case
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.reports import Report, Status
from recovery_nb.restore.apply import RestoreResult
from recovery_nb.restore.plan import OnConflict

__all__ = ["Outcome", "exit_code", "recover"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a recovery came to.

    Attributes:
        report: The recovery report.
        comparison: What was found to differ, before any restore; None where there was no source.
        restored: What was restored; None where nothing was to be.
        exit_code: What a command ends with.
    """

    report: Report
    comparison: Comparison | None
    restored: RestoreResult | None
    exit_code: int


def exit_code(report: Report) -> int:
    """Return what a command ends with: 0 nothing lost, 1 loss or problems, 3 some records failed."""
    restore = report.restore
    if restore and not restore.dry_run and restore.failed:
        return 3
    if restore and not restore.dry_run:
        return 0 if report.summary.status is Status.SUCCESS else 1
    lossless = not any(one.missing or one.changed or one.duplicate or one.corrupt for one in report.comparison.values())
    return 0 if lossless and not report.structures and not report.summary.errors else 1


def recover(
    case: Case,
    *,
    backup: bool = True,
    source: Path | None = None,
    sources: Sequence[Path | str] = (),
    target: str = "",
    only: Sequence[str] = ("missing",),
    on_conflict: OnConflict | str = OnConflict.SKIP,
    restore: bool | None = None,
) -> Outcome:
    """Back up, scan, compare, and report; restore and verify too, where that is asked for.

    Args:
        case: The case, with its database.
        backup: Take a backup first, named `pre_recovery_<timestamp>`.
        source: Restore from this file or folder.
        sources: Where to look instead of the usual places.
        target: The collection to restore to.
        only: Which differences to restore.
        on_conflict: What to do where the database holds another version.
        restore: Restore from everything that was found; by default only if `source` is given.

    Raises:
        BadInputError: There is nothing to restore from, or something named cannot be used.
        ConnectionFailedError: The database does not answer.
    """
    case.database  # noqa: B018 - fail before any work if the database cannot be reached
    if backup:
        case.backup(prefix="pre_recovery")
    named = [source] if source else list(sources)
    scan = case.scan(*named)
    comparison = case.compare(target=target) if scan.sources else None
    wanted = bool(source) if restore is None else restore
    result = None
    if wanted:
        if comparison is None:
            raise BadInputError("there is nothing to restore from", hint="name a backup with --restore FILE")
        plan = case.plan(comparison, only=only, on_conflict=on_conflict)
        result = case.restore(plan, comparison)
        case.verify(result.restore_id)
    report = case.report()
    return Outcome(report, comparison, result, exit_code(report))
