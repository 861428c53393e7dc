"""Counts records by time and finds the window of a loss, if there is one. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["Buckets", "bucket", "loss_window"]

_STEPS = (
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
_EPOCH = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday, so that weeks begin on one
_CLEAR = 0.8


@dataclass(frozen=True, slots=True)
class Buckets:
    """Records by time: equal steps from the first to the last, those without a record included.

    Attributes:
        step: How long each is.
        unit: The step, in words.
        starts: When each begins, UTC.
        present: Records that are present, in each.
        missing: Records that are missing, in each.
    """

    step: timedelta
    unit: str
    starts: tuple[datetime, ...]
    present: tuple[int, ...]
    missing: tuple[int, ...]

    def end(self, number: int) -> datetime:
        """Return where bucket `number` ends; the calendar's last moment if that comes first."""
        try:
            return self.starts[number] + self.step
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)


def bucket(present: Sequence[datetime], missing: Sequence[datetime]) -> Buckets:
    """Count records by the smallest step that makes at most 90 buckets."""
    have, lost = [_utc(each) for each in present], [_utc(each) for each in missing]
    if not have and not lost:
        return Buckets(timedelta(days=1), "by day", (), (), ())
    first, last = min([*have, *lost]), max([*have, *lost])
    step, unit = next((each for each in _STEPS if (last - first) / each[0] < _MAX_BUCKETS - 1), _LONGEST)
    here = Counter((each - _EPOCH) // step for each in have)
    gone = Counter((each - _EPOCH) // step for each in lost)
    numbers = range((first - _EPOCH) // step, (last - _EPOCH) // step + 1)
    return Buckets(
        step=step,
        unit=unit,
        # The bucket of the first record may begin before the calendar does.
        starts=tuple(_start(number, step) for number in numbers),
        present=tuple(here[number] for number in numbers),
        missing=tuple(gone[number] for number in numbers),
    )


def loss_window(buckets: Buckets) -> tuple[int, int] | None:
    """Return the first and last bucket of the loss, or None where none is clear.

    It is the span of the buckets in which at least half of the records are missing. It is clear if it holds
    four fifths of all that is missing, at least half of the records within it are missing, and it is not
    the whole time that is looked at.
    """
    pairs = list(zip(buckets.present, buckets.missing, strict=True))
    heavy = [at for at, (here, gone) in enumerate(pairs) if gone and gone >= here]
    if not heavy:
        return None
    first, last = heavy[0], heavy[-1]
    here = sum(buckets.present[first : last + 1])
    gone = sum(buckets.missing[first : last + 1])
    clear = gone >= _CLEAR * sum(buckets.missing) and gone >= here and last - first + 1 < len(pairs)
    return (first, last) if clear else None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _start(number: int, step: timedelta) -> datetime:
    try:
        return _EPOCH + number * step
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
