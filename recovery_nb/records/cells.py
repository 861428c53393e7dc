"""Values as the cells of a CSV file, and back: only where writing the value again gives the same text.

What mongoexport writes: `ObjectId(…)`, dates as `2025-12-01T10:30:00.000Z`, binary data as upper-case hexadecimal
digits, decimals and integers by their digits, doubles as Go's `%v` does, documents and arrays as JSON
(https://github.com/mongodb/mongo-tools, common/json/csv_format.go). Other programs write doubles as Python or
JavaScript do.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bson.decimal128 import Decimal128

from recovery_nb.records.elements import value_end
from recovery_nb.records.extended_json import NotARecordError, to_bson

__all__ = ["Value", "cell_reader", "date", "decimal", "from_shape", "is_cell_of", "object_id", "parse_date",
           "same_decimal", "string"]  # fmt: skip

Value = tuple[int, bytes]
"""A BSON type byte and the value's bytes."""

_DATE = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)?")
_HEX24 = re.compile(rb"[0-9a-f]{24}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_OBJECT_ID = re.compile(rb"ObjectId\(([0-9a-f]{24})\)")
_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]{0,400})(?:\.[0-9]{1,400})?(?:e[-+][0-9]{1,3})?")
_HEX = re.compile(rb"(?:[0-9A-F]{2})+")
_REGEX = re.compile(rb"(?s)/([^\x00]*)/([a-z]*)")
_WORDS = {b"NaN": "nan", b"nan": "nan", b"+Inf": "inf", b"inf": "inf", b"Infinity": "inf", b"-Inf": "-inf",
          b"-inf": "-inf", b"-Infinity": "-inf"}  # fmt: skip
_OPENINGS = (b"{", b"[")
_GO_EXPONENT = 6
"""From this exponent on `%v` writes a double with one (strconv.FormatFloat with 'g' and the shortest precision)."""


def parse_date(text: bytes) -> int | None:
    """Return the milliseconds since 1970 of `2025-12-01T10:30:00.123Z` or `2025-12-01 10:30:00.123000`.

    No zone means UTC, as drivers hand dates out. A fraction finer than a millisecond was never a BSON date.
    """
    if not _DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.decode())
    except ValueError:
        return None
    if moment.microsecond % 1000:
        return None
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


def object_id(text: bytes) -> Value | None:
    """Return the ObjectId of 24 lower-case hexadecimal digits."""
    return (0x07, bytes.fromhex(text.decode())) if _HEX24.fullmatch(text) else None


def date(text: bytes) -> Value | None:
    """Return the date that `parse_date` reads."""
    milliseconds = parse_date(text)
    return None if milliseconds is None else (0x09, struct.pack("<q", milliseconds))


def decimal(text: bytes) -> Value | None:
    """Return a Decimal128 of all these digits, or None where it cannot hold them."""
    try:
        return 0x13, Decimal128(text.decode()).bid
    except (ArithmeticError, ValueError):  # more digits than fit are the former
        return None


def same_decimal(text: bytes) -> Value | None:
    """Return the Decimal128 that is written as this text."""
    found = decimal(text)
    return found if found and str(Decimal128.from_bid(found[1])).encode() == text else None


def string(text: bytes) -> Value:
    """Return a BSON string."""
    return 0x02, struct.pack("<i", len(text) + 1) + text + b"\x00"


def _boolean(text: bytes) -> Value | None:
    return (0x08, b"\x01" if text == b"true" else b"\x00") if text in (b"true", b"false") else None


def _int(text: bytes) -> Value | None:
    if not _INTEGER.fullmatch(text) or not -(2**31) <= (number := int(text)) < 2**31:
        return None
    return 0x10, struct.pack("<i", number)


def _long(text: bytes) -> Value | None:
    if not _INTEGER.fullmatch(text) or not -(2**63) <= (number := int(text)) < 2**63:
        return None
    return 0x12, struct.pack("<q", number)


def _double(text: bytes) -> Value | None:
    if text in _WORDS:
        return 0x01, struct.pack("<d", float(_WORDS[text]))
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return (0x01, struct.pack("<d", number)) if text.decode() in _spellings(number) else None


def _spellings(number: float) -> tuple[str, ...]:
    """Return a finite double as Python, Go and JavaScript write it: with its shortest digits, which are the same."""
    python = repr(number)
    sign, digits, exponent = Decimal(python).as_tuple()
    if not isinstance(exponent, int):  # an infinity
        return (python,)
    text = "".join(map(str, digits)).rstrip("0") or "0"
    power = len(digits) - 1 + exponent if any(digits) else 0
    minus = "-" if sign else ""
    javascript = minus + format(abs(Decimal(python)), "f").removesuffix(".0") if power < 21 else python
    if -5 < power < _GO_EXPONENT:
        return python, javascript
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    return python, javascript, f"{minus}{text[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power):02d}"


def _regex(text: bytes) -> Value | None:
    match = _REGEX.fullmatch(text)
    return (0x0B, match[1] + b"\x00" + match[2] + b"\x00") if match else None


def _code(text: bytes) -> Value | None:
    return 0x0D, string(text)[1]


def _exported_id(text: bytes) -> Value | None:
    match = _OBJECT_ID.fullmatch(text)
    return object_id(match[1] if match else text)


_READERS: dict[int, Callable[[bytes], Value | None]] = {
    0x07: _exported_id,
    0x09: date,
    0x08: _boolean,
    0x10: _int,
    0x12: _long,
    0x01: _double,
    0x13: same_decimal,
    0x0B: _regex,
    0x0D: _code,
}
"""What a cell may be, in the order in which it is tried: of several types that all fit, the narrowest number."""


_AS_JSON = frozenset({0x03, 0x04, 0x06, 0x0C, 0x11})
"""Types whose cells are JSON: documents and arrays, and those that mongoexport writes as Extended JSON."""


def cell_reader(types: Collection[int], subtype: int = 0) -> Callable[[bytes], Value | None]:
    """Return what makes values of the cells of a field; it gives None for a cell that stands for none of its types.

    Args:
        types: The types that the field has elsewhere.
        subtype: The subtype that binary data has there.
    """
    readers = [read for kind, read in _READERS.items() if kind in types]
    if _AS_JSON & set(types):
        readers.append(lambda text: found if (found := _nested(text)) and found[0] in types else None)
    if 0x05 in types:
        readers.append(lambda text: _binary(text, subtype))

    def read(text: bytes) -> Value | None:
        for reader in readers:
            if found := reader(text):
                return found
        return None

    return read


def _binary(text: bytes, subtype: int) -> Value | None:
    # Of subtype 2, four bytes are not written.
    if subtype == 2 or not _HEX.fullmatch(text) or (subtype == 4 and len(text) != 32):
        return None
    return 0x05, struct.pack("<i", len(text) // 2) + bytes([subtype]) + bytes.fromhex(text.decode())


def from_shape(text: bytes) -> Value | None:
    """Return what a cell seems to be, where nothing else tells: a number, a truth value, a date, or JSON.

    Digits after a plus sign or a zero are no number: they are of a telephone, or of a postal code.
    """
    if text[:1] in _OPENINGS:
        return _nested(text)
    if text in _WORDS:
        return None
    return _int(text) or _long(text) or _double(text) or _boolean(text) or date(text)


def _nested(text: bytes) -> Value | None:
    """Return the one value that a JSON text is."""
    if text[:1] not in _OPENINGS:
        return None
    try:
        record = to_bson(b'{"v":' + text + b"}")
    except NotARecordError:
        return None
    whole = record[5:7] == b"v\x00" and value_end(record, record[4], 7, len(record)) == len(record) - 1
    return (record[4], record[7:-1]) if whole else None


def is_cell_of(text: bytes, value: Value) -> bool:
    """Say whether a cell is what a program that exports writes for a value.

    Args:
        text: The cell.
        value: The value that it may stand for.
    """
    kind, raw = value
    if kind == 0x05:
        return text == raw[5:].hex().upper().encode()
    if kind == 0x09 and (found := parse_date(text)) is not None:
        milliseconds: int = struct.unpack("<q", raw)[0]
        return found == (milliseconds if b"." in text else milliseconds // 1000 * 1000)
    read = _READERS.get(kind)
    return bool(read and read(text) == value)
