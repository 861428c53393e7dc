"""Planning, applying, proving and undoing a restore: the only place that writes to a database.

A plan is pure and immutable; applying it checks every precondition at the write itself and keeps a journal.
"""

from __future__ import annotations

from recovery_nb.restore.apply import Payload, Problem, RestoreResult, apply
from recovery_nb.restore.files import RestoreInfo, State, list_restores, open_restore
from recovery_nb.restore.plan import Action, OnConflict, Plan, Selected, Write
from recovery_nb.restore.planning import make_plan
from recovery_nb.restore.rollback import RollbackResult, rollback
from recovery_nb.restore.verify import verify_restore

__all__ = [
    "Action",
    "OnConflict",
    "Payload",
    "Plan",
    "Problem",
    "RestoreInfo",
    "RestoreResult",
    "RollbackResult",
    "Selected",
    "State",
    "Write",
    "apply",
    "list_restores",
    "make_plan",
    "open_restore",
    "rollback",
    "verify_restore",
]
