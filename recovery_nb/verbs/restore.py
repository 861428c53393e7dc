"""Planning a restore, applying its plan, undoing it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

from recovery_nb.audit.values import printable
from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.restore import (
    OnConflict,
    Plan,
    RestoreResult,
    RollbackResult,
    Transaction,
    apply,
    make_plan,
    open_restore,
    resume,
    rollback,
)
from recovery_nb.selection import (
    RESTORABLE,
    Choice,
    Keys,
    planned_bytes,
    read_query,
    select,
    structure_notes,
    structures,
)
from recovery_nb.selection.picking import collections_of
from recovery_nb.verbs.asked import keys_of, one_of, some_comparison, some_plan, text, texts
from recovery_nb.verbs.context import Context

__all__ = ["apply_plan", "finish_restore", "lost_structures", "plan_restore", "undo_restore"]


def plan_restore(
    context: Context,
    comparison: Comparison | None = None,
    *,
    only: Sequence[Status | str] = (Status.MISSING, Status.CHANGED),
    keys: Path | str | Keys | Iterable[Choice | str] | None = None,
    query: str = "",
    on_conflict: OnConflict | str = OnConflict.SKIP,
    mark: str = "",
    transaction: Transaction = "",
) -> tuple[Plan, list[Choice]]:
    """Decide what a restore would write, as `Case.plan` describes it.

    Returns:
        The plan, and the choices of `keys` that no difference answers to.
    """
    wanted, conflict = {*texts(only, "only")}, OnConflict(one_of(on_conflict, [*OnConflict], "on_conflict"))
    one_of(transaction, get_args(Transaction), "transaction")
    details = {"query": text(query, "the query"), "mark": text(mark, "the mark"), "transaction": transaction}
    said = {name: value for name, value in details.items() if value}
    given = some_comparison(comparison)
    with context.audited("plan", only=sorted(wanted), on_conflict=str(conflict), **said) as outcome:
        comparison = given or context.latest()
        statuses = [status for status in RESTORABLE if status.value in wanted]
        if unknown := wanted - {status.value for status in RESTORABLE}:
            raise BadInputError(
                f"{', '.join(sorted(unknown))} cannot be restored", hint="choose of missing, changed, equivalent"
            )
        chosen = keys_of(keys)
        asked = read_query(query) if query else None
        pick = partial(select, comparison, context.database, statuses=statuses, keys=chosen, query=asked)
        chosen_of = collections_of(comparison, chosen) if chosen and not asked else None
        if chosen_of is None and (chosen or asked):
            chosen_of = {one.collection for one in pick()}
        plan = make_plan(
            pick(), context.folder / "plans", database=context.database.label, on_conflict=conflict,
            sources={entry.id: printable(entry.path) for entry in comparison.sources.values()},
            structures=_whole(comparison, structures(comparison, context.database, only=chosen_of)), mark=mark,
            marked_at=time.time_ns() // 1_000_000 if mark else 0, transaction=transaction,
        )  # fmt: skip
        unmatched = chosen.unmatched if chosen else []
        if chosen and not chosen.matched:
            raise BadInputError(
                f"none of the {len(unmatched):,} keys is among the differences: these records are as in "
                "the sources already, or no source holds them",
                hint="name keys as compare --out lists them",
            )
        outcome.update(
            comparison=comparison.summary.id, digest=plan.digest, writes=plan.to_write, unmatched=len(unmatched)
        )
    return plan, unmatched


def lost_structures(context: Context, comparison: Comparison | None = None) -> dict[str, str]:
    """Return what the database lacks of collections, time-series and views, as `Case.structures` describes it."""
    comparison = some_comparison(comparison) or context.latest()
    return _whole(comparison, structures(comparison, context.database))


def apply_plan(
    context: Context,
    plan: Plan,
    comparison: Comparison | None = None,
    *,
    dry_run: bool = False,
) -> RestoreResult:
    """Apply a plan under a journal, or preview it, as `Case.restore` describes it."""
    comparison = some_comparison(comparison) or context.latest()
    _same_database(context, some_plan(plan))
    with context.audited("restore preview" if dry_run else "restore", plan=plan.digest) as outcome:
        unknown = structure_notes(plan, context.database)
        result = apply(
            plan, context.address(), payload=partial(planned_bytes, comparison),
            folder=context.folder / "restores", dry_run=dry_run, comparison=comparison.summary.id, emit=context.emit,
        )  # fmt: skip
        result = replace(result, notes=(*result.notes, *unknown))
        outcome.update(
            restore_id=result.restore_id, restored=result.restored, skipped=result.skipped, failed=result.failed
        )
    return result


def finish_restore(context: Context, restore_id: str) -> RestoreResult:
    """Finish a restore that was interrupted, as `Case.resume` describes it."""
    with context.audited("resume", restore_id=restore_id) as outcome:
        folder = _folder_of(context, restore_id)
        info = open_restore(folder)
        plan = Plan.load(context.folder / "plans" / info.plan_digest[:16])
        _same_database(context, plan)
        comparison = Comparison.load(context.folder / "comparisons" / info.comparison, context.catalog)
        result = resume(
            folder, context.address(), plan=plan, payload=partial(planned_bytes, comparison), emit=context.emit
        )
        outcome.update(restored=result.restored, skipped=result.skipped, failed=result.failed)
    return result


def undo_restore(
    context: Context,
    restore_id: str,
    *,
    keys: Path | str | Keys | Iterable[Choice | str] | None = None,
    force: bool = False,
) -> tuple[RollbackResult, list[Choice]]:
    """Undo a restore from its journal, as `Case.rollback` describes it.

    Returns:
        What came of it, and the choices of `keys` that it wrote nothing of.
    """
    chosen = keys_of(keys)

    def is_chosen(collection: str, key: str) -> bool:
        found = chosen.find(collection, key) if chosen else []
        if chosen:
            chosen.matched.update(found)
        return bool(found)

    details = {"keys": chosen.count} if chosen else {}
    with context.audited("rollback", restore_id=restore_id, force=force, **details) as outcome:
        result = rollback(
            _folder_of(context, restore_id), context.address(), keys=is_chosen if chosen else None,
            emit=context.emit, force=force,
        )  # fmt: skip
        outcome.update(reverted=result.reverted, skipped=result.skipped, failed=result.failed)
    return result, chosen.unmatched if chosen else []


def _whole(comparison: Comparison, structures: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would be made empty because nothing of it could be read."""
    lost = {
        name
        for entry in comparison.sources.values()
        if entry.damage or entry.checksum_ok is False
        for given, options in entry.options.items()
        for name in [comparison.summary.placed.get(entry.id, {}).get(given, given)]
        if not entry.collections.get(given) and not dict(options).get("options", {}).get("viewOn")
    }
    held = {name for entry in comparison.sources.values() for name, count in entry.collections.items() if count}
    return {name: text for name, text in structures.items() if name not in lost or name in held}


def _same_database(context: Context, plan: Plan) -> None:
    if plan.database != context.database.label:
        raise BadInputError(
            f"the plan {plan.digest[:16]} was made for {plan.database}, not for {context.database.label}",
            hint="name that database with --db, or compare and plan again with this one",
        )


def _folder_of(context: Context, restore_id: str) -> Path:
    if not isinstance(restore_id, str) or restore_id in ("", "..") or Path(restore_id).name != restore_id:
        raise BadInputError(f"{restore_id!r:.60} is no restore's id", hint="name one as the restore printed it")
    return context.folder / "restores" / restore_id
