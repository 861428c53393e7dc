"""Whose the records behind damage are, where it may hide that one collection's list ends and the next one's begins."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator

from recovery_nb.records.batch import Damage
from recovery_nb.records.elements import InvalidRecordError, elements
from recovery_nb.records.salvage import leading_json_fields
from recovery_nb.sources.json.elements import Walker
from recovery_nb.sources.json.resync import Resync, Verdict
from recovery_nb.sources.json.text import RECORD_LIMIT, Text, is_json

__all__ = ["next_list", "within_border"]

_KEY = re.compile(rb'"([^"\\\x00-\x1f]{0,200})"\s*+:\s*+\[')
_LIST_ENDED = re.compile(rb"[\[}]\s*+\]\s*+,\s*+\Z")
_HALF = re.compile(rb"(?:[\w\\\x80-\xff]|:\s*+)\Z")
"""What stands before a quote that ends a string, or begins a value: then what follows is no whole name."""
_NEAR = 64
_OVERLAP = 1024
_WINDOW = 1024 * 1024
_SHORTEST = 7
"""So many bytes has the shortest border between two lists: `],"a":[`."""
_SAMPLE = 100
_ALIKE = 0.75


def next_list(
    text: Text, resync: Resync, start: int, end: int, *, usual: int = 0, fields: Collection[bytes] = (), own: str = ""
) -> tuple[int, bool]:
    """Look in a damaged stretch for the name of a list of records that begins there.

    Args:
        text: The file.
        resync: What was learned from the records before.
        start: Where the stretch begins, in bytes.
        end: Where it ends.
        usual: How long a record is, in bytes.
        fields: The names of the fields that records before have, for a list in a broken record may look the same.
        own: The name of the list that is read: none comes twice.

    Returns:
        Where the name begins, or -1; and whether there is one of which it cannot be told.
    """
    doubt = False
    for key, name, bracket in _keys(text, start, end):
        if name == own.encode():
            continue
        is_field = name in fields
        verdict = resync.judge_list(bracket, usual=usual, is_field=is_field)
        before = text.slice(max(start, key - _NEAR), key)
        if verdict is Verdict.RECORD and not _HALF.search(before) and (not is_field or _LIST_ENDED.search(before)):
            return key, False
        doubt = doubt or (verdict is not Verdict.INSIDE and not is_field)
    return -1, doubt


def _keys(text: Text, start: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield where a name of a list begins, the name, and where its bracket is."""
    pos = start
    while pos < end:
        stop = min(end, pos + _WINDOW)
        for match in _KEY.finditer(text.slice(pos, stop + _OVERLAP)):
            if match.start() < stop - pos and _is_name(match[1]):
                yield pos + match.start(), match[1], pos + match.end() - 1
        pos = stop


def _is_name(name: bytes) -> bool:
    try:
        json.loads(b'"%b"' % name)
    except ValueError:
        return False
    return True


def within_border(walker: Walker, text: Text, resync: Resync, *, hidden: bool, named: bool) -> Walker:
    """Read a list up to where damage shows that the next one begins; return where the name of that stands.

    Records behind damage are yielded without a collection where it may hide a border: where the stretch has what may be
    a list's name, or stood between two records, and where they do not look like those before it.

    Args:
        walker: Reads the records of the list.
        text: The file.
        resync: What the walker learns from records.
        hidden: Whether damage hides already which list it is.
        named: Whether it is one of several collections: else there is nothing that a border could part.
    """
    fields: set[bytes] = set()
    seen, harmed, longest, shortest = 0, False, 0, RECORD_LIMIT
    while True:
        try:
            piece = next(walker)
        except StopIteration as stop:
            return int(stop.value)
        if isinstance(piece, Damage):
            start, end, harmed = piece.offset, piece.offset + piece.length, True
            key, doubt = next_list(text, resync, start, end, usual=longest, fields=fields, own=piece.collection)
            if key >= 0:
                walker.close()
                partial = leading_json_fields(text.slice(start, min(key, start + RECORD_LIMIT)))
                yield Damage("", start, key - start, piece.reason, piece.collection, partial)
                return key
            hidden = hidden or doubt or _is_between(text, start, end, shortest)
            yield piece
            continue
        if named and (hidden or (harmed and not _alike(piece.value, fields))):
            yield piece._replace(collection="")
            continue
        if seen < _SAMPLE and not harmed:
            seen += 1
            fields |= _names(piece.value)
        longest, shortest = max(longest, piece.length), min(shortest, piece.length)
        yield piece


def _is_between(text: Text, start: int, end: int, shortest: int) -> bool:
    """Return whether what is damaged is not a record but what stood between two, and more than a comma."""
    between = _SHORTEST <= end - start < shortest and text.byte(start) != b"{"
    return between and not is_json(text.slice(start, end).strip(b", \t\r\n"))


def _alike(record: bytes, fields: set[bytes]) -> bool:
    names = _names(record)
    return not fields or len(names & fields) >= _ALIKE * len(names)


def _names(record: bytes) -> set[bytes]:
    try:
        return {name for _, name, _ in elements(record)}
    except InvalidRecordError:
        return set()
