"""The panel to restore with: pick records, preview, confirm, restore, verify, roll back; each click leaves a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import Any

import ipywidgets as ipw
from IPython.display import HTML, display

from recovery_nb.case import Case
from recovery_nb.compare.resolve import shown
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError, ConflictError, RecoveryError
from recovery_nb.events import Event
from recovery_nb.reports.html import Markup, join, table
from recovery_nb.restore.apply import RestoreResult
from recovery_nb.restore.plan import OnConflict, Plan
from recovery_nb.selection import RESTORABLE
from recovery_nb.widgets import views
from recovery_nb.widgets.markup import answer, pieces
from recovery_nb.widgets.picking import PAGE, Picking, Row, rows_of
from recovery_nb.widgets.progress import bar

__all__ = ["RestorePanel"]

_WIDE = {"width": "99%"}
_SPACE = "\N{NO-BREAK SPACE}"
_COLUMNS = "<style>.recovery-nb-differences select { font-family: monospace }</style>"
_NOTHING = "nothing has been done with this panel yet"


class RestorePanel:
    """A panel over one comparison. Show it as a cell's last expression.

    Nothing is written before a preview and a confirmation, and then exactly the previewed plan. What was done is also
    kept below the panel as static HTML, so that the saved notebook shows it without a kernel.

    Args:
        case: The case.
        comparison: What to restore from.
        only: The statuses that are shown first.
        on_conflict: What to do where the database holds another version; it can be changed in the panel.
        transaction: Each batch is written as a whole or not at all.
        interactive: Whether someone is there to click; else only a static view is shown.
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
        self.case, self.comparison = case, comparison
        self.transaction, self.interactive = transaction, interactive
        self.picking = Picking(rows_of(comparison))
        self.plan: Plan | None = None
        self.result: RestoreResult | None = None
        self._previewed = (-1, "")
        self._log: list[Markup] = []
        self._filling = False
        self._handle: Any = None
        self._make(list(only), OnConflict(on_conflict))
        self._filter()

    def _ipython_display_(self) -> None:
        if not self.interactive:
            display(HTML(self._still()))
            return
        display(self.box)
        self._handle = display(HTML(self._record()), display_id=True)

    # --- what it looks like -----------------------------------------------------------------------------------

    def _make(self, only: list[str], on_conflict: OnConflict) -> None:
        names = sorted({row.collection for row in self.picking.rows})
        known = [status.value for status in RESTORABLE]
        # Options are (label, value): a front end sets labels as text, never as HTML.
        self.collection = ipw.Dropdown(
            options=[("all collections", ""), *((shown(name), name) for name in names)], value=""
        )
        self.statuses = {status: ipw.Checkbox(value=status in only, description=status, indent=False,
                                              layout={"width": "110px"}) for status in known}  # fmt: skip
        self.text = ipw.Text(placeholder="part of a key", layout={"width": "220px"})
        self.list = ipw.SelectMultiple(rows=14, layout=_WIDE)
        self.list.add_class("recovery-nb-differences")
        self.state = ipw.HTML()
        self.conflict = ipw.Dropdown(options=[(f"on conflict: {one.value}", one.value) for one in OnConflict],
                                     value=on_conflict.value)  # fmt: skip
        self.confirm = ipw.Text(placeholder="preview first", disabled=True, layout={"width": "220px"})
        self.message = ipw.HTML()
        self.buttons = {
            "previous": self._button("Previous page", partial(self._turn, -1)),
            "next": self._button("Next page", partial(self._turn, 1)),
            "all": self._button("Select all matching", self._pick_matching),
            "none": self._button("Select none", self._clear),
            "preview": self._button("Preview", self._preview, style="primary"),
            "restore": self._button("Restore", self._restore, style="success"),
            "rollback": self._button("Roll back", self._rollback, style="danger"),
        }
        for widget in (self.collection, self.text, *self.statuses.values()):
            widget.observe(lambda _: self._guarded("filter", self._filter), "value")
        self.list.observe(self._picked, "value")
        self.conflict.observe(lambda _: self._touch(), "value")
        self.confirm.observe(lambda _: self._touch(), "value")
        button = self.buttons
        self.box = ipw.VBox([
            ipw.HTML(_COLUMNS),
            ipw.HBox([self.collection, *self.statuses.values(), self.text]),
            self.list,
            ipw.HBox([button["previous"], button["next"], button["all"], button["none"], self.state]),
            ipw.HBox([self.conflict, button["preview"], self.confirm, button["restore"], button["rollback"]]),
            self.message,
        ])  # fmt: skip
        self.box.add_class("recovery-nb-restore")

    def _button(self, text: str, act: Callable[[], None], *, style: str = "") -> Any:
        button = ipw.Button(description=text, button_style=style)
        button.on_click(lambda _: self._guarded(text, act))
        return button

    def _refresh(self) -> None:
        """Show the page that the filter and the buttons ask for."""
        picking = self.picking
        width = max((len(shown(row.collection)) for row in picking.rows), default=0)
        self._filling = True
        try:
            self.list.options = [(_label(picking.rows[number], width), number) for number in picking.shown]
            self.list.value = tuple(number for number in picking.shown if number in picking.picked)
        finally:
            self._filling = False
        self._touch()

    def _count(self) -> None:
        picking = self.picking
        first, found = picking.page * PAGE, pieces(len(picking.matching), "difference")
        page = f"{first + 1:,} to {first + len(picking.shown):,} of {found}" if picking.shown else "nothing matches"
        self.state.value = join(f"{page}; {len(picking.picked):,} selected")

    def _touch(self) -> None:
        """Say what is picked, and let only those buttons work that make sense now."""
        self._count()
        plan, picking, button = self.plan, self.picking, self.buttons
        fresh = plan is not None and self._previewed == (picking.revision, self.conflict.value)
        count = plan.to_write if plan is not None and fresh else 0
        self.confirm.disabled = not count
        self.confirm.placeholder = f"type {count} to confirm" if count else "preview first"
        button["restore"].description = f"Restore {count:,}" if count else "Restore"
        button["restore"].disabled = not count or self.confirm.value.strip() != str(count)
        button["preview"].disabled = not picking.picked
        button["rollback"].disabled = self.result is None
        button["all"].disabled = not picking.matching
        button["none"].disabled = not picking.picked
        button["previous"].disabled = picking.page == 0
        button["next"].disabled = picking.page >= picking.pages - 1

    # --- what its parts do ------------------------------------------------------------------------------------

    def _filter(self) -> None:
        statuses = [status for status, box in self.statuses.items() if box.value]
        self.picking.filter(collection=self.collection.value, statuses=statuses, text=self.text.value.strip())
        self._refresh()

    def _picked(self, change: Any) -> None:
        # New options empty the list's value: that is not the analyst's doing.
        if not self._filling:
            self.picking.pick(change["new"])
            self._touch()

    def _turn(self, pages: int) -> None:
        self.picking.turn(pages)
        self._refresh()

    def _pick_matching(self) -> None:
        left = self.picking.pick_matching()
        self._refresh()
        if left:
            self._say(f"{pieces(left, 'record')} left out: the database's version is newer or the source is in doubt. "
                      "Select them one by one if you want them.", tone="partial")  # fmt: skip

    def _clear(self) -> None:
        self.picking.clear()
        self._refresh()

    def _preview(self) -> None:
        plan = self.case.plan(self.comparison, keys=self.picking.choices(), on_conflict=self.conflict.value,
                              transaction="batch" if self.transaction else "")  # fmt: skip
        found = self.case.restore(plan, self.comparison, dry_run=True)
        self.plan, self._previewed = plan, (self.picking.revision, self.conflict.value)
        self.confirm.value = ""
        self._keep("Preview", join(views.planned(plan), views.preview(found)))
        self._say(f"Previewed: {pieces(plan.to_write, 'record')} would be written. Type {plan.to_write} to confirm.")

    def _restore(self) -> None:
        plan = self.plan
        if plan is None or self._previewed != (self.picking.revision, self.conflict.value):
            raise ConflictError("the selection has changed since the preview", hint="preview again")
        if self.confirm.value.strip() != str(plan.to_write):
            raise BadInputError("the restore is not confirmed", hint=f"type {plan.to_write} into the field")
        if Plan.load(plan.path).digest != plan.digest:
            raise ConflictError("the plan is not the one that was previewed", hint="preview again")
        # A plan is applied once: a second click finds none.
        self.plan = None
        self.result = self.case.restore(plan, self.comparison)
        self._keep("Restore", views.restored(self.case, self.result))
        checked = self.case.verify(self.result.restore_id)
        self._keep("Verification", views.verified(checked))
        outcome = "verified" if checked.ok else "the verification found problems"
        self._say(f"{pieces(self.result.restored, 'record')} restored, {outcome}.",
                  tone="success" if checked.ok and self.result.success else "failed")  # fmt: skip

    def _rollback(self) -> None:
        if self.result is None:
            raise BadInputError("nothing was restored with this panel", hint="restore first")
        undone = self.case.rollback(self.result.restore_id)
        self.result = None
        self._keep("Rollback", views.rolled_back(undone))
        self._say(f"{pieces(undone.reverted, 'record')} rolled back.", tone="failed" if undone.failed else "success")

    # --- what is said and kept --------------------------------------------------------------------------------

    def _guarded(self, what: str, act: Callable[[], None]) -> None:
        """Run what a click asks for: no error is lost, and no button works while another does."""
        emit, self.case.emit = self.case.emit, self._hear
        self.message.value = ""
        for button in self.buttons.values():
            button.disabled = True
        try:
            act()
        except Exception as error:  # an exception in a handler is shown nowhere else
            line = str(error) if isinstance(error, RecoveryError) else f"{type(error).__name__}: {error}"
            self._say(line, tone="failed")
            self._keep(what, answer(line, tone="failed"))
            self.case.audit.append("panel failed", what=what, error=line)
        finally:
            self.case.emit = emit
            # Another notebook may need the embedded server; the next click opens it again.
            self.case.close()
            self._touch()

    def _hear(self, event: Event) -> None:
        self.message.value = bar(event)

    def _say(self, text: str, *, tone: str = "pending") -> None:
        self.message.value = answer(text, tone=tone)

    def _keep(self, title: str, what: Markup) -> None:
        self._log.append(join(Markup(f"<h4>{escape(title)}</h4>"), what))
        if self._handle is not None:
            self._handle.update(HTML(self._record()))

    def _record(self) -> str:
        return join(*self._log) if self._log else join(_NOTHING)

    def _still(self) -> str:
        """Return what can be restored as a table, for a run in which nobody clicks."""
        wanted = [status for status, box in self.statuses.items() if box.value]
        rows = [row for row in self.picking.rows if row.status in wanted]
        cells = ([row.status, shown(row.collection), row.key, row.source, row.doubt] for row in rows)
        return join(
            "Nobody is here to click: the parameters decide.",
            table(["status", "collection", "key", "source", "doubt"], cells, total=len(rows),
                  caption="What can be restored", limit=20),
        )  # fmt: skip


def _label(row: Row, width: int) -> str:
    """Return a row as a line of columns; a list of options collapses ordinary spaces."""
    mark = f"  ⚠ {row.doubt}" if row.doubt else ""
    text = f"{row.status:<10} {shown(row.collection):<{width}}  {row.key:<26}  {row.source}{mark}"
    return "".join(one if one.isprintable() else "·" for one in text).replace(" ", _SPACE)
