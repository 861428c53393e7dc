"""Extended JSON to BSON and back, with the types exactly as the text states them.

The format: https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md
(v2, canonical and relaxed) and the legacy "strict mode" of MongoDB 2 and 3 (v1).
"""

from __future__ import annotations

import re
import secrets
import struct
from collections.abc import Sequence
from typing import cast

import bson
import bsonjs
from bson import json_util

from recovery_nb.records.extended_json_slow import NotARecordError, convert_slowly

__all__ = ["NotARecordError", "to_bson", "to_bson_together", "to_json"]

_LENGTH = struct.Struct("<i")

# bsonjs stops silently after the first value of its input. Between a bracket and a number that nobody can
# guess, anything but exactly one object shows: the number is missing, or not the second element.
_SENTINEL = secrets.randbelow(1 << 30)
_TAIL = f",{_SENTINEL}]".encode()
_BETWEEN = f",{_SENTINEL},".encode()
_SENTINEL_BYTES = _SENTINEL.to_bytes(4, "little")
_ENDING = b"\x101\x00" + _SENTINEL_BYTES + b"\x00"
_HEAD = b"\x030\x00"

# bsonjs wraps integers of 20 digits around, silently: runs of 19 are looked at.
_DIGITS = bytes(0x30 if 0x30 <= i <= 0x39 else i for i in range(256))
_LONG_RUN = b"0" * 19
_BEFORE_A_NUMBER = frozenset(b":[, \t\r\n-")
_NOT_A_DIGIT = re.compile(rb"[^0-9]")

# bsonjs is lenient inside of wrappers (a bad hex digit in an $oid, "1.5x" as $numberDouble, 31 February),
# so only wrappers of these strict forms are left to it.
_LOOSE_WRAPPER = re.compile(
    rb"""
    "\$ (?! oid"\s*+:\s*+"[0-9A-Fa-f]{24}"\s*+\}
      | date"\s*+:\s*+
          (?: \{\s*+"\$numberLong"\s*+:\s*+"-?[0-9]{1,19}+"\s*+\}
            | "[0-9]{4}-(?:[0-9]{2}-(?:[01][0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)
               T[0-9]{2}:[0-9]{2}(?::[0-5][0-9](?:\.[0-9]{1,3}+)?+)?+(?:Z|[-+][0-9]{2}:?+[0-9]{2})"
            | -?[0-9]{1,18}+ )\s*+\}
      | number(?: Int"\s*+:\s*+"-?[0-9]{1,10}+"
                | Long"\s*+:\s*+"-?[0-9]{1,19}+"
                | Double"\s*+:\s*+"(?:-?[0-9]++(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+|-?Infinity|NaN)"
                | Decimal"\s*+:\s*+"[^"\\]++" )\s*+\}
      | binary"\s*+:\s*+\{\s*+"base64"\s*+:\s*+"[0-9A-Za-z+/=]*+"\s*+,\s*+"subType"\s*+:\s*+"[0-9A-Fa-f]{1,2}+"
        \s*+\}\s*+\} )
    (?= (?:oid|number\w+|date|binary|type|timestamp|reg\w+|options|code|scope|symbol|dbPointer|undefined
          |minKey|maxKey|uuid) " \s*+ : )""",
    re.VERBOSE,
)


def to_bson(text: bytes, notes: list[str] | None = None) -> bytes:
    """Convert one JSON object to a BSON document.

    Extended JSON v1 and v2 (canonical, relaxed) and plain JSON are read; field order and fields that occur
    twice are kept; an integer becomes the narrowest of int32 and int64 that holds it, as the server's own
    tools do. NaN and the infinities, as some programs write them, become doubles.

    Args:
        text: The object, UTF-8, with or without white space around it.
        notes: Where to add what had to be decided: an integer beyond 64 bits that became a decimal, the
            part of a date below the millisecond, a date without a zone.

    Raises:
        NotARecordError: It is not exactly one JSON object, or BSON cannot hold it exactly.
    """
    try:
        found = bsonjs.loads(b"[" + text + _TAIL)
    except ValueError:
        return convert_slowly(text, notes)
    if (
        not found.endswith(_ENDING)
        or found[4:7] != _HEAD
        or int.from_bytes(found[7:11], "little") != len(found) - len(_ENDING) - 7
        or _has_long_integer(text)
        or (b'"$' in text and _LOOSE_WRAPPER.search(text))
    ):
        return convert_slowly(text, notes)
    return cast("bytes", found[7 : -len(_ENDING)])


def to_bson_together(texts: Sequence[bytes]) -> list[bytes] | None:
    """Convert several JSON objects at once, which is quicker; None where any of them must be converted by `to_bson`.

    Args:
        texts: The objects, each as `to_bson` takes it.
    """
    text = _BETWEEN.join(texts)
    if _has_long_integer(text) or (b'"$' in text and _LOOSE_WRAPPER.search(text)):
        return None
    try:
        found = bsonjs.loads(b"[" + text + _TAIL)
    except ValueError:
        return None
    # Every second element is the number that nobody can guess: so no text was joined to the next one.
    records: list[bytes] = []
    append, length_at, place = records.append, _LENGTH.unpack_from, 4
    for number in range(0, 2 * len(texts), 2):
        start = place + len(str(number)) + 2
        end = start + length_at(found, start)[0] if found[place : place + 1] == b"\x03" else 0
        place = end + len(str(number + 1)) + 6
        if not end or found[end] != 0x10 or found[place - 4 : place] != _SENTINEL_BYTES:
            return None
        append(found[start:end])
    return records if place == len(found) - 1 else None


def _has_long_integer(text: bytes) -> bool:
    """Whether a number, and not a string such as an id, has 19 digits or more in a row."""
    digits = text.translate(_DIGITS)
    run = digits.find(_LONG_RUN)
    while run > 0:
        if text[run - 1] in _BEFORE_A_NUMBER:
            return True
        beyond = _NOT_A_DIGIT.search(text, run)
        run = digits.find(_LONG_RUN, beyond.end()) if beyond else -1
    return False


def to_json(record: bytes) -> str:
    """Return a BSON document as canonical Extended JSON v2, on one line.

    Raises:
        NotARecordError: The bytes are no valid BSON document.
    """
    try:
        text = cast("str", bsonjs.dumps(record, mode=bsonjs.CANONICAL))
        # bsonjs ends JavaScript code at an embedded NUL: no other value has to be proved.
        if '"$code"' in text and to_bson(text.encode()) != record:
            options = json_util.CANONICAL_JSON_OPTIONS
            text = json_util.dumps(bson.decode(record, options), json_options=options, ensure_ascii=False)
    except (ValueError, bson.errors.BSONError) as error:
        raise NotARecordError(f"no valid BSON document: {error}") from error
    return text
