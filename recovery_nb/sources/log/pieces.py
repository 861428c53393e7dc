"""What a search in a log finds: records, and stretches in which one is broken."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.extended_json import NotARecordError, to_bson

__all__ = ["DOUBT", "UPDATE", "Converter", "Piece"]

UPDATE = "an update, which need not be the whole record"
"""The reason why an object that is whole is not taken for a record."""

DOUBT = "whole, but perhaps a part of the broken record before it"
"""The reason why one is not that may have been swallowed by a broken record, or be in it."""


class Piece(NamedTuple):
    """A record that was found, or a stretch in which one is broken. Of several, the first in the text is the least.

    Attributes:
        start: Where it begins in the text.
        end: Where it ends.
        record: It, as BSON; of a broken one its leading whole fields.
        text: Its JSON text, not escaped.
        reason: What is wrong with it; "" for nothing.
        collection: The collection that the text names; "" where it names none.
        entry: Where the outermost object that it is in, or the string, begins; `start` if it is in none.
        entry_end: Where that ends.
    """

    start: int
    end: int
    record: bytes
    text: bytes
    reason: str
    collection: str
    entry: int
    entry_end: int


class Converter:
    """Makes records of texts, and counts what had to be decided.

    Attributes:
        notes: What had to be decided, and how often.
    """

    def __init__(self, notes: Counter[str]) -> None:
        self.notes = notes

    def record(self, text: bytes) -> bytes:
        """Return the record that a text is.

        Raises:
            NotARecordError: It is not exactly one object, or no server stores it.
        """
        notes: list[str] = []
        record = to_bson(text, notes)
        if len(record) > MAX_RECORD_BYTES:
            raise NotARecordError("a record larger than a server stores (16 MiB)", well_formed=True)
        if notes:
            self.notes.update(notes)
        return record
