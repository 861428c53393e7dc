"""What came of a restore: how many records, which not and why, and both versions where others had written."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import bson
from bson.raw_bson import RawBSONDocument

from recovery_nb.errors import RecoveryError
from recovery_nb.records.extended_json import NotARecordError, to_json
from recovery_nb.reports.html import facts
from recovery_nb.restore.exchange import Outcome
from recovery_nb.restore.exchange.change import ALREADY_THERE
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.rows import Action, Rows

__all__ = ["LISTED", "SHOWN", "Conflicts", "Count", "Problem", "Remark", "RestoreResult", "record_text"]

LISTED = 1_000
"""How many errors and how many conflicts a result lists; it counts them all."""
SHOWN = 2_000
"""How many characters of a record a problem shows."""

_VALUE = re.compile(r" \([^()]*\)")
_REASONS = 100
_OTHERS = "other reasons"
_DONE_BY = {Action.INSERT: "inserted", Action.REPLACE: "replaced", Action.MERGE: "merged", Action.OVERLAY: "overlaid"}


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong with one record, or with a collection (`key` is "").

    Attributes:
        collection: The collection.
        key: The record's key, for people.
        reason: Why it was not written.
        planned: Where someone else has written the record: what the plan holds, as canonical Extended JSON, cut at
            `SHOWN` characters; of a merge, the source's side. Else "".
        found: Likewise what was found instead; "" where nothing was.
    """

    collection: str
    key: str
    reason: str
    planned: str = ""
    found: str = ""


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """What came of a restore.

    Attributes:
        restore_id: Its id; "" for a dry run.
        plan_digest: The digest of the plan.
        success: Whether no record failed and everything else was done too; of a dry run, whether it would be so.
        dry_run: Whether nothing was to be written.
        planned: How many records the plan inserts, replaces or merges.
        restored: How many were written; of a dry run none.
        skipped: How many were left as they are: by the plan, or because others had written them since.
        failed: How many could not be written, those that the plan refuses included.
        errors: The first thousand problems: failed records, indexes that were not built.
        errors_total: How many problems there are.
        conflicts: The first thousand records left as they are, by the plan or because they have changed since.
        conflicts_total: How many of those there are.
        outcomes: How many records were inserted, replaced, merged, overlaid, skipped and failed, each by reason (""
            where nothing is to be said), without what reasons say in parentheses; of a dry run, how many would be.
        notes: What a dry run cannot foresee.
    """

    restore_id: str
    plan_digest: str
    success: bool
    dry_run: bool
    planned: int
    restored: int
    skipped: int
    failed: int
    errors: list[Problem] = field(default_factory=list)
    errors_total: int = 0
    conflicts: list[Problem] = field(default_factory=list)
    conflicts_total: int = 0
    outcomes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def summary(self) -> dict[str, object]:
        """The facts at a glance."""
        return {
            "restore": self.restore_id or "(a dry run: nothing was written)",
            "plan": self.plan_digest,
            "planned": self.planned,
            "restored": self.restored,
            "skipped": self.skipped,
            "failed": self.failed,
        }

    def _repr_html_(self) -> str:
        """Show them in a notebook, without a script."""
        return facts(self.summary)


class Conflicts:
    """The file of a restore that keeps both versions of every record that others had written.

    Args:
        path: `conflicts.bson`: documents of `seq`, `c` (the collection), `planned` and `found`, the records as
            they are; what there was none of, or could not be read, is left out. The file is made when it is needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file >= 0:
            try:
                os.fsync(self._file)
            finally:
                os.close(self._file)

    def add(self, seq: int, collection: str, planned: bytes, found: bytes) -> None:
        """Keep both versions of one record.

        Raises:
            RecoveryError: The file cannot be written.
        """
        entry: dict[str, object] = {"seq": seq, "c": collection}
        entry |= {name: RawBSONDocument(one) for name, one in (("planned", planned), ("found", found)) if one}
        try:
            if self._file < 0:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            data = memoryview(bson.encode(entry))
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise RecoveryError(
                f"{self._path} cannot be written ({error.strerror})",
                hint="make room there",
            ) from None


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be said of one record of a batch; of those that were simply written there is none.

    Attributes:
        place: Its place among the rows of its batch.
        outcome: What came of it.
        reason: Why.
        planned: What the plan holds, raw, where someone else has written the record; else empty.
        found: What was found instead, raw; empty where there was none.
    """

    place: int
    outcome: Outcome
    reason: str
    planned: bytes = b""
    found: bytes = b""


class Count:
    """What has come of the records so far.

    Args:
        conflicts: Keeps both versions of the records that others had written; None keeps none.
    """

    def __init__(self, conflicts: Conflicts | None = None) -> None:
        self._kept = conflicts
        self.restored = self.skipped = self.failed = 0
        self._errors: list[Problem] = []
        self._errors_total = 0
        self._conflicts: list[Problem] = []
        self._outcomes: dict[str, Counter[str]] = {}
        self._idle: Problem | None = None

    def take(self, rows: Rows, remarks: Iterable[Remark]) -> None:
        """Count the rows of a batch; all of them were written but what the remarks say otherwise of."""
        done = Counter(rows.actions)
        for remark in sorted(remarks, key=lambda one: one.place):
            action = rows.actions[remark.place]
            done[action] -= 1
            self._remark(rows, remark, _DONE_BY.get(action, ""))
        for action, count in done.items():
            if count:
                self.restored += count
                self._outcome(_DONE_BY[action], "", count)

    def _remark(self, rows: Rows, remark: Remark, done: str) -> None:
        problem = Problem(
            rows.collections[remark.place], rows.keys[remark.place], remark.reason,
            record_text(remark.planned), record_text(remark.found),
        )  # fmt: skip
        if self._kept and (remark.planned or remark.found):
            self._kept.add(rows.seqs[remark.place], problem.collection, remark.planned, remark.found)
        if remark.outcome is Outcome.SKIPPED:
            self.skipped += 1
            self._outcome("skipped", remark.reason, 1)
            if done and remark.reason != ALREADY_THERE.reason:
                self._idle = self._idle or problem
            if len(self._conflicts) < LISTED:
                self._conflicts.append(problem)
            return
        if remark.outcome is Outcome.FAILED:
            self.failed += 1
            self._outcome("failed", remark.reason, 1)
        else:
            self.restored += 1
            self._outcome(done, remark.reason, 1)
        if remark.reason:
            self.problem(problem)

    def _outcome(self, name: str, reason: str, count: int) -> None:
        """Count by reason, without the values in parentheses; servers put some into theirs, so there may be many."""
        reason = _VALUE.sub("", reason)
        reasons = self._outcomes.setdefault(name, Counter())
        reasons[reason if reason in reasons or len(reasons) < _REASONS else _OTHERS] += count

    def problem(self, problem: Problem) -> None:
        """Count a problem, and list it if there is room."""
        self._errors_total += 1
        if len(self._errors) < LISTED:
            self._errors.append(problem)

    def counts(self) -> dict[str, int]:
        """Return the numbers, for the restore's header."""
        return {"restored": self.restored, "skipped": self.skipped, "failed": self.failed}

    def result(self, plan: Plan, *, restore_id: str = "", notes: Sequence[str] = ()) -> RestoreResult:
        """Return the result; without `restore_id`, of a dry run."""
        if plan.transaction == "plan" and self._idle and not self.restored and not self.failed:
            self.problem(Problem(self._idle.collection, "", f"nothing is written of the plan: {self._idle.reason}"))
        return RestoreResult(
            restore_id=restore_id,
            plan_digest=plan.digest,
            success=self._errors_total == 0,
            dry_run=not restore_id,
            planned=plan.to_write,
            restored=self.restored if restore_id else 0,
            skipped=self.skipped,
            failed=self.failed,
            errors=self._errors,
            errors_total=self._errors_total,
            conflicts=self._conflicts,
            conflicts_total=self.skipped,
            outcomes={name: dict(sorted(reasons.items())) for name, reasons in sorted(self._outcomes.items())},
            notes=tuple(notes),
        )


def record_text(record: bytes) -> str:
    """Return a record as a problem shows it: canonical Extended JSON, cut at `SHOWN` characters; "" for none."""
    if not record:
        return ""
    try:
        text = to_json(record)
    except NotARecordError:
        return f"({len(record):,} bytes that cannot be shown as JSON)"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
