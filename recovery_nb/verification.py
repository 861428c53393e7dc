"""What a verification of anything found: a backup, a restore, a run, a case."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from recovery_nb.reports.html import facts

__all__ = ["Problem", "Verification"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be.

    Attributes:
        what: What is wrong, for a person.
        where: The file, and the place in it.
    """

    what: str
    where: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome of a verification.

    Attributes:
        target: What was verified.
        ok: Whether nothing is wrong.
        checked: How many files and records were looked at.
        problems: What is wrong, in the order in which it was found.
        notes: What the verification could not show, and why.
    """

    target: str
    ok: bool
    checked: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values, for JSON."""
        return {
            **asdict(self),
            "problems": [asdict(problem) for problem in self.problems],
            "notes": [*self.notes],
        }

    @property
    def summary(self) -> dict[str, object]:
        """The facts at a glance."""
        return {
            "verified": self.target,
            "outcome": "whole" if self.ok else f"{len(self.problems):,} problems",
            "checked": self.checked,
            **{f"problem {number}": f"{one.where}: {one.what}" for number, one in enumerate(self.problems[:20], 1)},
            **{f"note {number}": note for number, note in enumerate(self.notes, 1)},
        }

    def _repr_html_(self) -> str:
        """Show them in a notebook, without a script."""
        return facts(self.summary)
