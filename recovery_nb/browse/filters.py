"""Which differences a view shows, and what each filter would leave if it alone were another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recovery_nb.browse.columns import NO_TIME, Bools, Columns
from recovery_nb.browse.view import View
from recovery_nb.reports.windows import milliseconds

__all__ = ["Filters"]


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of one view, each as the rows that it lets through.

    Attributes:
        rest: What all filters let through but those that have counts of their own, and time.
        time: What the filter by time lets through; None where there is none.
        by_name: What each filter lets through that has counts of its own; those that filter nothing are not here.
    """

    rest: Bools
    time: Bools | None
    by_name: dict[str, Bools]

    @classmethod
    def of(cls, view: View, columns: Columns, *, picked: Bools, with_text: Callable[[str], Bools]) -> Filters:
        """Return the filters of a view.

        Args:
            view: What is looked at.
            columns: The differences.
            picked: Which of them are picked.
            with_text: Says which rows have a text in what is kept in the file.
        """
        rest = np.ones(len(columns), np.bool_)
        if view.text:
            named = tuple(name for name in columns.collection.names if view.text.lower() in name.lower())
            rest &= with_text(view.text) | columns.collection.is_any(named)
        if view.picked:
            rest &= picked
        if view.doubtful:
            rest &= columns.doubtful
        by_name = {}
        if view.statuses:
            by_name["statuses"] = columns.status.is_any(view.statuses)
        if view.collections:
            by_name["collections"] = columns.collection.is_any(view.collections)
        if view.sources:
            by_name["sources"] = columns.source.is_any(view.sources)
        if view.field:
            by_name["field"] = columns.with_field(view.field)
        return cls(rest, _in_time(view, columns), by_name)

    def all_but(self, *names: str) -> Bools:
        """Return the rows that all filters let through, but for those of these names ("time" is one)."""
        found = self.rest.copy()
        if self.time is not None and "time" not in names:
            found &= self.time
        for name, mask in self.by_name.items():
            if name not in names:
                found &= mask
        return found


def _in_time(view: View, columns: Columns) -> Bools | None:
    if view.since is None and view.until is None:
        return None
    found: Bools = columns.made != NO_TIME
    if view.since is not None:
        found &= columns.made >= milliseconds(view.since)
    if view.until is not None:
        found &= columns.made < milliseconds(view.until)
    return found
