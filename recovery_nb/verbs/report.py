"""The recovery report of what a case did."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from recovery_nb.backups import BackupResult
from recovery_nb.compare.live import first_fields
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import RecoveryError
from recovery_nb.facts import findings
from recovery_nb.kinds import kinds
from recovery_nb.reports import Report, Unrecoverable, build_report
from recovery_nb.restore import RestoreResult
from recovery_nb.scanning import Scan
from recovery_nb.sources.mongodb import Database
from recovery_nb.verbs.context import Context
from recovery_nb.verbs.restore import lost_structures
from recovery_nb.verification import Verification

__all__ = ["count_records", "tell"]


def count_records(database: Database) -> dict[str, int]:
    """Return the database's records by collection.

    Raises:
        ConnectionFailedError: The database does not answer.
    """
    return {
        name: database.count(name)
        for name, info in database.collections().items()
        if info.get("type") == "collection"
    }  # fmt: skip


def tell(
    context: Context,
    scan: Scan,
    *,
    comparison: Comparison | None,
    backup: BackupResult | None,
    restore: RestoreResult | None,
    verification: Verification | None,
    errors: Sequence[str],
    unrecoverable: Iterable[Unrecoverable],
) -> Report:
    """Return the report of what was done; a database that does not answer is one of its problems.

    Args:
        context: What the case lends.
        scan: What was scanned.
        comparison: What was compared, if anything was.
        backup: The backup that was taken.
        restore: What was restored.
        verification: What the last check found.
        errors: What went wrong beside what the scan names.
        unrecoverable: What is known to be lost beyond the sources' own damage.
    """
    problems = [*scan.errors, *errors]
    counts: dict[str, int] | None = None
    name, fields = "", dict[str, Set[str]]()
    lacking: dict[str, str] = {}
    if context.label:
        try:
            counts, name = count_records(context.database), context.database.name
            if any("" in entry.collections for entry in scan.sources):
                fields = first_fields(context.database, counts)
            lacking = kinds(lost_structures(context, comparison)) if comparison else {}
        except RecoveryError as error:
            problems.append(str(error))
    facts = findings(
        case=context.folder, database=name, uri=context.label, counts=counts,
        sources=scan.sources or (tuple(comparison.sources.values()) if comparison else ()),
        comparison=comparison, backup=backup, restore=restore, verification=verification,
        unrecoverable=unrecoverable, copies=scan.copies, fields=fields, structures=lacking,
    )  # fmt: skip
    return build_report(facts, list(dict.fromkeys(problems)))
