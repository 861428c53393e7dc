"""The part of the picker that runs in the browser: the desk's look and helpers, and a screen of its own."""

from __future__ import annotations

from pathlib import Path

from recovery_nb.widgets.desk.view import DeskView

__all__ = ["PickerView"]

_HERE = Path(__file__).parent
_DESK = _HERE.parent / "desk"


def _text(*paths: Path) -> str:
    return "\n".join(path.read_text("utf-8") for path in paths)


class PickerView(DeskView):
    """Shows what it is sent, as the desk's view does: by messages, and with no data in its state."""

    _esm = _text(_DESK / "dom.js", _HERE / "lines.js", _HERE / "picker.js")
    _css = _text(_DESK / "desk.css", _HERE / "picker.css")
