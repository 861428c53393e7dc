"""tar (POSIX ustar and pax, GNU long names, old v7): a header of 512 bytes before each member, one after another.

Each header has a checksum, so that after damage the next one is found: in steps of 512 bytes, and at any byte by its
magic. Members are views of the archive; nothing is extracted.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from recovery_nb.sources.content import Content, Gap, Slice
from recovery_nb.sources.expand.limits import Limits
from recovery_nb.sources.expand.members import Member, Names, Problem, quoted
from recovery_nb.sources.expand.sequence import WINDOW, behind_zeros

__all__ = ["is_tar", "tar_members"]

_BLOCK = 512
_MAGIC, _MAGIC_AT = b"ustar", 257
_FILES = b"\x000 7"
_NEVER = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
    b"S": "a sparse file",
    b"M": "the rest of a file on another volume",
}
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _FOLDER = b"L", b"K", b"x", b"g", b"5"
_SOLARIS_PAX = b"X"
_EXTRA = (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _SOLARIS_PAX)

_MOST_EXTRA = 1024 * 1024
"""Bytes of a long name or of pax records. Real ones have a few hundred."""


@dataclass(frozen=True, slots=True)
class _Header:
    """One header.

    Attributes:
        at: Where it begins.
        name: The member's name.
        size: How many bytes follow.
        modified: In seconds since 1970.
        kind: The type flag.
    """

    at: int
    name: str
    size: int
    modified: float
    kind: bytes

    @property
    def data(self) -> int:
        """Where the member's bytes begin."""
        return self.at + _BLOCK

    @property
    def following(self) -> int:
        """Where the next header should be."""
        return self.data + -(-self.size // _BLOCK) * _BLOCK


def is_tar(head: bytes) -> bool:
    """Return whether a tar archive begins so: a header whose checksum holds."""
    return _parse(head[:_BLOCK], 0) is not None


def tar_members(content: Content, *, limits: Limits) -> Iterator[Member | Problem]:
    """Yield the members of an archive, in its order, and what is not read of it.

    Args:
        content: The archive, expanded. It is read once, from its beginning to its end.
        limits: How many members are listed.

    Raises:
        RecoveryError: It cannot be read.
    """
    names, count = Names(), 0
    for found in _headers(content):
        if isinstance(found, Problem):
            yield found
            continue
        header, length = found
        if header.kind in _NEVER:
            yield Problem(f"{quoted(header.name)[:200]} is {_NEVER[header.kind]}: it is not read", header.at)
        if header.kind not in _FILES or header.name.endswith("/"):
            continue
        count += 1
        if count > limits.members:
            yield Problem(
                f"there are more than {limits.members:,} members: the rest is left out; raise RECOVERY_NB_MEMBERS",
                header.at,
            )
            return
        name, problem = names.give(header.name)
        if problem:
            yield replace(problem, position=header.at)
        yield Member(name, header.size, length, header.modified, partial(Slice, content, header.data, length))


def _headers(content: Content) -> Iterator[tuple[_Header, int] | Problem]:
    """Yield each header that describes a member, with how many of its bytes are there, and each damaged stretch."""
    at, extra = 0, _Extra()
    told: list[Problem] = []
    while at >= 0:
        header = _parse(content.read_at(at, _BLOCK), at)
        if header is None:
            at, problem = _resumed(content, at)
            extra = _Extra(shared=extra.shared)
        elif header.kind in _EXTRA:
            problem = extra.take(header, content)
            at = header.following
            if _gap(content, header.at, at + 1) is not None:
                extra = _Extra(shared=extra.shared)  # What it describes is lost: what follows is another member.
        else:
            header = _described(header, extra.name, extra.shared | extra.pax)
            extra = _Extra(shared=extra.shared)
            length, at, problem = _extent(content, header)
            yield header, length
        if problem:
            told.append(problem)
            yield problem
    yield from _untold(content.gaps, told)


def _untold(gaps: list[Gap], told: list[Problem]) -> Iterator[Problem]:
    """Yield the gaps that are in no stretch that was told of, and the last: it may say why nothing follows."""
    number = 0
    for gap in gaps:
        while number < len(told) and told[number].position + max(1, told[number].length) <= gap.position:
            number += 1
        one = told[number] if number < len(told) and told[number].position <= gap.position else None
        if one is None or (gap is gaps[-1] and gap.reason not in one.reason):
            yield Problem(gap.reason, gap.position, 0)


@dataclass(slots=True)
class _Extra:
    """What headers of their own say of the member that follows: its long name, its pax records, and those of all."""

    name: str = ""
    pax: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)

    def take(self, header: _Header, content: Content) -> Problem | None:
        if header.size > _MOST_EXTRA:
            return Problem(
                f"the tar header at byte {header.at:,} is longer than any real one: it was left out", header.at
            )
        data = content.read_at(header.data, header.size)
        if header.kind == _LONG_NAME:
            self.name = _text(data)
        elif header.kind == _PAX_GLOBAL:
            self.shared = self.shared | _records(data)
        elif header.kind != _LONG_LINK:
            self.pax = _records(data)
        return None


def _resumed(content: Content, at: int) -> tuple[int, Problem | None]:
    """Return where the next header is if there is none at `at` (-1: nowhere), and what is wrong, if anything is."""
    after = behind_zeros(content, at)
    if not content.read_at(after, 1):
        return -1, None
    # Behind the two blocks of zeros that end an archive there may be another one, written with `cat`.
    aligned = after - (after - at) % _BLOCK
    if _parse(content.read_at(aligned, _BLOCK), aligned):
        return aligned, None
    found = _search(content, aligned)
    if found is None and content.gaps and not content.read_at(max(content.gaps[-1].position, aligned + _BLOCK - 1), 1):
        return -1, None  # A header was cut: the gap at the end says by what.
    if found is None:
        return -1, Problem(f"what begins at byte {after:,} is no tar: it was left out", after)
    return found, Problem(f"the tar is damaged from byte {after:,} to byte {found:,}", after, found - after)


def _extent(content: Content, header: _Header) -> tuple[int, int, Problem | None]:
    """Return how many bytes of a member are its own, where the next header is (-1: nowhere), and what is wrong."""
    following, shown = header.following, quoted(header.name)[:200]
    block = content.read_at(following, _BLOCK)
    end = header.data + header.size
    if not block and header.size and not content.read_at(end - 1, 1):
        there = max(0, content.size() - header.data)
    else:
        there = header.size
    gap = _gap(content, header.at, end)
    if gap is not None:
        # What is behind the gap may be another member's: whose, nothing says.
        broken = gap.position
        found = _search(content, broken)
        kept = max(0, broken - header.data)
        stretch = (found if found is not None else max(broken, header.data + there)) - broken
        behind = ", and what follows may be another's" if content.read_at(broken, 1) else ""
        problem = Problem(f"{shown} is broken off at byte {broken:,}{behind}: {gap.reason}", broken, stretch)
        return kept, -1 if found is None else found, problem
    nested = is_tar(content.read_at(header.data, _BLOCK))
    if nested or (there == header.size and (not block.strip(b"\0") or _parse(block, following))):
        found = None
    else:
        # The next header is not where it should be: bytes were lost or added, and it may be within what is left.
        found = _search(content, header.data, end=following)
    if found is not None:
        problem = Problem(f"{shown} is damaged: another member begins within it, at byte {found:,}", header.at)
        return found - header.data, found, problem
    if there < header.size:
        return there, -1, Problem(f"{shown} is cut off: {header.size - there:,} of its bytes are missing", header.at)
    return header.size, following, None


def _gap(content: Content, begin: int, end: int) -> Gap | None:
    """Return the first hole that content has between two places, if it has one."""
    gaps = content.gaps
    index = bisect.bisect_right(gaps, begin, key=lambda gap: gap.position)
    return gaps[index] if index < len(gaps) and gaps[index].position < end else None


def _search(content: Content, at: int, *, end: int | None = None) -> int | None:
    """Return where the first header from `at` on begins, before `end`; None where there is none."""
    aligned_to = at % _BLOCK
    while end is None or at < end:
        window = content.read_at(at, WINDOW + _BLOCK)
        found = -1
        while (found := window.find(_MAGIC, found + 1)) >= 0:
            begin = found - _MAGIC_AT
            if 0 <= begin < WINDOW and _parse(window[begin : begin + _BLOCK], at):
                break
        limit = found - _MAGIC_AT if found >= 0 else len(window)
        # A header of the oldest kind has no magic; its checksum is looked at where blocks begin.
        for begin in range((aligned_to - at) % _BLOCK, min(limit, WINDOW), _BLOCK):
            if window[begin + 154 : begin + 156] in (b"\0 ", b" \0") and _parse(window[begin : begin + _BLOCK], at):
                limit = begin
                found = begin
                break
        if found >= 0:
            return at + limit if end is None or at + limit < end else None
        if len(window) < WINDOW + _BLOCK:
            return None
        at += WINDOW
    return None


def _parse(block: bytes, at: int) -> _Header | None:
    if len(block) < _BLOCK or not block[0]:
        return None
    checksum = _number(block[148:156])
    # Some wrote the sum of signed bytes.
    plain = sum(block) - sum(block[148:156]) + 8 * 32
    signed = plain - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
    size, modified = _number(block[124:136]), _number(block[136:148])
    if checksum not in (plain, signed) or size is None or size < 0:
        return None
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345] and block[156:157] not in b"LKxg":
        name = f"{_text(block[345:500])}/{name}"
    kind = block[156:157]
    if kind in _NEVER and kind not in b"SM":
        size = 0  # A link's size is that of its target: nothing of it follows.
    return _Header(at, name, size, float(modified or 0), kind)


def _number(field: bytes) -> int | None:
    if field[0] in (0x80, 0xFF):
        value = int.from_bytes(field, "big", signed=True) if field[0] == 0xFF else int.from_bytes(field[1:], "big")
        return value if abs(value) < 1 << 62 else None
    digits = field.strip(b"\0 ")
    if not digits:
        return 0
    return int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _records(data: bytes) -> dict[str, str]:
    """Return the records of a pax header: each its own length, a keyword, its value."""
    found: dict[str, str] = {}
    at = 0
    while (space := data.find(b" ", at, at + 20)) > at and data[at:space].isdigit():
        end = at + int(data[at:space])
        if end <= space or end > len(data):
            break
        key, _, value = data[space + 1 : end - 1].partition(b"=")
        found[_text(key)] = value.decode("utf-8", "surrogateescape")
        at = end
    return found


def _described(header: _Header, name: str, pax: dict[str, str]) -> _Header:
    """Return a header with what GNU's and pax's extra headers say of it."""
    header = replace(header, name=pax.get("path") or name or header.name)
    size = pax.get("size", "")
    if size.isascii() and size.isdigit() and len(size) < 19 and (header.kind in _FILES):
        header = replace(header, size=int(size))
    try:
        modified = float(pax.get("mtime", header.modified))
    except ValueError:
        modified = header.modified
    if any(key.startswith("GNU.sparse") for key in pax):
        header = replace(header, kind=b"S", name=pax.get("GNU.sparse.name") or header.name)
    return replace(header, modified=modified if abs(modified) < 1e12 else 0.0)
