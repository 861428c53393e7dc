"""The careful way from JSON to BSON, for what the fast one refuses or would get wrong."""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple, NoReturn

import bsonjs
from bson.decimal128 import Decimal128, create_decimal128_context

__all__ = ["NotARecordError", "convert_slowly"]

_INT32 = range(-(1 << 31), 1 << 31)
_INT64 = range(-(1 << 63), 1 << 63)
_DECIMAL_DIGITS = 34
_MOST_VALUES = 1_000_000
"""A value takes some 250 bytes here: it bounds memory. A document of 16 MiB could hold little more."""
_DATE = re.compile(
    r"([+-]?\d{4,6})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::([0-5]\d)(?:[.,](\d+))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_LONG_TEXT = re.compile(r"-?\d{1,30}", re.ASCII)
_DOUBLE_TEXT = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|-?Infinity|NaN", re.ASCII)
_HEX24 = re.compile(r"[0-9a-fA-F]{24}")
_DAYS_IN_400_YEARS = 146_097


class NotARecordError(ValueError):
    """A text that cannot become a record.

    Attributes:
        reason: Why, for a person.
        well_formed: Whether it is valid JSON all the same, so that its end can be trusted.
    """

    def __init__(self, reason: str, *, well_formed: bool = False) -> None:
        # A parser may quote the text, which may hold anything: a reason is one line.
        self.reason = "".join(one if one.isprintable() else repr(one)[1:-1] for one in reason)
        super().__init__(self.reason)
        self.well_formed = well_formed


class _Fields(list[tuple[str, object]]):
    """The fields of an object in their order, doubles included."""


class _Value(NamedTuple):
    kind: bytes
    payload: bytes


def convert_slowly(text: bytes, notes: list[str] | None = None) -> bytes:
    """Convert one JSON object to BSON, as `to_bson` does, exactly and about ten times slower.

    Raises:
        NotARecordError: It is not exactly one JSON object, or BSON cannot hold it exactly.
    """
    if text.count(b",") > _MOST_VALUES:
        raise NotARecordError(
            f"more than {_MOST_VALUES:,} values, and some that only a careful reading converts", well_formed=True
        )
    try:
        tree = _DECODER.decode(text.decode())
    except UnicodeDecodeError as error:
        raise NotARecordError(
            f"the text is not UTF-8 (byte 0x{text[error.start]:02X} at its byte {error.start})",
            well_formed=_is_json(text.decode("latin-1")),
        ) from None
    except json.JSONDecodeError as error:
        raise NotARecordError(f"invalid JSON: {error.msg} at its character {error.pos}") from None
    except RecursionError:
        raise NotARecordError("nested too deeply to be a record", well_formed=True) from None
    if not isinstance(tree, _Fields):
        raise NotARecordError(f"{_name(tree)} where a record is expected", well_formed=True)
    try:
        value = _Encoder([] if notes is None else notes).value(tree)
    except RecursionError:
        raise NotARecordError("nested too deeply to be a record", well_formed=True) from None
    if value.kind != b"\x03":
        raise NotARecordError(f"a bare {tree[0][0]} value where a record is expected", well_formed=True)
    return value.payload


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _name(value: object) -> str:
    if value is None:
        return "null"
    names = {str: "a string", bool: "a boolean", list: "a list"}
    return names.get(type(value), "a number")


def _refuse(reason: str) -> NoReturn:
    raise NotARecordError(reason, well_formed=True)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


class _Literal(str):
    """A number as the text spells it: Python's own limit on digits does not apply."""

    __slots__ = ()


class _Double(_Literal):
    """A number with a fraction or an exponent, or NaN or an infinity."""

    __slots__ = ()


_CONSTANTS = {
    (True, False): _Value(b"\x0a", b""),
    (False, False): _Value(b"\x08", b"\x00"),
    (False, True): _Value(b"\x08", b"\x01"),
}
_DECODER = json.JSONDecoder(object_pairs_hook=_Fields, parse_int=_Literal, parse_float=_Double, parse_constant=_Double)


class _Encoder:
    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    def value(self, value: object) -> _Value:
        if isinstance(value, _Fields):
            wrapped = _WRAPPERS.get(value[0][0]) if value else None
            return wrapped(self, value) if wrapped else _Value(b"\x03", self._document(iter(value)))
        if isinstance(value, list):
            return _Value(b"\x04", self._document((str(i), item) for i, item in enumerate(value)))
        if isinstance(value, _Literal):
            return self._double(value) if isinstance(value, _Double) else self._integer(value)
        if isinstance(value, str):
            return _Value(b"\x02", _string(value))
        return _CONSTANTS[value is None, bool(value)]

    def _document(self, fields: Iterator[tuple[str, object]]) -> bytes:
        parts = []
        for name, item in fields:
            kind, payload = self.value(item)
            if "\0" in name:
                _refuse("a field name with a NUL, which BSON cannot hold")
            parts.append(kind + _utf8(name) + b"\0" + payload)
        body = b"".join(parts)
        return struct.pack("<i", len(body) + 5) + body + b"\0"

    def _double(self, text: str) -> _Value:
        number = float(text)
        if math.isinf(number) and "Inf" not in text:
            return self._decimal(text)
        return _Value(b"\x01", struct.pack("<d", number))

    def _integer(self, text: str) -> _Value:
        if len(text) > _DECIMAL_DIGITS + 1:
            _refuse(f"an integer of {len(text)} digits, which BSON cannot hold")
        number = int(text)
        if number in _INT32:
            return _Value(b"\x10", struct.pack("<i", number))
        if number in _INT64:
            return _Value(b"\x12", struct.pack("<q", number))
        return self._decimal(text)

    def _decimal(self, text: str) -> _Value:
        with_traps = create_decimal128_context()
        with_traps.traps = dict.fromkeys(with_traps.traps, True)
        try:
            number = Decimal128(with_traps.create_decimal(text))
        except (ArithmeticError, ValueError):
            _refuse(f"the number {_show(str(text))}, which BSON cannot hold exactly")
        self._notes.append("a number beyond 64 bits was read as a decimal")
        return _Value(b"\x13", number.bid)

    def number_int(self, fields: _Fields) -> _Value:
        return _Value(b"\x10", struct.pack("<i", _whole(fields, _INT32)))

    def number_long(self, fields: _Fields) -> _Value:
        return _Value(b"\x12", struct.pack("<q", _whole(fields, _INT64)))

    def number_double(self, fields: _Fields) -> _Value:
        text = _only(fields)
        if not isinstance(text, str) or not _DOUBLE_TEXT.fullmatch(text):
            _refuse(f"$numberDouble holds {_show(text)}")
        number = float(text)
        if math.isinf(number) and "Inf" not in text:
            _refuse(f"$numberDouble holds {_show(text)}, beyond a double")
        return _Value(b"\x01", struct.pack("<d", number))

    def oid(self, fields: _Fields) -> _Value:
        text = _only(fields)
        if not isinstance(text, str) or not _HEX24.fullmatch(text):
            _refuse(f"$oid holds {_show(text)}, not 24 hexadecimal digits")
        return _Value(b"\x07", bytes.fromhex(text))

    def date(self, fields: _Fields) -> _Value:
        content = _only(fields)
        if isinstance(content, _Fields) and content and content[0][0] == "$numberLong":
            millis = _whole(content, _INT64)
        elif isinstance(content, _Literal) and not isinstance(content, _Double):
            millis = _whole(fields, _INT64)
        elif isinstance(content, str) and not isinstance(content, _Literal):
            millis = self._moment(content)
        else:
            _refuse(f"$date holds {_show(content)}")
        return _Value(b"\x09", struct.pack("<q", millis))

    def _moment(self, text: str) -> int:
        """Return the milliseconds since 1970 of an ISO 8601 date, of any year that fits in 64 bits."""
        match = _DATE.fullmatch(text.strip())
        if not match:
            _refuse(f"$date holds {_show(text)}")
        year, month, day, hour, minute, second, fraction, zone = match.groups()
        # The calendar repeats after 400 years: that is how years beyond 9999 are computed.
        cycles, within = divmod(int(year) - 2000, 400)
        try:
            moment = datetime(2000 + within, int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
        except ValueError as error:
            _refuse(f"$date holds {_show(text)}: {error}")
        since = moment - datetime(1970, 1, 1)
        seconds = (since.days + cycles * _DAYS_IN_400_YEARS) * 86_400 + since.seconds
        if zone is None:
            self._notes.append("a date without a zone was read as UTC")
        elif zone != "Z":
            digits = zone[1:].replace(":", "").ljust(4, "0")
            seconds -= (1 if zone[0] == "+" else -1) * (int(digits[:2]) * 3600 + int(digits[2:]) * 60)
        digits = (fraction or "").ljust(3, "0")
        if digits[3:].strip("0"):
            self._notes.append("a date was cut to the millisecond, all that BSON holds")
        return seconds * 1000 + int(digits[:3])

    def timestamp(self, fields: _Fields) -> _Value:
        content = _only(fields)
        if not isinstance(content, _Fields) or sorted(name for name, _ in content) != ["i", "t"]:
            _refuse("$timestamp holds something else than t and i")
        parts = {name: _whole(_Fields([(f"$timestamp.{name}", part)]), range(1 << 32)) for name, part in content}
        return _Value(b"\x11", struct.pack("<II", parts["i"], parts["t"]))

    def code(self, fields: _Fields) -> _Value:
        parts = dict(fields)
        code, scope = parts.get("$code"), parts.get("$scope")
        if len(parts) != len(fields) or set(parts) - {"$code", "$scope"} or not isinstance(code, str):
            _refuse("$code holds something else than a text, with or without a scope")
        if "$scope" not in parts:
            return _Value(b"\x0d", _string(code))
        if not isinstance(scope, _Fields):
            _refuse("$scope holds no object")
        body = _string(code) + self._document(iter(scope))
        return _Value(b"\x0f", struct.pack("<i", len(body) + 4) + body)

    def by_library(self, fields: _Fields) -> _Value:
        """Leave a wrapper in which the library is strict to it, alone in a document of its own."""
        try:
            document = bsonjs.loads(json.dumps({"": _plain(fields)}))
        except ValueError as error:
            _refuse(f"{fields[0][0]}: {error}")
        return _Value(document[4:5], document[6:-1])


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        _refuse(f"half of a surrogate pair (\\u{ord(text[error.start]):04x}), which UTF-8 cannot hold")


def _string(text: str) -> bytes:
    data = _utf8(text) + b"\0"
    return struct.pack("<i", len(data)) + data


def _only(fields: _Fields) -> object:
    if len(fields) != 1:
        _refuse(f"{fields[0][0]} with other fields beside it")
    return fields[0][1]


def _whole(fields: _Fields, bounds: range) -> int:
    text = _only(fields)
    if not isinstance(text, str) or not _LONG_TEXT.fullmatch(text) or int(text) not in bounds:
        _refuse(f"{fields[0][0]} holds {_show(text)}")
    return int(text)


def _plain(value: object) -> object:
    if isinstance(value, _Fields):
        plain = {name: _plain(item) for name, item in value}
        if len(plain) != len(value):
            _refuse(f"{value[0][0]} with a field twice")
        return plain
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, _Double):
        return float(value)
    return int(value) if isinstance(value, _Literal) else value


_BY_LIBRARY = (
    "$binary",
    "$dbPointer",
    "$maxKey",
    "$minKey",
    "$numberDecimal",
    "$options",
    "$regex",
    "$regularExpression",
    "$symbol",
    "$undefined",
    "$uuid",
)
_WRAPPERS: dict[str, Callable[[_Encoder, _Fields], _Value]] = {
    **dict.fromkeys(_BY_LIBRARY, _Encoder.by_library),
    "$numberInt": _Encoder.number_int,
    "$numberLong": _Encoder.number_long,
    "$numberDouble": _Encoder.number_double,
    "$oid": _Encoder.oid,
    "$date": _Encoder.date,
    "$timestamp": _Encoder.timestamp,
    "$code": _Encoder.code,
    "$scope": _Encoder.code,
}
