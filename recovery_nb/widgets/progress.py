"""How far a verb is, shown below the cell that runs it; its last state stays in the notebook's file."""

from __future__ import annotations

import threading
import time
from html import escape
from typing import Any

from IPython import get_ipython
from IPython.display import HTML, display

from recovery_nb.events import Emit, Event, silent

__all__ = ["bar", "progress"]

_EVERY_SECONDS = 0.25


def progress() -> Emit:
    """Return what shows events as an HTML `<progress>`; silent where there is no kernel.

    One bar for each verb and cell, updated four times a second at most; when the cell has ended it says how long
    that took.
    """
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return silent
    shown = _Shown(shell)
    shell.events.register("post_run_cell", shown.ended)
    return shown.hear


def bar(event: Event) -> str:
    """Return an event as HTML that needs no script: the verb, what it works on, how far it is."""
    limits = f' value="{min(event.done, event.total)}" max="{event.total}"' if event.total else ""
    of = f" of {event.total:,}" if event.total > event.done else ""
    said = f"{event.verb} · {event.what} · {event.done:,}{of} {event.unit}"
    return _line(f"<progress{limits}></progress> {escape(said)}", event.note)


class _Shown:
    """The bar of one cell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._place: tuple[int, str] | None = None
        self._handle: Any = None
        self._notes: dict[str, None] = {}
        self._began = self._next = 0.0

    def hear(self, event: Event) -> None:
        with self._lock:
            now = time.monotonic()
            place = (self._shell.execution_count, event.verb)
            if place != self._place:
                self._sum_up()
                self._place, self._began = place, now
            if event.note:
                self._notes[event.note] = None
            if now >= self._next:
                self._next = now + _EVERY_SECONDS
                self._show(bar(event))

    def ended(self, *_: object) -> None:
        """Leave in the file that it was done."""
        with self._lock:
            self._sum_up()

    def _sum_up(self) -> None:
        if self._place is not None:
            said = f"{self._place[1]} · done in {time.monotonic() - self._began:.1f} s"
            self._show(_line(f'<progress value="1" max="1"></progress> {escape(said)}', "; ".join(self._notes)))
        self._forget()

    def _show(self, markup: str) -> None:
        if self._handle is None:
            self._handle = display(HTML(markup), display_id=True)
        else:
            self._handle.update(HTML(markup))


def _line(markup: str, note: str) -> str:
    remark = f"<br>{escape(note)}" if note else ""
    return f'<div style="color: inherit; opacity: 0.75; font-size: 90%">{markup}{remark}</div>'
