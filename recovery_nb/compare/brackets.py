"""Between which copies of a collection its missing records were lost.

When a record was made does not tell when it was lost. But a copy that holds it was taken before, and a copy of the
same collection that lacks it was taken after: the newest of the first and the next of the second bracket the loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.compare.tallies import Held, held
from recovery_nb.sources.base import AS_OF, Kind

__all__ = ["Bracket", "brackets", "holders", "is_told", "taken"]

_LOGS = (Kind.LOG, Kind.OPLOG)
_PARTS = (*_LOGS, Kind.FILES)
"""What holds some records of a collection, and by what it lacks tells nothing."""
_EXPORTS = (Kind.JSON, Kind.JSON_LINES, Kind.CSV)
_COPIED = "modification time"
_HEARSAY = ("file name", _COPIED)


@dataclass(frozen=True, slots=True)
class Bracket:
    """Missing records of one collection that were lost between the same two moments.

    Attributes:
        collection: The collection.
        records: How many they are.
        after: They were still there: when the copy was taken that holds them, or, where only logs and oplogs do, when
            the first of them was last written. UTC.
        holder: The id of the newest source that holds them.
        written: Whether `after` is when they were last written, and not when a copy was taken.
        before: They were gone: when the next copy was taken, or the database was read. UTC.
        witness: The id of the copy that lacks them; "" for the database itself.
        doubt: What speaks against the two moments; "" for nothing.
    """

    collection: str
    records: int
    after: datetime
    holder: str
    written: bool
    before: datetime
    witness: str
    doubt: str = ""


def brackets(comparison: Comparison, known: Sequence[Held] | None = None) -> list[Bracket]:
    """Return between which moments the missing records were lost, those with the most records first.

    Only what is a copy of a whole collection is a witness of what it lacks: no log, no oplog, no state put together
    from one, and nothing of which a part could not be read. Copies that are dated by their modification time count
    only where no other holds the records, or lacks them.

    Args:
        comparison: The comparison.
        known: What `tallies.held` gave, if it was asked already.
    """
    read_at = datetime.fromisoformat(comparison.summary.started)
    witnesses: dict[str, list[SourceEntry]] = {}
    for identifier, entry in comparison.sources.items():
        for collection in _attested(entry, comparison.summary.placed[identifier]):
            witnesses.setdefault(collection, []).append(entry)
    for some in witnesses.values():
        some.sort(key=lambda entry: (entry.taken_at, entry.id))
    found: dict[tuple[object, ...], Bracket] = {}
    for one in held(comparison) if known is None else known:
        if one.status != Status.MISSING:
            continue
        fresh = _bracket(one, comparison.sources, witnesses.get(one.collection, ()), read_at)
        same = (fresh.collection, fresh.after, fresh.holder, fresh.before, fresh.witness)
        known_before = found[same].records if same in found else 0
        found[same] = replace(fresh, records=known_before + fresh.records)
    return sorted(found.values(), key=lambda one: (-one.records, one.collection, one.after))


def _bracket(
    one: Held, sources: Mapping[str, SourceEntry], witnesses: Sequence[SourceEntry], read_at: datetime
) -> Bracket:
    entries = sorted((sources[source] for source in one.sources), key=lambda entry: (entry.taken_at, entry.id))
    logs = [entry for entry in entries if entry.kind in _LOGS]
    # A file's modification time is that of its last copy: it stands in only where nothing better is known.
    ranked = sorted(entries, key=lambda entry: (entry.kind not in _LOGS, entry.taken_from != _COPIED, entry.taken_at))
    holder = ranked[-1]
    after, written = holder.taken_at, False
    if logs and one.first:  # in a log stands when a record was written; when the log ends says nothing about it
        last = datetime.fromtimestamp(one.first >> 32, UTC)
        if last > after or holder in logs:
            holder, after, written = logs[-1], last, True
    later = [entry for entry in witnesses if after < entry.taken_at < read_at and entry.id not in one.sources]
    witness = min(later, key=lambda entry: entry.taken_from == _COPIED, default=None)
    before = witness.taken_at if witness else read_at
    doubts = [
        "" if after < before else f"{holder.name} is said to be taken after the database was read",
        f"{holder.name} does not say when it was written" if holder.kind in _LOGS and not written else "",
        "" if written else _hearsay(holder),
        _hearsay(witness) if witness else "",
        _part(witness) if witness else "",
    ]
    doubt = "; ".join(filter(None, doubts))
    return Bracket(one.collection, one.records, after, holder.id, written, before, witness.id if witness else "", doubt)


def _attested(entry: SourceEntry, placed: Mapping[str, str]) -> set[str]:
    """Return the collections of which a source is a whole copy."""
    if entry.kind in _PARTS or entry.taken_from == AS_OF:
        return set()
    harmed = {one.collection for one in entry.damage}
    if "" in harmed or entry.checksum_ok is False:
        return set()
    return {collection for given, collection in placed.items() if given not in harmed}


def _hearsay(entry: SourceEntry) -> str:
    return "" if is_told(entry) else f"{entry.name} is dated by its {entry.taken_from} only"


def _part(entry: SourceEntry) -> str:
    """Return that a source may be a part of a collection; a backup in JSON states its version, an export does not."""
    may = entry.kind in _EXPORTS and not entry.version
    return f"{entry.name} is an export, which may be of a part only" if may else ""


def is_told(entry: SourceEntry) -> bool:
    """Whether a source says itself when it was taken; a file's name and its modification time are hearsay."""
    return entry.taken_from not in _HEARSAY


def taken(entry: SourceEntry) -> str:
    """Return when a source was taken and what says so: "20 Nov 2025 02:00 UTC by its manifest"."""
    return f"{entry.taken_at:%-d %b %Y %H:%M} UTC by its {entry.taken_from}"


def holders(known: Sequence[Held]) -> dict[str, int]:
    """Return how many missing records each source holds, by its id."""
    found: dict[str, int] = {}
    for one in known:
        if one.status == Status.MISSING:
            for source in one.sources:
                found[source] = found.get(source, 0) + one.records
    return found
