"""What the desk does with a case: the verbs that the command line calls, in a thread, and what came of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recovery_nb.browse.browser import Browser
from recovery_nb.case import Case
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import ConflictError, RecoveryError
from recovery_nb.events import Emit, silent
from recovery_nb.restore import Plan, RestoreInfo, RestoreResult, State, list_restores
from recovery_nb.verification import Verification
from recovery_nb.widgets.desk.deciding import Options, Previewed

__all__ = [
    "EMBEDDED",
    "Outcome",
    "another",
    "begun",
    "finish",
    "lent",
    "preview",
    "restores_of",
    "selection_file",
    "write",
]

EMBEDDED = "embedded:"
"""How the address of a database begins that the case's own server holds."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a restore.

    Attributes:
        result: Its result.
        checked: Its verification; None where that could not be made.
        unchecked: Why it could not, "" where it was.
    """

    result: RestoreResult
    checked: Verification | None = None
    unchecked: str = ""

    @property
    def ok(self) -> bool:
        """Whether all was written and is as it should be."""
        return self.result.success and self.checked is not None and self.checked.ok


def another(case: Case, emit: Emit = silent) -> Case:
    """Return another opening of a case: nothing is connected to before it is needed."""
    return Case(case.folder, case.uri, case.settings, emit, into=case.into)


@contextmanager
def lent(case: Case, emit: Emit) -> Iterator[Case]:
    """Give a case of one's own over the same folder and database: a cell may use the other one at the same time.

    A server of the case's own can be started once: there it is the case itself, closed afterwards if it was closed
    before, since another notebook may need the server.
    """
    if case.uri.startswith(EMBEDDED):
        before, was_open = case.emit, "database" in case.__dict__
        case.emit = emit
        try:
            yield case
        finally:
            case.emit = before
            if not was_open:
                case.close()
        return
    with another(case, emit) as own:
        yield own


def selection_file(case: Case, comparison: Comparison) -> Path:
    """Return a new name for a keys file of what is selected, in the case's `selections`."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    return case.folder / "selections" / f"{comparison.summary.id}-{name}.jsonl"


def preview(case: Case, comparison: Comparison, browser: Browser, options: Options, *, revision: int) -> Previewed:
    """Plan a restore of what is picked, and foresee what would come of it. Nothing is written to the database.

    Raises:
        ConflictError: What is picked has changed meanwhile.
        RecoveryError: What a plan or a dry run raises.
    """
    keys = browser.keys_file(selection_file(case, comparison))
    if browser.revision != revision:
        raise ConflictError("the selection has changed meanwhile", hint="preview again")
    plan = case.plan(
        comparison, keys=keys, on_conflict=options.on_conflict, mark=options.mark,
        transaction="batch" if options.transaction else "",
    )  # fmt: skip
    found = case.restore(plan, comparison, dry_run=True)
    return Previewed(revision, options, plan, found, keys)


def write(case: Case, comparison: Comparison, plan: Plan) -> Outcome:
    """Apply a plan that was previewed, and verify what came of it.

    Raises:
        ConflictError: The plan on disk is another one.
        RecoveryError: What a restore raises.
    """
    if Plan.load(plan.path).digest != plan.digest:
        raise ConflictError("the plan is not the one that was previewed", hint="preview again")
    return _verified(case, case.restore(plan, comparison))


def finish(case: Case, restore_id: str) -> Outcome:
    """Go on with a restore that was interrupted, and verify all of it.

    Raises:
        RecoveryError: What a resumption raises.
    """
    return _verified(case, case.resume(restore_id))


def _verified(case: Case, result: RestoreResult) -> Outcome:
    try:
        return Outcome(result, case.verify(result.restore_id))
    except RecoveryError as error:  # what was restored is told all the same
        return Outcome(result, unchecked=str(error))


def restores_of(case: Case, comparison: Comparison) -> list[RestoreInfo]:
    """Return the case's restores from a comparison, the newest first."""
    every = reversed(list_restores(case.folder / "restores"))
    return [info for info in every if info.comparison == comparison.summary.id]


def begun(case: Case, name: str) -> RestoreInfo | None:
    """Return the restore that was begun and has not ended, by its id or its plan's digest; None where there is none."""
    unfinished = (State.APPLYING, State.INTERRUPTED)
    every = reversed(list_restores(case.folder / "restores"))
    return next((info for info in every if name in (info.id, info.plan_digest) and info.state in unfinished), None)
