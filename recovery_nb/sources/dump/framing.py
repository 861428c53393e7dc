"""Cutting BSON documents that stand back to back into records, and finding the next one after a damaged stretch."""

from __future__ import annotations

import struct
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import accumulate
from operator import itemgetter

import numpy as np

from recovery_nb.records.batch import MAX_RECORD_BYTES, Damage, RecordBatch
from recovery_nb.records.elements import invalid_reason as _reason
from recovery_nb.records.salvage import leading_fields
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS
from recovery_nb.sources.content import UNKNOWN_SIZE, Content
from recovery_nb.sources.dump.resync import SMALLEST, looks_like_document, next_document, reaching

__all__ = ["frame", "is_whole", "looks_like_bson"]

_LENGTH = struct.Struct("<i")
_BEGINNING = itemgetter(slice(4, 8))
"""What of a record tells those of one kind: the type of its first field, and how its name begins."""

_NAME_BYTES = 256
_BEHIND_DAMAGE = 64 * 1024
"""How much is read first behind damage: more is likely to be near, and each means to read again from there."""

_LEARNED = 16
"""How many records of a batch show how those of this content begin: enough for an oplog's."""

_LONG = 2048
"""In a longer record, in bytes, all places are looked at together."""

_STRANGE = 100
"""So many records of a batch that begin as none before them are looked at closely: one may be a part of another."""

_BACK = 16
"""So many documents that begin as no other may stand behind the one that does."""


def is_whole(record: bytes) -> bool:
    """Say whether these bytes are one document by length prefix and last byte, whatever is inside."""
    return len(record) >= SMALLEST and _LENGTH.unpack_from(record)[0] == len(record) and record[-1] == 0


def looks_like_bson(head: bytes, *, ended: bool) -> bool:
    """Say whether content that begins with `head` (some KiB) is a sequence of BSON documents.

    No text does: four letters, read as a length, claim more than a document can hold.

    Args:
        head: How it begins.
        ended: Whether that is all of it.
    """
    left = len(head) if ended else MAX_RECORD_BYTES
    if not looks_like_document(head[: 5 + _NAME_BYTES], left):
        return False
    (length,) = _LENGTH.unpack_from(head)
    if length > len(head):
        return True
    return head[length - 1] == 0 and (
        length == len(head) or looks_like_document(head[length : length + 5 + _NAME_BYTES], MAX_RECORD_BYTES)
    )


def frame(content: Content, *, member: str, collection: str) -> Iterator[RecordBatch | Damage]:
    """Yield the records of BSON documents back to back, and the stretches between them that are none.

    A document is told by its length prefix (5 bytes to `MAX_RECORD_BYTES`, within the content) and last byte.
    After a stretch where that fails, reading goes on at the next document that decodes and is not part of a
    damaged one. Where a document's length makes it swallow others, it is damage and they are records. Nothing
    is read across a gap of the content.

    Args:
        content: The bytes. They are read by position, a batch at a time.
        member: The name for it in batches and damages.
        collection: The collection its records are of.
    """
    position, wanted, passed = 0, BATCH_BYTES, 0
    while buffer := content.read_at(position, wanted + 1):
        gaps = content.gaps
        while passed < len(gaps) and gaps[passed].position < position:
            yield Damage(member, gaps[passed].position, 0, gaps[passed].reason, collection)
            passed += 1
        gap = gaps[passed] if passed < len(gaps) else None
        gap = gap if gap and gap.position <= position + len(buffer) else None
        ended = gap is not None or len(buffer) <= wanted
        end = gap.position - position if gap else min(wanted, len(buffer))
        records, stop, reason = _split(buffer, end, ended=ended)
        if not (records or reason or ended):
            wanted = stop  # a record larger than what was read
            continue
        wanted = min(4 * wanted, BATCH_BYTES)
        offsets = list(accumulate(map(len, records), initial=position))
        keep, begin = len(records), position + stop
        view = memoryview(buffer)[:end]  # no copy: millions of bytes would be copied under the interpreter's lock
        doubtful, resume, doubt = _doubtful(content, records, offsets, view, ended=ended, broken=bool(reason))
        if doubtful < keep:
            keep, begin, reason, gap = doubtful, offsets[doubtful], doubt, None
        elif not ended and not reason and keep > 1:
            keep -= 1  # the last one is read again: what follows it will tell whether its length was true
            begin = offsets[keep]
        elif reason:
            resume = next_document(content, begin + 1, stop=gap.position if gap else UNKNOWN_SIZE)
            gap = gap if gap and resume >= gap.position else None
        if keep:
            yield RecordBatch(collection, member, records[:keep], offsets[:keep], list(map(len, records[:keep])))
        position = begin
        if gap:
            reason, resume, passed = gap.reason, next_document(content, gap.position), passed + 1
        if reason:
            stretch = content.read_at(begin, min(resume - begin, MAX_RECORD_BYTES))
            yield Damage(member, begin, resume - begin, reason, collection, leading_fields(stretch))
            position, wanted = resume, _BEHIND_DAMAGE
    for gap in content.gaps[passed:]:
        yield Damage(member, gap.position, 0, gap.reason, collection)


def _doubtful(
    content: Content, records: list[bytes], offsets: list[int], view: memoryview, *, ended: bool, broken: bool
) -> tuple[int, int, str]:
    """Return what `_first_false` does; where something broken follows, look closely at what stands before it too."""
    number, resume, doubt = _first_false(content, records, offsets, view, ended=ended or broken)
    if number < len(records) or not (records and broken):
        return number, resume, doubt
    last = _last(records)
    end = offsets[last + 1]
    resume = next_document(content, offsets[last] + 1, stop=end, past=end + 1)
    if resume < end:
        return last, resume, "a record with a false length: the next one begins in it"
    if not offsets[0] and next_document(content, 0, stop=1):
        return 0, next_document(content, offsets[-1]), "what is left of a record whose beginning is cut off"
    return number, offsets[-1], ""


def _first_false(
    content: Content, records: list[bytes], offsets: list[int], view: memoryview, *, ended: bool
) -> tuple[int, int, str]:
    """Return the number of the first of these records that is none, where to read on behind it, and what is wrong.

    Where all are records, the number is how many there are. A record whose length is false has swallowed others;
    one that a zeroed span reaches into does not decode.

    Args:
        content: Where they are.
        records: The records.
        offsets: Where each begins, and where the last one ends.
        view: Their bytes, and perhaps more.
        ended: Whether nothing, or nothing readable, follows them: then the last ones are looked at closely.
    """
    doubted = _zeroed(view, offsets)
    heads = Counter(record[4:8] for record in records[:_LEARNED])
    usual = {head for head, count in heads.items() if count > 1} or set(heads)
    if set(map(_BEGINNING, records)) - usual:
        strange = [number for number, record in enumerate(records) if record[4:8] not in usual]
        if len(strange) <= _STRANGE:
            doubted.update(strange)
    crowded = sum(_occurrences(view[: offsets[-1] - offsets[0]], head) for head in heads) > len(records)
    for number in range(len(records)) if crowded else sorted(doubted):
        record = records[number]
        if _swallows(record, heads):
            return number, next_document(content, offsets[number] + 1), "a record with a false length"
        if number not in doubted:
            continue
        if reason := _invalid_reason(record):
            end, first = offsets[number + 1], number
            while first and _invalid_reason(records[first - 1]):
                first -= 1
            if first < number and (inside := next_document(content, offsets[first] + 1, stop=end)) < offsets[number]:
                return first, inside, "a record with a false length"
            return number, next_document(content, offsets[number] + 1, stop=end), reason
    first = len(records)
    if ended and first and (reason := _invalid_reason(records[_last(records)])) and _last(records) < first - 1:
        first = _last(records)
        return first, next_document(content, offsets[first] + 1), reason
    while ended and first and _invalid_reason(records[first - 1]):
        first -= 1
    if first < len(records):
        end = offsets[-1]
        inside = next_document(content, offsets[first] + 1, stop=end)
        if inside < end:
            return first, inside, "a record with a false length"
    return len(records), offsets[-1], ""


def _invalid_reason(record: bytes) -> str:
    """Return in one line why a document does not decode: a field's name may hold anything."""
    reason = " ".join(_reason(record).removesuffix(" Are you using the latest driver version?").split())
    return reason and f"a record does not decode: {reason}"


def _last(records: list[bytes]) -> int:
    """Return the number of the last record that is not empty: an empty one is no sign that all before it is right."""
    last = len(records) - 1
    while last and len(records[last]) == SMALLEST:
        last -= 1
    return last


def _occurrences(view: memoryview, head: bytes) -> int:
    """Count the places where these four bytes stand; as machine words, which takes half the time of `bytes.count`."""
    if len(head) < 4:
        return 0
    word = int.from_bytes(head, sys.byteorder)
    words = (np.frombuffer(view, np.uint32, (len(view) - start) // 4, start) for start in range(4))
    return sum(int(np.count_nonzero(phase == word)) for phase in words if len(phase))


def _zeroed(view: memoryview, offsets: list[int]) -> set[int]:
    """Return the numbers of the records in which three machine words in a row are zero: what a lost span looks like."""
    words = np.frombuffer(view, np.uint64, len(view) // 8) == 0
    places = np.flatnonzero(words[:-2] & words[1:-1] & words[2:])
    if not len(places):
        return set()
    numbers = np.unique(np.searchsorted(np.array(offsets), offsets[0] + 8 * places, side="right") - 1)
    return set(numbers[numbers < len(offsets) - 1].tolist())


def _swallows(record: bytes, heads: Collection[bytes]) -> bool:
    """Say whether documents stand in a record back to back to its end.

    In a true record something always follows what is inside it: its own last byte.
    """
    if len(record) > _LONG:
        return _swallows_far(record, heads)
    end = len(record)
    for head in heads:
        hit = record.find(head, 5)
        while hit >= 0:
            at = hit - 4
            while at + SMALLEST <= end:
                (length,) = _LENGTH.unpack_from(record, at)
                if not SMALLEST <= length <= end - at or record[at + length - 1]:
                    break
                at += length
            if at == end:
                return True
            hit = record.find(head, hit + 1)
    return False


def _swallows_far(record: bytes, heads: Collection[bytes]) -> bool:
    """Say the same of a long record: from its end back, as there may be thousands of places where one could begin."""
    ends = [len(record)]
    for _ in range(_BACK):
        if not ends:
            break
        for start in reaching(record, ends.pop()):
            if record[start + 4 : start + 8] in heads:
                return True
            if not record[start - 1]:
                ends.append(start)
    return False


def _split(buffer: bytes, end: int, *, ended: bool) -> tuple[list[bytes], int, str]:
    """Cut documents off the front of `buffer`.

    Args:
        buffer: Bytes that begin where a document should.
        end: How many of them count.
        ended: Whether nothing comes after these.

    Returns:
        The documents, where reading must go on in the buffer, and what is wrong there. Where nothing is wrong
        and there is no document, the second is how many bytes the first document needs.
    """
    records: list[bytes] = []
    append, unpack = records.append, _LENGTH.unpack_from
    at, last = 0, end - SMALLEST
    while at <= last:
        (length,) = unpack(buffer, at)
        stop = at + length
        # A negative or tiny length fails on its own; a huge one runs past the buffer, and is told below.
        if length < SMALLEST or stop > end or buffer[stop - 1]:
            return records, *_stopped(records, length, at, end=end, ended=ended)
        append(buffer[at:stop])
        at = stop
        if len(records) == BATCH_RECORDS:
            return records, at, ""
    return records, at, f"{end - at} stray bytes at the end" if ended and at < end else ""


def _stopped(records: list[bytes], length: int, at: int, *, end: int, ended: bool) -> tuple[int, str]:
    if not SMALLEST <= length <= MAX_RECORD_BYTES:
        return at, f"a length of {length:,} bytes, which no document has"
    if at + length <= end:
        return at, f"a length of {length:,} bytes, at the end of which no document ends"
    if ended:
        return at, f"a record of {length:,} bytes is cut: the file ends {end - at:,} bytes after its start"
    return (at if records else length), ""
