"""The second stage of a comparison: what the screening found, looked up again as it is now, and explained."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bson.raw_bson import RawBSONDocument

from recovery_nb.catalog.entry import DamageEntry, SourceEntry
from recovery_nb.catalog.facts import preview
from recovery_nb.catalog.table import fingerprint, well_formed
from recovery_nb.compare.explain import diff, identified, newer_in_database, verdict
from recovery_nb.compare.making import Making
from recovery_nb.compare.model import DIFFERENCES, Change, ChangeKind, Counts, Status
from recovery_nb.compare.readings import Readings
from recovery_nb.compare.rows import RowWriter
from recovery_nb.compare.screen import Screen
from recovery_nb.compare.trust import confidence
from recovery_nb.errors import DamagedSourceError
from recovery_nb.events import Emit, Event
from recovery_nb.records.batch import Damage, Ref
from recovery_nb.records.elements import (
    Element,
    InvalidRecordError,
    build,
    find_element,
    id_element,
    invalid_reason,
)
from recovery_nb.records.keys import DEFAULT_KEY, canonical, key_of, key_text
from recovery_nb.records.salvage import leading_fields
from recovery_nb.sources.mongodb import Database

__all__ = ["Stage", "Work"]

_BATCH = 1_000
_MAX_CHANGES = 50


@dataclass(slots=True)
class Work:
    """What the stages of one comparison share.

    Attributes:
        database: Where the differences are looked up again.
        readings: What reads the sources' records again.
        sources: The sources, the most trusted first.
        folder: Where the result is made.
        emit: Hears how far it is.
        placed: By source id, the database's collection for each name the source gives.
        damage: By source id, what could not be read of it.
        notes: Remarks for the analyst.
        made: By collection, the field that says when its records were made; where there is none, it is not here.
    """

    database: Database
    readings: Readings
    sources: list[SourceEntry]
    folder: Path
    emit: Emit
    placed: Mapping[str, Mapping[str, str]]
    damage: Mapping[str, Sequence[Damage | DamageEntry]]
    notes: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)


class Stage:
    """Rechecks and explains what the screening of one collection found."""

    def __init__(
        self,
        work: Work,
        name: str,
        key: tuple[str, ...],
        sources: list[SourceEntry],
        screen: Screen,
        rows: RowWriter,
    ) -> None:
        self.work, self.name, self.key = work, name, key
        self.sources, self.screen, self.rows = sources, screen, rows
        self.found: Counter[Status] = Counter()
        self.making = Making()

    def run(self, records: int) -> Counts:
        """Write the rows of every difference and return the counts; the database's `records` not among them agree."""
        differing = self.screen.statuses()
        total, done = sum(differing.values()), 0
        self.found[Status.IDENTICAL] = records - (total - differing.get("missing", 0))
        for status, check in (("changed", self._changed), ("missing", self._missing), ("extra", self._extra)):
            for batch in self.screen.rows(status) if status in differing else ():
                for start in range(0, batch.num_rows, _BATCH):
                    part = batch.slice(start, _BATCH).to_pylist()
                    check(part)
                    done += len(part)
                    self.work.emit(Event("compare", f"differences of {self.name}", done, total))
        self._duplicates()
        self._corrupt()
        if self.making.field:
            self.work.made[self.name] = self.making.field
        return Counts(**{status.value: self.found[status] for status in Status})

    def base(self, row: Mapping[str, Any], status: Status) -> dict[str, Any]:
        """Return the row of a difference, as far as the screening knows it, and its `record` if that was read."""
        source = None if row.get("source") is None else self.sources[row["source"]]
        inferred, ambiguous = row.get("inferred") or "", bool(row.get("ambiguous"))
        return {
            "collection": self.name, "status": status.value, "key": self._shown(row),
            "key_bytes": row["key"], "id": row.get("database_id") or row.get("id"), "current": row.get("current"),
            "source": source.id if source else None, "source_name": source.name if source else None,
            "source_collection": row.get("collection"), "member": row.get("member"), "offset": row.get("offset"),
            "length": row.get("length"), "fingerprint": row.get("fingerprint"), "inferred": inferred,
            "candidates": row.get("candidates", 0),
            "confidence": confidence(source, inferred, ambiguous=ambiguous).value if source else None,
            "newer": "", "note": f"{source.name} holds several versions of this key" if source and ambiguous else "",
            "fields": [], "changes": "[]",
            "made": self.making.of(row.get("record"), row.get("id") or row.get("database_id")),
        }  # fmt: skip

    def _shown(self, row: Mapping[str, Any]) -> str:
        """Return the key for people; a record of the database that lacks a key of fields goes by its `_id`."""
        if row["key"] is None:
            return f"_id {key_text(_canonical(row['database_id']))}"
        return key_text(row["key"], self.key)

    def _add(self, row: dict[str, Any]) -> None:
        self.found[Status(row["status"])] += 1
        self.rows.add(row)

    def _candidates(self, rows: Sequence[Mapping[str, Any]]) -> dict[int, bytes]:
        """Return the source's bytes for each row, by the row's number."""
        found: dict[int, bytes] = {}
        for ordinal in {row["source"] for row in rows}:
            numbers = [number for number, row in enumerate(rows) if row["source"] == ordinal]
            refs = [
                (rows[n]["collection"], Ref(rows[n]["member"], rows[n]["offset"], rows[n]["length"])) for n in numbers
            ]
            found.update(zip(numbers, self.work.readings.fetch(self.sources[ordinal], refs), strict=True))
        return found

    def _explained(self, row: Mapping[str, Any], current: bytes, candidate: bytes) -> None:
        source = self.sources[row["source"]]
        if reason := invalid_reason(candidate):
            self._broken(row, reason, candidate)
            return
        try:
            changes = diff(current, identified(candidate, current), typing=source.typing)
        except InvalidRecordError as error:
            place = (row["member"], row["offset"], row["length"])
            self._corrupt_row(source, Damage(*place, str(error), row["collection"]))
            return
        status = verdict(changes)
        if status is Status.IDENTICAL:
            self.found[status] += 1
            return
        out = self.base({**row, "current": fingerprint(current)}, status)
        if status is Status.CHANGED:
            out["newer"] = newer_in_database(current, candidate)
        out["fields"] = [change.path for change in changes[:_MAX_CHANGES]]
        out["changes"] = json.dumps([asdict(change) for change in changes[:_MAX_CHANGES]], ensure_ascii=False)
        self._add(out)

    def _changed(self, rows: list[dict[str, Any]]) -> None:
        now = self.work.database.fetch(self.name, [row["database_id"] for row in rows])
        candidates = self._candidates(rows)
        self.making.decide(candidates.values())
        for number, found in enumerate(rows):
            row = {**found, "record": candidates[number]}
            current = now.get(_canonical(row["database_id"]))
            if current is None:  # deleted since the snapshot
                self._add(self.base({**row, "current": None}, Status.MISSING))
            elif fingerprint(current) == row["fingerprint"]:
                self.found[Status.IDENTICAL] += 1
            else:
                self._explained(row, current, candidates[number])

    def _missing(self, rows: list[dict[str, Any]]) -> None:
        there = self.work.database.present(self.name, [row["id"] for row in rows if row["id"] is not None])
        by_key = {} if self.key == DEFAULT_KEY else self._by_key(rows)
        back, gone = [], []
        for row in rows:
            if row["key"] in by_key:  # written since the snapshot
                back.append({**row, "database_id": by_key[row["key"]]})
            elif row["id"] is not None and _canonical(row["id"]) in there:  # likewise, or now under another key
                back.append({**row, "database_id": row["id"]})
            else:
                gone.append(row)
        for readable in self._readable(gone):
            self._add(self.base(readable, Status.MISSING))
        if back:
            self._changed(back)

    def _readable(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows whose record decodes; tell of one that does not, and yield the next version that does."""
        candidates = self._candidates(rows)
        self.making.decide(candidates.values())
        for number, row in enumerate(rows):
            if not (reason := invalid_reason(candidates[number])):
                yield {**row, "record": candidates[number]}
                continue
            self._broken(row, reason, candidates[number])
            for other in self.screen.versions(row["key"]):
                (record,) = self._candidates([other]).values()
                if other["fingerprint"] != row["fingerprint"] and not invalid_reason(record):
                    yield {**row, **other, "record": record}
                    break

    def _broken(self, row: Mapping[str, Any], reason: str, record: bytes) -> None:
        place = (row["member"], row["offset"], row["length"])
        reason = well_formed(record, whole=True) or reason  # ours says where, the driver's what
        damage = Damage(*place, reason, row["collection"], leading_fields(record))
        self._corrupt_row(self.sources[row["source"]], damage)

    def _by_key(self, rows: Sequence[Mapping[str, Any]]) -> dict[bytes, bytes]:
        """Return the `_id`s that the database now has for the keys of these rows, where `_id` is not the key."""
        wanted: list[Element] = []
        for candidate in self._candidates(rows).values():
            parts = [(name.encode(), find_element(candidate, name)) for name in self.key]
            equal = [(0x03, name, build([(found[0], b"$eq", found[1])])) for name, found in parts if found]
            wanted.append((0x03, str(len(wanted)).encode(), build(equal)))
        found_now = self.work.database.find(self.name, RawBSONDocument(build([(0x04, b"$or", build(wanted))])))
        return {key_of(record, self.key) or b"": id_element(record) or b"" for record in found_now}

    def _extra(self, rows: list[dict[str, Any]]) -> None:
        there = self.work.database.present(self.name, [row["database_id"] for row in rows])
        self.making.decide((), [row["database_id"] for row in rows])
        for row in rows:
            if _canonical(row["database_id"]) in there:
                self._add(self.base(row, Status.EXTRA))

    def _duplicates(self) -> None:
        for batch in self.screen.duplicates() if not self.screen.unique else ():
            for row in batch.to_pylist():
                out = self.base({**row, "ambiguous": row["versions"] > 1}, Status.DUPLICATE)
                versions = "all alike" if row["versions"] == 1 else f"{row['versions']} different versions"
                out["note"] = f"{self.sources[row['source']].name} holds this key {row['copies']} times, {versions}"
                self._add(out)

    def _corrupt(self) -> None:
        for ordinal, given, member, offset, length in self.screen.keyless() if not self.screen.unique else ():
            source = self.sources[ordinal]
            why = f"the record has no {' or no '.join(self.key)}"
            self._corrupt_row(source, Damage(member, offset, length, why, given))
        for source in self.sources:
            placed = self.work.placed[source.id]
            for damage in self.work.damage[source.id]:
                # What no collection is known of is told once, with the first of its source.
                if self.name == (placed.get(damage.collection) if damage.collection else next(iter(placed.values()))):
                    self._corrupt_row(source, damage)

    def _corrupt_row(self, source: SourceEntry, damage: Damage | DamageEntry) -> None:
        row = dict.fromkeys(DIFFERENCES.names)
        row.update(
            collection=self.name, status=Status.CORRUPT.value, key="", source=source.id, source_name=source.name,
            source_collection=damage.collection, member=damage.member, offset=damage.offset, length=damage.length,
            inferred="", candidates=0, confidence="low", newer="", note=damage.reason, fields=[], changes="[]",
        )  # fmt: skip
        if damage.partial:
            row.update(self._partial(source, damage))
        self._add(row)

    def _partial(self, source: SourceEntry, damage: Damage | DamageEntry) -> dict[str, Any]:
        """Return what a row says of a damaged record of which something could be read, if it still can be."""
        ref = Ref(damage.member, damage.offset, damage.length, partial=True)
        try:
            (record,) = self.work.readings.fetch(source, [(damage.collection, ref)])
            key = key_of(record, self.key)
            found = id_element(record)
        except (DamagedSourceError, InvalidRecordError):
            return {}
        shown = damage.partial if isinstance(damage, DamageEntry) else preview(record)
        return {
            "key": "" if key is None else key_text(key, self.key), "key_bytes": key, "id": found,
            "fingerprint": fingerprint(record),
            "changes": json.dumps([asdict(Change("", ChangeKind.PARTIAL, "", shown))], ensure_ascii=False),
        }  # fmt: skip


def _canonical(element: bytes) -> bytes:
    return canonical(element[0], element[1:])
