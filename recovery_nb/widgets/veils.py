"""What static views hide: values of fields whose names say that they are no one's business.

A saved notebook goes from hand to hand. Whoever is to see these values opens the record in the desk and reveals them
there, which is logged.
"""

from __future__ import annotations

import re
from typing import Any

from recovery_nb.browse.masking import HIDDEN, Masking, Veil
from recovery_nb.settings import load_settings

__all__ = ["Veiling"]

_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:')


class Veiling:
    """Hides what a user's settings name, for one view.

    Attributes:
        met: The names whose values were hidden, in the order in which they were met.
    """

    def __init__(self) -> None:
        self._masking = Masking.of(load_settings())
        self.met: dict[str, None] = {}

    def value(self, path: str, text: str) -> str:
        """Return a value's text, hidden if its path says so, or a name within it if it is a document.

        Args:
            path: A JSON Pointer.
            text: The value for people, as `Change` holds it.
        """
        veil = Veil(self._masking)
        if text and veil.hides(path):
            self.met.update(veil.met)
            return HIDDEN
        if text[:1] in ("{", "["):
            inside = [name for name in _NAME.findall(text) if self._masking.hides(name)]
            self.met.update(dict.fromkeys(inside))
            return HIDDEN if inside else text
        return text

    def record(self, value: Any) -> Any:
        """Return JSON values with what is hidden within them."""
        if isinstance(value, list):
            return [self.record(one) for one in value]
        if not isinstance(value, dict):
            return value
        out = {}
        for name, one in value.items():
            hidden = self._masking.hides(str(name))
            self.met.update({str(name): None} if hidden else {})
            out[name] = HIDDEN if hidden else self.record(one)
        return out

    def said(self) -> str:
        """Return what was hidden, "" for nothing."""
        if not self.met:
            return ""
        return f"Hidden here: {', '.join(self.met)}. The desk reveals them; RECOVERY_NB_MASKED names what is hidden."
