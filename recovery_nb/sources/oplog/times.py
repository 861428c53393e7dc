"""Points in time as a user writes them for `--as-of`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import moment

__all__ = ["parse_time", "time_text"]

_WHOLE_SECOND = 0xFFFFFFFF
"""The last increment: what stands for all of a second."""
_OPTIME = re.compile(r"(?:Timestamp)?\(?\s*+(\d{1,10}+)\s*+(?:[:,]\s*+(\d{1,10}+)\s*+)?\)?", re.ASCII)


def parse_time(text: str) -> int:
    """Return a point in time as `moment` gives it: what happened up to and including it counts.

    An oplog's times are seconds, and a number within the second. A time without that number means all of its second;
    so does one with a fraction of a second, which the numbers say nothing of.

    Args:
        text: An ISO 8601 date and time (without a zone: UTC); `seconds` since 1970; `seconds:increment`; or
            `Timestamp(seconds, increment)`.

    Raises:
        BadInputError: It is none of these.
    """
    if optime := _OPTIME.fullmatch(text.strip()):
        seconds, increment = int(optime[1]), int(optime[2] or _WHOLE_SECOND)
        if seconds < 1 << 31 and increment <= _WHOLE_SECOND:
            return moment(seconds, increment)
    else:
        try:
            time = datetime.fromisoformat(text.strip())
            return moment(int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()), _WHOLE_SECOND)
        except (ValueError, OverflowError):
            pass
    raise BadInputError(
        f"not a point in time: {text!r}",
        hint='write 2025-12-01T10:30:00Z, seconds since 1970, or "seconds:increment"',
    )


def time_text(at: int) -> str:
    """Return a moment for a person: date and time in UTC, and the number within the second."""
    seconds, increment = at >> 32, at & _WHOLE_SECOND
    within = "" if increment == _WHOLE_SECOND else f" ({seconds}:{increment})"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC{within}"
