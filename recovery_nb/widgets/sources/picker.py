"""The source picker: shows what a scan found, and keeps in the case which sources take part in what follows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from IPython.display import HTML, display

from recovery_nb.case import Case, Scan
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.reports import Report
from recovery_nb.reports.html import Markup, join, table
from recovery_nb.verbs.choice import catalogued_ids, left_out
from recovery_nb.widgets import views
from recovery_nb.widgets.desk.kept import Kept
from recovery_nb.widgets.desk.wire import Json, clipped
from recovery_nb.widgets.markup import answer, pieces
from recovery_nb.widgets.session import is_interactive
from recovery_nb.widgets.sources import telling
from recovery_nb.widgets.sources.coverage import coverage, html
from recovery_nb.widgets.sources.lines import Line, Order, is_there, lines, ordered
from recovery_nb.widgets.sources.view import PickerView

__all__ = ["SourcePicker"]

_PAGE = 20
_LISTED = 50
_QUIET = frozenset({"hello", "look"})
"""What leaves the line in the panel as it is."""
_EARLIER = (
    "The last rows are of earlier scans of this case. A comparison in this session takes the sources of this scan; "
    "one in a later session takes those, too."
)
_NONE = "No source takes part: a comparison that names none will be refused."
_CUT_OFF = (
    "This page was loaded after the cell ran. What you choose is kept and logged in the case; run the cell again to "
    "have it in the notebook, too."
)


class SourcePicker:
    """What was found, how trustworthy and how old it is, and a choice of what takes part. Show it as a last expression.

    The choice is kept in the case, so that a comparison takes it that names no sources, in another session, too. Each
    change is told below the panel as static HTML: the saved notebook shows it without a kernel.

    Args:
        case: The case.
        scan: What was found.
        report: What the database holds, and which collections it takes nameless records for; None for neither.
        interactive: Whether someone is there to click; else only a static view is shown. None finds out.

    Attributes:
        scan: What was found, with what the report explains.
        lines: The sources, a line each.
        coverage: Which source holds how much of which collection.
    """

    def __init__(
        self, case: Case, scan: Scan, report: Report | None = None, *, interactive: bool | None = None
    ) -> None:
        self.case, self.interactive = case, is_interactive(interactive)
        self.scan = scan.explained_by(report) if report else scan
        self.lines = lines(case, self.scan, database=report.database.name if report else "")
        self.coverage = coverage(self.lines, report)
        self.order, self.page = Order(), 0
        self.record = Kept(Markup())
        self._by_id = {line.entry.id: line for line in self.lines}
        self._said: Json | None = None
        self._page_id = ""
        self._cut_off = False
        self._widget: PickerView | None = None
        self._handle: Any = None
        self._actions: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "hello": self._hello, "look": self._look, "take": self._take, "take matching": self._take_matching,
        }  # fmt: skip

    # --- how it is shown --------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        if not self.interactive:
            display(HTML(self.still()))
            return
        if self._widget is None:
            self._widget = PickerView()
            self._widget.on_msg(self._heard)
        display(self._widget.bundle(html=self.still(), text=repr(self)), raw=True)
        self._handle = display(HTML(self.record.html()), display_id=True)

    def __repr__(self) -> str:
        """Return what it is, for a front end that can show nothing else."""
        return f"SourcePicker: {self.scan.headline} {self._standing()[0]}"

    def still(self) -> Markup:
        """Return all of it as static HTML: for a run in which nobody clicks, and for who has no kernel."""
        shown = ordered(self.lines, Order())
        return join(views.sources(self.scan), html(self.coverage, shown), self._choice())

    def close(self) -> None:
        """Take the panel away."""
        if self._widget is not None:
            self._widget.close()

    # --- messages ---------------------------------------------------------------------------------------------

    def answer(self, message: Mapping[str, Any]) -> Json:
        """Return the whole screen, after what a browser asked for is done, and a line where one is due.

        No exception leaves it: it becomes a line in the panel, in the record below it and in the audit log.

        Args:
            message: `do` names what is asked; `n` and `c`, a number and the view that asks, come back as they are.
        """
        name = str(message.get("do"))
        if name not in _QUIET:
            self._said = None
        try:
            if name not in self._actions:
                raise BadInputError(f"nothing is known of {name!r:.60}", hint="load the page anew")
            self._actions[name](message)
        except Exception as error:  # an exception in a handler is shown nowhere else
            self._fail(name, str(error) if isinstance(error, RecoveryError) else f"{type(error).__name__}: {error}")
        return {"n": message.get("n"), "c": message.get("c"), "screen": self._screen(), "said": self._said}

    def _heard(self, widget: PickerView, content: Any, buffers: object) -> None:
        if isinstance(content, Mapping):
            widget.send(self.answer(content))

    def _screen(self) -> Json:
        matching, now = ordered(self.lines, self.order), datetime.now(UTC)
        out, notes = self._left_out()
        pages = max(1, -(-len(matching) // _PAGE))
        self.page = min(self.page, pages - 1)
        first = self.page * _PAGE
        shown = matching[first : first + _PAGE]

        def state(line: Line) -> str:
            return "gone" if not is_there(line.entry.path) else "left out" if line.entry.id in out else "taken"

        standing, tone = self._standing()
        notes += [_EARLIER] if any(line.earlier for line in self.lines) else []
        notes += [_CUT_OFF] if self._cut_off else []
        return {
            "headline": clipped(self.scan.headline, 300), "standing": standing, "tone": tone, "notes": notes,
            "order": {"text": self.order.text, "sort": self.order.sort, "descending": self.order.descending},
            "rows": [telling.row(line, state=state(line), now=now) for line in shown],
            "number": self.page, "pages": pages, "total": len(matching), "of": len(self.lines),
            "first": first + 1 if shown else 0, "last": first + len(shown),
            "grid": telling.grid(self.coverage, shown, state=state), "aside": telling.aside(self.scan),
        }  # fmt: skip

    def _hello(self, message: Mapping[str, Any]) -> None:
        """A page was loaded, or loaded anew."""
        page = str(message.get("page", ""))[:100]
        self._page_id = self._page_id or page
        # A front end forgets which of a page's outputs can be updated when the page is loaded anew.
        self._cut_off = page != self._page_id

    def _look(self, message: Mapping[str, Any]) -> None:
        order, page = message.get("order", {}), message.get("page", 0)
        if not isinstance(order, Mapping) or not isinstance(page, int) or isinstance(page, bool) or page < 0:
            raise BadInputError("this page of sources is not known", hint="load the page anew")
        self.order, self.page = self.order.changed(order), page

    def _take(self, message: Mapping[str, Any]) -> None:
        ids = message.get("ids")
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise BadInputError("no source is named", hint="load the page anew")
        self._choose([self._by_id[one] for one in ids if one in self._by_id], message.get("on"))

    def _take_matching(self, message: Mapping[str, Any]) -> None:
        self._choose(ordered(self.lines, self.order), message.get("on"))

    # --- the choice -------------------------------------------------------------------------------------------

    def _choose(self, wanted: Collection[Line], on: object) -> None:
        """Let sources take part or leave them out, and keep it; what is gone stays as it is."""
        if not isinstance(on, bool):
            raise BadInputError("it is not said whether the sources take part", hint="load the page anew")
        able = [line for line in wanted if is_there(line.entry.path)]
        before, _ = self._left_out()
        ids = {line.entry.id for line in able}
        after = before - ids if on else before | ids
        changed = [line for line in able if (line.entry.id in before) is not (line.entry.id in after)]
        if changed:
            every = catalogued_ids(self.case.catalog)
            self.case.choose_sources(every - after if after else None)
            self._keep("Taken again" if on else "Left out", changed)
        if len(able) < len(wanted):
            gone = pieces(len(wanted) - len(able), "source is", "sources are")
            self._say(f"{gone} not there any more, and cannot be chosen.", tone="partial")
        elif not self._taking() and self.lines:
            self._say(_NONE, tone="partial")

    def _left_out(self) -> tuple[frozenset[str], list[str]]:
        """Return what is left out as the case has it now, and why that is not known: another panel may choose, too."""
        try:
            return left_out(self.case.folder), []
        except BadInputError as error:
            return frozenset(), [clipped(str(error), 600)]

    def _taking(self) -> list[Line]:
        out, _ = self._left_out()
        return [line for line in self.lines if line.entry.id not in out and is_there(line.entry.path)]

    def _standing(self) -> tuple[str, str]:
        """Return how many sources take part, and how the matter stands."""
        if not self.lines:
            return "", "failed"
        taking = self._taking()
        if not taking:
            return _NONE, "failed"
        records = pieces(sum(line.entry.records for line in taking), "record")
        if len(taking) == len(self.lines):
            tone = "partial" if self.scan.damaged else "success"
            return f"All {pieces(len(taking), 'source')} take part." if len(taking) > 1 else "It takes part.", tone
        verb = "takes" if len(taking) == 1 else "take"
        return f"{len(taking):,} of {pieces(len(self.lines), 'source')} {verb} part, with {records}.", "partial"

    def _choice(self) -> Markup:
        """Show which sources take part, and which are left out."""
        out, notes = self._left_out()
        left = [line.path for line in self.lines if line.entry.id in out]
        gone = [line.path for line in self.lines if line.entry.id not in out and not is_there(line.entry.path)]
        rows = [*([path, "left out by choice"] for path in left), *([path, "gone since the scan"] for path in gone)]
        standing, tone = self._standing()
        return join(
            answer(standing, tone=tone) if standing else "",
            table(["source", "takes no part"], rows, total=len(rows), limit=_LISTED) if rows else "",
            *notes,
        )

    def _keep(self, title: str, changed: Collection[Line]) -> None:
        rows = ([line.path, line.entry.records] for line in changed)
        what = table(["source", "records"], rows, total=len(changed), caption=title, limit=_LISTED)
        self._add("Sources chosen", join(what, self._choice()))

    def _add(self, title: str, what: Markup) -> None:
        self.record.add(title, what)
        if self._handle is not None:
            self._handle.update(HTML(self.record.html()))

    def _fail(self, what: str, line: str) -> None:
        try:
            self.case.audit.append("panel failed", what=what, error=line)
        except RecoveryError as error:
            line = f"{line} (this is not in the audit log: {error})"
        self._add("Not chosen", answer(line, tone="failed"))
        self._say(line, tone="failed")

    def _say(self, text: str, *, tone: str) -> None:
        self._said = {"text": clipped(text, 1_000), "tone": tone}
