"""What of a comparison is on the screen: filters, page and record. It outlives a reload of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from recovery_nb.browse.browser import Browser
from recovery_nb.browse.detail import detail
from recovery_nb.browse.masking import Masking
from recovery_nb.browse.view import View
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.sources.mongodb import Database
from recovery_nb.widgets.desk import wire
from recovery_nb.widgets.desk.wire import Json, clipped

__all__ = ["SIZE", "Looking", "whole"]

SIZE = 50
"""How many rows a page has."""


def whole(values: Mapping[str, Any], name: str) -> int:
    """Return a number that a browser sent.

    Raises:
        BadInputError: It is none.
    """
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise BadInputError(f"{name} is no whole number", hint="send one from 0")
    return value


class Looking:
    """Answers what is asked of the differences and of one record.

    Args:
        browser: The differences, and what is picked of them.
        database: Lends the database as it is now.
        masking: Which fields are not shown until they are revealed.
        view: What is shown first.

    Attributes:
        view: What is shown.
        focus: The row whose record is open; None for none.
    """

    def __init__(
        self,
        browser: Browser,
        database: Callable[[], AbstractContextManager[Database]],
        *,
        masking: Masking,
        view: View,
    ) -> None:
        self._browser, self._database, self._masking = browser, database, masking
        self.view = view
        self.focus: int | None = None
        self._page = 0
        self._revealed: tuple[str, ...] = ()
        self._counted: tuple[object, Json] | None = None

    def everything(self) -> Json:
        """Return the whole screen, for a page that was loaded anew."""
        return {"view": wire.view(self.view), **self._shown(), **self.record()}

    def look(self, values: Mapping[str, Any]) -> Json:
        """Look at something else, from its first page on.

        Raises:
            BadInputError: The filters cannot be used.
        """
        given = values.get("view")
        self.view = View.of(given if isinstance(given, Mapping) else {"": given})
        self._page = 0
        return {"view": wire.view(self.view), **self._shown()}

    def turn(self, values: Mapping[str, Any]) -> Json:
        """Go to another page."""
        self._page = whole(values, "page")
        return {"page": self.page()}

    def page(self) -> Json:
        """Return the page that is shown."""
        found = self._browser.page(self.view, self._page, size=SIZE)
        self._page = found.number
        return wire.page(found, size=SIZE)

    def picks(self) -> Json:
        """Return what has changed on the screen because something else is picked."""
        shown = {"page": self.page()}
        if self.view.picked:
            shown |= self._facets()
        return shown if self.focus is None else {**shown, "marked": self._marked(self.focus)}

    def open(self, values: Mapping[str, Any]) -> Json:
        """Open a record; what was revealed of another one stays with that."""
        number = whole(values, "number")
        if number != self.focus:
            self._revealed = ()
        self._browser.row(number)  # there is such a row, or the one that is open stays so
        self.focus = number
        return self.record()

    def reveal(self, values: Mapping[str, Any], *, log: Callable[..., object]) -> Json:
        """Show masked fields of the open record.

        Args:
            values: What a browser sent.
            log: Logs the facts of it. Nothing is shown that cannot be logged.

        Raises:
            BadInputError: No record is open, or no such field of it is masked.
        """
        names = values.get("names")
        if self.focus is None or not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise BadInputError("nothing is named that could be revealed", hint="open a record first")
        masked = [name for name, _ in self.record()["detail"]["masked"]]
        if not names or (unknown := [name for name in names if name not in masked]):
            raise BadInputError(f"{unknown[0] if names else 'nothing'!r:.60} is not masked here", hint="name a field")
        row = self._browser.row(self.focus)
        log(collection=row.collection, key=row.key, fields=names)
        self._revealed = tuple(dict.fromkeys([*self._revealed, *names]))
        return self.record()

    def close(self, _: Mapping[str, Any]) -> Json:
        """Close the record."""
        self.focus, self._revealed = None, ()
        return self.record()

    def hide(self, _: Mapping[str, Any]) -> Json:
        """Mask again what was revealed."""
        self._revealed = ()
        return self.record()

    def record(self) -> Json:
        """Return the open record, also where the database does not answer."""
        if self.focus is None:
            return {"detail": None}
        try:
            with self._database() as database:
                return self._record(self.focus, database, note="")
        except RecoveryError as error:
            return self._record(self.focus, None, note=f"without the database: {error}")

    def _record(self, number: int, database: Database | None, *, note: str) -> Json:
        found = detail(self._browser.comparison, database, number, masking=self._masking, reveal=self._revealed)
        shown = wire.detail(
            found, of=self._browser.row(number), chosen=self._browser.chosen(number), revealed=self._revealed
        )
        return {"detail": {**shown, "note": clipped(note, 500)}}

    def _shown(self) -> Json:
        return {"page": self.page(), **self._facets()}

    def _facets(self) -> Json:
        """Return counts and times; an order and a page do not change them."""
        asked = (replace(self.view, sort="", descending=False), self._browser.revision if self.view.picked else 0)
        if self._counted is None or self._counted[0] != asked:
            counts = wire.facets(self._browser.facets(self.view), chosen=self.view)
            self._counted = (asked, {"facets": counts, "times": wire.times(self._browser.times(self.view))})
        return self._counted[1]

    def _marked(self, number: int) -> Json:
        row = self._browser.row(number)
        return {"number": number, "picked": row.picked, "chosen": self._browser.chosen(number)}
