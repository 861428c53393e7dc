"""The part of the desk that runs in the browser, and the one channel to it: messages, no synchronized data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget

__all__ = ["DeskView"]

_PARTS = ("dom.js", "filters.js", "table.js", "record.js", "decision.js", "desk.js")
"""One ES module in chapters: a widget's module can import no file beside it."""


def _text(*names: str) -> str:
    return "\n".join((Path(__file__).parent / name).read_text("utf-8") for name in names)


class DeskView(anywidget.AnyWidget):
    """Shows what it is sent.

    It holds no record in its state: what a notebook keeps of a widget is its state, and a record has no place there.
    """

    _esm = _text(*_PARTS)
    _css = _text("desk.css")

    def bundle(self, *, html: str, text: str) -> dict[str, Any]:
        """Return what is displayed: the view for who has its kernel, HTML and plain text for who has not."""
        made = self._repr_mimebundle_()
        data = dict(made[0] if isinstance(made, tuple) else made or {})
        return {**data, "text/html": html, "text/plain": text}
