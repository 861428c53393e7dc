"""Restoring, and undoing it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recovery_nb.cli.console import Console
from recovery_nb.cli.given import given, listed
from recovery_nb.cli.harm import harm_of, print_harm
from recovery_nb.cli.options import AsOf, Collection, Globals, Key, Target, next_command
from recovery_nb.cli.structures import made_by, print_kinds
from recovery_nb.errors import BadInputError
from recovery_nb.kinds import kinds

if TYPE_CHECKING:
    from recovery_nb.case import Case
    from recovery_nb.restore import Plan, RestoreResult, Transaction
    from recovery_nb.verification import Verification

__all__ = ["restore", "rollback"]


_WRITTEN = ("inserted", "replaced", "merged", "overlaid")
_SHOWN = 20
"""How many problems are shown of each kind; the JSON has more."""


class _OnConflict(StrEnum):
    SKIP = "skip"
    REPLACE = "replace"
    MERGE = "merge"
    FAIL = "fail"


def restore(
    context: typer.Context,
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="[SOURCE…]", help="Backups, exports, dumps, logs, folders, oplog:.")
    ] = None,
    collection: Collection = "",
    target_collection: Target = "",
    only: Annotated[
        str, typer.Option(help="Which differences, with commas.", metavar="missing,changed")
    ] = "missing,changed",
    key: Key = "",
    keys: Annotated[Path | None, typer.Option(help="Only the records that this file names.", metavar="FILE")] = None,
    on_conflict: Annotated[
        _OnConflict, typer.Option(help="Where the database holds another version.")
    ] = _OnConflict.SKIP,
    query: Annotated[
        str, typer.Option(help="Only records that match: a query over their fields, as JSON.", metavar="JSON_OR_@FILE")
    ] = "",
    target_db: Annotated[str, typer.Option(help="Into another database of that server.", metavar="NAME")] = "",
    mark: Annotated[str, typer.Option(help="A field that says when a record was restored.", metavar="FIELD")] = "",
    transaction: Annotated[bool, typer.Option("--transaction", help="Each batch wholly or not at all.")] = False,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Everything in one transaction, or nothing.")
    ] = False,
    as_of: AsOf = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and check, write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    resume: Annotated[str, typer.Option(help="Finish this restore, which was interrupted.", metavar="ID")] = "",
) -> int:
    """Plan a restore and apply it: missing records come back, nothing else is touched unless asked for."""
    from recovery_nb.sources.address import beside  # noqa: PLC0415 - `--help` must answer at once

    console: Console = context.obj.console
    if resume:
        return _resume(context, resume, confirmed=yes)
    if not sources:
        raise BadInputError("no source was named", hint="name a backup, or an interrupted restore with --resume ID")
    wanted, fields = listed(only, "--only"), listed(key, "--key")
    if not (yes or dry_run or sys.stdin.isatty()):
        raise BadInputError("a restore writes to the database", hint="confirm with --yes, or preview with --dry-run")
    scope: Transaction = "plan" if all_or_nothing else "batch" if transaction else ""
    with console.progress() as emit, context.obj.open(emit) as case:
        case.restore_into(target_db)
        found = case.compare(*sources, collection=collection, target=target_collection, key=fields, as_of=as_of)
        unread, harm = list(case.scanned.errors), harm_of(found, collection)
        plan = case.plan(
            found, only=wanted, keys=keys, query=query, on_conflict=on_conflict.value, mark=mark,
            transaction=scope,
        )  # fmt: skip
        unmatched = [choice.key for choice in case.unmatched]
        preview = case.restore(plan, found, dry_run=True)
        if not (dry_run or yes):
            _print_plan(console, plan)
            _print_outcomes(console, preview)
            typer.confirm(f"Write {plan.to_write:,} records to {plan.database}?", abort=True, err=True)
        elsewhere = beside(case.uri, target_db) if target_db else ""
        with _told_what_is_left(console, context.obj, case, database=elsewhere):
            result = preview if dry_run else case.restore(plan, found)
        checked = case.verify(result.restore_id) if result.restore_id else None
        made = made_by(plan, case, dry_run=dry_run)
    for line in [*found.summary.notes, *(f"cannot be read: {line}" for line in unread)]:
        console.say(line)
    print_harm(console, harm)
    console.document(
        {**_restored(result), "made": made, "plan": str(plan.path), "unmatched": unmatched,
         "notes": [*found.summary.notes, *result.notes], "unread": unread, "damage": harm,
         "verification": checked.as_dict() if checked else None}
    )  # fmt: skip
    if dry_run:
        _print_plan(console, plan)
        _print_outcomes(console, result)
    verb = "would be restored" if dry_run else "restored"
    count = sum(sum(result.outcomes.get(name, {}).values()) for name in _WRITTEN) if dry_run else result.restored
    console.say(f"{count:,} {verb}, {result.skipped:,} skipped, {result.failed:,} failed")
    _print_problems(console, [*result.errors, *result.conflicts])
    for one in unmatched[:_SHOWN]:
        console.say(f"  {one}: not among the differences; it is as in the sources already, or no source holds it")
    if dry_run:
        console.say("nothing was written; to write it, give --yes in place of --dry-run")
    else:
        for note in result.notes:
            console.say(f"  {note}")
        print_kinds(console, made, "  made")
        _print_checked(console, checked)
        if result.restored or made:
            next_command(context.obj, "to undo it", "rollback", result.restore_id, database=elsewhere)
    if result.failed or not result.success or (checked and not checked.ok):
        return 3
    less = harm and not keys  # who names records has said what is wanted
    return 1 if unmatched or unread or less or found.summary.apart else 0


def _resume(context: typer.Context, restore_id: str, *, confirmed: bool) -> int:
    """Finish a restore that was interrupted, and verify all of it."""
    from recovery_nb.restore import Plan  # noqa: PLC0415 - `--help` must answer at once

    console: Console = context.obj.console
    if besides := [shown for name, shown in given(context).items() if name not in ("resume", "yes")]:
        raise BadInputError(
            f"{', '.join(besides)} cannot be given with --resume, which continues the plan of {restore_id} as it is",
            hint=f"run restore --resume {restore_id} alone; verify {restore_id} says what is left",
        )
    if not confirmed:
        if not sys.stdin.isatty():
            raise BadInputError("a restore writes to the database", hint="confirm with --yes")
        typer.confirm(f"Write what is left of {restore_id}?", abort=True, err=True)
    with console.progress() as emit, context.obj.open(emit) as case:
        with _told_what_is_left(console, context.obj, case, restore_id):
            result = case.resume(restore_id)
        checked = case.verify(result.restore_id)
        plan = Plan.load(case.folder / "plans" / result.plan_digest[:16])
        made = made_by(plan, case, dry_run=False)
    console.document({**_restored(result), "made": made, "verification": checked.as_dict()})
    console.say(f"{result.restored:,} restored, {result.skipped:,} skipped, {result.failed:,} failed in all of it")
    _print_problems(console, [*result.errors, *result.conflicts])
    for note in result.notes:
        console.say(f"  {note}")
    print_kinds(console, made, "  made")
    _print_checked(console, checked)
    next_command(context.obj, "to undo it", "rollback", restore_id)
    return 0 if result.success and not result.failed and checked.ok else 3


def rollback(
    context: typer.Context,
    restore_id: Annotated[str, typer.Argument(metavar="RESTORE_ID")],
    keys: Annotated[Path | None, typer.Option(help="Only the records that this file names.", metavar="FILE")] = None,
    force: Annotated[bool, typer.Option("--force", help="Undo what others have written since, too.")] = False,
) -> int:
    """Undo a restore; what others have written since is left alone and said."""
    console: Console = context.obj.console
    with console.progress() as emit, context.obj.open(emit) as case:
        result = case.rollback(restore_id, keys=keys, force=force)
        unmatched = [choice.key for choice in case.unmatched]
    console.document({**asdict(result), "unmatched": unmatched})
    console.say(f"{result.reverted:,} reverted, {result.skipped:,} left alone, {result.failed:,} failed")
    if result.dropped:
        console.say(f"  removed, since this restore had made them and they are empty: {', '.join(result.dropped)}")
    for note in result.notes:
        console.say(f"  {note}")
    _print_problems(console, result.errors)
    for one in unmatched[:_SHOWN]:
        console.say(f"  {one}: this restore wrote no such record")
    if result.already:
        console.say("it was rolled back before; nothing is left to undo")
    named = ["--keys", str(keys)] if keys else []
    if result.failed:
        next_command(context.obj, "to try again", "rollback", restore_id, *named)
    for later in result.later:
        next_command(context.obj, "undo first", "rollback", later)
    if result.later:
        next_command(context.obj, "and then again", "rollback", restore_id, *named)
    elif any(problem.key for problem in result.errors) and result.skipped:
        what = "to undo what others have written since, too"
        next_command(context.obj, what, "rollback", restore_id, *named, "--force")
    if keys:
        next_command(context.obj, "to undo the rest", "rollback", restore_id)
    return 3 if result.failed else 1 if result.skipped or unmatched else 0


def _restored(result: Any) -> dict[str, Any]:
    document = asdict(result)
    for name in ("errors", "conflicts"):
        document[name] = [asdict(one) if not isinstance(one, dict) else one for one in document[name]]
    return document


@contextmanager
def _told_what_is_left(
    console: Console, options: Globals, case: Case, resumed: str = "", *, database: str = ""
) -> Iterator[None]:
    """Say, where a restore is interrupted, by which commands it is finished or undone."""
    known = {*case.restores()} - {resumed}
    try:
        yield
    except KeyboardInterrupt:  # an error says it itself
        for begun in (one for one in case.restores() if one not in known):
            resuming = ("restore", "--yes", "--resume", begun)
            next_command(options, "to finish it", *resuming, database=database, say=console.remark)
            next_command(options, "to undo it", "rollback", begun, database=database, say=console.remark)
        raise


def _print_problems(console: Console, problems: list[Any]) -> None:
    from recovery_nb.compare.resolve import shown  # noqa: PLC0415 - `--help` must answer at once

    for one in problems[:_SHOWN]:
        console.say(f"  {'/'.join(filter(None, (shown(one.collection), one.key)))}: {one.reason}")
    if len(problems) > _SHOWN:
        console.say(f"  and {len(problems) - _SHOWN:,} more; --json lists them")


def _print_checked(console: Console, checked: Verification | None) -> None:
    if checked:
        console.say(f"verified: {checked.checked:,} records, {len(checked.problems):,} problems")
        for one in checked.problems[:_SHOWN]:
            console.say(f"  {one.where}: {one.what}")


def _print_outcomes(console: Console, result: RestoreResult) -> None:
    """Say what would come of the records, by reason, and what nobody can foresee."""
    for outcome in (*_WRITTEN, "skipped", "failed"):
        for reason, count in result.outcomes.get(outcome, {}).items():
            verb = "would fail" if outcome == "failed" else f"would be {outcome}"
            console.say(f"  {count:,} {verb}{f': {reason}' if reason else ''}")
    for note in result.notes:
        console.say(f"  {note}")


def _print_plan(console: Console, plan: Plan) -> None:
    from recovery_nb.compare.resolve import shown  # noqa: PLC0415 - `--help` must answer at once

    rows = [
        [shown(name), str(action), count]
        for name, counts in plan.collections.items()
        for action, count in counts.items()
    ]
    console.table(["collection", "action", "records"], rows, title=f"plan {plan.digest[:16]}")
    print_kinds(console, kinds(plan.structures), "  would be made")
    for write in islice((one for one in plan.writes() if one.reason), 10):
        console.say(f"  {shown(write.collection)}/{write.key_text}: {write.action}, {write.reason}")
