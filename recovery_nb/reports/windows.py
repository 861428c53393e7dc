"""Counts records by time and finds the window of a loss, if there is one. Pure.

Times are integers here: milliseconds since 1970, UTC, as BSON has them. What counts, a server or a table, gives a
`Tally` for each step of time in which there is a record; steps are numbered from the same Monday by all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COARSE",
    "EPOCH",
    "FIRST",
    "LAST",
    "Buckets",
    "Countable",
    "Moments",
    "Tally",
    "bucketed",
    "instant",
    "loss_window",
    "milliseconds",
    "number_of",
]

_STEPS = (
    (timedelta(seconds=1), "by second"),
    (timedelta(seconds=10), "by 10 seconds"),
    (timedelta(minutes=1), "by minute"),
    (timedelta(minutes=10), "by 10 minutes"),
    (timedelta(hours=1), "by hour"),
    (timedelta(hours=6), "by 6 hours"),
    (timedelta(days=1), "by day"),
    (timedelta(weeks=1), "by week"),
    (timedelta(days=30), "by 30 days"),
    (timedelta(days=365), "by 365 days"),
    (timedelta(days=3650), "by 3,650 days"),
)
_LONGEST = (timedelta(days=50_000), "by 50,000 days")
_MAX_BUCKETS = 90
_CLEAR = 0.8
_MILLISECOND = timedelta(milliseconds=1)
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)

EPOCH = 4 * 86_400_000
"""1970-01-05, a Monday, so that weeks begin on one: where steps are numbered from."""
FIRST, LAST = -62_135_596_800_000, 253_402_300_799_999
"""The calendar that can be drawn: the years 1 to 9999."""
COARSE = 30 * 86_400_000
"""The step, 30 days, by which it is first looked where the records lie: the calendar has 121,741 of them."""

_OUTLIERS = 0.01
_FEWEST = 10
_SHORTER = 4


@dataclass(frozen=True, slots=True)
class Tally:
    """The records in one step of time.

    Attributes:
        records: How many there are.
        first: The time of the first of them.
        last: The time of the last.
    """

    records: int
    first: int
    last: int


class Countable(Protocol):
    """Records that can be counted by time, wherever they are."""

    def tallies(self, step: int, first: int, last: int) -> Mapping[int, Tally]:
        """Return the records from `first` to `last`, by the number of their step: see `number_of`."""
        ...


class Moments:
    """Times in memory, eight bytes each."""

    def __init__(self, times: Iterable[int] = ()) -> None:
        self._times = np.fromiter(times, np.int64)
        self._times.sort()

    def tallies(self, step: int, first: int, last: int) -> Mapping[int, Tally]:
        """Return them by step."""
        low, high = np.searchsorted(self._times, first, "left"), np.searchsorted(self._times, last, "right")
        inside = self._times[low:high]
        numbers, starts, counts = np.unique((inside - EPOCH) // step, return_index=True, return_counts=True)
        return {
            int(number): Tally(int(count), int(inside[start]), int(inside[start + count - 1]))
            for number, start, count in zip(numbers, starts, counts, strict=True)
        }


@dataclass(frozen=True, slots=True)
class Buckets:
    """Records by time: equal steps from the first to the last, those without a record included.

    Attributes:
        step: How long each is.
        unit: The step, in words.
        starts: When each begins, UTC.
        present: Records that are present and did not change, in each.
        missing: Records that are missing, in each.
        changed: Records that are present and changed, in each.
        outside: Records before the first and after the last, which lie so far off that they are left out.
        outside_missing: How many of these are missing.
    """

    step: timedelta
    unit: str
    starts: tuple[datetime, ...]
    present: tuple[int, ...]
    missing: tuple[int, ...]
    changed: tuple[int, ...]
    outside: int = 0
    outside_missing: int = 0

    def end(self, number: int) -> datetime:
        """Return where bucket `number` ends; the calendar's last moment if that comes first."""
        try:
            return self.starts[number] + self.step
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a bucket: start and end in UTC, and the records that are present, changed and missing."""
        import pandas as pd  # noqa: PLC0415 - only who looks at it pays for its import

        rows: dict[str, Any] = {
            # Of Python's own type: pandas' times end in the year 2262.
            "start": pd.Series(self.starts, dtype=object),
            "end": pd.Series([self.end(number) for number in range(len(self.starts))], dtype=object),
            "present": self.present,
            "changed": self.changed,
            "missing": self.missing,
        }
        return pd.DataFrame(rows)


def bucketed(present: Countable, missing: Countable, changed: Countable | None = None) -> Buckets:
    """Count records by the smallest step that makes at most 90 buckets.

    A few records that lie far off (a date of 1970 or 9999 that stands for none) would press all others into one
    bucket: where a quarter of the time or less holds all but one in a hundred, of those that are missing too, only
    that is counted by step.

    Args:
        present: The records in the database, those that changed included.
        missing: The records that are missing from it.
        changed: Those of the database that changed.
    """
    parts = (present, missing, changed or Moments())
    coarse = [part.tallies(COARSE, FIRST, LAST) for part in parts]
    reach = _reach(coarse[0], coarse[1])
    if reach is None:
        return Buckets(timedelta(days=1), "by day", (), (), (), ())
    first, last = reach
    length = (last - first) * _MILLISECOND
    step, unit = next((each for each in _STEPS if length / each[0] < _MAX_BUCKETS - 1), _LONGEST)
    steps = step // _MILLISECOND
    here, gone, other = (part.tallies(steps, first, last) for part in parts)
    numbers = range(number_of(first, steps), number_of(last, steps) + 1)
    count = [[found[number].records if number in found else 0 for number in numbers] for found in (here, gone, other)]
    every = [sum(one.records for one in found.values()) for found in coarse[:2]]
    return Buckets(
        step=step,
        unit=unit,
        # The bucket of the first record may begin before the calendar does.
        starts=tuple(instant(number * steps + EPOCH) for number in numbers),
        present=tuple(max(0, has - altered) for has, altered in zip(count[0], count[2], strict=True)),
        missing=tuple(count[1]),
        changed=tuple(count[2]),
        outside=sum(every) - sum(count[0]) - sum(count[1]),
        outside_missing=every[1] - sum(count[1]),
    )


def _reach(present: Mapping[int, Tally], missing: Mapping[int, Tally]) -> tuple[int, int] | None:
    """Return the first and last moment that are drawn; None where there is no record."""
    numbers = sorted(present.keys() | missing.keys())
    if not numbers:
        return None
    none = Tally(0, LAST, FIRST)
    here, gone = ([found.get(number, none) for number in numbers] for found in (present, missing))
    firsts = [min(a.first, b.first) for a, b in zip(here, gone, strict=True)]
    lasts = [max(a.last, b.last) for a, b in zip(here, gone, strict=True)]
    spare = [_spare(sum(one.records for one in found)) for found in (here, gone)]
    best = whole = (firsts[0], lasts[-1])
    # The shortest stretch outside of which only the spare records lie: both ends only ever move forward.
    start, before, after = 0, [0, 0], [sum(one.records for one in found) for found in (here, gone)]
    for end in range(len(numbers)):
        after = [left - found[end].records for left, found in zip(after, (here, gone), strict=True)]
        while start < end:
            shorter = [done + found[start].records for done, found in zip(before, (here, gone), strict=True)]
            if any(a + b > most for a, b, most in zip(shorter, after, spare, strict=True)):
                break
            before, start = shorter, start + 1
        enough = all(a + b <= most for a, b, most in zip(before, after, spare, strict=True))
        if enough and lasts[end] - firsts[start] < best[1] - best[0]:
            best = (firsts[start], lasts[end])
    return best if (best[1] - best[0]) * _SHORTER <= whole[1] - whole[0] else whole


def _spare(records: int) -> int:
    """Return how many of so many records may be left out of a picture."""
    return max(1, int(records * _OUTLIERS)) if records >= _FEWEST else 0


def loss_window(buckets: Buckets) -> tuple[int, int] | None:
    """Return the first and last bucket of the loss, or None where none is clear.

    It is the span of the buckets in which at least half of the records are missing. It is clear if it holds
    four fifths of all that is missing, at least half of the records within it are missing, and it is not
    the whole time that is looked at.
    """
    held = [here + altered for here, altered in zip(buckets.present, buckets.changed, strict=True)]
    pairs = list(zip(held, buckets.missing, strict=True))
    heavy = [at for at, (here, gone) in enumerate(pairs) if gone and gone >= here]
    if not heavy:
        return None
    first, last = heavy[0], heavy[-1]
    here = sum(held[first : last + 1])
    gone = sum(buckets.missing[first : last + 1])
    clear = gone >= _CLEAR * sum(buckets.missing) and gone >= here and last - first + 1 < len(pairs)
    return (first, last) if clear else None


def number_of(time: int, step: int) -> int:
    """Return the number of the step that a time lies in."""
    return (time - EPOCH) // step


def milliseconds(moment: datetime) -> int:
    """Return a moment in milliseconds since 1970; one without a zone is taken as UTC."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _ZERO) // _MILLISECOND


def instant(time: int) -> datetime:
    """Return a time as a moment in UTC; outside of the calendar, its first or last moment."""
    try:
        return _ZERO + time * _MILLISECOND
    except OverflowError:
        return (datetime.min if time < 0 else datetime.max).replace(tzinfo=UTC)
