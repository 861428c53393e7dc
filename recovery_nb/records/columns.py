"""What the columns of a CSV file seem to hold, where nothing else tells: decided by all of their cells, not by each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from recovery_nb.records.cells import from_shape, same_decimal
from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, elements
from recovery_nb.records.schema import Path, Schema

__all__ = ["observe_columns"]

_STRING, _DOCUMENT = 0x02, 0x03
_INTEGERS = frozenset({0x10, 0x12})
_NUMBERS = frozenset({0x01, 0x10, 0x12})
_DECIMAL = 0x13


def observe_columns(records: Iterable[bytes]) -> Schema:
    """Return one type, or one width of integers, for each path; a column in which a cell is only text is text.

    So a postal code stays text in every row if it begins with a zero in one; and amounts of which one is written
    with a last zero are decimals.

    Args:
        records: The records of a CSV file, as it was read: their cells are strings.
    """
    seen: dict[Path, Counter[int]] = {}
    count = 0
    for count, record in enumerate(records, 1):  # noqa: B007 - the number of the last one
        try:
            _look(record, (), seen)
        except InvalidRecordError:
            continue
    return Schema({path: _decided(kinds) for path, kinds in seen.items()}, count)


def _look(document: bytes, path: Path, seen: dict[Path, Counter[int]]) -> None:
    for kind, name, value in elements(document):
        here = (*path, name)
        if kind == _STRING:
            found = from_shape(value[4:-1]) or same_decimal(value[4:-1])
            kind = _STRING if found is None else found[0]  # noqa: PLW2901 - what the cell seems to hold
        elif kind == _DOCUMENT and len(here) < MAX_DEPTH:
            _look(value, here, seen)
        seen.setdefault(here, Counter())[kind] += 1


def _decided(kinds: Counter[int]) -> Counter[int]:
    if len(kinds) == 1 or kinds.keys() <= _INTEGERS:
        return kinds
    if kinds.keys() <= _NUMBERS:
        return Counter({0x01: kinds.total()})
    return Counter({_DECIMAL if kinds.keys() <= {*_NUMBERS, _DECIMAL} else _STRING: kinds.total()})
