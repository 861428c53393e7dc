"""When records were made, as far as they say: by one field for all of a collection, so that they can be compared."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import islice

from recovery_nb.records.elements import InvalidRecordError, elements, value_end
from recovery_nb.reports.windows import FIRST, LAST

__all__ = ["BY_ID", "LATER", "Making"]

BY_ID = "_id"
"""What stands for the time in an ObjectId."""

LATER = ("updat", "modif", "expir", "delet", "chang", "last", "seen", "end", "clos", "finish")
"""Words in the names of dates that say when a record was last touched, not when it was made."""

_OBJECT_ID, _DATE = 0x07, 0x09
_TRIED = 200
_SECONDS = struct.Struct(">I").unpack_from
_MILLISECONDS = struct.Struct("<q").unpack_from


class Making:
    """Finds the field that says when the records of one collection were made, and reads it.

    Attributes:
        field: Its name; `BY_ID` for the time in an ObjectId; "" where nothing says it; None until it is decided.
    """

    def __init__(self) -> None:
        self.field: str | None = None
        self._name = self._mark = b""

    def decide(self, records: Iterable[bytes], ids: Iterable[bytes | None] = ()) -> None:
        """Decide by the first records, if it is not decided yet: a date that all of them have, else an ObjectId.

        Args:
            records: The first records of the collection.
            ids: The type and bytes of `_id`s, where there are no records.
        """
        if self.field is not None:
            return
        common: list[bytes] | None = None
        by_id = any(own is not None and own[0] == _OBJECT_ID for own in islice(ids, _TRIED))
        for record in islice(records, _TRIED):
            dates = []
            for kind, name, _ in _elements(record):
                if kind == _DATE and not any(word in name.decode("utf-8", "replace").lower() for word in LATER):
                    dates.append(name)
                by_id = by_id or (kind == _OBJECT_ID and name == b"_id")
            common = dates if common is None else [name for name in common if name in dates]
        self._name = common[0] if common else b""
        self._mark = bytes([_DATE]) + self._name + b"\0"
        self.field = self._name.decode("utf-8", "replace") or (BY_ID if by_id else "")

    def of(self, record: bytes | None, own: bytes | None) -> int | None:
        """Return when a record was made, in milliseconds since 1970.

        Args:
            record: The record; None where only its `_id` is known.
            own: Type and bytes of its `_id`; None for none.

        Returns:
            The time; None where it does not say, or a time outside of the years 1 to 9999.
        """
        if self.field == BY_ID and not self._name:
            return _SECONDS(own, 1)[0] * 1000 if own and own[0] == _OBJECT_ID else None
        if not self._name or record is None:
            return None
        if self._mark not in record:
            return None
        # As `elements` walks, but for the copies it makes: this is done for each record that differs.
        position, end, mark = 4, len(record), self._mark
        try:
            while not record.startswith(mark, position):
                if not record[position]:
                    return None
                name_end = record.index(0, position + 1)
                position = value_end(record, record[position], name_end + 1, end)
            time: int = _MILLISECONDS(record, position + len(mark))[0]
        except (InvalidRecordError, ValueError, IndexError, struct.error):
            return None
        return time if FIRST <= time <= LAST else None


def _elements(record: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield the elements of a record up to where its structure is broken."""
    try:
        yield from elements(record)
    except InvalidRecordError:
        return
