"""What is still whole at the beginning of a damaged record: for the eyes, and for a restore only if it is named."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.elements import InvalidRecordError, invalid_reason, value_end
from recovery_nb.records.extended_json import NotARecordError, to_bson

__all__ = ["MAX_FIELDS", "MAX_TEXT", "leading_fields", "leading_json_fields"]

MAX_FIELDS = 100_000
"""No more top-level fields than this are salvaged of one record: it bounds the time that hostile bytes can take."""

MAX_TEXT = 2 * 1024 * 1024
"""So many bytes of a broken JSON object are looked at: some numbers take a hundred times longer to convert."""

_LENGTH = struct.Struct("<i")
_SMALLEST = 5
_TOGETHER = 512
"""This many fields are decoded at once; only of those that fail is each decoded alone."""

_SPACE = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+"'
_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?+" + _SPACE + rb"\{")
_NAME = re.compile(_SPACE + _STRING + _SPACE + rb":" + _SPACE)
_WHOLE_STRING = re.compile(_STRING)
_SCALAR = re.compile(rb"[-+.\w]++")
_BRACKET = re.compile(rb'[^"{}\[\]]*+(?:' + _STRING + rb'[^"{}\[\]]*+)*+[{}\[\]]')
_BEHIND = re.compile(_SPACE + rb"(?:(,)" + _SPACE + rb'(?="|\Z)|\}|\Z)')
_OPENING = frozenset(b"{[")


def leading_fields(data: bytes) -> bytes:
    """Return the document made of the leading top-level fields of damaged BSON that are whole and decode.

    Bytes that were overwritten by others that are just as valid cannot be told; what is returned is what stands
    there, up to the first field that cannot be read.

    Args:
        data: What is left of the document, from its length prefix on; more may follow. The prefix is believed only
            if a document ends where it says.

    Returns:
        A BSON document, of at most `MAX_RECORD_BYTES` and `MAX_FIELDS` fields; b"" if not even one field is whole.
    """
    ends = _field_ends(data, _end_of_fields(data))
    good = 4
    for first in range(0, len(ends), _TOGETHER):
        group = ends[first : first + _TOGETHER]
        if not invalid_reason(_document(data[good : group[-1]])):
            good = group[-1]
            continue
        for end in group:
            if invalid_reason(_document(data[good:end])):
                break
            good = end
        break
    return _document(data[4:good]) if good > 4 else b""


def leading_json_fields(text: bytes) -> bytes:
    """Return the document made of the leading fields of a cut or broken JSON object that are whole.

    A field is whole if its value ends, a comma before another name, a closing brace or the end of the text follows
    (a number at the end of the text may be half of one), and `to_bson` converts it. The time is linear, and nothing
    behind `MAX_TEXT` is looked at.

    Args:
        text: What is left of the object, from its brace on, UTF-8; more may follow.

    Returns:
        A BSON document, of at most `MAX_RECORD_BYTES` and `MAX_FIELDS` fields; b"" if not even one field is whole.
    """
    fields: list[bytes] = []
    with suppress(NotARecordError):
        for start, end in islice(_json_fields(text[:MAX_TEXT]), MAX_FIELDS):
            fields.append(to_bson(b"{" + text[start:end] + b"}")[4:-1])
    return _document(b"".join(fields)) if fields else b""


def _document(body: bytes) -> bytes:
    return _LENGTH.pack(len(body) + _SMALLEST) + body + b"\x00"


def _end_of_fields(data: bytes) -> int:
    """Return where the last field may end: where the document says that it does, if it ends there."""
    if len(data) >= _SMALLEST:
        (length,) = _LENGTH.unpack_from(data)
        if _SMALLEST <= length <= min(len(data), MAX_RECORD_BYTES) and not data[length - 1]:
            return int(length) - 1
    return min(len(data), MAX_RECORD_BYTES - 1)


def _field_ends(data: bytes, end: int) -> list[int]:
    """Return where each of the leading fields ends, by types and lengths alone."""
    ends: list[int] = []
    position = 4
    try:
        while position < end and (kind := data[position]) and len(ends) < MAX_FIELDS:
            position = value_end(data, kind, data.index(0, position + 1, end) + 1, end + 1)
            ends.append(position)
    except (InvalidRecordError, ValueError, IndexError, struct.error):
        pass
    return ends


def _json_fields(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield where each leading `"name": value` begins and ends, by quotes and brackets alone."""
    opened = _BEGIN.match(text)
    position = opened.end() if opened else len(text)
    while name := _NAME.match(text, position):
        end = _json_value_end(text, name.end())
        behind = _BEHIND.match(text, end) if end else None
        if not behind:
            return
        yield position, end
        if not behind[1]:
            return
        position = behind.end()


def _json_value_end(text: bytes, start: int) -> int:
    """Return where a value ends; 0 if it does not, or might go on."""
    first = text[start : start + 1]
    if first == b'"':
        string = _WHOLE_STRING.match(text, start)
        return string.end() if string else 0
    if first not in (b"{", b"["):
        scalar = _SCALAR.match(text, start)
        return scalar.end() if scalar and scalar.end() < len(text) else 0
    depth = 0
    while bracket := _BRACKET.match(text, start):
        start = bracket.end()
        depth += 1 if text[start - 1] in _OPENING else -1
        if not depth:
            return start
    return 0
