"""Where several versions of one record differ, field by field, strict by BSON type and bytes; bounded in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recovery_nb.compare.explain import Value, added, change_kind, escaped
from recovery_nb.compare.model import ChangeKind
from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, elements
from recovery_nb.sources.base import Typing

__all__ = ["SAME", "Column", "FieldLine", "distinct_values", "field_lines"]

SAME = "same"
"""The kind of a line in which all versions agree, byte for byte."""

_DOCUMENT, _ARRAY = 0x03, 0x04
_ELEMENTS = 100_000
_BYTES = 128 * 2**20
"""So many elements, and bytes of documents within documents, are taken apart; what is left is compared as a whole."""


@dataclass(frozen=True, slots=True)
class Column:
    """One version of a record.

    Attributes:
        record: Its BSON bytes; None where there is none, or it cannot be read.
        typing: What its source's format keeps of types.
        in_database: Whether it is the database's.
    """

    record: bytes | None
    typing: Typing = Typing.FULL
    in_database: bool = False


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field.

    Attributes:
        path: Its JSON Pointer.
        kind: A `ChangeKind`, of the first version that differs, or `SAME`.
        values: Its value in each version; None where that has none.
    """

    path: str
    kind: str
    values: tuple[Value | None, ...]


def field_lines(columns: Sequence[Column]) -> list[FieldLine]:
    """Return a line for each field, those that differ first; fields below one that agrees have no lines of their own.

    Versions that are not there neither agree nor differ.

    Args:
        columns: The versions of the record: the database's first, if it is among them, then the best candidate.
    """
    walk = _Walk(columns)
    values = tuple(None if one.record is None else (_DOCUMENT, one.record) for one in columns)
    if any(values) and not walk.enter("", values, 0):
        walk.add("", values)
    return [*walk.differing, *walk.same]


class _Walk:
    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._there = [number for number, one in enumerate(columns) if one.record is not None]
        self._elements, self._bytes = _ELEMENTS, _BYTES
        self.differing: list[FieldLine] = []
        self.same: list[FieldLine] = []

    def add(self, path: str, values: tuple[Value | None, ...]) -> None:
        """Add the line of a field as a whole."""
        kind = self._kind(values)
        (self.same if kind == SAME else self.differing).append(FieldLine(path, kind, values))

    def enter(self, path: str, values: tuple[Value | None, ...], depth: int) -> bool:
        """Add the lines of what is below a field; return whether that could be done."""
        if depth > MAX_DEPTH:
            return False
        distinct = distinct_values(values)
        taken = [self._inside(raw) for _, raw in distinct]
        if None in taken:
            return False
        insides = [None if value is None else taken[distinct.index(value)] for value in values]
        # The order of the first version, and behind it what only others have.
        for name in dict.fromkeys(name for inside in taken for name in inside or ()):
            here = tuple(None if inside is None else inside.get(name) for inside in insides)
            self._field(f"{path}/{escaped(name)}", here, depth)
        self._order(path, values, [inside for inside in taken if inside is not None])
        return True

    def _field(self, path: str, values: tuple[Value | None, ...], depth: int) -> None:
        distinct = distinct_values(values)
        kinds = {kind for kind, _ in distinct}
        if len(distinct) > 1 and kinds in ({_DOCUMENT}, {_ARRAY}) and self.enter(path, values, depth + 1):
            return
        self.add(path, values)

    def _inside(self, raw: bytes) -> dict[bytes, Value] | None:
        """Return the fields of a document; None where it is too large, broken, or has a name twice."""
        self._bytes -= len(raw)
        found: dict[bytes, Value] = {}
        if self._bytes < 0:
            return None
        try:
            for kind, name, value in elements(raw):
                self._elements -= 1
                if self._elements < 0 or name in found:
                    return None
                found[name] = (kind, value)
        except InvalidRecordError:
            return None
        return found

    def _kind(self, values: tuple[Value | None, ...]) -> str:
        first, *others = self._there
        base = values[first]
        for number in others:
            other, column = values[number], self._columns[number]
            if other == base:
                continue
            if not self._columns[first].in_database:
                return ChangeKind.VALUE.value
            if base is None:
                return ChangeKind.REMOVED.value
            if other is None:
                return added(base, column.typing).value
            return change_kind(base, other, column.typing).value
        return SAME

    def _order(self, path: str, values: tuple[Value | None, ...], insides: Sequence[dict[bytes, Value]]) -> None:
        """Add a line where versions have the same fields in another order."""
        for other in insides[1:]:
            common = [name for name in insides[0] if name in other]
            if common != [name for name in other if name in insides[0]]:
                self.differing.append(FieldLine(path, ChangeKind.ORDER.value, values))
                return


def distinct_values(values: Sequence[Value | None]) -> list[Value]:
    """Return the values that differ from each other; they are compared and not hashed, for they can be 16 MB long."""
    found: list[Value] = []
    for value in values:
        if value is not None and value not in found:
            found.append(value)
    return found
