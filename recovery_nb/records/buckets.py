"""Measurements out of the buckets in which a time-series collection keeps them.

A document of `system.buckets.NAME` holds many measurements, field by field: `data.FIELD` has the values of one field,
`meta` the value that they share, `control` the version of the layout, smallest and largest values, and in versions 2
and 3 the number of measurements. Version 1 keeps a field as an object with the names "0", "1", …; the others as a
BSONColumn (3: not in the order of time). The layout: src/mongo/db/timeseries/README.md of the MongoDB server.
"""

from __future__ import annotations

import struct

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.bson_column import Budget, Value, decode_column
from recovery_nb.records.elements import InvalidRecordError, elements

__all__ = ["count", "measurements"]

_LENGTH = struct.Struct("<i")
_NUMBERS = {0x01: struct.Struct("<d"), 0x10: struct.Struct("<i"), 0x12: struct.Struct("<q")}
_OBJECT, _BINARY, _OBJECT_ID, _DATE = 0x03, 0x05, 0x07, 0x09
_COLUMN = 7
_UNCOMPRESSED = 1
_COMPRESSED = (2, 3)
_UNKNOWN = 1 << 31

_Fields = dict[bytes, Value]
_Column = list[Value | None]


def measurements(bucket: bytes, *, meta_field: str = "meta", time_field: str = "") -> list[bytes]:
    """Return the measurements of a bucket, as a query of the time-series collection returns them, byte for byte.

    The time is the first field, the shared one the second; the others follow in the bucket's order.

    Args:
        bucket: A document of `system.buckets.NAME`, of version 1, 2 or 3.
        meta_field: The collection's option `timeseries.metaField`. It is not used if the bucket has no `meta`.
        time_field: The collection's option `timeseries.timeField`; "" if it is not known: then the one date that the
            bucket's `_id` begins with is it.

    Raises:
        InvalidRecordError: It is no such bucket, it contradicts itself, or it expands to far more than a document.
    """
    parts = _Bucket(bucket, time_field.encode())
    budget = Budget()
    times = parts.column(parts.data[parts.time], budget)
    if parts.stated not in (None, len(times)):
        raise InvalidRecordError(f"a bucket of {len(times):,} times that states {parts.stated:,} measurements")
    if any(time is None or time[0] != _DATE for time in times):
        raise InvalidRecordError("a bucket with a measurement without a time")
    columns = [_named(parts.time, times, budget)]
    if parts.meta:
        columns.append(_named(meta_field.encode(), [parts.meta] * len(times), budget))
    for name, value in parts.data.items():
        if name != parts.time:
            values = parts.column(value, budget)
            if len(values) != len(times):
                raise InvalidRecordError(f"a bucket of {len(times):,} times with {len(values):,} values of a field")
            columns.append(_named(name, values, budget))
    return [_document(fields) for fields in map(b"".join, zip(*columns, strict=True))]


def count(bucket: bytes, *, time_field: str = "") -> int:
    """Return how many measurements a bucket holds, without expanding it where it states their number.

    Args:
        bucket: A document of `system.buckets.NAME`.
        time_field: As in `measurements`.

    Raises:
        InvalidRecordError: It is no such bucket.
    """
    parts = _Bucket(bucket, time_field.encode())
    return len(parts.column(parts.data[parts.time], Budget())) if parts.stated is None else parts.stated


class _Bucket:
    """The parts of a bucket.

    Attributes:
        data: Its fields, each with all of its values.
        meta: What all measurements share, None where there is nothing.
        stated: How many measurements it says it has, None where it does not.
        time: The name of the field that holds the time.
    """

    def __init__(self, bucket: bytes, time: bytes) -> None:
        fields = _fields(bucket)
        control = _part(fields, b"control")
        self.data = _part(fields, b"data")
        self.meta = fields.get(b"meta")
        version = _whole(control.get(b"version"))
        if version != _UNCOMPRESSED and version not in _COMPRESSED:
            raise InvalidRecordError(f"a bucket of version {version}")
        self.stated = _whole(control[b"count"]) if version in _COMPRESSED and b"count" in control else None
        self.time = time or _time_field(fields.get(b"_id"), control)
        if self.time not in self.data:
            raise InvalidRecordError("a bucket without the field that holds its time")
        self._rows: dict[bytes, int] | None = None
        if version == _UNCOMPRESSED:
            names = [name for _, name, _ in elements(_whole_object(self.data[self.time]))]
            self._rows = {name: row for row, name in enumerate(names)}
            if len(self._rows) != len(names):
                raise InvalidRecordError("a bucket with two measurements of one number")

    def column(self, field: Value, budget: Budget) -> _Column:
        """Return all values of a field; None for measurements without it."""
        if self._rows is not None:
            return _uncompressed(_whole_object(field), self._rows, budget)
        kind, value = field
        if kind != _BINARY or value[4] != _COLUMN:
            raise InvalidRecordError("a compressed bucket with a field that is not")
        return decode_column(value[5:], limit=_UNKNOWN if self.stated is None else self.stated, budget=budget)


def _fields(record: bytes) -> _Fields:
    parts = list(elements(record))
    fields = {name: (kind, value) for kind, name, value in parts}
    if len(fields) != len(parts):
        raise InvalidRecordError("a bucket with a field twice")
    return fields


def _part(fields: _Fields, name: bytes) -> _Fields:
    if name not in fields:
        raise InvalidRecordError(f"a bucket without {name.decode()}")
    return _fields(_whole_object(fields[name]))


def _whole_object(value: Value) -> bytes:
    if value[0] != _OBJECT:
        raise InvalidRecordError("a bucket with something else where an object belongs")
    return value[1]


def _whole(value: Value | None) -> int:
    if value is None or value[0] not in _NUMBERS:
        raise InvalidRecordError("a bucket without a version or with a count that is no number")
    (found,) = _NUMBERS[value[0]].unpack(value[1])
    if not 0 <= found < _UNKNOWN or found != int(found):
        raise InvalidRecordError(f"a bucket with a version or a count of {found}")
    return int(found)


def _time_field(identity: Value | None, control: _Fields) -> bytes:
    """Return the name of the field that holds the time: a bucket's ObjectId begins with the smallest one's seconds."""
    dates = {name: value for name, (kind, value) in _part(control, b"min").items() if kind == _DATE}
    if len(dates) > 1 and identity and identity[0] == _OBJECT_ID:
        begin = int.from_bytes(identity[1][:4], "big")
        seconds = {name: int.from_bytes(value, "little", signed=True) // 1000 for name, value in dates.items()}
        dates = {name: value for name, value in dates.items() if seconds[name] & 0xFFFFFFFF == begin}
    if len(dates) != 1:
        raise InvalidRecordError("a bucket that does not tell which of its fields holds the time")
    return next(iter(dates))


def _uncompressed(values: bytes, rows: dict[bytes, int], budget: Budget) -> _Column:
    column: _Column = [None] * len(rows)
    budget.spend(8 * len(rows) + len(values))
    last = -1
    for kind, name, value in elements(values):
        row = rows.get(name, -1)
        if row <= last:
            raise InvalidRecordError("a bucket with a value that is of none of its measurements")
        column[row] = kind, value
        last = row
    return column


def _named(name: bytes, values: _Column, budget: Budget) -> list[bytes]:
    """Return the values as elements of documents, nothing where there is none."""
    budget.spend(sum(len(name) + len(value[1]) for value in values if value))
    return [b"%c%b\x00%b" % (value[0], name, value[1]) if value else b"" for value in values]


def _document(fields: bytes) -> bytes:
    if len(fields) + 5 > MAX_RECORD_BYTES:
        raise InvalidRecordError("a measurement that is larger than a document can be")
    return _LENGTH.pack(len(fields) + 5) + fields + b"\x00"
