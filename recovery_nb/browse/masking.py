"""Which fields are not shown before they are asked for: a look over someone's shoulder should tell no password.

What is hidden here is hidden from eyes only. A restore writes records as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from recovery_nb.settings import MASKED, Settings

__all__ = ["HIDDEN", "Masking", "Veil"]

HIDDEN = "\N{BULLET}\N{BULLET}\N{BULLET}"
"""What stands where a hidden value is, within a text that shows more than it."""

_LONGEST = 200
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


class Masking:
    """Says by a field's name whether its values are hidden.

    A name is hidden if a pattern fits it as a whole, or one of its words (`user_pin` and `userPin` have two), where
    neither case nor what separates words counts. Below a hidden field everything is hidden.

    Args:
        names: The patterns; `*` stands for any characters.
    """

    def __init__(self, names: Iterable[str] = MASKED) -> None:
        patterns = ("".join(_pattern(name)) for name in names)
        self._any = re.compile("|".join(f"(?:{one})" for one in patterns if one) or r"(?!)")
        self.hides = lru_cache(4096)(self._hides)

    def _hides(self, name: str) -> bool:
        """Return whether the values of a field of this name are hidden."""
        words = [word.lower() for word in _WORD.findall(name[:_LONGEST])]
        return any(self._any.fullmatch(one) for one in ["".join(words), *words])

    @classmethod
    def of(cls, settings: Settings) -> Masking:
        """Return what a user's settings hide."""
        return cls(settings.masked)


def _pattern(name: str) -> Iterable[str]:
    """Yield the parts of a regular expression for a pattern: runs of `*` are one, so that matching stays fast."""
    for part in re.findall(r"\*+|[^*]+", name.lower()[:_LONGEST]):
        yield ".*" if part[0] == "*" else re.escape("".join(filter(str.isalnum, part)))


class Veil:
    """What of one record is hidden, and what of it was asked for.

    Args:
        masking: Which names hide their values.
        reveal: What is shown nevertheless: JSON Pointers, with all that is below them, and names (steps of pointers).

    Attributes:
        met: The names whose values were hidden, in the order in which they were met.
    """

    def __init__(self, masking: Masking, reveal: Collection[str] = ()) -> None:
        self._masking = masking
        self._paths = {one for one in reveal if one.startswith("/") or not one}
        self._names = {one for one in reveal if one and not one.startswith("/")}
        self.met: dict[str, None] = {}

    def hides(self, path: str) -> bool:
        """Return whether the value at a JSON Pointer is hidden, and remember why."""
        hider, here = "", ""
        for step in path.split("/")[1:]:
            here = f"{here}/{step}"
            if here in self._paths or step in self._names:
                return False
            if not hider and not step.isdecimal() and self._masking.hides(step):
                hider = step
        if not hider or "" in self._paths:
            return False
        self.met[hider] = None
        return True
