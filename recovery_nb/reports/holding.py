"""What one source holds of one collection, in numbers: what a picture of it is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Holding"]


@dataclass(frozen=True, slots=True)
class Holding:
    """What one source holds of one collection.

    Attributes:
        collection: The collection, as people call it.
        source: The source's name.
        records: How many records it holds of it.
        intact: Of these, how many the database has as the newest source has them.
        changed: How many have changed there.
        missing: How many the database lacks.
        corrupt: How many turned out to be broken or without a key when they were compared.
        lost: How many records of the collection are missing altogether, in whatever source they are.
        sole: Of the missing ones that it holds, how many no other source has.
    """

    collection: str
    source: str
    records: int
    intact: int
    changed: int
    missing: int
    corrupt: int
    lost: int
    sole: int
