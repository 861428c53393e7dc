"""The members of a zip whose central directory is damaged or cut off, found by their own headers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from recovery_nb.sources.content import Content
from recovery_nb.sources.expand.gzip import measure_deflate
from recovery_nb.sources.expand.limits import RATIO_FROM, Limits
from recovery_nb.sources.expand.members import Problem, quoted
from recovery_nb.sources.expand.sequence import WINDOW
from recovery_nb.sources.expand.stepping import Ended, How
from recovery_nb.sources.expand.zip_headers import Entry, local_header

__all__ = ["walked"]

_LOCAL = b"PK\3\4"
_OTHERS = (b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08")
_DEFLATED = 8


def walked(content: Content, *, limits: Limits) -> Iterator[Entry | Problem]:
    """Yield the members that can be found, in order, and each stretch that is none.

    Args:
        content: The archive.
        limits: What a member may expand to while its end is looked for.

    Raises:
        RecoveryError: The archive cannot be read.
    """
    at = 0
    while True:
        local = local_header(content, at)
        if local is None:
            if content.read_at(at, 4).startswith(_OTHERS[:4]):
                return  # The central directory, or what is left of it.
            found = _search(content, at)
            if found is None:
                if content.read_at(at, 1):
                    yield Problem(f"what begins at byte {at:,} is no member of a zip: it was left out", at)
                return
            yield Problem(f"the zip is damaged from byte {at:,} to byte {found:,}", at, found - at)
            at = found
            continue
        if local.sizes_follow:
            entry, at = _measured(content, local.entry, limits)
            at = _behind_descriptor(content, at, lengths=(16, 24, 12, 20))
        else:
            entry, at, problem = _extent(content, local.entry)
            if problem:
                yield problem
        yield entry
        if content.read_at(at, 4) == _OTHERS[4]:
            at = _behind_descriptor(content, at, lengths=(16, 24))


def _extent(content: Content, entry: Entry) -> tuple[Entry, int, Problem | None]:
    """Return a member with the bytes that are its own, where to go on, and what is wrong."""
    end, shown = entry.data + entry.stored, quoted(entry.name)[:200]
    follows = content.read_at(end, 4)
    if follows.startswith((_LOCAL, *_OTHERS)) or content.read_at(entry.data, 4) == _LOCAL:
        return entry, end, None
    if not follows and (not entry.stored or content.read_at(end - 1, 1)):
        return entry, end, None
    found = _search(content, entry.data)
    if found is not None and found < end:
        problem = Problem(f"{shown} is damaged: another member begins within it, at byte {found:,}", entry.at)
        return _shortened(entry, found - entry.data), found, problem
    if follows:
        return entry, end, None
    missing = end - content.size()
    problem = Problem(f"{shown} is cut off: {missing:,} of its bytes are missing", entry.at)
    return _shortened(entry, entry.stored - missing), end, problem


def _shortened(entry: Entry, stored: int) -> Entry:
    """Return a member of which only a part is there: its checksum says nothing of that."""
    return replace(entry, stored=stored, size=-1, crc=None)


def _measured(content: Content, entry: Entry, limits: Limits) -> tuple[Entry, int]:
    """Return a member whose sizes are behind it, which only decoding it finds, and where to go on."""
    if entry.method != _DEFLATED or entry.encrypted:
        found = _search(content, entry.data)
        end = content.size() if found is None else found
        return replace(entry, stored=end - entry.data), end
    ended = _decoded(content, entry.data, limits)
    if ended.how is How.WHOLE:
        # Of the descriptor behind it, the CRC: it may have a signature before it.
        tail = content.read_at(ended.position, 8)
        crc = tail[4:8] if tail.startswith(_OTHERS[4]) else tail[:4]
        stored = ended.position - entry.data
        known = int.from_bytes(crc, "little") if len(crc) == 4 else None
        return replace(entry, stored=stored, size=ended.delivered, crc=known), ended.position
    found = _search(content, max(entry.data, ended.position - WINDOW // 8))
    end = content.size() if found is None else found
    return replace(entry, stored=end - entry.data), end


def _decoded(content: Content, start: int, limits: Limits) -> Ended:
    counted = _Counted(content)
    decoding, given = measure_deflate(counted, start), 0
    while True:
        try:
            given += len(next(decoding))
        except StopIteration as stop:
            ended: Ended = stop.value
            return ended
        if given > limits.expanded_bytes or given > max(RATIO_FROM, limits.ratio * (counted.furthest - start)):
            return Ended(How.BROKEN, counted.furthest, given, "it expands too far")


class _Counted:
    """Content that knows how far it was read."""

    def __init__(self, content: Content) -> None:
        self._content, self.furthest = content, 0

    def read_at(self, position: int, length: int) -> bytes:
        found = self._content.read_at(position, length)
        self.furthest = max(self.furthest, position + len(found))
        return found


def _behind_descriptor(content: Content, at: int, *, lengths: tuple[int, ...]) -> int:
    """Return where a descriptor ends, if one is there: its signature may be missing, its sizes have 32 or 64 bits."""
    if content.read_at(at, 4).startswith((_LOCAL, *_OTHERS[:4])):
        return at
    return next((at + length for length in lengths if content.read_at(at + length, 2) == b"PK"), at)


def _search(content: Content, at: int) -> int | None:
    while True:
        window = content.read_at(at, WINDOW + len(_LOCAL))
        found = -1
        while (found := window.find(_LOCAL, found + 1)) >= 0:
            if local_header(content, at + found) is not None:
                return at + found
        if len(window) < WINDOW + len(_LOCAL):
            return None
        at += WINDOW
