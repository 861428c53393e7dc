"""Which of several versions of a record a restore takes first."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.sources.base import Typing

__all__ = ["Confidence", "by_trust", "confidence"]


class Confidence(StrEnum):
    """How sure we are that a candidate's bytes are those the database had."""

    HIGH = "high"
    """Every type was kept, and nothing speaks against the source."""
    MEDIUM = "medium"
    """Types were inferred from the database or another source, or the source is damaged elsewhere."""
    LOW = "low"
    """Types were inferred by shape, the source's checksum is wrong, or it holds two versions of this key."""


def confidence(source: SourceEntry, inferred: str, *, ambiguous: bool = False) -> Confidence:
    """Return how sure we are of one record of a source."""
    if ambiguous or inferred == "shape" or source.checksum_ok is False:
        return Confidence.LOW
    if inferred or not source.whole or source.typing is not Typing.FULL:
        return Confidence.MEDIUM
    return Confidence.HIGH


def by_trust(sources: Sequence[SourceEntry]) -> list[SourceEntry]:
    """Return the sources as candidates rank: those with a wrong checksum last, else the newest content first.

    Of two of the same age the one that kept its types comes first.
    """
    kept = {Typing.FULL: 0, Typing.RELAXED: 1, Typing.PLAIN: 2, Typing.TEXT: 3}
    return sorted(
        sources,
        key=lambda source: (
            source.checksum_ok is False,
            -source.taken_at.timestamp(),
            kept[source.typing],
            source.id,
        ),
    )
