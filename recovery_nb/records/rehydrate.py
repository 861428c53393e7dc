"""Putting back the types that plain or relaxed JSON lost, and saying by what each was inferred.

The evidence, strongest first: the types the live collection has at that path; those another source has that
kept its types; the shape of the value alone. A value is converted only where the result, written as the backup
wrote it, gives the same text or number again; everything else stays as it was found.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import InvalidOperation
from enum import StrEnum
from uuid import UUID

from bson.decimal128 import Decimal128

from recovery_nb.records.elements import build, elements
from recovery_nb.records.schema import TYPE_NAMES, Path, Schema

__all__ = ["Evidence", "Rehydrated", "Rehydrator", "parse_date"]


class Evidence(StrEnum):
    """What a lost type was inferred from."""

    DATABASE = "database"
    SOURCE = "source"
    SHAPE = "shape"


Value = tuple[int, bytes]

_DATE = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\s?(Z|[+-]\d\d:?\d\d)?")
_HEX24 = re.compile(rb"[0-9a-f]{24}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DEPTH = 100


def parse_date(text: bytes) -> int | None:
    """Return the milliseconds since 1970 of `2025-12-01T10:30:00.123Z` or `2025-12-01 10:30:00.123000`.

    No zone means UTC, as drivers hand dates out. A fraction finer than a millisecond was never a BSON date.
    """
    found = _DATE.fullmatch(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    micros = int((found[7] or b"").ljust(6, b"0"))
    if micros % 1000:
        return None
    try:
        moment = datetime(year, month, day, hour, minute, second, micros, UTC)
    except ValueError:
        return None
    shift = timedelta()
    if (zone := found[8]) and zone != b"Z":
        digits = zone[1:].replace(b":", b"")
        shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (1 if zone[:1] == b"+" else -1)
    return (moment - shift - _EPOCH) // timedelta(milliseconds=1)


def _object_id(text: bytes) -> Value | None:
    return (0x07, bytes.fromhex(text.decode())) if _HEX24.fullmatch(text) else None


def _date(text: bytes) -> Value | None:
    milliseconds = parse_date(text)
    return None if milliseconds is None else (0x09, struct.pack("<q", milliseconds))


def _decimal(text: bytes) -> Value | None:
    try:
        number = Decimal128(text.decode())
    except (InvalidOperation, ValueError):
        return None
    return (0x13, number.bid) if str(number).encode() == text else None


def _binary(text: bytes, subtype: int) -> Value | None:
    raw: bytes | None = None
    try:
        if subtype in (3, 4) and len(text) == 36:
            raw = UUID(text.decode()).bytes if subtype == 4 else None
        else:
            raw = base64.b64decode(text, validate=True)
            raw = raw if base64.b64encode(raw) == text else None
    except (ValueError, binascii.Error):
        return None
    return None if raw is None else (0x05, struct.pack("<i", len(raw)) + bytes([subtype]) + raw)


def _integer(text: bytes, kind: int) -> Value | None:
    try:
        number = int(text)
        packed = struct.pack("<i" if kind == 0x10 else "<q", number)
    except (ValueError, struct.error):
        return None
    return (kind, packed) if str(number).encode() == text else None


def _double(text: bytes) -> Value | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return (0x01, struct.pack("<d", number)) if repr(number).encode() == text else None


_FROM_TEXT: dict[int, Callable[[bytes], Value | None]] = {
    0x07: _object_id,
    0x09: _date,
    0x13: _decimal,
    0x12: lambda text: _integer(text, 0x12),
    0x10: lambda text: _integer(text, 0x10),
    0x01: _double,
}


def _number(kind: int, value: bytes, wanted: int) -> Value | None:
    """Change a number's width where its value stays the same."""
    number = struct.unpack({0x10: "<i", 0x12: "<q", 0x01: "<d"}[kind], value)[0]
    try:
        if wanted == 0x01:
            return (0x01, struct.pack("<d", number)) if int(float(number)) == number else None
        if number != int(number) or (kind == 0x01 and str(number).startswith("-0")):
            return None
        return wanted, struct.pack("<i" if wanted == 0x10 else "<q", int(number))
    except (struct.error, OverflowError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Rehydrated:
    """A record with its types put back.

    Attributes:
        record: Its BSON bytes; the bytes given, where nothing was converted.
        inferred: The weakest evidence that any conversion rests on; "" where nothing was converted.
    """

    record: bytes
    inferred: str


@dataclass(slots=True)
class Rehydrator:
    """Puts lost types back, record by record.

    Args:
        evidence: Schemas with what each is evidence of, strongest first; for each path the first one that knows
            it decides.
        strings: Whether strings may have been other types (plain JSON), or only the width of numbers was lost.

    Attributes:
        conversions: How often each (path, from, to, evidence) was applied, for the report.
    """

    evidence: Sequence[tuple[Evidence, Schema]]
    strings: bool = True
    conversions: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    _known: dict[Path, tuple[Evidence, frozenset[int], int]] = field(default_factory=dict)

    def __call__(self, record: bytes) -> Rehydrated:
        """Return the record with its types put back; `_id` comes first, as the server stores it."""
        used: set[str] = set()
        parts = self._document(record, (), used, array=False)
        places = [index for index, part in enumerate(parts) if part[1] == b"_id"]
        if places and places[0]:
            parts.insert(0, parts.pop(places[0]))
        elif not used:
            return Rehydrated(record, "")
        weakest = next((kind.value for kind in reversed(Evidence) if kind.value in used), "")
        return Rehydrated(build(parts), weakest)

    def _document(
        self, document: bytes, path: Path, used: set[str], *, array: bool
    ) -> list[tuple[int, bytes, bytes]]:
        parts = []
        for kind, name, value in elements(document):
            here = (*path, b"[]" if array else name)
            new = kind, value
            if kind in (0x03, 0x04):
                if len(here) < _MAX_DEPTH:
                    inner: set[str] = set()
                    rebuilt = self._document(value, here, inner, array=kind == 0x04)
                    if inner:
                        new = kind, build(rebuilt)
                        used |= inner
            elif kind in (0x01, 0x10, 0x12) or (kind == 0x02 and self.strings):
                new, why = self._convert(kind, value, here)
                if why:
                    used.add(why)
            parts.append((new[0], name, new[1]))
        return parts

    def _expected(self, path: Path) -> tuple[Evidence, frozenset[int], int]:
        known = self._known.get(path)
        if known is None:
            known = (Evidence.SHAPE, frozenset(), 0)
            for evidence, schema in self.evidence:
                if types := schema.types.get(path):
                    subtypes = schema.subtypes.get(path)
                    known = evidence, frozenset(types), subtypes.most_common(1)[0][0] if subtypes else 0
                    break
            self._known[path] = known
        return known

    def _convert(self, kind: int, value: bytes, path: Path) -> tuple[Value, str]:
        evidence, types, subtype = self._expected(path)
        if kind in types:
            return (kind, value), ""
        new = (
            self._from_text(value[4:-1], path, types, subtype)
            if kind == 0x02
            else self._from_number(kind, value, types)
        )
        if new is None:
            return (kind, value), ""
        self.conversions[
            b".".join(path).decode("utf-8", "replace").replace(".[]", "[]"),
            TYPE_NAMES[kind], TYPE_NAMES[new[0]], evidence.value,
        ] += 1  # fmt: skip
        return new, evidence.value

    def _from_text(self, text: bytes, path: Path, types: frozenset[int], subtype: int) -> Value | None:
        if not types:
            return _object_id(text) if path == (b"_id",) else _date(text)
        for kind, convert in _FROM_TEXT.items():
            if kind in types and (new := convert(text)):
                return new
        return _binary(text, subtype) if 0x05 in types else None

    def _from_number(self, kind: int, value: bytes, types: frozenset[int]) -> Value | None:
        wanted = types & {0x01, 0x10, 0x12}
        if len(wanted) == 1:
            return _number(kind, value, next(iter(wanted)))
        if wanted == {0x01, 0x12} and kind == 0x10:
            return _number(kind, value, 0x12)
        if self.strings and types == {0x13}:
            number = struct.unpack({0x10: "<i", 0x12: "<q", 0x01: "<d"}[kind], value)[0]
            return _decimal(json.dumps(number).encode())
        return None
