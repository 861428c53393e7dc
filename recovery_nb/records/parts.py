"""Cutting a sequence so that no part is too much to be held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["in_parts"]

T = TypeVar("T")


def in_parts(items: Iterable[T], size: Callable[[T], int], *, most: int, most_bytes: int) -> Iterator[list[T]]:
    """Yield the items in parts of at most `most` of them and `most_bytes` bytes; a larger item is a part of its own.

    Args:
        items: The items, in order.
        size: Gives the bytes of one.
        most: The most items of a part.
        most_bytes: The most bytes of a part.
    """
    part: list[T] = []
    total = 0
    for item in items:
        length = size(item)
        if part and (len(part) == most or total + length > most_bytes):
            yield part
            part, total = [], 0
        part.append(item)
        total += length
    if part:
        yield part
