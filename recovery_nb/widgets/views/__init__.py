"""What the verbs found, as static HTML that begins with the answer: read without a kernel and without a script."""

from __future__ import annotations

from recovery_nb.widgets.views.actions import applied, planned, preview, restored, rolled_back, verified
from recovery_nb.widgets.views.copies import backups, structure
from recovery_nb.widgets.views.differences import changes, compared, conversions, when
from recovery_nb.widgets.views.evidence import backup, database, samples, short, sources
from recovery_nb.widgets.views.story import audit, report

__all__ = [
    "applied",
    "audit",
    "backup",
    "backups",
    "changes",
    "compared",
    "conversions",
    "database",
    "planned",
    "preview",
    "report",
    "restored",
    "rolled_back",
    "samples",
    "short",
    "sources",
    "structure",
    "verified",
    "when",
]
