"""What was decided and done, as static HTML below the panel: the saved notebook tells it without a kernel."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from recovery_nb.browse.browser import Browser
from recovery_nb.compare.resolve import shown
from recovery_nb.reports.html import Markup, facts, join, table
from recovery_nb.restore import RestoreInfo
from recovery_nb.widgets import views
from recovery_nb.widgets.desk.deciding import Previewed
from recovery_nb.widgets.desk.jobs import Outcome
from recovery_nb.widgets.markup import answer, pieces

__all__ = ["Kept", "earlier", "previewed", "still", "verified"]

_ENTRIES = 20
_BYTES = 400_000
_NOTHING = "Nothing has been done with this panel yet."
_FEW = 20


class Kept:
    """The entries, the newest of them whole, the others counted.

    Args:
        before: What is told first: what was done before this panel was there.
    """

    def __init__(self, before: Markup) -> None:
        self._before = before
        self._entries: deque[Markup] = deque()
        self._left_out = 0

    def add(self, title: str, what: Markup) -> None:
        """Keep one entry, with the time."""
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        head = Markup(f'<h4>{escape(title)}<span style="font-weight: normal; opacity: 0.75"> · {now}</span></h4>')
        self._entries.append(join(head, what))
        while len(self._entries) > _ENTRIES or (sum(map(len, self._entries)) > _BYTES and len(self._entries) > 1):
            self._entries.popleft()
            self._left_out += 1

    def html(self) -> Markup:
        """Return all of it."""
        earlier = pieces(self._left_out, "earlier entry is", "earlier entries are")
        left = [f"{earlier} in the audit log of the case."] if self._left_out else []
        return join(self._before, *left, *(self._entries or [_NOTHING]))


def previewed(browser: Browser, one: Previewed) -> Markup:
    """Show what was selected, and what would come of it."""
    counts = [
        [shown(name), status, count]
        for name, by_status in browser.picked_counts().items()
        for status, count in by_status.items()
    ]
    options = one.options
    return join(
        views.planned(one.plan),
        views.preview(one.found),
        table(["collection", "status", "records"], counts, total=len(counts), caption="Selected", limit=_FEW),
        facts({
            "selection": f"{one.keys} (as restore --keys takes it)",
            "each batch wholly or not at all": "yes" if options.transaction else "no",
            **({"mark": options.mark} if options.mark else {}),
        }),
    )  # fmt: skip


def verified(one: Outcome) -> Markup:
    """Show whether what was restored holds."""
    return views.verified(one.checked) if one.checked else answer(f"Not verified: {one.unchecked}", tone="failed")


def earlier(infos: Sequence[RestoreInfo]) -> Markup:
    """Show the restores that were made from a comparison before, the newest first; nothing where there are none."""
    if not infos:
        return Markup()
    rows = [
        [info.id, info.started, info.state.value, *(info.counts.get(name, 0) for name in ("restored", "failed"))]
        for info in infos[:_FEW]
    ]
    heads = ["restore", "began", "state", "restored", "failed"]
    return table(heads, rows, total=len(infos), caption="Restores from this comparison")


def still(rows: Sequence[Sequence[object]], total: int, *, lead: str) -> Markup:
    """Show what can be restored to who cannot click, and why that is so."""
    heads = ["status", "collection", "key", "source", "doubt"]
    return join(
        lead,
        table(heads, rows, total=total, caption="What can be restored", limit=_FEW),
    )
