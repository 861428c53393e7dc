"""What a notebook's run ends with, as the commands of the same names do: 0 nothing lost, 1 findings, 3 done in part."""

from __future__ import annotations

from recovery_nb.case import Scan
from recovery_nb.compare.result import Comparison
from recovery_nb.reports import Report
from recovery_nb.restore.apply import RestoreResult
from recovery_nb.verification import Verification

__all__ = ["compare_code", "restore_code", "scan_code", "shortfalls", "verify_code"]


def shortfalls(report: Report) -> list[tuple[str, int, int, str]]:
    """Return the collections of which a source holds more records than the database.

    Returns:
        The collection, its records in the database and in the fullest source, and that source's path.
    """
    fullest: dict[str, tuple[int, str]] = {}
    for source in report.sources:
        for name, count in source.collections.items():
            fullest[name] = max(fullest.get(name, (0, "")), (count, source.path))
    held = report.database.collections
    return [(name, held.get(name, 0), n, path) for name, (n, path) in fullest.items() if n > held.get(name, 0)]


def scan_code(scan: Scan, report: Report) -> int:
    """Return 1 where something could not be read, or a source holds more than the database; else 0."""
    short = report.database.connected and shortfalls(report)
    return 1 if scan.damaged or short or report.summary.errors else 0


def compare_code(comparison: Comparison, report: Report) -> int:
    """Return 1 where something is lost, changed or damaged; else 0."""
    return 0 if comparison.clean and not report.structures and not report.summary.errors else 1


def restore_code(result: RestoreResult, verification: Verification | None) -> int:
    """Return 3 where records failed or are not as planned; else 0."""
    whole = result.success and not result.failed
    return 0 if whole and (verification is None or verification.ok) else 3


def verify_code(verification: Verification) -> int:
    """Return 1 where anything is not as it should be; else 0."""
    return 0 if verification.ok else 1
