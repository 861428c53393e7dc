"""Deciding, without touching a database, what a restore would do with every selected record."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recovery_nb.errors import ConflictError
from recovery_nb.files import sync_file, sync_folder, write_json
from recovery_nb.records.elements import id_element
from recovery_nb.records.keys import key_of
from recovery_nb.restore.plan import (
    COLUMNS,
    ROWS,
    SCHEMA,
    Action,
    OnConflict,
    Plan,
    Selected,
    Tally,
    Write,
    row_of,
)
from recovery_nb.restore.shape import MAX_STORED_BYTES, fingerprint, merged, overlaid, refusal, settled

__all__ = ["make_plan"]

_NAMED = 5


def make_plan(
    selection: Iterable[Selected],
    folder: Path,
    *,
    database: str,
    on_conflict: OnConflict = OnConflict.SKIP,
    sources: Mapping[str, str] | None = None,
) -> Plan:
    """Decide what to do with every selected record and write the plan to `folder/<digest[:16]>`.

    Records that the database already holds byte for byte are not in the plan. The same selection gives the
    same plan. Memory is bounded by some thousand rows.

    Args:
        selection: The records, in the order in which they are to be written.
        folder: The case's folder of plans.
        database: The database, without secrets.
        on_conflict: What to do where the database holds another version.
        sources: By source id, what the source is called.

    Raises:
        ConflictError: `on_conflict` is `FAIL` and the database holds other versions; nothing is written.
    """
    header = {
        "format": "recovery_nb.plan",
        "version": 1,
        "database": database,
        "on_conflict": str(on_conflict),
        "sources": dict(sources or {}),
    }
    tally = Tally(header)
    conflicts: list[str] = []
    conflicting = 0
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".plan-", dir=folder))
    try:
        with pq.ParquetWriter(partial / "plan.parquet", SCHEMA, compression="zstd") as file:
            rows: list[tuple[object, ...]] = []
            seq = 0
            for selected in selection:
                write = _decide(selected, seq, on_conflict=on_conflict)
                if write is None:
                    continue
                seq += 1
                if on_conflict is OnConflict.FAIL and selected.current is not None:
                    conflicting += 1
                    if len(conflicts) < _NAMED:
                        conflicts.append(f"{selected.collection}/{selected.key_text}")
                tally.add(write)
                rows.append(row_of(write))
                if len(rows) == ROWS:
                    _flush(file, rows)
            _flush(file, rows)
        if conflicting:
            named = ", ".join(conflicts) + (", …" if conflicting > len(conflicts) else "")
            raise ConflictError(
                f"the database holds other versions of {conflicting:,} records ({named}); nothing is written",
                hint="choose --on-conflict skip, replace or merge",
            )
        sync_file(partial / "plan.parquet")
        write_json(partial / "plan.json", tally.document())
        final = folder / tally.digest()[:16]
        if final.exists():
            return Plan.load(final)
        partial.rename(final)
        sync_folder(folder)
        return tally.plan(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _flush(file: Any, rows: list[tuple[object, ...]]) -> None:
    if rows:
        columns = [
            pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), COLUMNS.values(), strict=True)
        ]
        file.write_batch(pa.record_batch(columns, schema=SCHEMA))
        rows.clear()


def _decide(selected: Selected, seq: int, *, on_conflict: OnConflict) -> Write | None:
    """Return the row for one record; None where the database already holds it."""
    current, planned, own = selected.current, selected.planned, selected.id
    if planned == current:
        return None
    action, reason = Action.REFUSE, refusal(planned)
    if not reason:
        planned = settled(planned, None if current is None else id_element(current))
        own = id_element(planned if current is None else current) or b""
        if planned == current:
            return None
        if selected.hold:
            action, reason = Action.SKIP, f"{selected.hold}; name the one to take in a keys file"
        elif current is None:
            action = Action.INSERT
        elif selected.newer and on_conflict in (OnConflict.REPLACE, OnConflict.MERGE):
            action, reason = Action.SKIP, f"the database's version is newer: {selected.newer}"
        else:
            action, reason, planned = _meet(current, planned, on_conflict, incomplete=selected.incomplete)
        if len(planned) > MAX_STORED_BYTES and action is not Action.SKIP:
            action, reason = Action.REFUSE, f"{len(planned):,} bytes are more than a server stores (16 MiB)"
    return Write(
        seq,
        selected.collection,
        selected.key_text,
        action,
        own,
        None if current is None else fingerprint(current),
        fingerprint(planned),
        selected.source,
        selected.ref,
        selected.inferred,
        reason,
        len(planned) + len(current or b""),
    )


def _meet(current: bytes, planned: bytes, on_conflict: OnConflict, *, incomplete: bool) -> tuple[Action, str, bytes]:
    """Return what to do where the database holds another version, why, and what will be there."""
    if on_conflict is OnConflict.REPLACE:
        if _same_id(current, planned):
            whole = overlaid(current, planned) if incomplete else planned
            if whole == current:
                return Action.SKIP, "it states nothing else", whole
            if whole != planned:
                return Action.OVERLAY, "", whole
            return Action.REPLACE, "", planned
        return Action.REFUSE, "the database's record has another _id, which a restore never changes", planned
    if on_conflict is OnConflict.MERGE:
        whole = merged(current, planned)
        return (Action.SKIP, "it adds nothing", whole) if whole == current else (Action.MERGE, "", whole)
    return Action.SKIP, "the database holds another version", planned


def _same_id(one: bytes, other: bytes) -> bool:
    return key_of(one) == key_of(other)
