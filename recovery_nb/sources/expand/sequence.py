"""Compressed units one after another: what is between them, what is damaged, and where the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from recovery_nb.sources.expand.parts import Break, Decoded, Readable
from recovery_nb.sources.expand.stepping import Ended, Engine, Errors, How, decodes, unit

__all__ = ["WINDOW", "Candidate", "Format", "behind_zeros", "decode_units"]

WINDOW = 1024 * 1024
"""Bytes that are searched at a time for the next unit."""

_NEAR = 16
"""A wrong checksum shows a few bytes before or behind a unit's end: there the next one is looked for first."""

_SPARE = 64 * 1024 * 1024
"""Bytes that may be gone through a second time, beyond those of the file once: it bounds the time of a hostile file."""

_TRIALS = 4096
"""... and how many places that look like a beginning are tried, besides one for each KiB of the file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that looks like the beginning of a unit.

    Attributes:
        offset: Where, in the window.
        prefix: What the decoder needs before it, where the unit is a part of a larger one.
    """

    offset: int
    prefix: bytes = b""


@dataclass(frozen=True, slots=True)
class Format:
    """What the units of a format are.

    Attributes:
        name: The format's name.
        unit: What it calls a unit.
        new: Makes a decoder.
        errors: What the decoder raises.
        begins: Whether these bytes may begin a unit.
        candidates: The places in these bytes where a unit may begin, given the first bytes of the content.
        overlap: How many bytes of a window are looked at again with the next: those that a candidate needs.
        lookback: How far behind a unit's real end its decoder may have gone before it found an error, in bytes.
        skip: Where what holds no content, and begins here, ends; None where something else begins.
        reached: Where, within the unit that began at the first position, with this prefix, and failed at the second,
            the part begins that was being decoded: what precedes it was given, and must not be found again.
        forgive: Where a unit that was taken up in its middle ends, if the error at this position is only that.
    """

    name: str
    unit: str
    new: Callable[[], Engine]
    errors: Errors
    begins: Callable[[bytes], bool]
    candidates: Callable[[bytes, bytes], Iterator[Candidate]]
    overlap: int
    lookback: int
    skip: Callable[[bytes, int], int | None] = lambda _head, _at: None
    reached: Callable[[Readable, int, bytes, int], int] = lambda _content, began, _prefix, _failed: began
    forgive: Callable[[Readable, int], int | None] = lambda _content, _at: None


def decode_units(content: Readable, start: int, form: Format) -> Decoded:
    """Decode every unit from `start` on, with a break wherever something is damaged or foreign."""
    search = _Search(content, start, form)
    at, prefix = start, b""
    while True:
        if not prefix:
            after = behind_zeros(content, at) if at > start else at
            head = content.read_at(after, 64)
            if not head:
                return
            if (behind := form.skip(head, after)) is not None and content.read_at(behind - 1, 1):
                at = behind
                continue
            if not form.begins(head):
                yield Break(f"what begins at byte {after:,} is no {form.name}: it was left out")
                if (found := search.next(after)) is None:
                    return
                at, prefix = found
                continue
            at = after
        began, resumed = at, prefix
        ended = yield from unit(content, began, form.new, errors=form.errors, prefix=resumed)
        at, prefix = ended.position, b""
        if ended.how is How.WHOLE:
            continue
        if ended.how is How.BROKEN and resumed and (end := form.forgive(content, ended.position)) is not None:
            at = end
            continue
        yield _break(form, ended, began)
        if (found := search.after(began, resumed, ended)) is None:
            return
        at, prefix = found


def behind_zeros(content: Readable, at: int) -> int:
    """Return where the first byte from `at` on is that is not zero: zeros pad tapes and xz streams."""
    while True:
        window = content.read_at(at, 64 * 1024)
        rest = window.lstrip(b"\0")
        at += len(window) - len(rest)
        if rest or not window:
            return at


class _Search:
    """Finds the next unit that really decodes, within a budget for the whole content."""

    def __init__(self, content: Readable, start: int, form: Format) -> None:
        self._content, self._start, self._form = content, start, form
        self._again = self._trials = 0
        self._first = content.read_at(start, 64)

    def after(self, began: int, prefix: bytes, ended: Ended) -> tuple[int, bytes] | None:
        """Return where the first unit behind a damaged one begins, and its prefix; None where there is none."""
        end, form = ended.position, self._form
        began = form.reached(self._content, began, prefix, end)
        near = max(began + 1, end - _NEAR)
        if ended.how is How.BROKEN:
            # The checksum ends the unit: what follows it may be damaged as well, and is a unit all the same.
            if _by_checksum(ended) and form.begins(self._content.read_at(end + 1, 64)):
                return end + 1, b""
            if (found := self.next(near, limit=end + _NEAR)) is not None:
                return found
            if not self._content.read_at(end + _NEAR, 1):
                # Nothing can be behind it. What it may have run into is looked for below.
                end = near
        back = began + 1 if not ended.delivered else max(began + 1, end - form.lookback)
        self._again += max(0, end - back)
        if self._again > _SPARE + end - self._start:
            back = max(near, end)
        return self.next(back)

    def next(self, at: int, *, limit: int | None = None) -> tuple[int, bytes] | None:
        """Return the first unit that begins at `at` or behind it, before `limit`; None where there is none."""
        form = self._form
        while limit is None or at < limit:
            wanted = WINDOW if limit is None else limit - at
            window = self._content.read_at(at, wanted + form.overlap)
            for candidate in form.candidates(window, self._first):
                if candidate.offset >= wanted:
                    break
                place = at + candidate.offset
                self._trials += 1
                if self._trials > _TRIALS + (place - self._start) // 1024:
                    continue
                if decodes(self._content, place, form.new, errors=form.errors, prefix=candidate.prefix):
                    return place, candidate.prefix
            if len(window) < wanted + form.overlap:
                return None
            at += wanted
        return None


def _by_checksum(ended: Ended) -> bool:
    return "checksum" in ended.problem.lower()


def _break(form: Format, ended: Ended, began: int) -> Break:
    unit_name = f"the {form.name} {form.unit} at byte {began:,}"
    if ended.how is How.CUT:
        return Break(f"{unit_name} is cut off: the file ends at byte {ended.position:,}")
    if _by_checksum(ended):
        doubt = f"the checksum of {unit_name} does not hold"
        return Break(f"{doubt}: any record of it may be wrong", doubt if ended.delivered else "")
    doubt = f"{unit_name} is damaged before byte {ended.position:,}, and its checksum could not be tested"
    reason = f"{unit_name} cannot be decompressed from byte {ended.position:,} on ({ended.problem})"
    return Break(reason, doubt if ended.delivered else "")
