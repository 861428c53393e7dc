"""Putting back the types that plain or relaxed JSON, or CSV, lost, and saying by what each was inferred.

The evidence, strongest first: the types the live collection has at that path; those another source has that
kept its types; the shape of the value alone. A value is converted only where the result, written as the backup
wrote it, gives the same text or number again; everything else stays as it was found.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from recovery_nb.records.cells import Value, cell_reader, date, from_shape, object_id, parse_date, same_decimal
from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, build, elements, value_end
from recovery_nb.records.schema import TYPE_NAMES, Path, Schema

__all__ = ["Evidence", "Rehydrated", "Rehydrator", "parse_date"]


class Evidence(StrEnum):
    """What a lost type was inferred from."""

    DATABASE = "database"
    SOURCE = "source"
    SHAPE = "shape"


_NUMBERS = frozenset({0x01, 0x10, 0x12})
_HEX = re.compile(rb"[0-9A-Fa-f]+")


def _binary(text: bytes, subtype: int) -> Value | None:
    """A UUID's text, else Base64. Subtype 3 has several byte orders and 2 an inner length: neither is guessed."""
    try:
        if subtype == 4:
            raw = UUID(text.decode()).bytes
            same = str(UUID(bytes=raw)).encode() == text
        else:
            raw = base64.b64decode(text, validate=True)
            same = base64.b64encode(raw) == text and subtype not in (2, 3)
    except ValueError:
        return None
    return (0x05, struct.pack("<i", len(raw)) + bytes([subtype]) + raw) if same else None


_FROM_TEXT = {0x07: object_id, 0x09: date, 0x13: same_decimal}
"""What a string may have been. Not a number: JSON has those, so `"1"` is another value, and another `_id`, than 1."""


def _number(kind: int, value: bytes, wanted: int) -> Value | None:
    """Give a whole number another width. No format writes an integer as `1.0`: a double is never made one."""
    if kind == 0x01:
        return None
    number = struct.unpack({0x10: "<i", 0x12: "<q"}[kind], value)[0]
    if wanted == 0x01:  # JavaScript writes a double's shortest digits, and zeros for the rest
        return (0x01, struct.pack("<d", number)) if Decimal(repr(float(number))) == number else None
    try:
        return wanted, struct.pack("<i" if wanted == 0x10 else "<q", number)
    except struct.error:
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
class _Node:
    """What is known of one path, and of the paths below it; made when a record first has it.

    Attributes:
        path: Its steps.
        label: The same, for the report.
        evidence: What tells its types.
        types: The types expected; empty where nothing tells them.
        subtype: The binary subtype expected.
        children: The nodes of its fields by name; an array has one, b"[]".
        read_cell: Makes values of CSV cells; made when the first comes.
    """

    path: Path
    label: str
    evidence: Evidence
    types: frozenset[int]
    subtype: int
    children: dict[bytes, _Node] = field(default_factory=dict)
    read_cell: Callable[[bytes], Value | None] | None = None


@dataclass(slots=True)
class Rehydrator:
    """Puts lost types back, record by record.

    Args:
        evidence: Schemas with what each is evidence of, strongest first; for each path the first one that knows
            it decides.
        strings: Whether strings may have been other types (plain JSON), or only the width of numbers was lost.
        text: Whether everything has become text (CSV): numbers and truth values, too, and documents and arrays, of
            whose JSON the numbers kept all but their width.

    Attributes:
        conversions: How often each (path, from, to, evidence) was applied, for the report.
    """

    evidence: Sequence[tuple[Evidence, Schema]]
    strings: bool = True
    text: bool = False
    conversions: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    _root: _Node = field(default_factory=lambda: _Node((), "", Evidence.SHAPE, frozenset(), 0))

    def __call__(self, record: bytes) -> Rehydrated:
        """Return the record with its types put back; `_id` comes first, as the server stores it.

        Raises:
            InvalidRecordError: The document's structure is broken.
        """
        used: set[Evidence] = set()
        try:
            rebuilt = self._document(record, 0, len(record), self._root, used, cells=self.text)
        except (ValueError, IndexError, struct.error):
            raise InvalidRecordError("an element runs past its document") from None
        whole = _id_first(record if rebuilt is None else rebuilt)
        weakest = next((kind.value for kind in reversed(Evidence) if kind in used), "")
        return Rehydrated(whole, weakest)

    def _document(
        self, buffer: bytes, start: int, stop: int, node: _Node, used: set[Evidence], *, array: bool = False,
        cells: bool = False,
    ) -> bytes | None:  # fmt: skip
        """Return the (sub-)document at `start:stop` with types put back; None where nothing changes.

        Spans without a change are copied as they are, and sub-documents are read in place: this is the loop in
        which a comparison with a JSON backup spends its time.
        """
        position, end, kept = start + 4, stop - 1, start + 4
        pieces: list[bytes] = []
        item = self._child(node, b"[]") if array else None
        while position < end:
            kind = buffer[position]
            value = buffer.index(0, position + 1) + 1
            child = item or self._child(node, buffer[position + 1 : value - 1])
            after = value_end(buffer, kind, value, stop)
            new: Value | None = None
            if kind in (0x03, 0x04):
                if len(child.path) < MAX_DEPTH:
                    inner = self._document(buffer, value, after, child, used, array=kind == 0x04, cells=cells)
                    new = None if inner is None else (kind, inner)
            elif kind not in child.types and (kind in _NUMBERS or (kind == 0x02 and self.strings)):
                if cells and kind == 0x02:
                    new = self._from_cell(buffer[value + 4 : after - 1], child, used)
                else:
                    new = self._convert(kind, buffer[value:after], child)
                if new:
                    used.add(child.evidence)
            if new:
                pieces += (buffer[kept:position], bytes((new[0],)), buffer[position + 1 : value], new[1])
                kept = after
            position = after
        if not pieces:
            return None
        body = b"".join(pieces) + buffer[kept:end]
        return struct.pack("<i", len(body) + 5) + body + b"\x00"

    def _child(self, node: _Node, name: bytes) -> _Node:
        child = node.children.get(name)
        if child is None:
            path = (*node.path, name)
            label = b".".join(path).decode("utf-8", "replace").replace(".[]", "[]")
            child = node.children[name] = _Node(path, label, *self._expected(path))
        return child

    def _expected(self, path: Path) -> tuple[Evidence, frozenset[int], int]:
        for evidence, schema in self.evidence:
            if types := schema.types.get(path):
                subtypes = schema.subtypes.get(path)
                return evidence, frozenset(types), subtypes.most_common(1)[0][0] if subtypes else 0
        return Evidence.SHAPE, frozenset(), 0

    def _convert(self, kind: int, value: bytes, node: _Node) -> Value | None:
        new = _from_text(value[4:-1], node) if kind == 0x02 else self._from_number(kind, value, node.types)
        if new:
            self.conversions[node.label, TYPE_NAMES[kind], TYPE_NAMES[new[0]], node.evidence.value] += 1
        return new

    def _from_cell(self, text: bytes, node: _Node, used: set[Evidence]) -> Value | None:
        """Return what a cell was. In JSON text, strings were strings or what plain JSON makes strings of."""
        if node.types:
            if not node.read_cell:
                node.read_cell = cell_reader(node.types, node.subtype)
            new = node.read_cell(text)
            # Base64 of hexadecimal digits alone would be hexadecimal digits that another program wrote.
            if not new and 0x05 in node.types and not _HEX.fullmatch(text):
                new = _binary(text, node.subtype)
        else:
            new = (object_id(text) if node.path == (b"_id",) else None) or from_shape(text)
        if not new:
            return None
        self.conversions[node.label, TYPE_NAMES[0x02], TYPE_NAMES[new[0]], node.evidence.value] += 1
        if new[0] in (0x03, 0x04) and len(node.path) < MAX_DEPTH:
            inner = self._document(new[1], 0, len(new[1]), node, used, array=new[0] == 0x04)
            return new if inner is None else (new[0], inner)
        return new

    def _from_number(self, kind: int, value: bytes, types: frozenset[int]) -> Value | None:
        wanted = types & _NUMBERS
        if len(wanted) == 1:
            return _number(kind, value, next(iter(wanted)))
        if wanted == {0x01, 0x12} and (
            self.text or not self.strings
        ):  # plain JSON may have written the double, too, without a point
            return _number(kind, value, 0x12)
        if self.strings and types == {0x13}:
            number = struct.unpack({0x10: "<i", 0x12: "<q", 0x01: "<d"}[kind], value)[0]
            return same_decimal(json.dumps(number).encode())
        return None


def _from_text(text: bytes, node: _Node) -> Value | None:
    if not node.types:
        return object_id(text) if node.path == (b"_id",) else date(text)
    for kind, convert in _FROM_TEXT.items():
        if kind in node.types and (new := convert(text)):
            return new
    return _binary(text, node.subtype) if 0x05 in node.types else None


def _id_first(record: bytes) -> bytes:
    if record[5:9] == b"_id\x00":
        return record
    parts = list(elements(record))
    places = [index for index, part in enumerate(parts) if part[1] == b"_id"]
    return build([parts.pop(places[0]), *parts]) if places else record
