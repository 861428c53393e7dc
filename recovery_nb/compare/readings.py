"""The sources' side of a comparison: the catalog's table as it is, or a reading with types put back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.facts import sound
from recovery_nb.catalog.store import Catalog
from recovery_nb.catalog.table import FingerprintTable, fingerprint
from recovery_nb.errors import DamagedSourceError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.records.batch import Damage, Ref
from recovery_nb.records.columns import observe_columns
from recovery_nb.records.keys import DEFAULT_KEY
from recovery_nb.records.rehydrate import Evidence, Rehydrator
from recovery_nb.records.schema import Path as SchemaPath
from recovery_nb.records.schema import Schema, observe
from recovery_nb.sources.base import FileSource, Kind, Typing

__all__ = ["Reading", "Readings", "checked", "column_types", "gather_evidence", "load_evidence", "save_evidence"]

_SAMPLE = 10_000


@dataclass(slots=True)
class Reading:
    """One source, read for one comparison.

    Attributes:
        source: Its entry in the catalog.
        table: The fingerprint table to compare.
        conversions: Types put back: path, from, to, evidence, how often.
        damage: Records whose structure turned out to be broken; the scan looks no further than their `_id`.
    """

    source: SourceEntry
    table: Path
    conversions: list[tuple[str, str, str, str, int]] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)


TypeEvidence = Mapping[str, Sequence[tuple[Evidence, Schema]]]
"""For each collection of the database, what is known of its types, the strongest evidence first."""


def gather_evidence(
    catalog: Catalog,
    live: Mapping[str, Schema],
    donors: Sequence[SourceEntry],
    collections: Mapping[str, Mapping[str, str]],
) -> dict[str, list[tuple[Evidence, Schema]]]:
    """Return what tells the types of each collection's fields.

    Args:
        catalog: Where the donors' tables are.
        live: The types in the database, by collection.
        donors: Sources that kept their types, the most trusted first.
        collections: For each donor's id, the database's collection for each name the donor gives.
    """
    evidence = {name: [(Evidence.DATABASE, schema)] for name, schema in live.items()}
    for donor in donors:
        for name in set(collections.get(donor.id, {}).values()):
            given = [one for one, other in collections[donor.id].items() if other == name]
            evidence.setdefault(name, []).append((Evidence.SOURCE, _donate(catalog, donor, given)))
    return evidence


def _donate(catalog: Catalog, donor: SourceEntry, given: Sequence[str]) -> Schema:
    """Observe the types of a sample of the donor's records, spread over its table."""
    table = pq.read_table(
        catalog.table(donor), columns=["member", "offset", "length"], filters=[("collection", "in", given)]
    )
    rows = table.take(list(range(0, len(table), max(1, len(table) // _SAMPLE)))).to_pylist()
    refs = [Ref(row["member"], row["offset"], row["length"]) for row in rows]
    return observe(catalog.open(donor).fetch(refs))


def column_types(catalog: Catalog, source: SourceEntry, given: str) -> Schema:
    """Return what the columns of a CSV source seem to hold: the last resort where no field of any other tells."""
    batches = (item for item in catalog.open(source).read() if not isinstance(item, Damage))
    return observe_columns(record for batch in batches if batch.collection == given for record in batch.records)


class Readings:
    """Reads sources for a comparison, and reads single records again for a restore.

    Args:
        catalog: Where the sources are catalogued.
        collections: For each source id, the database's collection for each name the source gives.
        evidence: What tells the types of fields in sources that lost them.
    """

    def __init__(self, catalog: Catalog, collections: Mapping[str, Mapping[str, str]], evidence: TypeEvidence) -> None:
        self._catalog = catalog
        self._collections = collections
        self._evidence = evidence
        self._dumps: dict[str, tuple[int, FileSource]] = {}

    def _opened(self, source: SourceEntry) -> FileSource:
        """Open a source; a dump on disk only once for as long as no file comes into its folder or goes.

        To list a folder for each of its many collections would take the square of their number.
        """
        try:
            changed = source.path.stat().st_mtime_ns if source.kind is Kind.DUMP else 0
        except OSError:  # it is in an archive, or not there any more
            changed = 0
        if not changed:
            return self._catalog.open(source)
        known = self._dumps.get(source.id)
        if known is None or known[0] != changed:
            known = self._dumps[source.id] = (changed, self._catalog.open(source))
        return known[1]

    def rehydrators(self, source: SourceEntry) -> dict[str, Rehydrator]:
        """Return, for each name the source gives a collection, what puts its types back."""
        return {
            given: Rehydrator(
                self._evidence.get(name, ()),
                strings=source.typing in (Typing.PLAIN, Typing.TEXT),
                text=source.typing is Typing.TEXT,
            )
            for given, name in self._collections.get(source.id, {}).items()
        }

    def read(
        self, source: SourceEntry, folder: Path, *, keys: Mapping[str, Sequence[str]], emit: Emit = silent
    ) -> Reading:
        """Return a source's table for these keys: the catalog's own where its types and keys serve as they are."""
        names = self._collections[source.id]
        fields = {given: tuple(keys.get(name, DEFAULT_KEY)) for given, name in names.items()}
        if source.typing is Typing.FULL and all(key == DEFAULT_KEY for key in fields.values()):
            return Reading(source, self._catalog.table(source))
        rehydrators = self.rehydrators(source) if source.typing is not Typing.FULL else {}
        path, done = folder / f"source-{source.id}.parquet", 0
        known = {(one.member, one.offset) for one in source.damage}
        damage: list[Damage] = []
        with FingerprintTable(path, key=lambda given: fields.get(given, DEFAULT_KEY)) as rows:
            for item in self._catalog.open(source).read():
                if isinstance(item, Damage) or item.collection not in names:
                    continue
                for batch in sound(item, whole=True):
                    if isinstance(batch, Damage):
                        damage.append(batch)
                        continue
                    rehydrate = rehydrators.get(batch.collection)
                    whole = [rehydrate(record) for record in batch.records] if rehydrate else None
                    rows.add(
                        batch.collection, [one.record for one in whole] if whole else batch.records,
                        member=batch.member, offsets=batch.offsets, lengths=batch.lengths,
                        inferred=[one.inferred for one in whole] if whole else None, at=batch.at,
                    )  # fmt: skip
                    done += len(batch)
                    emit(Event("compare", f"types of {source.name}", done, source.records))
        conversions = [
            (f"{given or names[given]}: {path}", old, new, evidence, count)
            for given, rehydrator in rehydrators.items()
            for (path, old, new, evidence), count in rehydrator.conversions.items()
        ]
        fresh = [one for one in damage if (one.member, one.offset) not in known]
        return Reading(source, path, sorted(conversions), fresh)

    def fetch(self, source: SourceEntry, refs: Sequence[tuple[str, Ref]]) -> list[bytes]:
        """Read single records again, types put back.

        Args:
            source: Where they are.
            refs: The collection as the source names it, and the place, of each.

        Raises:
            DamagedSourceError: A record is not there any more.
            BadInputError: The source is not there any more.
        """
        rehydrators = self.rehydrators(source) if source.typing is not Typing.FULL else {}
        order = sorted(range(len(refs)), key=lambda index: (refs[index][1].member, refs[index][1].offset))
        found: list[bytes] = [b""] * len(refs)
        records = self._opened(source).fetch([refs[index][1] for index in order])
        for index, record in zip(order, records, strict=True):
            rehydrate = rehydrators.get(refs[index][0])
            found[index] = rehydrate(record).record if rehydrate else record
        return found


def checked(record: bytes, expected: bytes, source: SourceEntry) -> bytes:
    """Return the record if it still has the fingerprint it had when it was compared.

    Raises:
        DamagedSourceError: It has not.
    """
    if fingerprint(record) != expected:
        raise DamagedSourceError(f"{source.path} has changed since it was compared", hint="scan and compare again")
    return record


def save_evidence(evidence: TypeEvidence, path: Path) -> None:
    """Keep the evidence with a comparison, so that a restore infers the same types again."""
    path.write_text(
        json.dumps(
            {
                name: [
                    [kind.value, schema.sampled, _pairs(schema.types), _pairs(schema.subtypes)]
                    for kind, schema in schemas
                ]
                for name, schemas in evidence.items()
            }
        ),
        encoding="utf-8",
    )


def load_evidence(path: Path) -> dict[str, list[tuple[Evidence, Schema]]]:
    """Return the evidence that `save_evidence` kept."""
    return {
        name: [(Evidence(kind), Schema(_counters(types), sampled, _counters(subtypes)))
               for kind, sampled, types, subtypes in schemas]
        for name, schemas in json.loads(path.read_bytes()).items()
    }  # fmt: skip


def _pairs(counters: Mapping[SchemaPath, Counter[int]]) -> list[list[object]]:
    return [[[step.hex() for step in path], sorted(count.items())] for path, count in counters.items()]


def _counters(pairs: list[list[list[str]]]) -> dict[SchemaPath, Counter[int]]:
    return {tuple(bytes.fromhex(step) for step in path): Counter(dict(count)) for path, count in pairs}  # type: ignore[arg-type]  # JSON has no type for pairs
