"""Verifying what a user names: a backup, a restore, a run, or the whole case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recovery_nb.checks import verify_target
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.verbs.asked import place
from recovery_nb.verbs.context import Context
from recovery_nb.verification import Verification

__all__ = ["check"]


def check(context: Context, target: str | Path | None = None, *, live: bool = False) -> Verification:
    """Check what is named, or the whole case, as `Case.verify` describes it."""
    folder = context.folder
    named = folder if target is None else place(target, "what to verify")
    if named.absolute() == folder and not context.audit.path.is_file():
        raise BadInputError(f"{named} holds no case", hint="name its folder with --case")
    name = str(folder if target is None else target)
    try:
        # Before it is logged: an entry would take a torn end of the log for a crash that is accounted for.
        found = verify_target(
            name, case=folder, address=context.address, audit=context.audit, label=context.label, tree=context.tree,
            live=live, emit=context.emit,
        )  # fmt: skip
    except BaseException as error:
        context.logged("verify failed", target=name, error=str(error) or type(error).__name__)
        if isinstance(error, OSError) and not isinstance(error, RecoveryError):
            reason = error.strerror or type(error).__name__
            raise BadInputError(f"{name:.200} cannot be looked at: {reason}", hint="name what you may read") from None
        raise
    facts = {"ok": found.ok, "checked": found.checked, "problems": len(found.problems)}
    if unlogged := context.logged("verify finished", target=name, **facts):
        return replace(found, notes=(*found.notes, f"that this was verified is not in the log: {unlogged}"))
    return found
