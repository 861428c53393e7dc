"""How a source stands as evidence: how far it can be trusted and why, how old it is and what says so, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from recovery_nb.catalog.entry import DamageEntry, SourceEntry
from recovery_nb.compare.trust import Confidence, confidence
from recovery_nb.sources.base import AS_OF, Kind, Typing

__all__ = ["TYPES", "Standing", "age", "is_weakly_dated", "said_by", "standing"]

TYPES = {
    Typing.FULL: "kept",
    Typing.RELAXED: "number widths lost",
    Typing.PLAIN: "lost",
    Typing.TEXT: "all are text",
}
"""What a source has kept of the types that its records had."""

_NAMES_ITS_DATABASE = (Kind.DUMP, Kind.ARCHIVE, Kind.OPLOG)
_SAID_BY = {
    "manifest": "by its manifest",
    "timestamp": "by its own time stamp",
    "last entry": "by its last entry",
    "file name": "by its file name only",
    "modification time": "by its modification time only: it may be older",
    AS_OF: "put together for this time",
}
_WEAK = frozenset({"file name", "modification time"})
_PLACES = 6
"""How many places of damage are told."""

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_AGES = (  # up to so many seconds, in units of so many
    (2 * _HOUR, _MINUTE, "minute"),
    (2 * _DAY, _HOUR, "hour"),
    (60 * _DAY, _DAY, "day"),
    (730 * _DAY, 30.4375 * _DAY, "month"),
    (float("inf"), 365.25 * _DAY, "year"),
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a source can be trusted.

    Attributes:
        trust: "high", "medium" or "low": the best that a record of it can have.
        reasons: What speaks against it, the worst first; where nothing does, what speaks for it.
    """

    trust: Confidence
    reasons: tuple[str, ...]


def standing(entry: SourceEntry, *, database: str = "", doubts: Sequence[str] = (), copies: int = 0) -> Standing:
    """Return how far a source can be trusted, and why.

    Args:
        entry: The source.
        database: The name of the database that it is to be compared with, "" where that is not known.
        doubts: What its backup's manifest says against it.
        copies: How many copies of it were found.
    """
    trust = confidence(entry, "")
    reasons: list[str] = []
    if doubts:
        reasons += [f"it does not agree with its manifest: {doubt}" for doubt in doubts]
    elif entry.checksum_ok is False:
        reasons.append("its checksum does not hold")
    if entry.damage:
        reasons.append(_harm(entry))
    if database and entry.origin not in ("", database) and entry.kind in _NAMES_ITS_DATABASE:
        reasons.append(f"it is of another database: {entry.origin}")
        trust = Confidence.MEDIUM if trust is Confidence.HIGH else trust
    if entry.typing is not Typing.FULL:
        reasons.append(f"types: {TYPES[entry.typing]}")
    if not reasons:
        reasons.append("its checksum holds" if entry.checksum_ok else "all of it can be read, and types are kept")
    if copies:
        reasons.append(f"{copies:,} more cop{'y' if copies == 1 else 'ies'} of it")
    return Standing(trust, tuple(reasons))


def _harm(entry: SourceEntry) -> str:
    count = len(entry.damage)
    told = "; ".join(_place(entry, one) for one in entry.damage[:_PLACES])
    more = f"; and {count - _PLACES:,} more" if count > _PLACES else ""
    return f"{count:,} place{'' if count == 1 else 's'} cannot be read: {told}{more}"


def _place(entry: SourceEntry, one: DamageEntry) -> str:
    return f"{one.member or entry.name} at byte {one.offset:,}: {one.reason}"


def said_by(entry: SourceEntry) -> str:
    """Return what says when a source was taken, in words: what says it weakly is told so."""
    return _SAID_BY.get(entry.taken_from, f"by its {entry.taken_from}")


def is_weakly_dated(entry: SourceEntry) -> bool:
    """Whether only a name or a file system says when a source was taken: both can be changed without its content."""
    return entry.taken_from in _WEAK


def age(moment: datetime, now: datetime) -> str:
    """Return how long ago something was, in words: "3 days old"."""
    seconds = (now - moment).total_seconds()
    if abs(seconds) < _MINUTE:
        return "less than a minute old"
    for most, unit, name in _AGES:
        if abs(seconds) < most:
            count = int(abs(seconds) // unit)
            shown = f"{count:,} {name}{'' if count == 1 else 's'}"
            break
    return f"{shown} old" if seconds > 0 else f"{shown} in the future"
