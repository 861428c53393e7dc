"""The comparison: place, read both sides, screen, recheck, explain; and keep what was found."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from recovery_nb.catalog.entry import DamageEntry, SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.compare.keys import choose_keys, refuse_bad_key
from recovery_nb.compare.live import Live, first_fields, read_live
from recovery_nb.compare.model import CANDIDATES, DIFFERENCES, Counts
from recovery_nb.compare.readings import Reading, Readings, column_types, gather_evidence, save_evidence
from recovery_nb.compare.resolve import Placement, described, is_bucketed, place, series_of
from recovery_nb.compare.result import Comparison, Summary
from recovery_nb.compare.rows import RowWriter
from recovery_nb.compare.screen import Screen, SourceTable, screening
from recovery_nb.compare.series import Series, SeriesStage, comparable, series_note
from recovery_nb.compare.stage import Stage, Work
from recovery_nb.compare.trust import by_trust, confidence
from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, silent
from recovery_nb.files import sync_file, sync_folder, write_json
from recovery_nb.records.batch import Damage
from recovery_nb.records.keys import DEFAULT_KEY, key_text
from recovery_nb.records.rehydrate import Evidence
from recovery_nb.records.schema import observe
from recovery_nb.sources.base import Typing
from recovery_nb.sources.mongodb import Database

__all__ = ["Request", "compare"]

_SAMPLE = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """What to compare.

    Attributes:
        sources: The sources, in any order.
        collection: Only this collection; "" for all.
        target: The database's collection to compare it with; "" for the one of its name.
        key: The fields that identify a record; empty for `_id`, or what serves where the sources have none.
        notes: Remarks of whoever asks, to be kept with the result.
    """

    sources: Sequence[SourceEntry]
    collection: str = ""
    target: str = ""
    key: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


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
    placements, strangers = place(sources, fields, collection=request.collection, target=request.target)
    structures = described(sources, placements, collection=request.collection, target=request.target)
    placements, apart, single = comparable(placements, infos)
    if apart and (request.collection or request.target):
        raise BadInputError(apart[0])
    bucketed = [p for p in placements if is_bucketed(p.collection)]
    keys, placements, notes = choose_keys(
        request.key, [p for p in placements if p not in bucketed], database, existing=plain
    )
    keys |= {p.collection: DEFAULT_KEY for p in bucketed}
    placements += bucketed
    notes = [*request.notes, *notes, *strangers, *apart, *single]
    names = sorted({p.collection for p in placements})
    lossy = {p.collection for p in placements if p.source.typing is not Typing.FULL}
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
        for p in placements:
            if p.source.typing is Typing.TEXT:
                evidence.setdefault(p.collection, []).append((Evidence.SHAPE, column_types(catalog, p.source, p.given)))
    else:
        evidence = {}
    save_evidence(evidence, folder / "evidence.json")
    readings = Readings(catalog, by_source, evidence)
    used = [source for source in sources if source.id in by_source]
    read = {source.id: readings.read(source, folder, keys=keys, emit=emit) for source in used}
    damage: dict[str, list[Damage | DamageEntry]] = {s.id: [*s.damage, *read[s.id].damage] for s in used}
    work = Work(database, readings, used, folder, emit, by_source, damage, notes)
    (folder / "scratch").mkdir()
    counts: dict[str, Counts] = {}
    with (
        screening(folder / "scratch") as db,
        RowWriter(folder / "differences.parquet", DIFFERENCES) as rows,
        RowWriter(folder / "candidates.parquet", CANDIDATES) as candidates,
    ):
        for name in names:
            series = _series(series_of(name), infos, sources) if is_bucketed(name) else None
            counts[name] = _collection(
                work, name, keys[name], live[name], read, placements, db, rows, candidates, request, series
            )
    notes += [
        series_note(name, live[name].records, live[name].measurements, _holders(placements, name))
        for name in names
        if is_bucketed(name)
    ]
    for source in read.values():
        if source.table.parent == folder:
            source.table.unlink()
    held = {series_of(name) for name in names}
    uncovered = [name for name, info in infos.items() if info.get("type") != "view" and name not in held]
    placed = {
        source.id: {**by_source.get(source.id, {}), **structures.get(source.id, {})}
        for source in sources
        if source.id in by_source or source.id in structures
    }
    return Summary(
        id=identifier, started=started.isoformat(), finished=datetime.now(UTC).isoformat(),
        database=database.label, consistent=consistent, cluster_time=cluster_time,
        collections={name: one.as_dict() for name, one in counts.items()},
        records={name: live[name].records for name in names},
        keys={name: list(keys[name]) for name in names},
        sources=[source.id for source in sources if source.id in placed], placed=placed,
        placements=[
            {"source": p.source.name, "given": p.given, "collection": p.collection, "reason": p.reason}
            for p in placements
        ],
        conversions=[list(row) for one in read.values() for row in one.conversions],
        uncovered=[] if request.collection else uncovered,
        notes=work.notes, apart=apart, made=work.made,
        doubted=[source.id for source in sources if source.id in placed and source.checksum_ok is False],
    )  # fmt: skip


def _series(name: str, infos: Mapping[str, Mapping[str, Any]], sources: Sequence[SourceEntry]) -> Series:
    """Return how a time-series is made: as the database has it, else as a source says."""
    if name in infos:
        return Series.of(infos[name].get("options", {}))
    return next((Series.of(one.options[name].get("options", {})) for one in sources if name in one.options), Series())


def _holders(placements: Sequence[Placement], name: str) -> list[SourceEntry]:
    return [p.source for p in placements if p.collection == p.given == name]


def _collection(
    work: Work,
    name: str,
    key: tuple[str, ...],
    live: Live,
    read: Mapping[str, Reading],
    placements: Sequence[Placement],
    db: duckdb.DuckDBPyConnection,
    rows: RowWriter,
    candidates: RowWriter,
    request: Request,
    series: Series | None,
) -> Counts:
    sources = [
        source for source in work.sources if any(p.collection == name and p.source is source for p in placements)
    ]
    tables = [
        SourceTable(read[s.id].table, tuple(p.given for p in placements if p.source is s and p.collection == name))
        for s in sources
    ]
    screen = Screen(db, live.table, tables)
    try:
        if request.key and series is None:
            refuse_bad_key(screen, name, key, sources)
        if series is None:
            stage = Stage(work, name, key, sources, screen, rows)
        else:
            stage = SeriesStage(work, name, key, sources, screen, rows, series=series)
        counts = stage.run(live.records)
        _keep_candidates(stage, candidates)
    finally:
        screen.close()
    return counts


def _keep_candidates(stage: Stage, candidates: RowWriter) -> None:
    for row in _stream(stage.screen.candidates()):
        source = stage.sources[row["source"]]
        candidates.add(
            {
                "collection": stage.name, "key": key_text(row["key"], stage.key), "key_bytes": row["key"],
                "rank": row["rank"], "source": source.id, "source_name": source.name,
                "source_collection": row["collection"], "taken_at": source.taken_at, "member": row["member"],
                "offset": row["offset"], "length": row["length"], "id": row["id"],
                "fingerprint": row["fingerprint"], "inferred": row["inferred"],
                "confidence": confidence(source, row["inferred"]).value, "at": row["at"],
            }
        )  # fmt: skip


def _stream(reader: pa.RecordBatchReader) -> Iterator[dict[str, Any]]:
    for batch in reader:
        yield from batch.to_pylist()
