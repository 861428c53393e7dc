"""What a verification has found so far, and the check of records that every kind of backup shares."""

from __future__ import annotations

from collections import Counter

from recovery_nb.events import Emit, Event
from recovery_nb.records.batch import Damage
from recovery_nb.records.elements import invalid_reason
from recovery_nb.sources.base import FileSource
from recovery_nb.verification import Problem, Verification

__all__ = ["Findings"]

_MOST = 1_000


class Findings:
    """A verification in progress.

    Args:
        target: What is verified.
        emit: Hears how far it is.
    """

    def __init__(self, target: str, emit: Emit) -> None:
        self._target = target
        self._emit = emit
        self._checked = 0
        self._problems: list[Problem] = []
        self._unnamed = 0
        self._notes: list[str] = []

    def problem(self, what: str, where: str) -> None:
        """Keep a problem; past a thousand they are only counted."""
        if len(self._problems) < _MOST:
            self._problems.append(Problem(what, where))
        else:
            self._unnamed += 1

    def note(self, note: str) -> None:
        """Keep a remark."""
        self._notes.append(note)

    def checked(self, number: int = 1) -> None:
        """Count files or records that were looked at."""
        self._checked += number

    def check_records(self, source: FileSource, *, prefix: str) -> Counter[str]:
        """Decode every record of a source in full; what fails, and what is no record, is a problem.

        Args:
            source: What to read.
            prefix: What stands before its members in a problem's place.

        Returns:
            How many records each member holds.
        """
        counts: Counter[str] = Counter()
        for part in source.read():
            where = "/".join(filter(None, (prefix, part.member)))
            if isinstance(part, Damage):
                self.problem(part.reason, f"{where} at offset {part.offset:,}")
                continue
            for record, offset in zip(part.records, part.offsets, strict=True):
                if reason := invalid_reason(record):
                    self.problem(f"a record does not decode: {reason}", f"{where} at offset {offset:,}")
            counts[part.member] += len(part)
            self.checked(len(part))
            self._emit(Event("verify", where, counts[part.member]))
        return counts

    def result(self) -> Verification:
        """Return the outcome."""
        if self._unnamed:
            self._notes.append(f"{self._unnamed:,} more problems are not listed")
        return Verification(self._target, not self._problems, self._checked, tuple(self._problems), tuple(self._notes))
