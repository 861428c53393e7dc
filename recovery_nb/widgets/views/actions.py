"""What a plan would do, what a restore or a rollback did, and whether it holds."""

from __future__ import annotations

from itertools import islice

from recovery_nb.case import Case
from recovery_nb.compare.resolve import shown
from recovery_nb.reports.html import Markup, facts, join, table
from recovery_nb.restore.apply import RestoreResult
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.rollback import RollbackResult
from recovery_nb.verification import Verification
from recovery_nb.widgets.markup import answer, pieces

__all__ = ["applied", "planned", "preview", "restored", "rolled_back", "verified"]

_FEW = 20
_FIRST = 6


def planned(plan: Plan) -> Markup:
    """Show what a plan would write, and what it would not."""
    rows = [
        [shown(name), str(action), n]
        for name, counts in plan.collections.items()
        for action, n in sorted(counts.items())
    ]
    held = [
        [shown(write.collection), write.key_text, str(write.action), write.reason]
        for write in islice((write for write in plan.writes() if not write.writes), _FIRST)
    ]
    rest = len(plan) - plan.to_write
    left = f"; {pieces(rest, 'record')} would be left as they are" if rest else ""
    return join(
        answer(f"{pieces(plan.to_write, 'record')} would be written{left}."),
        table(["collection", "action", "records"], rows, caption="By collection") if rows else "",
        table(["collection", "key", "action", "because"], held, total=rest, caption="Left as they are") if held else "",
        facts({"plan": plan.digest, "on conflict": plan.on_conflict.value}),
    )


def preview(result: RestoreResult) -> Markup:
    """Show what a dry run found."""
    done = "Checked, nothing written: "
    if result.failed:
        text, tone = f"{done}{pieces(result.failed, 'record')} of {result.planned:,} could not be written.", "partial"
    else:
        text, tone = f"{done}all of {pieces(result.planned, 'record')} can be written.", "success"
    foreseen = [
        [outcome, reason, count] for outcome, reasons in result.outcomes.items() for reason, count in reasons.items()
    ]
    return join(
        answer(text, tone=tone),
        table(["would be", "because", "records"], foreseen, total=len(foreseen)) if foreseen else "",
        _problems(result),
        *(answer(note) for note in result.notes),
    )


def restored(case: Case, result: RestoreResult | None) -> Markup:
    """Show what a restore did; None is one that was not asked for."""
    if result is None:
        return answer("Nothing was written: restore = False.")
    if result.dry_run:
        return preview(result)
    tone = "success" if result.success else "partial" if result.restored else "failed"
    counts = f"{result.skipped:,} left as they are, {result.failed:,} failed"
    return join(
        answer(f"{pieces(result.restored, 'record')} restored, {counts}.", tone=tone),
        _problems(result),
        facts({"restore": result.restore_id, "plan": result.plan_digest,
               "to undo it": case.command("rollback", result.restore_id)}),
    )  # fmt: skip


def applied(case: Case, result: RestoreResult, checked: Verification | None) -> Markup:
    """Show what was written and whether it is there; a dry run says that nothing was."""
    if result.dry_run:
        return answer("Nothing was written: apply = False.")
    return join(restored(case, result), verified(checked))


def _problems(result: RestoreResult) -> Markup:
    rows = [[shown(one.collection), one.key, one.reason] for one in [*result.errors, *result.conflicts]]
    if not rows:
        return Markup()
    total = result.errors_total + result.conflicts_total
    return table(["collection", "key", "because"], rows, total=total, caption="Not written", limit=_FEW)


def rolled_back(result: RollbackResult) -> Markup:
    """Show what a rollback did."""
    counts = f"{result.skipped:,} left alone because others have written them since, {result.failed:,} failed"
    rows = [[shown(one.collection), one.key, one.reason] for one in result.errors]
    tone = "failed" if result.failed else "partial" if result.skipped else "success"
    again = "It had been rolled back before. " if result.already else ""
    return join(
        answer(f"{again}{pieces(result.reverted, 'record')} put back as before the restore, {counts}.", tone=tone),
        table(["collection", "key", "because"], rows, total=result.errors_total, limit=_FEW) if rows else "",
        *(answer(note) for note in result.notes),
        facts({"restore": result.restore_id}),
    )


def verified(found: Verification | None) -> Markup:
    """Show what a verification found; None where there was nothing to verify."""
    if found is None:
        return answer("Nothing was restored, so there is nothing to verify.")
    outcome = "all as it should be" if found.ok else pieces(len(found.problems), "problem")
    problems = [[one.where, one.what] for one in found.problems]
    return join(
        answer(f"{found.checked:,} checked: {outcome}.", tone="success" if found.ok else "failed"),
        table(["where", "what is wrong"], problems) if problems else "",
        facts({"verified": found.target, **{f"note {n}": note for n, note in enumerate(found.notes, 1)}}),
    )
