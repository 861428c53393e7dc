"""Verifying what a user names: a backup, a restore, a run, or the whole case."""

from __future__ import annotations

from pathlib import Path

from recovery_nb.checks import verify_target
from recovery_nb.errors import BadInputError
from recovery_nb.verbs.context import Context
from recovery_nb.verification import Verification

__all__ = ["check"]


def check(context: Context, target: str | Path | None = None, *, live: bool = False) -> Verification:
    """Check what is named, or the whole case, as `Case.verify` describes it."""
    folder = context.folder
    if Path(target or folder).absolute() == folder and not context.audit.path.is_file():
        raise BadInputError(f"{target or folder} holds no case", hint="name its folder with --case")
    name = str(target or folder)
    try:
        # Before it is logged: an entry would take a torn end of the log for a crash that is accounted for.
        found = verify_target(
            name, case=folder, address=context.address, audit=context.audit, tree=context.tree, live=live,
            emit=context.emit,
        )  # fmt: skip
    except BaseException as error:
        context.audit.append("verify failed", target=name, error=str(error) or type(error).__name__)
        raise
    context.audit.append(
        "verify finished", target=name, ok=found.ok, checked=found.checked, problems=len(found.problems)
    )
    return found
