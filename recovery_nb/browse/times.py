"""Counts differences by the time their records were made: few enough steps for a small picture beside a filter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from recovery_nb.browse.columns import Bools, Field
from recovery_nb.compare.model import Status
from recovery_nb.reports.windows import EPOCH, instant

__all__ = ["Bucket", "bucketed"]

_SECOND, _DAY = 1_000, 86_400_000
_STEPS = tuple(
    step * unit
    for unit, steps in (
        (_SECOND, (1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 43_200)),
        (_DAY, (1, 2, 7, 14, 30, 91, 182, 365, 1_825, 3_650, 36_500, 365_000)),
    )
    for step in steps
)
_OUTLIERS = 0.5
"""How many records in a hundred, at either end, may lie so far off that they get no steps of their own."""
_SHORTER = 4


@dataclass(frozen=True, slots=True)
class Bucket:
    """The differences whose records were made from `start` to before `end`, UTC.

    Attributes:
        start: When it begins.
        end: When it ends.
        missing: How many records are missing.
        changed: How many changed.
        other: How many differ in another way.
    """

    start: datetime
    end: datetime
    missing: int
    changed: int
    other: int


def bucketed(made: npt.NDArray[np.int64], status: Field, mask: Bools, *, most: int) -> list[Bucket]:
    """Count the rows of a mask by time, in at most so many equal steps; none where no row has a time.

    What lies far off from all others is counted in the first and the last bucket, which are longer then.

    Args:
        made: The time of each row, in milliseconds since 1970.
        status: The status of each row.
        mask: The rows that are counted; each of them has a time.
        most: How many buckets there may be.
    """
    times = made[mask]
    if not len(times):
        return []
    first, last = int(times.min()), int(times.max())
    low, high = (int(time) for time in np.percentile(times, (_OUTLIERS, 100 - _OUTLIERS), method="nearest"))
    if (high - low) * _SHORTER > last - first:
        low, high = first, last
    step = next((one for one in _STEPS if (high - low) // one + 2 <= most), _STEPS[-1])
    start = (low - EPOCH) // step
    steps = min(int((high - EPOCH) // step - start + 1), max(most, 1))
    numbers = np.clip((times - EPOCH) // step - start, 0, steps - 1)
    kinds = {Status.MISSING.value: 0, Status.CHANGED.value: 1}
    kind = np.array([kinds.get(name, 2) for name in status.names], np.int64)[status.codes[mask]]
    counts = np.bincount(numbers * 3 + kind, minlength=steps * 3).reshape(steps, 3).tolist()
    edges = [instant((start + number) * step + EPOCH) for number in range(steps + 1)]
    edges[0] = min(edges[0], instant(first))
    edges[-1] = max(edges[-1], min(instant(last + 1), datetime.max.replace(tzinfo=UTC)))
    return [Bucket(edges[number], edges[number + 1], *counts[number]) for number in range(steps)]
