"""What earlier processes of a restore have done, as its journal tells, and which rows are left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from recovery_nb.restore.exchange import Outcome
from recovery_nb.restore.intents import UNSENT, Left
from recovery_nb.restore.journal import JournalReader
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.prepare import by_the_plan
from recovery_nb.restore.result import Count, Remark
from recovery_nb.restore.rows import WRITING, Rows

__all__ = ["Begun"]


@dataclass(frozen=True, slots=True)
class Begun:
    """How far a restore is: not begun at all, by default.

    Attributes:
        made: The collections and views that it has made.
        known: The collections of which the journal holds the UUID.
        last_seq: The last place in the plan that was come to.
        left: By place in the plan, what was come to and not written.
    """

    made: Sequence[str] = ()
    known: frozenset[str] = frozenset()
    last_seq: int = -1
    left: Mapping[int, Left] = field(default_factory=dict)

    @classmethod
    def of(cls, journal: JournalReader, *, made: Sequence[str], undone: Iterable[int]) -> Self:
        """Return how far a journal says that its restore is; every batch in it must be settled.

        Args:
            journal: The restore's journal.
            made: The collections and views that the restore has made.
            undone: The places in the plan of what was rolled back: it is not written again.
        """
        back = {seq: Left(seq, Outcome.SKIPPED, "rolled back") for seq in undone}
        return cls(
            tuple(made), frozenset(journal.collections), journal.last_seq,
            {**journal.left, **journal.passed, **back},
        )  # fmt: skip

    def rest(self, batches: Iterator[Rows]) -> Iterator[Rows]:
        """Yield of each batch the rows that are still to be done; of a restore that has not begun, all of them."""
        if self.last_seq < 0:
            yield from batches
            return
        for rows in batches:
            if rows.seqs[0] > self.last_seq and WRITING.issuperset(rows.actions):
                yield rows
            elif places := [place for place in range(len(rows)) if self._open(rows, place)]:
                yield rows.take(places)

    def count(self, plan: Plan, count: Count) -> int:
        """Count what `rest` leaves out: what is done, what is not written, and what the plan does not write.

        Returns:
            How many of these records the plan writes.
        """
        settled = 0
        for rows in plan.groups() if self.last_seq >= 0 else ():
            if places := [place for place in range(len(rows)) if not self._open(rows, place)]:
                some = rows.take(places)
                settled += sum(action in WRITING for action in some.actions)
                count.take(some, list(self._remarks(some)))
        return settled

    def _open(self, rows: Rows, place: int) -> bool:
        seq = rows.seqs[place]
        if rows.actions[place] not in WRITING:
            return False
        left = self.left.get(seq)
        return seq > self.last_seq if left is None else left.outcome == UNSENT

    def _remarks(self, rows: Rows) -> Iterator[Remark]:
        for place, seq in enumerate(rows.seqs):
            if rows.actions[place] not in WRITING:
                yield by_the_plan(rows, place)
            elif left := self.left.get(seq):
                yield Remark(place, Outcome(left.outcome), left.reason)
