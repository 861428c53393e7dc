"""What a browser of differences gives to be shown: a page of rows, and the counts beside its filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Facets", "Page", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of differences.

    Attributes:
        number: Of the row in the comparison's table: it stays the same.
        collection: The collection.
        key: The record's key for people, cut to 500 characters.
        status: How the record differs (`compare.model.Status`).
        source: The name of the source of the best version; "" for none.
        confidence: How sure that one is; "" for none.
        candidates: How many versions the sources hold.
        made: When the record was made, as far as it says; UTC.
        fields: How many fields changed, of the first fifty changes.
        doubt: Why a restore of it needs a decision of its own, "" if it does not; cut to 500 characters.
        restorable: Whether a restore can undo the difference: only then it can be picked.
        picked: Whether it is picked.
    """

    number: int
    collection: str
    key: str
    status: str
    source: str
    confidence: str
    candidates: int
    made: datetime | None
    fields: int
    doubt: str
    restorable: bool
    picked: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the rows that a view shows.

    Attributes:
        rows: The rows.
        number: Which page it is, from 0.
        pages: How many there are, one at least.
        total: How many rows the view shows.
    """

    rows: tuple[Row, ...]
    number: int
    pages: int
    total: int


@dataclass(frozen=True, slots=True)
class Facets:
    """How many differences each value of a filter would show, the other filters being as they are.

    The most frequent comes first. Values that would show nothing are not here.

    Attributes:
        statuses: By status.
        collections: By collection.
        sources: By the id of the best version's source: the source's name, and how many.
        fields: By the path of a field that changed, positions in lists as `*`; the fifty most frequent.
        total: How many differences all filters together show.
    """

    statuses: Mapping[str, int]
    collections: Mapping[str, int]
    sources: Mapping[str, tuple[str, int]]
    fields: Mapping[str, int]
    total: int
