"""What is picked: a mark for each difference, and the version that is meant where it is not the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from recovery_nb.browse.columns import Bools, Columns

__all__ = ["Chosen", "Matched", "Picks"]


@dataclass(frozen=True, slots=True)
class Matched:
    """What came of picking all that a view shows.

    Attributes:
        picked: How many are picked now of those that the view shows.
        doubtful: How many were left out, since to restore them takes a decision of its own.
        not_restorable: How many were left out, since no restore can undo them.
    """

    picked: int
    doubtful: int
    not_restorable: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """The version of a record that is meant instead of the best.

    Attributes:
        rank: Its rank among the candidates.
        source: The id of its source.
        offset: Its place there.
        fingerprint: Of its bytes: by this it is known again.
    """

    rank: int
    source: str
    offset: int
    fingerprint: bytes


class Picks:
    """The differences that are picked; only such as a restore can undo.

    Args:
        columns: The differences.

    Attributes:
        mask: Which are picked.
        chosen: By row number, the version that is meant where it is not the best. All of these are picked.
        revision: Grows with every change.
    """

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.mask: Bools = np.zeros(len(columns), np.bool_)
        self.chosen: dict[int, Chosen] = {}
        self.revision = 0

    def __len__(self) -> int:
        return int(np.count_nonzero(self.mask))

    def pick(self, numbers: Iterable[int], *, on: bool) -> int:
        """Pick some rows, or no longer; return how many of them cannot be picked."""
        wanted = np.fromiter((number for number in numbers if 0 <= number < len(self.mask)), np.int64)
        rows = wanted[self._columns.restorable[wanted]]
        changed = rows[self.mask[rows] != on]
        self.mask[rows] = on
        if not on:
            for number in changed.tolist():
                self.chosen.pop(number, None)
        if len(changed):
            self.revision += 1
        return len(wanted) - len(rows)

    def pick_matching(self, shown: Bools) -> Matched:
        """Pick all of these rows but those in doubt; what is picked already stays so."""
        able = shown & self._columns.restorable
        sure = able & ~self._columns.doubtful
        if (sure & ~self.mask).any():
            self.mask |= sure
            self.revision += 1
        left_out = able & ~self.mask
        return Matched(
            picked=int(np.count_nonzero(able & self.mask)),
            doubtful=int(np.count_nonzero(left_out)),
            not_restorable=int(np.count_nonzero(shown)) - int(np.count_nonzero(able)),
        )

    def choose(self, number: int, version: Chosen | None) -> None:
        """Pick a row, and this version of it; None for the best."""
        before = (bool(self.mask[number]), self.chosen.get(number))
        self.mask[number] = True
        if version is None:
            self.chosen.pop(number, None)
        else:
            self.chosen[number] = version
        if before != (True, version):
            self.revision += 1

    def clear(self) -> None:
        """Pick nothing."""
        if self.mask.any():
            self.mask[:] = False
            self.chosen.clear()
            self.revision += 1

    def replace(self, mask: Bools, chosen: Mapping[int, Chosen]) -> None:
        """Take over what was picked before."""
        self.mask = mask & self._columns.restorable
        self.chosen = {number: one for number, one in chosen.items() if self.mask[number]}
        self.revision += 1

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many are picked, by collection and status."""
        collection, status = self._columns.collection, self._columns.status
        width = len(status.names)
        count = np.bincount(collection.codes[self.mask].astype(np.int64) * width + status.codes[self.mask])
        found: dict[str, dict[str, int]] = {}
        for code in np.flatnonzero(count).tolist():
            one = found.setdefault(collection.names[code // width], {})
            one[status.names[code % width]] = int(count[code])
        return found
