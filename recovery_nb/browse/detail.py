"""One difference in full: every version of the record side by side, where each is from, and where they differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

from recovery_nb.browse.cells import Cell, cell
from recovery_nb.browse.fields import SAME, Column, FieldLine, distinct_values, field_lines
from recovery_nb.browse.masking import Masking, Veil
from recovery_nb.browse.rows import Rows, candidates_of
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.table import fingerprint
from recovery_nb.compare.explain import identified
from recovery_nb.compare.model import Status
from recovery_nb.compare.readings import checked
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import InvalidRecordError
from recovery_nb.records.keys import canonical
from recovery_nb.sources.mongodb import Database

__all__ = ["SAME", "Cell", "Detail", "Line", "Version", "detail"]

_VERSIONS = 8
_BYTES = 40 * 2**20
"""So many bytes of versions are read, and one version at least: of the largest records, those that rank first."""
_LINES = 300
_KEY = 500
_SHORT = 12
_DATABASE = "in the database now"
_COLUMNS = (
    "collection", "key", "key_bytes", "status", "id", "source", "source_name", "source_collection", "member", "offset",
    "length", "fingerprint", "inferred", "confidence", "note",
)  # fmt: skip
_STRING = 0x02
_CONTEXT = 40
"""How many bytes of a long string are shown before the first that differs."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a record, and where it is from.

    Attributes:
        rank: Its rank among the candidates, 1 the best; 0 for the database's.
        source: The source's name.
        path: Where that is.
        member: The file within it, "" for none.
        offset: Where the record begins there, in bytes; -1 in the database.
        length: How many bytes it takes.
        taken_at: When the source was taken, UTC.
        at: When this version was written, where the source says so (a log, an oplog), UTC.
        confidence: How sure we are that these are the bytes that the database had.
        inferred: What types were inferred from, "" where none were.
        fingerprint: How the SHA-256 of its BSON bytes begins.
        same_as_best: Whether its bytes are those of the best version.
        problem: Why it cannot be read, "" if it was.
    """

    rank: int
    source: str
    path: str
    member: str = ""
    offset: int = -1
    length: int = 0
    taken_at: datetime | None = None
    at: datetime | None = None
    confidence: str = ""
    inferred: str = ""
    fingerprint: str = ""
    same_as_best: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One field of all versions.

    Attributes:
        path: Its JSON Pointer.
        kind: How it differs (`compare.model.ChangeKind`), or "same".
        values: What each version has there, the database's first, if there is one; None where it has nothing.
    """

    path: str
    kind: str
    values: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """One difference.

    Attributes:
        collection: Where it is.
        key: The record's key for people, cut to 500 characters.
        status: How the record differs.
        candidates: The versions that the sources hold, the best first; eight at most.
        database: What the database holds now; None where it has no such record, or was not asked.
        lines: The fields, those that differ first; 300 at most.
        left_out: How many fields there are beyond these.
        masked: The names of fields whose values are hidden here, as steps of JSON Pointers.
    """

    collection: str
    key: str
    status: str
    candidates: tuple[Version, ...]
    database: Version | None
    lines: tuple[Line, ...]
    left_out: int
    masked: tuple[str, ...]


def detail(
    comparison: Comparison,
    database: Database | None,
    number: int,
    *,
    masking: Masking,
    reveal: Collection[str] = (),
) -> Detail:
    """Return one difference in full.

    A version that cannot be read, and a database that does not answer, is told as its `problem`.

    Args:
        comparison: What was found.
        database: The database; None not to ask it.
        number: Of the row in the table of differences.
        masking: Which fields' values are hidden.
        reveal: What is shown nevertheless: JSON Pointers, with all that is below them, and names from `masked`.

    Raises:
        BadInputError: There is no such row, or the comparison's files cannot be read.
    """
    with closing(Rows(comparison.table)) as rows:
        if not 0 <= number < len(rows):
            raise BadInputError(f"there is no difference {number}", hint=f"name one below {len(rows):,}")
        (row,) = rows.read([number], _COLUMNS)
    found = _candidates(comparison, row)
    records = _read(comparison, found, partial=row["status"] == Status.CORRUPT)
    best = found[0]["fingerprint"] if found else None
    versions = [
        _version(comparison.sources[one["source"]], one, best, "" if isinstance(record, bytes) else record)
        for one, record in zip(found, records, strict=True)
    ]
    columns = [
        Column(record if isinstance(record, bytes) else None, comparison.sources[one["source"]].typing)
        for one, record in zip(found, records, strict=True)
    ]
    current, problem = _current(database, row)
    present = None
    if current is not None or problem:
        present = _present(database, current, best, problem)
        columns = [Column(current, in_database=True), *(_with_id(one, current) for one in columns)]
    veil = Veil(masking, reveal)
    lines = field_lines(columns)
    return Detail(
        collection=row["collection"],
        key=_cut(row["key"] or ""),
        status=row["status"],
        candidates=tuple(versions),
        database=present,
        lines=tuple(_line(line, veil) for line in lines[:_LINES]),
        left_out=max(len(lines) - _LINES, 0),
        masked=tuple(veil.met),
    )


def _candidates(comparison: Comparison, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the places of the versions of a record; of what has no candidates, the one place that the row names."""
    path = comparison.folder / "candidates.parquet"
    if row["key_bytes"] and row["status"] != Status.CORRUPT:
        found = candidates_of(path, row["collection"], row["key_bytes"])
        if found:
            return found[:_VERSIONS]
    if row["source"] is None or row["offset"] is None:
        return []
    taken = comparison.sources[row["source"]].taken_at
    return [{**row, "rank": 1, "taken_at": taken, "at": 0}]


def _read(comparison: Comparison, found: Sequence[Mapping[str, Any]], *, partial: bool) -> list[bytes | str]:
    """Return the bytes of each version, or why it cannot be read."""
    records: list[bytes | str] = [str(one.get("note") or "nothing of it can be read") for one in found]
    sizes = list(accumulate(max(one["length"] or 0, 0) for one in found))
    for number, size in enumerate(sizes):
        if number and size > _BYTES:
            records[number] = f"not read: with it, the versions would be {size:,} bytes"
    read = [n for n, one in enumerate(found) if one["fingerprint"] and not (n and sizes[n] > _BYTES)]
    for source in {found[number]["source"] for number in read}:
        numbers = [number for number in read if found[number]["source"] == source]
        fetched = _fetched(comparison, [found[number] for number in numbers], partial=partial)
        for number, record in zip(numbers, fetched, strict=True):
            records[number] = record
    return records


def _fetched(comparison: Comparison, found: Sequence[Mapping[str, Any]], *, partial: bool) -> list[bytes | str]:
    """Read versions from one source: all at once, or one by one if that fails, so that each fails for itself."""
    if not found:
        return []
    entry = comparison.sources[found[0]["source"]]
    refs = [(one["source_collection"], Ref(one["member"], one["offset"], one["length"], partial)) for one in found]
    try:
        records = comparison.readings.fetch(entry, refs)
        return [checked(record, one["fingerprint"], entry) for record, one in zip(records, found, strict=True)]
    except (RecoveryError, InvalidRecordError, OSError) as error:
        if len(found) == 1:
            return [str(error)]
        return [record for one in found for record in _fetched(comparison, [one], partial=partial)]


def _current(database: Database | None, row: Mapping[str, Any]) -> tuple[bytes | None, str]:
    """Return the record that the database has now, or why that is not known."""
    own = row["id"]
    if database is None or not own:
        return None, ""
    try:
        return database.fetch(row["collection"], [own]).get(canonical(own[0], own[1:])), ""
    except (RecoveryError, InvalidRecordError) as error:
        return None, str(error)


def _with_id(column: Column, current: bytes | None) -> Column:
    if column.record is None or current is None:
        return column
    try:
        return Column(identified(column.record, current), column.typing)
    except InvalidRecordError:
        return column


def _version(entry: SourceEntry, one: Mapping[str, Any], best: bytes | None, problem: str) -> Version:
    return Version(
        rank=one["rank"],
        source=entry.name,
        path=str(entry.path),
        member=one["member"] or "",
        offset=one["offset"],
        length=one["length"] or 0,
        taken_at=one["taken_at"].astimezone(UTC),
        at=datetime.fromtimestamp(one["at"] >> 32, UTC) if one["at"] else None,
        confidence=one["confidence"] or "",
        inferred=one["inferred"] or "",
        fingerprint=(one["fingerprint"] or b"").hex()[:_SHORT],
        same_as_best=one["fingerprint"] is not None and one["fingerprint"] == best,
        problem=problem,
    )


def _present(database: Database | None, current: bytes | None, best: bytes | None, problem: str) -> Version:
    mark = fingerprint(current) if current else b""
    return Version(
        rank=0,
        source=_DATABASE,
        path=database.label if database else "",
        length=len(current or b""),
        fingerprint=mark.hex()[:_SHORT],
        same_as_best=bool(mark) and mark == best,
        problem=problem,
    )


def _line(line: FieldLine, veil: Veil) -> Line:
    start = _first_difference([value[1] for value in line.values if value and value[0] == _STRING])
    distinct = distinct_values(line.values)
    shown = [cell(value, line.path, veil, start=start) for value in distinct]
    values = tuple(None if value is None else shown[distinct.index(value)] for value in line.values)
    return Line(line.path, line.kind, values)


def _first_difference(texts: Sequence[bytes]) -> int:
    """Return from which byte strings are shown, so that it is seen where they differ; 0 for the beginning."""
    first = texts[0][4:] if texts else b""
    others = [text[4:] for text in texts[1:] if text[4:] != first]
    low, high = 0, min([len(first), *map(len, others)])
    while others and low < high:  # each half is compared at once
        middle = (low + high + 1) // 2
        if all(text.startswith(first[low:middle], low) for text in others):
            low = middle
        else:
            high = middle - 1
    if not others or low < 500 - _CONTEXT:
        return 0
    start = low - _CONTEXT
    while start < len(first) and first[start] & 0xC0 == 0x80:  # in the middle of a character
        start += 1
    return start


def _cut(text: str) -> str:
    return text if len(text) <= _KEY else f"{text[:_KEY]}… ({len(text):,} characters)"
