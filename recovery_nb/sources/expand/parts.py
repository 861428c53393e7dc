"""What decoding gives: bytes, and the places where they do not belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Break", "Decode", "Decoded", "Readable"]


@dataclass(frozen=True, slots=True)
class Break:
    """What is decoded next does not continue what was decoded before.

    Attributes:
        reason: What is wrong, in one line, with the place in the compressed bytes.
        doubt: Why what was decoded may be wrong although it could be decoded, "" if nothing says so.
    """

    reason: str
    doubt: str = ""


class Readable(Protocol):
    """What a decoder needs of its input. It never asks for the size, which may not be known for a long time."""

    def read_at(self, position: int, length: int) -> bytes:
        """Return `length` bytes from `position` on; fewer only at the end."""
        ...


Decoded = Iterator[bytes | memoryview | Break]
"""A `memoryview` holds only until the next part is asked for: the decoder uses its buffer again."""

Decode = Callable[[Readable, int], Decoded]
"""Decodes what is readable from a position on, as far as it goes, damage or not."""
