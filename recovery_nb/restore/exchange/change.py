"""One record to be exchanged, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from recovery_nb.records.keys import canonical
from recovery_nb.restore.shape import fingerprint

__all__ = [
    "ALREADY_THERE",
    "CHANGED",
    "DONE",
    "HELD",
    "INVALID",
    "TAKEN",
    "TRIES",
    "UNSAFE",
    "Change",
    "Item",
    "Outcome",
    "Verdict",
    "Verdicts",
    "as_expected",
    "colliding",
]

TRIES = 4
"""How often what was lost or aborted is sent in all."""


class Outcome(StrEnum):
    """What came of one write."""

    DONE = "restored"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Change:
    """One record to be exchanged.

    Attributes:
        id: Type byte and value bytes of the `_id`.
        expected: SHA-256 of what must be there, None where nothing may be.
        wanted: What is to be there, raw; None where the record is to be removed.
    """

    id: bytes
    expected: bytes | None
    wanted: bytes | None

    @property
    def place(self) -> bytes:
        """The canonical form of the `_id`."""
        return canonical(self.id[0], self.id[1:])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one change, and why if it was not written (or not confirmed)."""

    outcome: Outcome
    reason: str = ""


Item = tuple[int, Change]
"""A change and its place in what was asked for."""
Verdicts = dict[int, Verdict]
"""What is known so far, by place."""

DONE = Verdict(Outcome.DONE)
CHANGED = Verdict(Outcome.SKIPPED, "changed while restoring")
HELD = Verdict(Outcome.SKIPPED, "being written by someone else")
ALREADY_THERE = Verdict(Outcome.SKIPPED, "already there")
TAKEN = Verdict(Outcome.SKIPPED, "another record took its _id while restoring")
INVALID = Verdict(Outcome.FAILED, "the collection's validator refuses it")
UNSAFE = Verdict(
    Outcome.FAILED, "its field names can replace another record only in a transaction, and there is none here"
)


def colliding(index: str) -> Verdict:
    """Return the verdict for a record whose key in a unique index is another's."""
    return Verdict(Outcome.FAILED, f"another record has its key in the unique index {index}")


def as_expected(there: bytes | None, change: Change) -> bool:
    """Return whether what is there is what the change expects."""
    return (None if there is None else fingerprint(there)) == change.expected
