"""Planning, applying, proving and undoing a restore: the only place that writes to a database.

A plan is pure and immutable; applying it checks every precondition at the write itself and keeps a journal.
"""

from __future__ import annotations

from recovery_nb.restore.apply import apply
from recovery_nb.restore.files import RestoreInfo, State, list_restores, open_restore
from recovery_nb.restore.plan import OnConflict, Plan, Selected, Transaction
from recovery_nb.restore.planning import make_plan
from recovery_nb.restore.prepare import Payload
from recovery_nb.restore.result import Problem, RestoreResult
from recovery_nb.restore.resume import resume
from recovery_nb.restore.rollback import RollbackResult, rollback
from recovery_nb.restore.rows import Action, Rows, Write
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
    "Rows",
    "Selected",
    "State",
    "Transaction",
    "Write",
    "apply",
    "list_restores",
    "make_plan",
    "open_restore",
    "resume",
    "rollback",
    "verify_restore",
]
