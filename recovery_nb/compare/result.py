"""What a comparison found: counts at once, rows and dataframes when asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.compare.frames.dataframes import Dataframes
from recovery_nb.compare.model import ChangeKind, Counts, Status
from recovery_nb.compare.readings import Readings, load_evidence
from recovery_nb.errors import BadInputError
from recovery_nb.reports.html import chip, chips, facts, join, table

__all__ = ["Comparison", "Summary"]

_SHOWN = 100
_FEW = 20
_NAMED = "named by the source"


@dataclass(frozen=True, slots=True)
class Summary:
    """The facts of one comparison, as its `comparison.json` keeps them.

    Attributes:
        id: Names the comparison within its case.
        started: When it began, ISO 8601, UTC.
        finished: When it ended.
        database: The database's URI without credentials.
        consistent: Whether the database was read at one point in time.
        cluster_time: That point's optime, (seconds, increment).
        collections: The counts by collection and status.
        records: How many records the database had, by collection.
        keys: The fields that identify records, by collection.
        sources: The ids of the sources, the most trusted first.
        placed: By source id, the database's collection for each name the source gives.
        placements: For people: which collection of which source went where, and why.
        conversions: Types put back: path, from, to, evidence, how often.
        uncovered: Collections of the database that no source holds.
        notes: Remarks for the analyst.
        apart: Of these, what is left out though sources hold records of it: something else is in its place.
        doubted: The ids of the sources that a checksum of their own, or a manifest, speaks against.
        made: By collection, the field by which the differences say when their records were made (`compare.making`).
    """

    id: str
    started: str
    finished: str
    database: str
    consistent: bool
    cluster_time: tuple[int, int] | None
    collections: dict[str, dict[str, int]]
    records: dict[str, int]
    keys: dict[str, list[str]]
    sources: list[str]
    placed: dict[str, dict[str, str]]
    placements: list[dict[str, str]] = field(default_factory=list)
    conversions: list[list[Any]] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    apart: list[str] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison(Dataframes):
    """A finished comparison; what it gives analysts to look at, it has from `Dataframes`.

    Attributes:
        folder: Where it is kept.
        summary: Its facts.
        sources: Its sources by id.
        readings: What reads its sources' records again.
    """

    folder: Path
    summary: Summary
    sources: Mapping[str, SourceEntry]
    readings: Readings

    @classmethod
    def load(cls, folder: Path, catalog: Catalog) -> Comparison:
        """Open a comparison that was kept.

        Raises:
            BadInputError: There is none in this folder.
        """
        path = folder / "comparison.json"
        if not path.is_file():
            raise BadInputError(f"{folder} holds no comparison", hint="compare first")
        facts = json.loads(path.read_bytes())
        facts["cluster_time"] = tuple(facts["cluster_time"]) if facts["cluster_time"] else None
        summary = Summary(**facts)
        sources = {identifier: catalog.entry(identifier) for identifier in summary.sources}
        readings = Readings(catalog, summary.placed, load_evidence(folder / "evidence.json"))
        return cls(folder, summary, sources, readings)

    @property
    def counts(self) -> dict[str, Counts]:
        """The counts of each collection."""
        return {name: Counts(**counts) for name, counts in self.summary.collections.items()}

    @property
    def total(self) -> Counts:
        """The counts of all collections together."""
        every = list(self.counts.values())
        return Counts(**{status.value: sum(getattr(one, status.value) for one in every) for status in Status})

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, damaged or in doubt, and nothing was left out for what is in its place."""
        return self.total.clean and not self.summary.apart

    @property
    def table(self) -> Path:
        """The Parquet file with one row for each difference (`compare.model.DIFFERENCES`)."""
        return self.folder / "differences.parquet"

    def rows(
        self, statuses: Sequence[Status] = (), *, columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Stream the differences, of some statuses or all, a few thousand in memory at a time.

        Raises:
            BadInputError: The comparison's file cannot be read.
        """
        wanted = None if columns is None else list(dict.fromkeys([*columns, "status"]))
        values = pa.array([status.value for status in statuses], pa.string())
        for batch in _batches(self.table, wanted):
            found = batch.filter(pc.is_in(batch["status"], values)) if statuses else batch
            yield from (found.select(list(columns)) if columns else found).to_pylist()

    def versions(self) -> Iterator[dict[str, Any]]:
        """Stream every version of every differing record (`compare.model.CANDIDATES`), best first for each key.

        Raises:
            BadInputError: The comparison's file cannot be read.
        """
        for batch in _batches(self.folder / "candidates.parquet", None):
            yield from batch.to_pylist()

    def _repr_html_(self) -> str:
        """Return the counts and the first differences, readable without a kernel and without a script."""
        lines = [
            [name, self.summary.records[name], *counts.values()] for name, counts in self.summary.collections.items()
        ]
        columns = ["collection", "in the database", *(status.value for status in Status)]
        heads = ["status", "collection", "key", "source_name", "confidence", "note"]
        differing = self.rows((Status.MISSING, Status.CHANGED, Status.DUPLICATE, Status.CORRUPT))
        shown = [[chip(row["status"]), *(row[name] for name in heads[1:])] for row in islice(differing, _SHOWN)]
        total = self.total
        of = total.missing + total.changed + total.duplicate + total.corrupt
        read = "at one point in time" if self.summary.consistent else "while it may have been written to"
        remarks = [*self.summary.notes, *(f"{name} is in no source" for name in self.summary.uncovered)]
        return join(
            chips(total.as_dict()),
            table(
                columns,
                lines,
                caption=f"{self.summary.database}, read {read}, against {len(self.sources)} sources",
            ),
            table(heads, shown, total=of, caption="Differences") if shown else "",
            self._partial_records(),
            self._inferred_collections(),
            facts({"note": "; ".join(remarks)}) if remarks else "",
        )

    def _partial_records(self) -> str:
        """Return the first damaged records of which something can be read; such a one is restored only if named."""
        heads = ["collection", "key", "source_name", "offset"]
        damaged = self.rows((Status.CORRUPT,), columns=("status", *heads, "changes"))
        found = ([*(row[name] for name in heads), left] for row in damaged if (left := _readable(row["changes"])))
        shown = list(islice(found, _FEW))
        columns = ["collection", "key", "source", "at byte", "what can be read"]
        return table(columns, shown, caption="Damaged records, the first of them") if shown else ""

    def _inferred_collections(self) -> str:
        """Return which collection the records of sources were taken for that name none, and why."""
        rows = [
            [one["source"], one["collection"], one["reason"]]
            for one in self.summary.placements
            if one["reason"] != _NAMED
        ]
        heads = ["source", "its records are taken for", "because"]
        return table(heads, rows, total=len(rows), caption="Collections that were inferred") if rows else ""


def _batches(path: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Stream a Parquet file.

    Raises:
        BadInputError: It cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(4096, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"{path} cannot be read: {str(error).splitlines()[0]}", hint="compare again") from None


def _readable(changes: str) -> str:
    """Return what could be read of a damaged record, "" if nothing, from a row's `changes`."""
    parts: list[dict[str, str]] = json.loads(changes or "[]")
    return next((part["source"] for part in parts if part["kind"] == ChangeKind.PARTIAL), "")
