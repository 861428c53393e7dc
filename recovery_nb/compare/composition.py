"""How a collection is built: which fields its records have, how many have them, and of which types.

Both sides are sampled: the shares of a sample differ by chance. What is marked as different is so by more than that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import sqrt
from typing import TYPE_CHECKING

import duckdb
from pymongo.errors import PyMongoError

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.compare.resolve import is_bucketed, shown
from recovery_nb.compare.result import Comparison
from recovery_nb.compare.tallies import frame, titles
from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import InvalidRecordError, elements, split
from recovery_nb.records.schema import TYPE_NAMES
from recovery_nb.sources.base import Kind
from recovery_nb.sources.mongodb import Database

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SAMPLE", "Composition", "FieldUse", "Sample", "composition", "sample"]

SAMPLE = 1_000
"""So many records of each side are looked at, at most."""

_BYTES = 4 * 1024 * 1024
_FIELDS = 2_000
_DEPTH = 20
_MILLISECONDS = 10_000
_POINT = 0.01
_SIGMAS = 3.0
_LOGS = (Kind.LOG, Kind.OPLOG)


@dataclass(frozen=True, slots=True)
class Sample:
    """What some records of a collection have.

    Attributes:
        records: How many there are altogether.
        sampled: How many were looked at.
        fields: By field, in how many of these it occurs, whatever its value.
        types: By field, in how many of these it occurs with each type.
        cut: Whether there were more fields than are kept.
    """

    records: int
    sampled: int
    fields: Counter[str] = field(default_factory=Counter)
    types: dict[str, Counter[int]] = field(default_factory=dict)
    cut: bool = False

    @property
    def whole(self) -> bool:
        """Whether every record was looked at."""
        return self.sampled >= self.records

    def share(self, name: str) -> float:
        """Return which share of the records has a field."""
        return self.fields[name] / self.sampled if self.sampled else 0.0


@dataclass(frozen=True, slots=True)
class FieldUse:
    """One field of a collection, in the database and in a backup.

    Attributes:
        field: The field, as people write it: `items[].price`.
        database: The share of the database's records that have it, from 0 to 1.
        source: The share of the source's records.
        database_types: Its types there, the most frequent first.
        source_types: Its types in the source.
        differs: "share", "types", "share, types", or "" where it is used alike.
    """

    field: str
    database: float
    source: float
    database_types: str
    source_types: str
    differs: str


@dataclass(frozen=True, slots=True)
class Composition:
    """How one collection is built, in the database and in a backup.

    Attributes:
        collection: The collection, as people call it.
        source: The name of the source that it is held against.
        database_sample: What was looked at in the database.
        source_sample: What was looked at in the source.
        fields: Every field, those that differ first.
    """

    collection: str
    source: str
    database_sample: Sample
    source_sample: Sample
    fields: tuple[FieldUse, ...]

    def to_pandas(self) -> pd.DataFrame:
        """Return one row a field: its shares from 0 to 1 and its types on both sides, and what differs."""
        return frame(self.fields, ["field", "database", "source", "database_types", "source_types", "differs"])


def composition(comparison: Comparison, database: Database, catalog: Catalog, collection: str) -> Composition:
    """Return how a collection is built: a sample of the database against one of its fullest backup.

    Args:
        comparison: What says which sources have it.
        database: The database.
        catalog: Where the sources' records are listed.
        collection: The database's collection.

    Raises:
        BadInputError: It is a time-series, or no source that was compared holds a record of it.
        DamagedSourceError: The source has changed since it was compared.
        ConnectionFailedError: The server went away.
    """
    if is_bucketed(collection):
        raise BadInputError(f"{shown(collection)} is kept in buckets: their fields are the server's")
    entry, given = _backup(comparison, collection)
    there = _live(database, collection)
    here = _kept(comparison, catalog, entry, given)
    names = sorted(there.fields.keys() | here.fields.keys())
    uses = [_use(name, there, here) for name in names]
    uses.sort(key=lambda use: (not use.differs, use.field))
    return Composition(shown(collection), titles(comparison.sources)[entry.id], there, here, tuple(uses))


def sample(records: Iterable[bytes], *, total: int) -> Sample:
    """Return what these records have; at most 1,000 of them, 4 MiB and 2,000 fields are looked at.

    A record whose structure is broken is passed over, and so is one that is larger than all that is looked at.

    Args:
        records: The records' bytes.
        total: How many there are altogether.
    """
    found, left, sampled, cut = Sample(total, 0), _BYTES, 0, False
    for record in islice(records, SAMPLE):
        if len(record) > left:
            if sampled:
                break
            continue
        left -= len(record)
        try:
            pairs = dict.fromkeys(_walk(record, "", array=False, depth=_DEPTH))
        except InvalidRecordError:
            continue
        sampled += 1
        for name in dict.fromkeys(name for name, _ in pairs):
            if name in found.fields or len(found.fields) < _FIELDS:
                found.fields[name] += 1
            else:
                cut = True
        for name, kind in pairs:
            if name in found.fields:
                found.types.setdefault(name, Counter())[kind] += 1
    return Sample(total, sampled, found.fields, found.types, cut)


def _walk(document: bytes, path: str, *, array: bool, depth: int) -> Iterator[tuple[str, int]]:
    for kind, name, value in elements(document):
        text = name.decode("utf-8", "replace") or '""'
        here = f"{path}[]" if array else f"{path}.{text}" if path else text
        yield here, kind
        if kind in (0x03, 0x04) and depth:
            yield from _walk(value, here, array=kind == 0x04, depth=depth - 1)


def _backup(comparison: Comparison, collection: str) -> tuple[SourceEntry, list[str]]:
    """Return the source that holds the most records of a collection, and its names for it.

    A copy comes before a log, and of two that hold as many the more trusted.
    """
    best: tuple[tuple[bool, int], SourceEntry, list[str]] | None = None
    for identifier, entry in comparison.sources.items():
        placed = comparison.summary.placed[identifier]
        given = [name for name, other in placed.items() if other == collection and entry.collections.get(name)]
        rank = (entry.kind not in _LOGS, sum(entry.collections[name] for name in given))
        if given and (best is None or rank > best[0]):
            best = (rank, entry, given)
    if best is None:
        raise BadInputError(f"no source holds a record of {collection}")
    return best[1], best[2]


def _live(database: Database, collection: str) -> Sample:
    total = database.count(collection)
    if total <= SAMPLE:
        # Counted by what is read: the count of the server's metadata is an estimate.
        records = database.first(collection, SAMPLE)
        return sample(records, total=len(records))
    return sample(_drawn(database, collection), total=total)


def _drawn(database: Database, collection: str) -> Iterator[bytes]:
    """Yield records that the server draws by lot; where it refuses, the first ones."""
    drawn = 0
    try:
        batches = database.client[database.name][collection].aggregate_raw_batches(
            [{"$sample": {"size": SAMPLE}}], allowDiskUse=True, maxTimeMS=_MILLISECONDS
        )
        for buffer in batches:
            drawn += 1
            yield from split(buffer)
    except PyMongoError:
        if not drawn:
            yield from database.first(collection, SAMPLE)


def _kept(comparison: Comparison, catalog: Catalog, entry: SourceEntry, given: list[str]) -> Sample:
    """Sample a source's records, spread evenly over it."""
    total = sum(entry.versions.get(name) or entry.collections[name] for name in given)
    step = max(1, total // SAMPLE)
    with duckdb.connect() as db:
        rows = db.execute(
            """SELECT collection, member, "offset", length FROM (
                 SELECT *, row_number() OVER () AS n FROM read_parquet(?) WHERE list_contains(?, collection)
               ) WHERE n % ? = 0 LIMIT ?""",
            [str(catalog.table(entry)), given, step, SAMPLE],
        ).fetchall()
    refs = [(name, Ref(member, offset, length)) for name, member, offset, length in rows]
    return sample(_fetched(comparison, entry, refs), total=total)


def _fetched(comparison: Comparison, entry: SourceEntry, refs: list[tuple[str, Ref]]) -> Iterator[bytes]:
    """Read records again, few at a time: some are as large as records can be."""
    for start in range(0, len(refs), 50):
        yield from comparison.readings.fetch(entry, refs[start : start + 50])


def _use(name: str, there: Sample, here: Sample) -> FieldUse:
    database, source = there.share(name), here.share(name)
    different = []
    if there.sampled and here.sampled:
        if abs(database - source) > _POINT and _beyond_chance(database, source, there, here):
            different.append("share")
        mine, other = there.types.get(name, Counter()), here.types.get(name, Counter())
        one_sided = mine.keys() ^ other.keys() if mine and other else ()
        if any(_beyond_chance(mine[k] / there.sampled, other[k] / here.sampled, there, here) for k in one_sided):
            different.append("types")
    return FieldUse(name, database, source, _types(there, name), _types(here, name), ", ".join(different))


def _beyond_chance(database: float, source: float, there: Sample, here: Sample) -> bool:
    """Whether two shares differ by more than three standard errors of the samples they are from.

    The error of the difference of two proportions, from their pooled estimate; what was looked at wholly has none.
    """
    weights = [0.0 if one.whole else 1 / one.sampled for one in (there, here)]
    both = (database * there.sampled + source * here.sampled) / (there.sampled + here.sampled)
    return abs(database - source) > _SIGMAS * sqrt(both * (1 - both) * sum(weights))


def _types(one: Sample, name: str) -> str:
    return ", ".join(TYPE_NAMES.get(kind, f"type {kind}") for kind, _ in one.types.get(name, Counter()).most_common())
