"""The comparison: place, read both sides, screen, recheck, explain; and keep what was found."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from bson.raw_bson import RawBSONDocument

from recovery_nb.catalog.entry import DamageEntry, SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.catalog.table import fingerprint
from recovery_nb.compare.explain import diff, newer_in_database, verdict
from recovery_nb.compare.keys import choose_keys, refuse_bad_key
from recovery_nb.compare.live import Live, first_fields, read_live
from recovery_nb.compare.model import CANDIDATES, DIFFERENCES, Counts, Status
from recovery_nb.compare.readings import Reading, Readings, gather_evidence, save_evidence
from recovery_nb.compare.resolve import Placement, place
from recovery_nb.compare.result import Comparison, Summary
from recovery_nb.compare.rows import RowWriter
from recovery_nb.compare.screen import Screen, SourceTable
from recovery_nb.compare.trust import by_trust, confidence
from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.files import sync_file, sync_folder, write_json
from recovery_nb.records.batch import Damage, Ref
from recovery_nb.records.elements import Element, InvalidRecordError, build, elements, find_element, id_element
from recovery_nb.records.keys import DEFAULT_KEY, canonical, key_of, key_text
from recovery_nb.records.rehydrate import Evidence
from recovery_nb.records.schema import observe
from recovery_nb.sources.base import Typing
from recovery_nb.sources.mongodb import Database

__all__ = ["Request", "compare"]

_BATCH = 1_000
_SAMPLE = 1_000
_MAX_CHANGES = 50
_BUCKETS = "system.buckets."


@dataclass(frozen=True, slots=True)
class Request:
    """What to compare.

    Attributes:
        sources: The sources, in any order.
        collection: Only this collection; "" for all.
        target: The database's collection to compare it with; "" for the one of its name.
        key: The fields that identify a record; empty for `_id`, or what serves where the sources have none.
    """

    sources: Sequence[SourceEntry]
    collection: str = ""
    target: str = ""
    key: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """What the stages of one comparison share."""

    database: Database
    readings: Readings
    sources: list[SourceEntry]
    folder: Path
    emit: Emit
    placed: Mapping[str, Mapping[str, str]]
    damage: Mapping[str, Sequence[Damage | DamageEntry]]
    notes: list[str] = field(default_factory=list)


def compare(request: Request, database: Database, catalog: Catalog, folder: Path, *, emit: Emit = silent) -> Comparison:
    """Compare the database with its sources and keep the result in a folder of its own under `folder`.

    Nothing is written to the database or to a source. The result appears only when it is whole.

    Raises:
        BadInputError: An unknown collection, a key that does not identify records, nothing to compare.
        ConnectionFailedError: The server went away.
    """
    if not request.sources:
        raise BadInputError("there is no source to compare with", hint="name a backup, an export or a dump")
    started = datetime.now(UTC)
    identifier = f"c{started:%Y%m%dT%H%M%S%f}Z"
    work_folder = folder / f".{identifier}.{os.getpid()}"
    work_folder.mkdir(parents=True)
    try:
        summary = _compare(request, database, catalog, work_folder, identifier, started, emit)
        for scratch in work_folder.glob("live-*"):
            scratch.unlink()
        shutil.rmtree(work_folder / "scratch", ignore_errors=True)
        for kept in work_folder.iterdir():
            sync_file(kept)
        write_json(work_folder / "comparison.json", summary.as_dict())
        work_folder.rename(folder / identifier)
        sync_folder(folder)
    finally:
        shutil.rmtree(work_folder, ignore_errors=True)
    return Comparison.load(folder / identifier, catalog)


def _compare(
    request: Request,
    database: Database,
    catalog: Catalog,
    folder: Path,
    identifier: str,
    started: datetime,
    emit: Emit,
) -> Summary:
    infos = database.collections()
    plain = [name for name, info in infos.items() if info.get("type") == "collection"]
    unnamed = any("" in source.collections for source in request.sources)
    fields = first_fields(database, plain) if unnamed else {name: set() for name in plain}
    sources = by_trust(request.sources)
    placements = place(sources, fields, collection=request.collection, target=request.target)
    skipped = sorted(
        {p.collection for p in placements if infos.get(p.collection, {}).get("type", "collection") != "collection"}
    )
    placements = [p for p in placements if p.collection not in skipped]
    names = sorted({p.collection for p in placements})
    lossy = {p.collection for p in placements if p.source.typing is not Typing.FULL}
    keys, notes = choose_keys(request.key, placements, database, existing=plain)
    kinds = {name: infos[name]["type"] for name in skipped} | _bucketed(request)
    notes += [f"{name} is a {kind} and is not compared record by record" for name, kind in sorted(kinds.items())]
    by_source: dict[str, dict[str, str]] = {}
    for p in placements:
        by_source.setdefault(p.source.id, {})[p.given] = p.collection
    live: dict[str, Live] = {}
    with database.snapshot() as snapshot:
        for number, name in enumerate(names):
            live[name] = read_live(
                database, name, folder / f"live-{number}.parquet", key=keys[name],
                snapshot=snapshot, with_schema=name in lossy, emit=emit,
            )  # fmt: skip
        consistent, cluster_time = snapshot.consistent, snapshot.cluster_time
    if lossy:
        donors = [source for source in sources if source.typing is Typing.FULL]
        evidence = gather_evidence(catalog, {name: one.schema for name, one in live.items()}, donors, by_source)
        if request.target:  # a new collection has no types yet: those of the one it stands in for tell
            origins = {p.given for p in placements if p.given in plain and p.given != p.collection}
            evidence[request.target] += [
                (Evidence.DATABASE, observe(database.first(name, _SAMPLE))) for name in sorted(origins)
            ]
    else:
        evidence = {}
    save_evidence(evidence, folder / "evidence.json")
    readings = Readings(catalog, by_source, evidence)
    used = [source for source in sources if source.id in by_source]
    read = {source.id: readings.read(source, folder, keys=keys, emit=emit) for source in used}
    damage: dict[str, list[Damage | DamageEntry]] = {s.id: [*s.damage, *read[s.id].damage] for s in used}
    work = _Work(database, readings, used, folder, emit, by_source, damage, notes)
    (folder / "scratch").mkdir()
    counts: dict[str, Counts] = {}
    with (
        RowWriter(folder / "differences.parquet", DIFFERENCES) as rows,
        RowWriter(folder / "candidates.parquet", CANDIDATES) as candidates,
    ):
        for name in names:
            counts[name] = _collection(work, name, keys[name], live[name], read, placements, rows, candidates, request)
    for source in read.values():
        if source.table.parent == folder:
            source.table.unlink()
    return Summary(
        id=identifier, started=started.isoformat(), finished=datetime.now(UTC).isoformat(),
        database=database.label, consistent=consistent, cluster_time=cluster_time,
        collections={name: one.as_dict() for name, one in counts.items()},
        records={name: live[name].records for name in names},
        keys={name: list(keys[name]) for name in names},
        sources=[source.id for source in used], placed=by_source,
        placements=[
            {"source": p.source.name, "given": p.given, "collection": p.collection, "reason": p.reason}
            for p in placements
        ],
        conversions=[list(row) for one in read.values() for row in one.conversions],
        uncovered=[name for name in plain if name not in names] if not request.collection else [],
        notes=work.notes,
    )  # fmt: skip


def _bucketed(request: Request) -> dict[str, str]:
    """Return the time-series whose buckets a source holds: their measurements are no records of their own."""
    given = {
        name.removeprefix(_BUCKETS) for s in request.sources for name in s.collections if name.startswith(_BUCKETS)
    }
    return {name: "timeseries" for name in given if request.collection in ("", name)}


def _collection(
    work: _Work,
    name: str,
    key: tuple[str, ...],
    live: Live,
    read: Mapping[str, Reading],
    placements: Sequence[Placement],
    rows: RowWriter,
    candidates: RowWriter,
    request: Request,
) -> Counts:
    sources = [
        source for source in work.sources if any(p.collection == name and p.source is source for p in placements)
    ]
    tables = [
        SourceTable(read[s.id].table, tuple(p.given for p in placements if p.source is s and p.collection == name))
        for s in sources
    ]
    screen = Screen(live.table, tables, scratch=work.folder / "scratch")
    try:
        if request.key:
            refuse_bad_key(screen, name, key, sources)
        stage = _Stage(work, name, key, sources, screen, rows)
        counts = stage.run(live.records)
        _keep_candidates(stage, candidates)
    finally:
        screen.close()
    return counts


class _Stage:
    """Rechecks and explains what the screening of one collection found."""

    def __init__(
        self,
        work: _Work,
        name: str,
        key: tuple[str, ...],
        sources: list[SourceEntry],
        screen: Screen,
        rows: RowWriter,
    ) -> None:
        self.work, self.name, self.key, self.sources, self.screen, self.rows = (
            work,
            name,
            key,
            sources,
            screen,
            rows,
        )
        self.found: Counter[Status] = Counter()

    def run(self, records: int) -> Counts:
        differing = self.screen.count("SELECT count(*) FROM screened WHERE status <> 'missing'")
        self.found[Status.IDENTICAL] = records - differing
        total, done = self.screen.count("SELECT count(*) FROM screened"), 0
        for status, check in (("changed", self._changed), ("missing", self._missing), ("extra", self._extra)):
            for batch in self.screen.rows(status):
                for start in range(0, batch.num_rows, _BATCH):
                    part = batch.slice(start, _BATCH).to_pylist()
                    check(part)
                    done += len(part)
                    self.work.emit(Event("compare", f"differences of {self.name}", done, total))
        self._duplicates()
        self._corrupt()
        return Counts(**{status.value: self.found[status] for status in Status})

    def base(self, row: Mapping[str, Any], status: Status) -> dict[str, Any]:
        """Return the row of a difference, as far as the screening knows it."""
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
        try:
            changes = diff(current, _identified(candidate, current), typing=source.typing)
        except InvalidRecordError as error:
            self._corrupt_row(source, row["collection"], row["member"], row["offset"], row["length"], str(error))
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
        for number, row in enumerate(rows):
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
        back = []
        for row in rows:
            if row["key"] in by_key:  # written since the snapshot
                back.append({**row, "database_id": by_key[row["key"]]})
            elif row["id"] is not None and _canonical(row["id"]) in there:  # likewise, or now under another key
                back.append({**row, "database_id": row["id"]})
            else:
                self._add(self.base(row, Status.MISSING))
        if back:
            self._changed(back)

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
        for row in rows:
            if _canonical(row["database_id"]) in there:
                self._add(self.base(row, Status.EXTRA))

    def _duplicates(self) -> None:
        for batch in self.screen.duplicates():
            for row in batch.to_pylist():
                out = self.base({**row, "ambiguous": row["versions"] > 1}, Status.DUPLICATE)
                versions = "all alike" if row["versions"] == 1 else f"{row['versions']} different versions"
                out["note"] = f"{self.sources[row['source']].name} holds this key {row['copies']} times, {versions}"
                self._add(out)

    def _corrupt(self) -> None:
        for ordinal, given, member, offset, length in self.screen.keyless():
            source = self.sources[ordinal]
            self._corrupt_row(source, given, member, offset, length, f"the record has no {' or no '.join(self.key)}")
        for source in self.sources:
            placed = self.work.placed[source.id]
            for damage in self.work.damage[source.id]:
                # What no collection is known of is told once, with the first of its source.
                if self.name == (placed.get(damage.collection) if damage.collection else next(iter(placed.values()))):
                    self._corrupt_row(
                        source, damage.collection, damage.member, damage.offset, damage.length, damage.reason
                    )

    def _corrupt_row(self, source: SourceEntry, given: str, member: str, offset: int, length: int, why: str) -> None:
        row = dict.fromkeys(DIFFERENCES.names)
        row.update(
            collection=self.name, status=Status.CORRUPT.value, key="", source=source.id, source_name=source.name,
            source_collection=given, member=member, offset=offset, length=length, inferred="", candidates=0,
            confidence="low", newer="", note=why, fields=[], changes="[]",
        )  # fmt: skip
        self._add(row)


def _keep_candidates(stage: _Stage, candidates: RowWriter) -> None:
    for row in _stream(stage.screen.candidates()):
        source = stage.sources[row["source"]]
        candidates.add(
            {
                "collection": stage.name, "key": key_text(row["key"], stage.key), "key_bytes": row["key"],
                "rank": row["rank"], "source": source.id, "source_name": source.name,
                "source_collection": row["collection"], "taken_at": source.taken_at, "member": row["member"],
                "offset": row["offset"], "length": row["length"], "id": row["id"],
                "fingerprint": row["fingerprint"], "inferred": row["inferred"],
                "confidence": confidence(source, row["inferred"]).value,
            }
        )  # fmt: skip


def _stream(reader: pa.RecordBatchReader) -> Iterator[dict[str, Any]]:
    for batch in reader:
        yield from batch.to_pylist()


def _identified(candidate: bytes, current: bytes) -> bytes:
    """Return a record that has no `_id` with the one that a restore would give it: the database's."""
    own = id_element(current)
    if own is None or id_element(candidate) is not None:
        return candidate
    return build([(own[0], b"_id", own[1:]), *elements(candidate)])


def _canonical(element: bytes) -> bytes:
    return canonical(element[0], element[1:])
