"""What a browser is told of a preview, a restore, a rollback: the answer, then what went wrong, then the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from recovery_nb.case import Case
from recovery_nb.compare.resolve import shown
from recovery_nb.restore import Plan, Problem, RestoreInfo, RestoreResult, RollbackResult, State
from recovery_nb.restore.rows import WRITING
from recovery_nb.widgets.desk.deciding import Previewed
from recovery_nb.widgets.desk.jobs import Outcome
from recovery_nb.widgets.desk.wire import Json, clipped, fitting
from recovery_nb.widgets.markup import pieces

__all__ = ["interrupted", "preview", "restores", "rolled_back", "written"]

_LISTED = 20
_BAD = ("failed", "skipped")
_WRITTEN = ("inserted", "replaced", "merged", "overlaid")
_RESTORES = 8
_STALE = "The table shows the comparison as it was made: compare again to see what is left."


def preview(one: Previewed) -> Json:
    """Return what would come of a plan."""
    plan, found = one.plan, one.found
    left = len(plan) - plan.to_write
    would = sum(sum(found.outcomes.get(name, {}).values()) for name in _WRITTEN)
    of = "" if would == plan.to_write else f"{would:,} of "
    text = f"{of}{pieces(plan.to_write, 'record')} would be written"
    text += f"; {found.failed:,} would be refused" if found.failed else ""
    text += f"; {left:,} would be left as they are" if left else ""
    if not len(plan):
        text = "Nothing would be written: the database holds these records already"
    return {
        "text": f"{text}.", "tone": "success" if would and not found.failed else "partial",
        "digest": plan.digest, "to_write": plan.to_write, "database": clipped(plan.database),
        "options": one.options.as_dict(), "outcomes": _outcomes(found), **_problems(found),
        "notes": _notes(found.notes), "collections": _collections(plan),
        "keys": clipped(str(one.keys), 400),
    }  # fmt: skip


def written(case: Case, one: Outcome, *, verb: str) -> Json:
    """Return what came of a restore and of its verification."""
    result, checked = one.result, one.checked
    if checked is None:
        told = f"not verified: {one.unchecked}"
    else:
        told = "verified" if checked.ok else f"the verification found {pieces(len(checked.problems), 'problem')}"
    left = f", {result.skipped:,} left as they are" if result.skipped else ""
    failed = f", {result.failed:,} failed" if result.failed else ""
    wrong = [
        {"where": clipped(it.where), "what": clipped(it.what, 300)} for it in (checked.problems if checked else ())
    ]
    return {
        "text": f"{pieces(result.restored, 'record')} {verb}{left}{failed}, {clipped(told, 400)}.",
        "tone": "failed" if not one.ok else "partial" if result.skipped else "success", "id": result.restore_id,
        "outcomes": _outcomes(result), **_problems(result), "wrong": fitting(wrong, most=_LISTED),
        "wrong_total": len(wrong),
        "notes": [*_notes((*result.notes, *(checked.notes if checked else ()))), _STALE],
        "command": clipped(case.command("rollback", result.restore_id), 600),
    }  # fmt: skip


def interrupted(info: RestoreInfo) -> Json:
    """Return how far a restore came that has ended before its end."""
    done = info.counts.get("restored", 0)
    return {
        "text": f"The restore {info.id} was interrupted: {pieces(done, 'record')} written. Resume it, or roll it back.",
        "tone": "partial", "id": info.id, "outcomes": [], "problems": _listed((), 0), "left": _listed((), 0),
        "wrong": [], "wrong_total": 0, "notes": [], "command": "",
    }  # fmt: skip


def rolled_back(one: RollbackResult) -> Json:
    """Return what came of a rollback."""
    left = f", {one.skipped:,} left alone because others have written them since" if one.skipped else ""
    failed = f", {one.failed:,} failed" if one.failed else ""
    again = "It had been rolled back before: " if one.already else ""
    return {
        "text": f"{again}{pieces(one.reverted, 'record')} rolled back{left}{failed}.",
        "tone": "failed" if one.failed else "partial" if one.skipped else "success", "id": one.restore_id,
        "outcomes": [], "problems": _listed(one.errors, one.errors_total), "left": _listed((), 0), "wrong": [],
        "wrong_total": 0,
        "notes": _notes(one.notes), "command": "",
    }  # fmt: skip


def restores(infos: Sequence[RestoreInfo]) -> list[Json]:
    """Return the restores from this comparison, the newest first, and what can be done with each."""
    return [
        {
            "id": info.id, "began": info.started.replace("T", " ").replace("+00:00", ""), "state": info.state.value,
            "restored": info.counts.get("restored", 0), "failed": info.counts.get("failed", 0),
            "resume": info.state in (State.APPLYING, State.INTERRUPTED),
            "rollback": info.state is not State.ROLLED_BACK,
        }
        for info in infos[:_RESTORES]
    ]  # fmt: skip


def _outcomes(result: RestoreResult) -> list[list[object]]:
    """Return how many there are of each outcome and reason; what is not written comes first."""
    found = [
        [outcome, clipped(reason, 300), count]
        for outcome, reasons in result.outcomes.items()
        for reason, count in reasons.items()
    ]
    order = {name: place for place, name in enumerate(_BAD)}
    return fitting(sorted(found, key=lambda one: order.get(str(one[0]), len(_BAD))), most=100)


def _problems(result: RestoreResult) -> Json:
    """Return what is refused, and what is left as it is."""
    return {
        "problems": _listed(result.errors, result.errors_total),
        "left": _listed(result.conflicts, result.conflicts_total),
    }


def _listed(problems: Iterable[Problem], total: int) -> Json:
    """Return the first problems. Their records are not among it: what is masked there is to be asked for."""
    rows = [
        {"collection": clipped(shown(one.collection)), "key": clipped(one.key, 160), "reason": clipped(one.reason, 300)}
        for one in islice(problems, _LISTED)
    ]
    return {"rows": fitting(rows, most=_LISTED), "total": total}


def _notes(notes: Iterable[str]) -> list[str]:
    return fitting((clipped(note, 500) for note in notes), most=_LISTED)


def _collections(plan: Plan) -> list[list[object]]:
    found = [
        [clipped(shown(name)), str(action), count]
        for name, counts in plan.collections.items()
        for action, count in counts.items()
        if action in WRITING
    ]
    return fitting(found, most=_LISTED)
