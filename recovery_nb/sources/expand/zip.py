"""zip (PKWARE's APPNOTE.TXT 6.3): members listed in a central directory at the end, each behind a header of its own.

Where the central directory is damaged or cut off, the members' own headers are walked instead.
"""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from recovery_nb.sources.content import Content, Slice
from recovery_nb.sources.expand import bzip2, gzip, xz, zstd
from recovery_nb.sources.expand.codecs import Emit
from recovery_nb.sources.expand.expanded import Expanded, Expansion, Undo
from recovery_nb.sources.expand.members import Member, Names, Problem, quoted
from recovery_nb.sources.expand.parts import Break, Decode, Readable
from recovery_nb.sources.expand.zip_headers import Entry, listed
from recovery_nb.sources.expand.zip_walk import walked

__all__ = ["is_zip", "zip_members"]

_STORED, _DEFLATED = 0, 8
_DECODERS: dict[int, Decode] = {12: bzip2.decode, 93: zstd.decode, 95: xz.decode}
_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 14: "LZMA", 98: "PPMd"}


def is_zip(head: bytes) -> bool:
    """Return whether a zip archive begins so: with a member, or with the end of an empty one."""
    return head.startswith((b"PK\3\4", b"PK\5\6"))


def zip_members(content: Content, *, label: str, expansion: Expansion) -> Iterator[Member | Problem]:
    """Yield the members of an archive, in the order in which they are stored, and what is not read of it.

    Args:
        content: The archive.
        label: Its path, for messages.
        expansion: The limits, and where members are expanded.

    Raises:
        RecoveryError: It cannot be read.
    """
    entries: Iterable[Entry | Problem] | None = listed(content, most=expansion.limits.members + 1)
    if entries is None:
        yield Problem("the zip has no central directory that holds: its members are looked for one by one")
        entries = walked(content, limits=expansion.limits)
    names, count, end = Names(), 0, 0
    for entry in entries:
        if isinstance(entry, Problem):
            yield entry
            continue
        count += 1
        if count > expansion.limits.members:
            limit = expansion.limits.members
            yield Problem(f"there are more than {limit:,} members: the rest is left out; raise RECOVERY_NB_MEMBERS")
            return
        if entry.name.endswith("/") and not entry.size:
            continue
        shown = quoted(entry.name)[:200]
        if reason := _unread(entry, end):
            yield Problem(f"{shown} {reason}: it is not read", entry.at)
            continue
        end = entry.data + entry.stored
        name, problem = names.give(entry.name)
        if problem:
            yield replace(problem, position=entry.at)
        yield _member(content, entry, name, label=f"{label}/{name}", expansion=expansion)


def _unread(entry: Entry, end: int) -> str:
    kind = stat.S_IFMT(entry.mode)
    if entry.at < end:
        return "overlaps the member before it"
    if entry.encrypted:
        return "is encrypted"
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind and kind != stat.S_IFREG:
        return "is no regular file"
    if entry.method not in (_STORED, _DEFLATED, *_DECODERS):
        return f"is compressed by {_METHODS.get(entry.method, f'method {entry.method}')}, which is not supported"
    return ""


def _member(content: Content, entry: Entry, name: str, *, label: str, expansion: Expansion) -> Member:
    view = Slice(content, entry.data, entry.stored)

    def opened() -> Content:
        if entry.method == _STORED:
            return view
        return Expanded(view, _undo(entry), label=label, expansion=expansion)

    return Member(name, entry.size, entry.stored, entry.modified, opened)


def _undo(entry: Entry) -> Undo:
    def undo(content: Readable, start: int, emit: Emit) -> None:
        if entry.method == _DEFLATED and start == 0:
            parts = gzip.decode_deflate(content, length=entry.stored, crc=entry.crc, size=entry.size)
        elif entry.method == _DEFLATED:
            return  # The archive itself has a hole: deflate cannot be taken up behind it.
        else:
            parts = _DECODERS[entry.method](content, start)
        if entry.method == _DEFLATED or entry.crc is None:
            for part in parts:
                emit(part)
            return
        crc = 0
        for part in parts:
            if not isinstance(part, Break):
                crc = zlib.crc32(part, crc)
            emit(part)
        if crc != entry.crc:
            doubt = "the checksum that the zip has of it does not hold"
            emit(Break(f"{doubt}: any record of it may be wrong", doubt))

    return undo
