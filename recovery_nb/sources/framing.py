"""Cutting a file of BSON documents into records, and finding the next one after a damaged stretch."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from itertools import accumulate

from recovery_nb.records.batch import MAX_RECORD_BYTES, Damage, RecordBatch
from recovery_nb.records.elements import invalid_reason
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS

__all__ = ["frame", "is_whole", "looks_like_bson"]

_LENGTH = struct.Struct("<i")
_SMALLEST = 5
_ID = b"_id\x00"
_TYPES = frozenset((*range(0x01, 0x14), 0x7F, 0xFF))
_EMBEDDED = re.compile(rb"[\x03\x04\x0f][^\x00]{1,64}\x00\Z")
_BEFORE = 66
_NAME_BYTES = 256
_ALLOWANCE = 64 * 1024 * 1024
"""How many bytes of candidates a search may read beyond 16 times what it has passed: it bounds its time."""


def is_whole(record: bytes) -> bool:
    """Say whether these bytes are one document by length prefix and last byte, whatever is inside."""
    return len(record) >= _SMALLEST and _LENGTH.unpack_from(record)[0] == len(record) and record[-1] == 0


def looks_like_bson(head: bytes, size: int) -> bool:
    """Say whether a file of `size` bytes that begins with `head` (some KiB) is a sequence of BSON documents.

    No text does: four letters, read as a length, claim more than a document can hold.
    """
    if not _plausible(head[: 5 + _NAME_BYTES], size):
        return False
    (length,) = _LENGTH.unpack_from(head)
    if length > len(head):
        return True
    return head[length - 1] == 0 and (
        length == size or _plausible(head[length : length + 5 + _NAME_BYTES], size - length)
    )


def frame(file: int, *, member: str, collection: str) -> Iterator[RecordBatch | Damage]:
    """Yield the records of an open file of BSON documents, and the stretches between them that are none.

    A document is told by its length prefix (5 bytes to `MAX_RECORD_BYTES`, within the file) and last byte.
    After a stretch where that fails, reading goes on at the next document that begins with an `_id` and
    decodes. Records just before the failure that do not decode belong to the stretch if a whole document is
    inside them: then their length was false too.

    Args:
        file: A descriptor open for reading. It is read by position, a batch at a time.
        member: The name for it in batches and damages.
        collection: The collection its records are of.
    """
    claimed = size = os.fstat(file).st_size
    position, wanted = 0, BATCH_BYTES
    while position < size:
        buffer = os.pread(file, wanted, position)
        if len(buffer) < min(wanted, size - position):
            size = position + len(buffer)  # it became shorter under our hands
        records, stop, reason = _split(buffer, size - position)
        if not records and not reason:
            wanted = stop  # a record larger than what was read
            continue
        wanted = BATCH_BYTES
        offsets = list(accumulate(map(len, records), initial=position))
        keep, begin, resume = len(records), position + stop, -1
        if reason or begin == size:
            doubtful, inside = _false_length(file, records, offsets, size)
            if inside < begin:
                keep, begin, resume, reason = (
                    doubtful,
                    offsets[doubtful],
                    inside,
                    "a record with a false length",
                )
        elif keep > 1:
            keep -= 1  # the last one is read again: what follows it will tell whether its length was true
            begin = offsets[keep]
        if keep:
            lengths = list(map(len, records[:keep]))
            yield RecordBatch(collection, member, records[:keep], offsets[:keep], lengths)
        position = begin
        if reason:
            position = resume if resume >= 0 else _next_document(file, begin + 1, size, size)
            yield Damage(member, begin, position - begin, reason, collection)
    if size < claimed:
        yield Damage(member, size, claimed - size, "the file became shorter while it was read", collection)


def _false_length(file: int, records: list[bytes], offsets: list[int], size: int) -> tuple[int, int]:
    """Return which of the last records swallowed others, and where the first of those is.

    Where none did, the offset is the end of the records.
    """
    first = len(records)
    while first and invalid_reason(records[first - 1]):
        first -= 1
    end = offsets[-1]
    return first, (_next_document(file, offsets[first] + 1, end, size) if first < len(records) else end)


def _split(buffer: bytes, left: int) -> tuple[list[bytes], int, str]:
    """Cut documents off the front of `buffer`, the first of `left` bytes of a file.

    Returns:
        The documents, where reading must go on in the buffer, and what is wrong there. Where nothing is wrong
        and there is no document, the second is how many bytes the first document needs.
    """
    records: list[bytes] = []
    append, unpack = records.append, _LENGTH.unpack_from
    at, end = 0, len(buffer)
    last = end - _SMALLEST
    while at <= last:
        (length,) = unpack(buffer, at)
        stop = at + length
        # A negative or tiny length fails on its own; a huge one runs past the buffer, and is told below.
        if length < _SMALLEST or stop > end or buffer[stop - 1]:
            return records, *_stopped(records, length, at, end=end, left=left)
        append(buffer[at:stop])
        at = stop
        if len(records) == BATCH_RECORDS:
            break
    else:
        if at < end == left:
            return records, at, f"{left - at} stray bytes at the end"
        if not records:
            return records, _SMALLEST, "" if left >= _SMALLEST else f"{left} stray bytes at the end"
    return records, at, ""


def _stopped(records: list[bytes], length: int, at: int, *, end: int, left: int) -> tuple[int, str]:
    if not _SMALLEST <= length <= MAX_RECORD_BYTES:
        return at, f"a length of {length:,} bytes, which no document has"
    if at + length > left:
        return at, f"a record of {length:,} bytes is cut: the file ends {left - at:,} bytes after its start"
    if at + length > end:
        return (at if records else length), ""
    return at, f"a length of {length:,} bytes, at the end of which no document ends"


def _next_document(file: int, start: int, stop: int, size: int) -> int:
    """Return the offset in [start, stop) of the next document that begins with `_id`, or `stop`."""
    allowance = _ALLOWANCE
    window = start + 5  # four bytes of length and one of type come before the name
    while window < stop:
        buffer = os.pread(file, BATCH_BYTES + len(_ID), window)
        allowance += 16 * len(buffer)
        hit = buffer.find(_ID)
        while 0 <= hit < BATCH_BYTES and window + hit - 5 < stop:
            candidate = window + hit - 5
            head = os.pread(file, 9, candidate)
            if _plausible(head, size - candidate):
                (length,) = _LENGTH.unpack_from(head)
                if length <= allowance and os.pread(file, 1, candidate + length - 1) == b"\x00":
                    allowance -= length
                    if _is_record(file, candidate, length, size):
                        return candidate
            hit = buffer.find(_ID, hit + 1)
        window += BATCH_BYTES
    return stop


def _is_record(file: int, candidate: int, length: int, size: int) -> bool:
    """Say whether a document that decodes stands here for itself, and is no field of a damaged one."""
    if invalid_reason(os.pread(file, length, candidate)):
        return False
    after = candidate + length
    if after == size or _plausible(os.pread(file, 5 + _NAME_BYTES, after), size - after):
        return True
    start = max(0, candidate - _BEFORE)
    return not _EMBEDDED.search(os.pread(file, candidate - start, start))


def _plausible(head: bytes, left: int) -> bool:
    """Say whether a document within `left` bytes may begin so: a length in bounds, a type, a field name."""
    if len(head) < _SMALLEST:
        return False
    (length,) = _LENGTH.unpack_from(head)
    if not _SMALLEST <= length <= min(left, MAX_RECORD_BYTES):
        return False
    if length == _SMALLEST:
        return head[4] == 0
    name, ended, _ = head[5:].partition(b"\x00")
    if head[4] not in _TYPES or not (ended or len(name) >= _NAME_BYTES):
        return False
    try:
        return name[: _NAME_BYTES - 4].decode().isprintable() if name else False
    except UnicodeDecodeError:
        return False
