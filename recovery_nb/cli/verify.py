"""Checking what is there, and what the audit log tells of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from recovery_nb.cli.console import Console
from recovery_nb.cli.options import Globals
from recovery_nb.errors import BadInputError

if TYPE_CHECKING:
    from recovery_nb.audit import AuditLog

__all__ = ["audit_show", "audit_verify", "verify"]


def verify(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A backup, a restore's id, a run, a case.")],
    live: Annotated[bool, typer.Option("--live", help="Compare a backup with the database as it is now, too.")] = False,
) -> int:
    """Check a backup, a restore, a run or a whole case."""
    console: Console = context.obj.console
    with console.progress() as emit, context.obj.open(emit) as case:
        found = case.verify(target, live=live)
    console.document(found.as_dict())
    for problem in found.problems[:50]:
        console.say(f"{problem.where}: {problem.what}")
    if len(found.problems) > 50:
        console.say(f"and {len(found.problems) - 50:,} more; --json lists them all")
    for note in found.notes:
        console.say(f"note: {note}")
    count = len(found.problems)
    verdict = "whole" if found.ok else f"{count:,} problem{'s' if count != 1 else ''}"
    console.say(f"{verdict}; {found.checked:,} checked")
    return 0 if found.ok else 1


def audit_verify(context: typer.Context) -> int:
    """Check the chain of the audit log, and that it tells of all that the case holds."""
    from recovery_nb.checks import audit_gaps  # noqa: PLC0415 - `--help` must answer at once

    console: Console = context.obj.console
    log = _log(context.obj)
    found, gaps = log.verify(), audit_gaps(context.obj.case, log)
    problems = [asdict(one) for one in found.problems] + [asdict(one) for one in gaps.problems]
    console.document(
        {"ok": not problems, "entries": found.entries, "verified_up_to": found.verified_up_to,
         "problems": problems, "notes": [*found.notes, *gaps.notes]}
    )  # fmt: skip
    for problem in problems:
        console.say(f"{problem['where']}: {problem['what']}")
    console.say(
        f"{'broken' if problems else 'whole'}; {found.entries:,} entries, verified up to {found.verified_up_to:,}"
    )
    return 1 if problems else 0


def audit_show(context: typer.Context) -> int:
    """Show the audit log."""
    console: Console = context.obj.console
    log = _log(context.obj)
    found = log.verify()
    console.document(
        {"ok": found.ok, "entries": [asdict(entry) for entry in log.entries()] if console.as_json else [],
         "verified_up_to": found.verified_up_to, "problems": [asdict(one) for one in found.problems]}
    )  # fmt: skip
    if not console.as_json:
        for entry in log.entries():
            facts = ", ".join(f"{name} {value}" for name, value in entry.details.items())
            console.say(f"{entry.seq:>5}  {entry.time}  {entry.actor}  {entry.action}  {facts[:200]}")
    return 0 if found.ok else 1


def _log(options: Globals) -> AuditLog:
    from recovery_nb.audit import AuditLog  # noqa: PLC0415 - `--help` must answer at once

    path = options.case.absolute() / "audit.jsonl"
    if not path.is_file():
        raise BadInputError(f"{options.case} holds no audit log", hint="name the case's folder with --case")
    return AuditLog(path)
