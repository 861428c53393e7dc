"""What the differences of a comparison add up to: which fields changed, and which sources hold what was lost.

The tables are counted where they lie, by DuckDB: however many differences there are, only the counts come here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.frames.query import asked, opened
from recovery_nb.compare.model import Status
from recovery_nb.compare.resolve import series_of, shown
from recovery_nb.compare.result import Comparison
from recovery_nb.reports.holding import Holding

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FieldCount", "Held", "changed_fields", "field_of", "frame", "held", "holdings", "made_between", "titles"]

_DIFFERING = (Status.CHANGED.value, Status.EQUIVALENT.value)
_LOST = (Status.MISSING.value, Status.CHANGED.value)
_MOST_FIELDS = 2_000
_BITS = 62
_MEMORY = "256MB"

# A position within a list is a step of digits; two such steps one behind the other take two passes.
_PLAIN = r"rtrim(regexp_replace(regexp_replace(p || '/', '/[0-9]+/', '/[]/', 'g'), '/[0-9]+/', '/[]/', 'g'), '/')"

_FIELDS = f"""
SELECT collection, status, field, count(*) AS records, count(*) OVER () AS fields FROM (
    SELECT collection, status, unnest(list_distinct(list_transform(fields, lambda p: {_PLAIN}))) AS field
    FROM differences WHERE status IN ?
) GROUP BY collection, status, field ORDER BY records DESC, collection, field LIMIT {_MOST_FIELDS}
"""

_HELD = """
WITH holders AS (
    SELECT c.collection, c.key_bytes, max(c."at") AS last, {masks}
    FROM candidates c JOIN ordinals o USING (source) GROUP BY c.collection, c.key_bytes
)
SELECT d.collection, d.status, {names}, count(*) AS records, min(h.last) AS "first", max(h.last) AS last
FROM differences d JOIN holders h USING (collection, key_bytes)
WHERE d.status IN ? GROUP BY d.collection, d.status, {names} ORDER BY records DESC, d.collection, d.status, {names}
"""

_COPIES = """
SELECT c.collection, c.source, d.status, count(*) - count(DISTINCT c.key_bytes) AS more
FROM candidates c JOIN differences d USING (collection, key_bytes)
WHERE d.status IN ? GROUP BY ALL HAVING more > 0
"""


@dataclass(frozen=True, slots=True)
class FieldCount:
    """In how many records of a collection a field differs.

    Attributes:
        collection: The collection.
        field: The field, as people write it: `items[].price`.
        status: Whether these records are `changed` or `equivalent`.
        records: How many they are.
    """

    collection: str
    field: str
    status: str
    records: int


@dataclass(frozen=True, slots=True)
class Held:
    """Differing records of one collection that the same sources hold.

    Attributes:
        collection: The collection.
        status: `missing` or `changed`.
        sources: The ids of all sources that hold them.
        records: How many they are.
        first: Of the times at which each was last written, as logs and oplogs tell it, the earliest
            (`records.batch.moment`); 0 where one of them is in none.
        last: The latest of these.
    """

    collection: str
    status: str
    sources: frozenset[str]
    records: int
    first: int
    last: int


@contextmanager
def _asked(comparison: Comparison) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the tables of a comparison for questions."""
    with opened(comparison.folder) as db, asked():
        db.execute(f"SET memory_limit = '{_MEMORY}'")  # what it needs beyond goes to disk
        yield db


def changed_fields(comparison: Comparison, *, statuses: Sequence[str] = _DIFFERING) -> list[FieldCount]:
    """Return in how many records each field differs, the most frequent first; at most 2,000 fields.

    All positions of a list count as one field, `[]`, and a record counts once for it. Of one record at most 50
    fields are known.

    Args:
        comparison: The comparison.
        statuses: Of which records: `changed`, `equivalent` or both.
    """
    with _asked(comparison) as db:
        rows = db.execute(_FIELDS, [list(statuses)]).fetchall()
    return [FieldCount(name, field_of(path), status, records) for name, status, path, records, _ in rows]


def field_of(pointer: str) -> str:
    """Return a JSON Pointer (RFC 6901) whose positions are `[]` as people write it: `items[].price`."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    written = "".join(part if part == "[]" else f".{part}" for part in parts)
    return written.removeprefix(".") or ("(the whole record)" if not pointer else '""')


def held(comparison: Comparison) -> list[Held]:
    """Return which sources hold the records that are missing or changed, by collection and set of sources."""
    order = list(comparison.sources)
    words = range(max(1, -(-len(order) // _BITS)))
    masks = ", ".join(f"bit_or(CASE WHEN o.word = {n} THEN o.bit ELSE 0 END) AS mask{n}" for n in words)
    names = ", ".join(f"mask{n}" for n in words)
    found = []
    with _asked(comparison) as db:
        db.execute("CREATE TABLE ordinals (source VARCHAR, word INTEGER, bit BIGINT)")
        if order:
            places = [[source, at // _BITS, 1 << at % _BITS] for at, source in enumerate(order)]
            db.executemany("INSERT INTO ordinals VALUES (?, ?, ?)", places)
        rows = db.execute(_HELD.format(masks=masks, names=names), [list(_LOST)])
        while some := rows.fetchmany(10_000):
            for collection, status, *mask, records, first, last in some:
                sources = frozenset(one for at, one in enumerate(order) if mask[at // _BITS] >> at % _BITS & 1)
                found.append(Held(collection, status, sources, records, first, last))
    return found


def holdings(comparison: Comparison, known: Sequence[Held] | None = None) -> list[Holding]:
    """Return what each source holds of each collection, and what became of it in the database.

    Args:
        comparison: The comparison.
        known: What `held` gave, if it was asked already.
    """
    groups = held(comparison) if known is None else known
    count: Counter[tuple[str, str, str]] = Counter()
    sole: Counter[tuple[str, str]] = Counter()
    for one in groups:
        for source in one.sources:
            count[one.collection, source, one.status] += one.records
        if one.status == Status.MISSING and len(one.sources) == 1:
            (source,) = one.sources
            sole[one.collection, source] += one.records
    more, broken, named = _copies(comparison), _broken(comparison), titles(comparison.sources)
    counts, found = comparison.counts, []
    for identifier, entry in comparison.sources.items():
        placed: dict[str, list[str]] = {}
        for name, collection in comparison.summary.placed[identifier].items():
            placed.setdefault(collection, []).append(name)
        for collection, given in placed.items():
            if collection not in counts:
                continue
            whole = sum(_records(entry, name) for name in given)
            twice = {} if any(name in entry.versions for name in given) else more
            place = (collection, identifier)
            gone, altered = (
                count[(*place, status)] + twice.get((*place, status), 0) for status in ("missing", "changed")
            )
            corrupt = broken[place]
            found.append(
                Holding(
                    shown(collection), named[identifier], whole,
                    max(0, whole - gone - altered - corrupt), altered, count[(*place, "missing")],
                    corrupt, counts[collection].missing, sole[place],
                )
            )  # fmt: skip
    return found


def _records(entry: SourceEntry, given: str) -> int:
    """Return how many records a source has of a collection; of a time-series, how many buckets."""
    series = series_of(given)
    return entry.buckets.get(series, 0) if series != given else entry.collections.get(given, 0)


def _copies(comparison: Comparison) -> dict[tuple[str, str, str], int]:
    """Return how many records that a source holds more than once it holds beyond the first."""
    if not comparison.total.duplicate:
        return {}
    with _asked(comparison) as db:
        rows = db.execute(_COPIES, [list(_LOST)]).fetchall()
    return {(collection, source, status): more for collection, source, status, more in rows}


def _broken(comparison: Comparison) -> Counter[tuple[str, str]]:
    """Return how many records turned out to be broken or without a key when they were compared.

    What the scan could not read is no record, and its source does not count it.
    """
    found: Counter[tuple[str, str]] = Counter()
    if not comparison.total.corrupt:
        return found
    known = {
        (identifier, one.member, one.offset) for identifier, entry in comparison.sources.items() for one in entry.damage
    }
    with _asked(comparison) as db:
        rows = db.execute(
            'SELECT collection, source, member, "offset" FROM differences WHERE status = ?', [Status.CORRUPT.value]
        )
        while some := rows.fetchmany(10_000):
            for collection, source, member, offset in some:
                if (source, member, offset) not in known:
                    found[collection, source] += 1
    return found


def made_between(comparison: Comparison) -> dict[str, tuple[int, int]]:
    """Return when the first and the last missing record of each collection was made, in milliseconds since 1970.

    Collections whose records do not say so are left out, and so are comparisons that did not note it.
    """
    if "made" not in pq.read_schema(comparison.table).names:
        return {}
    with _asked(comparison) as db:
        rows = db.execute(
            """SELECT collection, epoch_ms(min(made)), epoch_ms(max(made)) FROM differences
               WHERE status = ? AND made IS NOT NULL GROUP BY collection""",
            [Status.MISSING.value],
        ).fetchall()
    return {collection: (first, last) for collection, first, last in rows}


def titles(sources: Mapping[str, SourceEntry]) -> dict[str, str]:
    """Return a name for each source that no other has: its file's, with as much of its folders as it needs."""
    found = {identifier: entry.name for identifier, entry in sources.items()}
    for depth in (2, 3):
        count = Counter(found.values())
        found = {
            identifier: name if count[name] == 1 else "/".join(sources[identifier].path.parts[-depth:])
            for identifier, name in found.items()
        }
    count = Counter(found.values())
    return {identifier: name if count[name] == 1 else f"{name} ({identifier})" for identifier, name in found.items()}


def frame(rows: Sequence[Any], columns: Sequence[str]) -> pd.DataFrame:
    """Return numbers as a dataframe: one row each, their attributes as columns."""
    import pandas as pd  # noqa: PLC0415 - only who looks at it pays for its import

    return pd.DataFrame([[getattr(row, name) for name in columns] for row in rows], columns=list(columns))
