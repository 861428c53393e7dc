"""Which differences an analyst has picked: the state behind a panel, with no widget in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from recovery_nb.compare.result import Comparison
from recovery_nb.selection import RESTORABLE, Choice

__all__ = ["MOST", "PAGE", "Picking", "Row", "rows_of"]

PAGE = 100
"""How many differences are shown at a time."""

MOST = 100_000
"""How many differences can be picked from by hand; more are restored by `only` or a keys file."""

_COLUMNS = ("collection", "key", "status", "source_name", "newer", "note")


@dataclass(frozen=True, slots=True)
class Row:
    """A difference that can be restored.

    Attributes:
        collection: Where it is.
        key: The record's key, as comparisons show it.
        status: "missing", "changed" or "equivalent".
        source: The name of the best source.
        doubt: Why a restore of it needs a decision of its own, "" if it does not.
    """

    collection: str
    key: str
    status: str
    source: str
    doubt: str = ""


def rows_of(comparison: Comparison, *, most: int = MOST) -> list[Row]:
    """Return the differences of a comparison that can be restored, the first `most` of them."""
    found = islice(comparison.rows(RESTORABLE, columns=_COLUMNS), most)
    return [
        Row(row["collection"], row["key"], row["status"], row["source_name"] or "", row["newer"] or row["note"] or "")
        for row in found
    ]


class Picking:
    """Rows under a filter, a page at a time, and those of them that are picked.

    Args:
        rows: What can be picked.

    Attributes:
        rows: The same.
        matching: The numbers of the rows that the filter lets through.
        page: Which page of them is shown, from 0.
        picked: The numbers of the rows that are picked, whether they are shown or not.
        revision: Grows whenever what is picked changes: a plan is of one revision.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.matching = list(range(len(rows)))
        self.page = 0
        self.picked: set[int] = set()
        self.revision = 0

    @property
    def pages(self) -> int:
        """How many pages there are, one at least."""
        return max(1, -(-len(self.matching) // PAGE))

    @property
    def shown(self) -> list[int]:
        """The numbers of the rows on this page."""
        return self.matching[self.page * PAGE : (self.page + 1) * PAGE]

    def filter(self, *, collection: str = "", statuses: Collection[str] = (), text: str = "") -> None:
        """Let through the rows of a collection ("" for all), of these statuses, with this text in the key."""
        self.matching = [
            number
            for number, row in enumerate(self.rows)
            if collection in ("", row.collection) and row.status in statuses and text.lower() in row.key.lower()
        ]
        self.page = 0

    def turn(self, pages: int) -> None:
        """Go on or back by this many pages, to the last or the first at most."""
        self.page = min(max(self.page + pages, 0), self.pages - 1)

    def pick(self, numbers: Iterable[int]) -> None:
        """Pick exactly these of the rows on this page; rows elsewhere stay as they are."""
        self._set((self.picked - set(self.shown)) | (set(numbers) & set(self.shown)))

    def pick_matching(self) -> int:
        """Pick every row that the filter lets through but those in doubt; return how many were left out."""
        sure = {number for number in self.matching if not self.rows[number].doubt}
        self._set(self.picked | sure)
        return len(self.matching) - len(sure)

    def clear(self) -> None:
        """Pick nothing."""
        self._set(set())

    def choices(self) -> list[Choice]:
        """Return what is picked as a plan takes it."""
        return [Choice(self.rows[number].key, self.rows[number].collection) for number in sorted(self.picked)]

    def _set(self, picked: set[int]) -> None:
        if picked != self.picked:
            self.picked = picked
            self.revision += 1
