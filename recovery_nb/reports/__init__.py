"""The recovery report: its model, what follows from it, and how it looks.

Import `html`, `plots` and `schema` from their modules: only what draws needs matplotlib.
"""

from __future__ import annotations

from recovery_nb.reports.advice import build_report, decide_status, recommend
from recovery_nb.reports.model import (
    BackupFacts,
    Candidates,
    CopyFacts,
    Counts,
    DamageFacts,
    DatabaseFacts,
    Filesystem,
    Findings,
    ProblemFacts,
    Report,
    RestoreFacts,
    SourceFacts,
    Status,
    Summary,
    Unrecoverable,
    VerificationFacts,
    filesystem,
    is_export,
)
from recovery_nb.reports.write import write_json, write_report

__all__ = [
    "BackupFacts",
    "Candidates",
    "CopyFacts",
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
    "build_report",
    "decide_status",
    "filesystem",
    "is_export",
    "recommend",
    "write_json",
    "write_report",
]
