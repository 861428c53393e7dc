"""How much of BSON's types the JSON texts of a source kept."""

from __future__ import annotations

import re

from recovery_nb.sources.base import Typing

__all__ = ["TypingSeen"]

# The relaxed form, too, writes NaN and the infinities as $numberDouble.
_NUMBER_WRAPPER = re.compile(rb'"\$number(?:Int"\s*:|Double"\s*:\s*"-?[0-9])')
# `JSON.stringify` writes decimals and timestamps in wrappers, too, but ids and dates as plain strings.
_WRAPPER = re.compile(
    rb'"\$(?:oid|date|binary|uuid|regex|regularExpression|code|symbol'
    rb'|dbPointer|undefined|minKey|maxKey)"\s*:'
)


class TypingSeen:
    """Learns from one text after another how much of their types they state.

    Attributes:
        typing: `PLAIN` until a wrapper is seen that only Extended JSON has, `FULL` once one of a plain number is.
    """

    def __init__(self) -> None:
        self.typing = Typing.PLAIN

    def see(self, text: bytes) -> None:
        """Look at the JSON text of one more record."""
        if self.typing is not Typing.FULL and b'"$' in text:
            if _NUMBER_WRAPPER.search(text):
                self.typing = Typing.FULL
            elif self.typing is Typing.PLAIN and _WRAPPER.search(text):
                self.typing = Typing.RELAXED
