"""What a browser asks to be selected, for a restore."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from recovery_nb.browse.browser import Browser
from recovery_nb.errors import BadInputError
from recovery_nb.widgets.desk.looking import Looking, whole
from recovery_nb.widgets.desk.wire import Json, clipped
from recovery_nb.widgets.markup import pieces

__all__ = ["Picking"]

_MOST = 1_000
"""How many rows can be named at a time: more than a page has."""


class Say(Protocol):
    """Says a line in the panel."""

    def __call__(self, text: str, *, tone: str = "pending") -> None:
        """Say it."""


class Picking:
    """Selects rows, and versions of records.

    Args:
        browser: Holds what is picked.
        looking: What is shown.
        say: Says a line in the panel.
    """

    def __init__(self, browser: Browser, looking: Looking, *, say: Say) -> None:
        self._browser, self._looking, self._say = browser, looking, say

    def pick(self, values: Mapping[str, Any]) -> Json:
        """Select some rows, or no longer.

        Raises:
            BadInputError: No rows are named.
        """
        numbers, on = values.get("numbers"), values.get("on")
        if not isinstance(on, bool) or not isinstance(numbers, list) or not 0 < len(numbers) <= _MOST:
            raise BadInputError("nothing is named that could be selected", hint="send numbers of rows, and on or off")
        wanted = [whole({"number": one}, "number") for one in numbers]
        if left := self._browser.pick(wanted, on=on):
            self._say(f"{pieces(left, 'row')} cannot be selected: no restore can undo such a difference.")
        return self._looking.picks()

    def pick_matching(self, _: Mapping[str, Any]) -> Json:
        """Select all that the filters show, but for what is in doubt."""
        found = self._browser.pick_matching(self._looking.view)
        lines = [f"{pieces(found.picked, 'record')} of what is shown selected."]
        if found.doubtful:
            lines.append(
                f"{pieces(found.doubtful, 'record')} left out: the database's version is newer or the source is in "
                "doubt. Select them one by one if you want them."
            )
        if found.not_restorable:
            lines.append(f"{found.not_restorable:,} left out: no restore can undo such a difference.")
        self._say(" ".join(lines), tone="partial" if found.doubtful else "pending")
        return self._looking.picks()

    def clear(self, _: Mapping[str, Any]) -> Json:
        """Select nothing."""
        self._browser.clear()
        return self._looking.picks()

    def choose(self, values: Mapping[str, Any]) -> Json:
        """Select a record, and another version of it than the best."""
        number, rank = whole(values, "number"), whole(values, "rank")
        self._browser.choose(number, rank)
        self._say(f"Version {rank} of {clipped(self._browser.row(number).key, 160)} is selected.")
        return self._looking.picks()
