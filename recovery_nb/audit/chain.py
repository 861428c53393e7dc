"""Walks a log's bytes: its lines forwards, its tail backwards, and what holds its entries together."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from recovery_nb.audit.entry import GENESIS, MAX_ENTRY_BYTES, Entry, parse

__all__ = ["AuditCheck", "Problem", "Stretch", "Tail", "check", "find_tail", "lines"]

_BLOCK = 64 * 1024
_MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: `what`, in words, and `where`: the byte or the entry."""

    what: str
    where: str


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a verification found.

    Attributes:
        ok: Whether the chain holds throughout.
        entries: How many entries there are.
        verified_up_to: The number of the last entry before the first problem; 0 for none.
        problems: What is wrong, in the order of the file; at most 100, the last then says so.
        notes: What is unusual and accounted for: torn lines that the next entry declares.
    """

    ok: bool
    entries: int
    verified_up_to: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes that are no entry. `name` is what an entry declares them as."""

    name: str
    offset: int
    length: int
    sha256: str

    def facts(self) -> dict[str, object]:
        """Return what the following entry says of it."""
        return {"offset": self.offset, "bytes": self.length, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log.

    Attributes:
        last: The last entry, None where there is none.
        stretch: What lies after it, None where nothing does.
        unended: Whether the file does not end in a newline, so that the next entry has to begin with one.
    """

    last: Entry | None
    stretch: Stretch | None
    unended: bool


def lines(file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield each line of the first `size` bytes with its offset; one longer than an entry comes in pieces."""
    file.seek(0)
    offset = 0
    while offset < size and (line := file.readline(min(MAX_ENTRY_BYTES, size - offset))):
        yield offset, line
        offset += len(line)


def find_tail(file: BinaryIO, size: int) -> Tail:
    """Read backwards to the last entry: one block, unless the end is damaged."""
    unended = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
    for begin, end in _line_spans(file, size):
        if end - begin <= MAX_ENTRY_BYTES:
            line = os.pread(file.fileno(), end - begin, begin)
            # A line that lacks nothing but its newline is whole: the next entry begins with one.
            entry = parse(line if line.endswith(b"\n") else line + b"\n")
            if isinstance(entry, Entry):
                return Tail(entry, _stretch(file, end, size), unended)
    return Tail(None, _stretch(file, 0, size), unended)


def check(file: BinaryIO, size: int) -> AuditCheck:
    """Follow the chain through the first `size` bytes. Memory is bounded by one entry."""
    walk = _Walk(file)
    for offset, line in lines(file, size):
        entry = parse(line)
        if isinstance(entry, Entry):
            walk.meet(entry, offset)
        elif walk.stray is None:
            walk.stray = (offset, entry)
    return walk.end(size)


@dataclass(slots=True)
class _Walk:
    """How far a verification has come."""

    file: BinaryIO
    head: Entry | None = None
    entries: int = 0
    verified: int = 0
    stray: tuple[int, str] | None = None
    count: int = 0
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def meet(self, entry: Entry, offset: int) -> None:
        where = f"entry {entry.seq}, byte {offset}"
        broken = False
        if self.stray is not None:
            broken = not self._accounted_for(entry, offset)
        elif entry.details.keys() & {"torn_line", "damaged_lines"}:
            self._report("the torn or damaged lines it declares before it are gone", where)
        seq, previous = (self.head.seq, self.head.hash) if self.head else (0, GENESIS)
        # After lines that nothing accounts for the link is lost with them: that is one problem, not two.
        if not broken and (entry.seq != seq + 1 or entry.previous != previous):
            after = f"entry {seq}" if seq else "the beginning"
            self._report(f"it does not follow {after}: entries were removed, added or moved", where)
        self.entries += 1
        self.head, self.stray = entry, None
        if not self.count:
            self.verified = entry.seq

    def end(self, size: int) -> AuditCheck:
        if self.stray is not None:
            offset, reason = self.stray
            stretch = _stretch(self.file, offset, size)
            if stretch and stretch.name == "torn_line" and not self._ended(size):
                reason = f"a torn line of {stretch.length} bytes ends the log; the next entry will declare it"
            self._report(reason, f"byte {offset}")
        if self.count > _MAX_PROBLEMS:
            self.problems.append(Problem(f"{self.count - len(self.problems)} more problems", "further on"))
        return AuditCheck(not self.count, self.entries, self.verified, tuple(self.problems), tuple(self.notes))

    def _accounted_for(self, entry: Entry, end: int) -> bool:
        """Say what is known of the stray lines before `entry`: whether it declares them as they are."""
        offset, reason = self.stray or (end, "")
        # A torn line got its newline from the entry after it; damaged lines had their own.
        for name, length in (("torn_line", end - 1 - offset), ("damaged_lines", end - offset)):
            declared = entry.details.get(name)
            found = _stretch(self.file, offset, offset + length)
            if declared is None or found is None or declared != found.facts():
                continue
            if found.name == name == "torn_line":
                self.notes.append(f"a torn line of {length} bytes at byte {offset} is declared by entry {entry.seq}")
            else:
                self._report(f"{reason}; entry {entry.seq} declares it as damage", f"byte {offset}")
            return True
        self._report(reason, f"byte {offset}")
        return False

    def _report(self, what: str, where: str) -> None:
        self.count += 1
        if len(self.problems) < _MAX_PROBLEMS - 1:
            self.problems.append(Problem(what, where))

    def _ended(self, size: int) -> bool:
        return os.pread(self.file.fileno(), 1, size - 1) == b"\n"


def _stretch(file: BinaryIO, begin: int, end: int) -> Stretch | None:
    """Describe the bytes from `begin` to `end`; None where there are none."""
    if begin >= end:
        return None
    digest = hashlib.sha256()
    ended = False
    for at in range(begin, end, _BLOCK):
        block = os.pread(file.fileno(), min(_BLOCK, end - at), at)
        digest.update(block)
        ended = ended or b"\n" in block
    return Stretch("damaged_lines" if ended else "torn_line", begin, end - begin, digest.hexdigest())


def _line_spans(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """Yield begin and end (past its newline) of each line, from the last to the first."""
    end = size
    at = max(size - 1, 0)
    while at > 0:
        begin = max(at - _BLOCK, 0)
        block = os.pread(file.fileno(), at - begin, begin)
        while (found := block.rfind(b"\n")) >= 0:
            yield begin + found + 1, end
            end = begin + found + 1
            block = block[:found]
        at = begin
    if end > 0:
        yield 0, end
