"""The orders in which differences can be listed, each found once and kept while it is in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from recovery_nb.browse.columns import NO_TIME, Bools, Codes, Columns, Field
from recovery_nb.browse.view import View
from recovery_nb.compare.model import Status
from recovery_nb.compare.trust import Confidence

__all__ = ["Orders"]

_KEPT = 3
_STATUSES = (Status.MISSING, Status.CHANGED, Status.DUPLICATE, Status.CORRUPT, Status.EQUIVALENT, Status.EXTRA)
"""What is lost first, then what is in doubt, then what does no harm."""
_CONFIDENCES = (Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW)


class Orders:
    """Lists rows in the order of a view.

    Args:
        columns: The differences.
        by_key: Gives the numbers of all rows in the order of their keys.
        source_names: The names of the sources, by id.
    """

    def __init__(self, columns: Columns, *, by_key: Callable[[], Codes], source_names: dict[str, str]) -> None:
        self._columns, self._by_key, self._source_names = columns, by_key, source_names
        self._known: OrderedDict[tuple[str, bool], Codes] = OrderedDict()

    def of(self, view: View, mask: Bools) -> npt.NDArray[np.integer]:
        """Return the numbers of the rows of a mask, in the order of a view."""
        if not view.sort:
            rows = np.flatnonzero(mask)
            return rows[::-1] if view.descending else rows
        name = (view.sort, view.descending)
        if name not in self._known:
            self._known[name] = self._order(view)
        self._known.move_to_end(name)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        order = self._known[name]
        return order[mask[order]]

    def _order(self, view: View) -> Codes:
        """Return all rows in an order; rows that are equal in it stay in the order of their numbers."""
        if view.sort == "key":
            order = self._by_key()
            return order[::-1].copy() if view.descending else order
        ranks = self._ranks(view.sort)
        if view.descending:
            ranks = np.where(ranks == NO_TIME, ranks, -ranks)
        # What says nothing comes last, in either direction.
        ranks = np.where(ranks == NO_TIME, np.iinfo(np.int64).max, ranks)
        return np.argsort(ranks, kind="stable").astype(np.int32)

    def _ranks(self, sort: str) -> npt.NDArray[np.int64]:
        columns = self._columns
        if sort == "made":
            return columns.made
        if sort == "candidates":
            return columns.candidates.astype(np.int64)
        if sort == "status":
            return _ranked(columns.status, [*map(str, _STATUSES)])
        if sort == "confidence":
            return _ranked(columns.confidence, [*map(str, _CONFIDENCES)])
        if sort == "source":
            named = sorted(filter(None, columns.source.names), key=lambda one: (self._source_names.get(one, one), one))
            return _ranked(columns.source, named)
        return _ranked(columns.collection, sorted(columns.collection.names))


def _ranked(field: Field, names: list[str]) -> npt.NDArray[np.int64]:
    places = {name: place for place, name in enumerate(names)}
    ranks = np.array([places.get(name, NO_TIME) for name in field.names], np.int64)
    return ranks[field.codes] if len(field.names) else np.zeros(0, np.int64)
