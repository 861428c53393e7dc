"""Deciding, without touching a database, what a restore would do with every selected record."""

from __future__ import annotations

import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from recovery_nb.errors import ConflictError
from recovery_nb.files import sync_file, sync_folder, write_json, writing
from recovery_nb.records.elements import id_element
from recovery_nb.records.keys import canonical, key_of
from recovery_nb.restore.plan import VERSION, OnConflict, Plan, Selected, Tally, Transaction
from recovery_nb.restore.plan_file import REPEATED, ROWS, SCHEMA, read_groups, record_batch
from recovery_nb.restore.rows import WRITING, Action, Rows, Write
from recovery_nb.restore.shape import (
    MAX_STORED_BYTES,
    fingerprint,
    has_field,
    marked,
    merged,
    overlaid,
    refusal,
    settled,
)

__all__ = ["make_plan"]

_NAMED = 5
_TWICE = "selected twice: the plan writes this _id already"


def make_plan(
    selection: Iterable[Selected],
    folder: Path,
    *,
    database: str,
    on_conflict: OnConflict = OnConflict.SKIP,
    sources: Mapping[str, str] | None = None,
    structures: Mapping[str, str] | None = None,
    mark: str = "",
    marked_at: int = 0,
    transaction: Transaction = "",
) -> Plan:
    """Decide what to do with every selected record and write the plan to `folder/<digest[:16]>`.

    Records that the database already holds byte for byte are not in the plan. The same selection gives the
    same plan. Memory is bounded by some thousand rows, and eight bytes for each other one.

    Args:
        selection: The records, in the order in which they are to be written.
        folder: The case's folder of plans.
        database: The database, without secrets.
        on_conflict: What to do where the database holds another version.
        sources: By source id, what the source is called.
        structures: By name, what to make missing collections and views with: canonical Extended JSON of
            `{"options": …, "indexes": […]}`.
        mark: A field to stamp every written record with, "" for none. A record that has it already is refused.
        marked_at: What the stamp says, in milliseconds since 1970.
        transaction: What is to be written as a whole or not at all.

    Raises:
        BadInputError: `mark` is no name for a field.
        ConflictError: `on_conflict` is `FAIL` and the database holds other versions; nothing is written.
    """
    header = {
        "format": "recovery_nb.plan",
        "version": VERSION,
        "database": database,
        "on_conflict": str(on_conflict),
        "sources": dict(sources or {}),
        "structures": dict(structures or {}),
        "mark": mark,
        "marked_at": marked_at,
        "transaction": transaction,
    }
    decide = _Decisions(on_conflict, mark, marked_at)
    folder.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".plan-", dir=folder))
    try:
        path = partial / "plan.parquet"
        tally = _write(path, decide.groups(selection), header)
        if on_conflict is OnConflict.FAIL and decide.conflicting:
            raise decide.conflict()
        if suspects := _suspects(decide.places):
            tally = _write(partial / "once.parquet", _once(path, suspects), header)
            (partial / "once.parquet").replace(path)
        sync_file(path)
        write_json(partial / "plan.json", tally.document())
        final = folder / tally.digest()[:16]
        if final.exists():
            return Plan.load(final)
        partial.rename(final)
        sync_folder(folder)
        return tally.plan(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(path: Path, groups: Iterable[Rows], header: Mapping[str, Any]) -> Tally:
    tally = Tally(header)
    packing = {name: "none" if name in ("before", "after") else "zstd" for name in SCHEMA.names}
    with writing(path), pq.ParquetWriter(path, SCHEMA, compression=packing, use_dictionary=list(REPEATED)) as file:
        for rows in groups:
            tally.add(rows)
            file.write_batch(record_batch(rows))
    return tally


def _place(collection: str, own: bytes) -> tuple[str, bytes]:
    return collection, canonical(own[0], own[1:])


def _suspects(places: array[int]) -> set[int]:
    """Return the hashes that stand more than once: the records of one `_id`, and hardly any other."""
    ordered = np.sort(np.frombuffer(places, np.int64))
    return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def _once(path: Path, suspects: set[int]) -> Iterator[Rows]:
    """Yield a plan's rows again; of several that would write one `_id` only the first still does."""
    seen: set[tuple[str, bytes]] = set()
    for rows in read_groups(path):
        for number, action in enumerate(rows.actions):
            if action not in WRITING:
                continue
            place = _place(rows.collections[number], rows.ids[number])
            if place in seen:
                rows.actions[number], rows.reasons[number] = Action.SKIP, _TWICE
            elif hash(place) in suspects:
                seen.add(place)
        yield rows


class _Decisions:
    """What is done with each selected record, and what the whole selection came to.

    Attributes:
        conflicting: How many records the database holds another version of.
        places: A hash of collection and `_id` of each record that is to be written.
    """

    def __init__(self, on_conflict: OnConflict, mark: str, marked_at: int) -> None:
        self._on_conflict, self._mark, self._marked_at = on_conflict, mark, marked_at
        self._named: list[str] = []
        self.conflicting = 0
        self.places = array("q")
        if mark:
            self._stamped(b"\x05\0\0\0\0")  # a name that no field may have is refused before anything is read

    def groups(self, selection: Iterable[Selected]) -> Iterator[Rows]:
        """Yield the rows of the plan, `ROWS` at a time."""
        group: list[Write] = []
        seq = 0
        for selected in selection:
            write = self._decide(selected, seq)
            if write is None:
                continue
            seq += 1
            if selected.current is not None:
                self.conflicting += 1
                if len(self._named) < _NAMED:
                    self._named.append(f"{selected.collection}/{selected.key_text}")
            if write.writes:
                self.places.append(hash(_place(write.collection, write.id)))
            group.append(write)
            if len(group) == ROWS:
                yield Rows.of(group)
                group = []
        if group:
            yield Rows.of(group)

    def conflict(self) -> ConflictError:
        """Return the error that names the records of which the database holds another version."""
        named = ", ".join(self._named) + (", …" if self.conflicting > len(self._named) else "")
        return ConflictError(
            f"the database holds other versions of {self.conflicting:,} records ({named}); nothing is written",
            hint="choose --on-conflict skip, replace or merge",
        )

    def _stamped(self, record: bytes) -> bytes:
        return marked(record, self._mark, self._marked_at) if self._mark else record

    def _decide(self, selected: Selected, seq: int) -> Write | None:
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
                action, reason = Action.SKIP, selected.hold
            elif current is None:
                action = Action.INSERT
            elif selected.newer and self._on_conflict in (OnConflict.REPLACE, OnConflict.MERGE):
                action, reason = Action.SKIP, f"the database's version is newer: {selected.newer}"
            else:
                action, reason, planned = _meet(current, planned, self._on_conflict, incomplete=selected.incomplete)
            if action in WRITING and self._mark and has_field(planned, self._mark):
                action, reason = Action.REFUSE, f"it has a field {self._mark} of its own, which the mark would replace"
            elif action in WRITING:
                planned = self._stamped(planned)
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
