"""The desk: looks, decides and restores; each message of the browser is answered, and what is done leaves a record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from IPython.display import HTML, display

from recovery_nb.browse.browser import Browser
from recovery_nb.browse.masking import Masking
from recovery_nb.browse.view import View
from recovery_nb.case import Case
from recovery_nb.compare.resolve import shown
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import silent
from recovery_nb.reports.html import Markup
from recovery_nb.selection import RESTORABLE
from recovery_nb.sources.mongodb import Database
from recovery_nb.widgets.desk import jobs, kept
from recovery_nb.widgets.desk.deciding import Options
from recovery_nb.widgets.desk.doing import Doing, line_of
from recovery_nb.widgets.desk.looking import Looking
from recovery_nb.widgets.desk.picking import Picking
from recovery_nb.widgets.desk.view import DeskView
from recovery_nb.widgets.desk.wire import Json, clipped
from recovery_nb.widgets.markup import answer, pieces

__all__ = ["Desk"]

_WHILE_BUSY = frozenset({"hello", "look", "turn", "cancel"})
"""What is answered while a job is at work."""
_QUIET = frozenset({"hello", "look", "turn", "open", "close", "hide"})
"""What leaves the line in the panel as it is."""
_FEW = 20
_NOBODY = "Nobody is here to click: the parameters decide."
_WITHOUT_KERNEL = "Here was a panel to restore with, which needs its kernel. This is what it showed first."
_CUT_OFF = (
    "This page was loaded after the cell ran. What you do is done and logged in the case; run the cell again to have "
    "it in the notebook, too."
)

Action = Callable[[Mapping[str, Any]], Json]


class Desk:
    """The difference browser, and the restore from it. Show it as a cell's last expression.

    Nothing is written before a preview and a confirmation, and then exactly the previewed plan. What was done is also
    kept below the panel as static HTML, so that the saved notebook shows it without a kernel.

    Args:
        case: The case. The desk opens it for itself, so that cells can use it at the same time.
        comparison: What to restore from.
        only: The statuses that are shown first.
        on_conflict: What to do where the database holds another version; it can be changed in the panel.
        transaction: Each batch is written as a whole or not at all; it can be changed in the panel.
        interactive: Whether someone is there to click; else only a static view is shown.

    Attributes:
        browser: The differences, and what is picked of them.
        doing: What is decided and at work.

    Raises:
        BadInputError: The comparison's files cannot be read, or a parameter is not known.
    """

    def __init__(
        self,
        case: Case,
        comparison: Comparison,
        *,
        only: Sequence[str] = ("missing",),
        on_conflict: str = "skip",
        transaction: bool = False,
        interactive: bool = True,
    ) -> None:
        self.case, self.comparison, self.interactive = case, comparison, interactive
        options = Options().changed({"on_conflict": on_conflict, "transaction": transaction})
        self.view = View.of({"statuses": list(only)})
        kept_picks = case.folder / "selections" / "selected.parquet" if interactive else None
        self.browser = Browser(comparison, kept=kept_picks)
        self.looking = Looking(self.browser, self._database, masking=Masking(case.settings.masked), view=self.view)
        self.doing = Doing(case, comparison, browser=self.browser, options=options, listener=self)
        self.record = kept.Kept(kept.earlier(jobs.restores_of(case, comparison)))
        self._lock = threading.RLock()
        self._said: Json | None = None
        self._page = ""
        self._cut_off = False
        self._own: Case | None = None
        self._widget: DeskView | None = None
        self._handle: Any = None
        self._actions = self._all_actions()

    def _all_actions(self) -> dict[str, Action]:
        looking, picking, doing = self.looking, Picking(self.browser, self.looking, say=self._say), self.doing
        return {
            "hello": self._hello, "look": looking.look, "turn": looking.turn, "open": looking.open,
            "close": looking.close, "reveal": self._reveal, "hide": looking.hide,
            "pick": picking.pick, "pick matching": picking.pick_matching, "clear": picking.clear,
            "choose": picking.choose,
            "options": doing.set_options, "preview": doing.preview, "restore": doing.restore, "resume": doing.resume,
            "rollback": doing.roll_back, "cancel": doing.cancel,
        }  # fmt: skip

    # --- how it is shown --------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        if not self.interactive:
            display(HTML(self.still()))
            return
        if self._widget is None:
            self._widget = DeskView()
            self._widget.on_msg(self._heard)
        self._page, self._cut_off = "", False
        display(self._widget.bundle(html=self.still(), text=repr(self)), raw=True)
        self._handle = display(HTML(self.record.html()), display_id=True)

    def __repr__(self) -> str:
        """Return what it is, for a front end that can show nothing else."""
        return f"Desk: {pieces(len(self.browser.columns), 'difference')} of {self.comparison.summary.database}"

    def still(self) -> Markup:
        """Return what can be restored as static HTML: for a run in which nobody clicks, and for who has no kernel."""
        known = [status.value for status in RESTORABLE]
        wanted = [one for one in self.view.statuses or known if one in known]
        page = self.browser.page(View(statuses=tuple(wanted)), size=_FEW) if wanted else None
        rows = (
            [[row.status, shown(row.collection), row.key, row.source, row.doubt] for row in page.rows] if page else []
        )
        return kept.still(rows, page.total if page else 0, lead=_WITHOUT_KERNEL if self.interactive else _NOBODY)

    def close(self) -> None:
        """Wait for what is at work, and close the files and the connection."""
        self.doing.worker.wait()
        if self._own is not None:
            self._own.close()
        self.browser.close()
        if self._widget is not None:
            self._widget.close()

    # --- messages ---------------------------------------------------------------------------------------------

    def answer(self, message: Mapping[str, Any]) -> Json:
        """Return the answer to what a browser sent: what of its screen is to change, and a line where one is due.

        No exception leaves it: it becomes a line in the panel, in the record below it and in the audit log.

        Args:
            message: `do` names what is asked; `n` and `c`, a number and the view that asks, come back as they are.
        """
        name, patch = str(message.get("do")), Json()
        with self._lock:
            if name not in _QUIET:
                self._said = None
            try:
                if name not in self._actions:
                    raise BadInputError(f"nothing is known of {name!r:.60}", hint="load the page anew")
                if name not in _WHILE_BUSY:
                    self.doing.worker.refuse_while_busy()
                patch = self._actions[name](message)
            except Exception as error:  # an exception in a handler is shown nowhere else
                self.fail(name, line_of(error))
            return {**self._changed(patch), "n": message.get("n"), "c": message.get("c")}

    def _heard(self, widget: DeskView, content: Any, buffers: object) -> None:
        if isinstance(content, Mapping):
            widget.send(self.answer(content))

    def _changed(self, patch: Json) -> Json:
        """Return what changes on the screen: what was asked for, and where things stand."""
        state = {
            "picked": self.browser.picked, "revision": self.browser.revision, **self.doing.state(),
            "notes": [clipped(note, 300) for note in (*self.browser.notes, *([_CUT_OFF] if self._cut_off else []))],
            "differences": len(self.browser.columns),
            "database": clipped(self.comparison.summary.database),
        }  # fmt: skip
        return {"n": 0, "c": "", "patch": {**patch, "state": state}, "said": self._said}

    def _hello(self, message: Mapping[str, Any]) -> Json:
        """Return the whole screen: a page was loaded, or loaded anew."""
        page = str(message.get("page", ""))[:100]
        self._page = self._page or page
        # A front end forgets which of a page's outputs can be updated when the page is loaded anew.
        self._cut_off = page != self._page
        self.doing.refresh()
        return self.looking.everything()

    def _reveal(self, message: Mapping[str, Any]) -> Json:
        log = partial(self.case.audit.append, "values revealed", comparison=self.comparison.summary.id)
        return self.looking.reveal(message, log=log)

    @contextmanager
    def _database(self) -> Iterator[Database]:
        """Lend the database as it is now, by a connection of the desk's own."""
        if self.case.uri.startswith(jobs.EMBEDDED):
            self.doing.worker.refuse_while_busy()  # the job uses the same case
            with jobs.lent(self.case, silent) as case:
                yield case.database
            return
        if self._own is None:
            self._own = jobs.another(self.case)
        yield self._own.database

    # --- what a job tells, from its thread ----------------------------------------------------------------------

    def keep(self, title: str, what: Markup) -> None:
        """Keep an entry in the record below the panel."""
        with self._lock:
            self.record.add(title, what)
            if self._handle is not None:
                self._handle.update(HTML(self.record.html()))

    def say(self, text: str, *, tone: str = "pending") -> None:
        """Say a line in every view of the panel, and show what has changed."""
        with self._lock:
            self._say(text, tone=tone)
            self.show_progress()

    def show_progress(self) -> None:
        """Show in every view how far a job is."""
        with self._lock:
            if self._widget is not None:
                self._widget.send(self._changed({}))

    def fail(self, what: str, line: str) -> None:
        """Say, keep and log that something failed; who calls this shows it."""
        with self._lock:
            try:
                self.case.audit.append("panel failed", what=what, error=line)
            except RecoveryError as error:
                line = f"{line} (this is not in the audit log: {error})"
            self.keep(f"{what.capitalize()} failed", answer(line, tone="failed"))
            self._say(line, tone="failed")

    def _say(self, text: str, *, tone: str = "pending") -> None:
        self._said = {"text": clipped(text, 1_000), "tone": tone}
