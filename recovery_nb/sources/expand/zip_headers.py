"""The headers of zip files (PKWARE's APPNOTE.TXT 6.3, section 4): a member's own, and the central directory."""

from __future__ import annotations

import calendar
import struct
from dataclasses import dataclass, replace

from recovery_nb.sources.content import Content

__all__ = ["Entry", "Local", "listed", "local_header"]

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")

_ENCRYPTED, _SIZES_FOLLOW = 1, 8
_UNSAID, _UNSAID_SHORT = 0xFFFFFFFF, 0xFFFF
_ZIP64, _TIMES = 0x0001, 0x5455
_HIGHEST_VERSION = 63
_HIGHEST_METHOD = 99
_MOST_NAME = 4096
_UNIX = 3
_BEYOND = 1 << 60
"""No size is as large; sums of smaller ones can still be read at."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as its headers describe it.

    Attributes:
        name: Its name.
        at: Where its own header begins.
        data: Where its bytes begin.
        stored: How many they are.
        size: How many they expand to; -1 where that is not known.
        crc: The CRC-32 of what they expand to; None where that is not known.
        method: How they are compressed.
        encrypted: Whether they are encrypted.
        mode: The file's mode under Unix, 0 where it is not known.
        modified: In seconds since 1970; 0 where it is not known.
    """

    name: str
    at: int
    data: int
    stored: int
    size: int
    crc: int | None
    method: int
    encrypted: bool
    mode: int
    modified: float


@dataclass(frozen=True, slots=True)
class Local:
    """A member's own header.

    Attributes:
        entry: What it says.
        sizes_follow: Whether the sizes are not in it, but behind the member's bytes.
    """

    entry: Entry
    sizes_follow: bool


def local_header(content: Content, at: int) -> Local | None:
    """Return the member's header at a place; None if there is none that makes sense."""
    head = content.read_at(at, _LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
        return None
    _, version, flags, method, time, date, crc, stored, size, name_length, extra_length = _LOCAL.unpack(head)
    rest = content.read_at(at + _LOCAL.size, name_length + extra_length)
    name = rest[:name_length]
    if version & 0xFF > _HIGHEST_VERSION or method > _HIGHEST_METHOD or not 0 < name_length <= _MOST_NAME:
        return None
    if b"\0" in name or len(rest) < name_length + extra_length:
        return None
    extra = _extra(rest[name_length:])
    size, stored = _long(extra.get(_ZIP64, b""), size, stored)
    if max(size, stored) >= _BEYOND:
        return None
    follow = bool(flags & _SIZES_FOLLOW) and not stored
    entry = Entry(
        name=_text(name),
        at=at,
        data=at + _LOCAL.size + len(rest),
        stored=stored,
        size=-1 if follow else size,
        crc=None if follow else crc,
        method=method,
        encrypted=bool(flags & _ENCRYPTED),
        mode=0,
        modified=_modified(extra, date, time),
    )
    return Local(entry, follow)


def listed(content: Content, *, most: int) -> list[Entry] | None:
    """Return the members that the central directory lists, in their order; None if it is not there, or does not hold.

    Args:
        content: The archive.
        most: How many members are read.

    Raises:
        RecoveryError: The archive cannot be read.
    """
    found = _directory(content)
    if found is None:
        return None
    at, end, count, shift = found
    entries: list[Entry] = []
    while at < end and len(entries) < most:
        head = content.read_at(at, _CENTRAL.size)
        if len(head) < _CENTRAL.size or not head.startswith(b"PK\1\2"):
            return None
        fields = _CENTRAL.unpack(head)
        _, made, _, flags, method, time, date, crc, stored, size, *lengths, _, _, attributes, offset = fields
        rest = content.read_at(at + _CENTRAL.size, sum(lengths))
        extra = _extra(rest[lengths[0] : lengths[0] + lengths[1]])
        size, stored, offset = _long(extra.get(_ZIP64, b""), size, stored, offset)
        if lengths[0] > _MOST_NAME or offset + shift > end or stored > end:
            return None
        local = local_header(content, offset + shift)
        if local is None or local.entry.data + stored > end:
            return None
        entry = replace(
            local.entry,
            name=_text(rest[: lengths[0]]),
            stored=stored,
            size=size,
            crc=crc,
            method=method,
            encrypted=bool(flags & _ENCRYPTED),
            mode=attributes >> 16 if made >> 8 == _UNIX else 0,
            modified=_modified(extra, date, time),
        )
        entries.append(entry)
        at += _CENTRAL.size + sum(lengths)
    if len(entries) < most and len(entries) != count:
        return None
    return sorted(entries, key=lambda entry: entry.at)


def _directory(content: Content) -> tuple[int, int, int, int] | None:
    """Return where the central directory begins and ends, how many it lists, and what to add to its offsets."""
    size = content.size()
    begin = max(0, size - _END.size - _UNSAID_SHORT)
    tail = content.read_at(begin, size - begin)
    # The record ends the archive, or its comment does. One elsewhere is that of another zip within this one.
    found = len(tail)
    while (found := tail.rfind(b"PK\5\6", 0, found)) >= 0:
        if found + _END.size <= len(tail) and found + _END.size + _END.unpack_from(tail, found)[7] == len(tail):
            break
    if found < 0:
        return None
    end = begin + found
    _, _, _, _, count, length, offset, _ = _END.unpack_from(tail, found)
    locator = content.read_at(max(0, end - _LOCATOR.size), _LOCATOR.size)
    if end >= _LOCATOR.size and locator.startswith(b"PK\6\7"):
        # What stands before it is the larger record; its own offset is wrong where something was put before the zip.
        head = content.read_at(end - _LOCATOR.size - _END64.size, _END64.size)
        if not head.startswith(b"PK\6\6"):
            head = content.read_at(min(_LOCATOR.unpack(locator)[2], size), _END64.size)
        if len(head) < _END64.size or not head.startswith(b"PK\6\6"):
            return None
        _, head_length, *_, count, length, offset = _END64.unpack(head)
        end -= _LOCATOR.size + head_length + 12
    start = end - length
    shift = start - offset
    if start < 0 or shift < 0 or (shift and content.read_at(0, 4) == b"PK\3\4"):
        return None
    return start, end, count, shift


def _extra(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("<2H", data, at)
        found.setdefault(kind, data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _long(extra: bytes, *fields: int) -> tuple[int, ...]:
    """Return 32-bit fields with those that are unsaid taken from the extra one, which holds only them, in order."""
    values = iter(struct.unpack(f"<{len(extra) // 8}Q", extra[: len(extra) // 8 * 8]))
    return tuple(next(values, field) if field == _UNSAID else field for field in fields)


def _modified(extra: dict[int, bytes], date: int, time: int) -> float:
    times = extra.get(_TIMES, b"")
    if len(times) >= 5 and times[0] & 1:
        return float(struct.unpack_from("<i", times, 1)[0])
    year, month, day = (date >> 9) + 1980, date >> 5 & 15, date & 31
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return 0.0
    # Local time, of a place that the archive does not name: read as UTC.
    return float(calendar.timegm((year, month, day, time >> 11, time >> 5 & 63, (time & 31) * 2)))


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")
