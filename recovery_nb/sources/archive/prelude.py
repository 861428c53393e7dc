"""The prelude of an archive: which collections it holds, and what their options and indexes were."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.sources.archive.format import (
    MAGIC,
    TERMINATOR,
    Listing,
    Namespace,
    Preface,
    border,
    listing,
    preface,
)
from recovery_nb.sources.archive.search import Search, Window
from recovery_nb.sources.content import Content

__all__ = ["Prelude", "read_prelude"]

_LENGTH = struct.Struct("<i")
_LOST = "the beginning of an archive, which cannot be read"
_MOST_BYTES = 256 * 1024 * 1024
"""A prelude longer than this is none: it bounds memory."""


@dataclass(frozen=True, slots=True)
class Prelude:
    """What stands before the first block.

    Attributes:
        preface: The versions; None where that is lost.
        listings: Each collection, in the archive's order.
        end: Where the blocks begin; where the first of them is damaged too, where reading goes on.
        lost: Stretches of the prelude that could not be read: offset, length, reason.
        at_border: Whether a block's header is expected at `end`; else it is a document of an unknown collection.
    """

    preface: Preface | None
    listings: list[Listing]
    end: int
    lost: list[tuple[int, int, str]] = field(default_factory=list)
    at_border: bool = True

    @property
    def whole(self) -> bool:
        """Whether it lists every collection for certain."""
        return not self.lost

    def expected(self) -> set[Namespace]:
        """Return the namespaces that have documents in the archive, as far as it lists them."""
        return {data for entry in self.listings if (data := entry.data())}


def read_prelude(content: Content) -> Prelude:
    """Read the prelude; of a damaged one, what is left.

    Args:
        content: The archive.
    """
    window = Window(content)
    search = Search(window, prelude=True)
    lost: list[tuple[int, int, str]] = []
    listings: list[Listing] = []
    first: Preface | None = None
    at = len(MAGIC)
    if window.read(0, at) != MAGIC:
        at = at if preface(_document(window, at)) else search.next(0)
        lost.append((0, at, _LOST))
    while at < _MOST_BYTES:
        document = _document(window, at)
        if window.read(at, len(TERMINATOR)) == TERMINATOR:
            return Prelude(first, listings, at + len(TERMINATOR), lost)
        if entry := listing(document):
            listings.append(entry)
        elif head := preface(document):
            first = head
        elif border(document):
            return Prelude(first, listings, at, lost or [(at, 0, "a prelude that does not end")])
        elif lost and at == sum(lost[-1][:2]):
            return Prelude(first, listings, at, lost, at_border=False)  # a record: blocks have begun
        else:
            extent = search.extent(at)
            end = extent.stop if extent else search.next(at + 1)
            lost.append((at, end - at, _LOST))
            at = end
            continue
        at += len(document)
    return Prelude(first, listings, at, [*lost, (at, 0, "a prelude that does not end")], at_border=False)


def _document(window: Window, at: int) -> bytes:
    """Return the document at `at` by its length prefix and last byte; b"" if none is there."""
    if window.need(at, 5) < 5:
        return b""
    (length,) = _LENGTH.unpack_from(window.data, at - window.base)
    if not 5 <= length <= MAX_RECORD_BYTES or window.need(at, length) < length:
        return b""
    start = at - window.base
    document = window.data[start : start + length]
    return b"" if document[-1] else document
