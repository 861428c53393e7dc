"""The dry run: what would come of every record of a plan. Nothing is written."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, Event
from recovery_nb.restore.exchange import MOST_BYTES, MOST_CHANGES, Change, Outcome, Verdict
from recovery_nb.restore.forecast import Forecast
from recovery_nb.restore.pipeline import done
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.prepare import Payload, Prepared, is_empty, prepare, written
from recovery_nb.restore.result import Count, RestoreResult
from recovery_nb.restore.rows import WRITING
from recovery_nb.restore.target import Target

__all__ = ["Limits", "foresee"]


def foresee(plan: Plan, target: Target, payload: Payload, *, most: int, most_bytes: int, emit: Emit) -> RestoreResult:
    """Return what would come of a plan: every batch is prepared as in a restore, and then only foreseen.

    Args:
        plan: The plan.
        target: The database.
        payload: Reads planned records again from their sources.
        most: The most records of a batch.
        most_bytes: How many bytes of records end one.
        emit: Is told how far it is.

    Raises:
        BadInputError: The plan is to be written in one transaction, and is more than that takes.
        PyMongoError: The server does not answer.
    """
    count, checked = Count(), 0
    fresh: dict[str, bool] = {}
    whole = plan.transaction == "plan"
    at_once: list[tuple[Prepared, list[Verdict]]] = []
    limits = Limits(plan) if whole else None
    with (
        tempfile.TemporaryDirectory(prefix="recovery-nb-") as folder,
        Forecast(target, plan.structures, folder=Path(folder), transaction=plan.transaction) as forecast,
    ):
        for rows in plan.batches(most, most_bytes):
            if written(rows) not in fresh:
                fresh[written(rows)] = is_empty(target, written(rows))
            batch = prepare(target, plan, rows, payload, fresh=fresh[written(rows)])
            changes = batch.changes()
            if limits:
                limits.add(changes)
            verdicts = forecast.send(batch.collection, changes, batch.currents) if changes else []
            if limits:
                at_once.append((batch, verdicts))
            else:
                count.take(rows, done(target, batch, verdicts).remarks)
            checked += sum(action in WRITING for action in rows.actions)
            emit(Event("restore", rows.collections[-1], checked, plan.to_write))
        back = Verdict(Outcome.SKIPPED, f"the whole plan was taken back: {forecast.refused}")
        for batch, verdicts in at_once:
            final = [back if forecast.refused and one.outcome is not Outcome.FAILED else one for one in verdicts]
            count.take(batch.rows, done(target, batch, final).remarks)
        return count.result(plan, notes=forecast.notes)


class Limits:
    """What one transaction takes.

    Raises:
        BadInputError: The plan writes more records.
    """

    def __init__(self, plan: Plan) -> None:
        self._size = 0
        if plan.to_write > MOST_CHANGES:
            raise self._exceeded()

    def add(self, changes: Sequence[Change]) -> None:
        """Count in what is written with the rest.

        Raises:
            BadInputError: It is more than a transaction takes.
        """
        self._size += sum(len(change.wanted or b"") for change in changes)
        if self._size > MOST_BYTES:
            raise self._exceeded()

    def _exceeded(self) -> BadInputError:
        return BadInputError(
            f"the plan is more than one transaction takes ({MOST_CHANGES:,} records, {MOST_BYTES // 2**20} MiB); "
            "nothing was written",
            hint="restore in batches (--transaction)",
        )
