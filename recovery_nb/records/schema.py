"""Which BSON types a collection's fields have: observed, so that types a backup lost can be put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, elements

__all__ = ["TYPE_NAMES", "Path", "Schema", "observe"]

Path = tuple[bytes, ...]
"""A field's path; every array element has the step b"[]"."""

TYPE_NAMES = {
    0x01: "double", 0x02: "string", 0x03: "object", 0x04: "array", 0x05: "binary", 0x06: "undefined",
    0x07: "objectId", 0x08: "bool", 0x09: "date", 0x0A: "null", 0x0B: "regex", 0x0C: "dbPointer",
    0x0D: "javascript", 0x0E: "symbol", 0x0F: "javascriptWithScope", 0x10: "int", 0x11: "timestamp",
    0x12: "long", 0x13: "decimal", 0x7F: "maxKey", 0xFF: "minKey",
}  # fmt: skip
"""BSON's type bytes by the names that the server's `$type` operator uses."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The types seen in a sample of a collection.

    Attributes:
        types: For each path, how often each type was seen there; null is not counted.
        sampled: How many records were looked at.
        subtypes: For each path with binaries, the subtypes seen.
    """

    types: dict[Path, Counter[int]] = field(default_factory=dict)
    sampled: int = 0
    subtypes: dict[Path, Counter[int]] = field(default_factory=dict)


def _walk(document: bytes, path: Path, schema: Schema, *, array: bool) -> None:
    for kind, name, value in elements(document):
        here = (*path, b"[]" if array else name)
        if kind == 0x0A:
            continue
        schema.types.setdefault(here, Counter())[kind] += 1
        if kind in (0x03, 0x04) and len(here) < MAX_DEPTH:
            _walk(value, here, schema, array=kind == 0x04)
        elif kind == 0x05:
            schema.subtypes.setdefault(here, Counter())[value[4]] += 1


def observe(records: Iterable[bytes]) -> Schema:
    """Return the types that these records have, path by path. Records with a broken structure are passed over."""
    schema, seen = Schema(), 0
    for record in records:
        try:
            _walk(record, (), schema, array=False)
        except InvalidRecordError:
            continue
        seen += 1
    return Schema(schema.types, seen, schema.subtypes)
