"""What a recovery of the demo must come to, record by record, and the check that it did.

Nothing here uses the package's own readers, keys or comparison: a mistake in them must not pass its own test.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Self

import bson
import pyarrow as pa
import pyarrow.parquet as pq
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.demo.oldbackups import plain_json, raw_records
from recovery_nb.errors import BadInputError
from recovery_nb.files import write_whole

__all__ = ["DemoResult", "Fate", "Key", "Problem", "Scenario", "Truth", "check", "fingerprint", "projection"]

_FILE = "truth.parquet"


class Fate(StrEnum):
    """What the losses did to a record."""

    INTACT = "intact"
    LOST = "lost"
    DAMAGED = "damaged"


class Key(NamedTuple):
    """A record: its collection and its `_id` as text (hex of an ObjectId, digits of an integer)."""

    collection: str
    id: str

    def __str__(self) -> str:
        """Return it as one word."""
        return f"{self.collection}/{self.id}"


class Truth(NamedTuple):
    """What is known of one record.

    Attributes:
        fate: What the losses did to it.
        before: SHA-256 of its BSON just before the losses.
        best: SHA-256 of the newest version that a readable source holds, types and all; None where none does.
        projected: SHA-256 of that version's plain JSON where no source kept its types, else None.
    """

    fate: Fate
    before: bytes
    best: bytes | None
    projected: bytes | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A prepared loss.

    Attributes:
        folder: The folder that holds the backups and the truth.
        sources: The backups, oldest first.
        truth: What is known of every record that there was just before the losses.
    """

    folder: Path
    sources: tuple[Path, ...]
    truth: Mapping[Key, Truth] = field(repr=False)

    @property
    def lost(self) -> int:
        """How many records the losses removed or damaged."""
        return sum(truth.fate is not Fate.INTACT for truth in self.truth.values())

    @property
    def unrecoverable(self) -> tuple[Key, ...]:
        """The lost records that no readable source holds."""
        return tuple(sorted(k for k, t in self.truth.items() if t.fate is not Fate.INTACT and t.best is None))

    def save(self) -> Path:
        """Write the truth into the folder; it appears there whole or not at all."""
        rows = [(*key, *truth) for key, truth in self.truth.items()]
        columns = zip(*rows, strict=True)
        table = pa.table(dict(zip(("collection", "id", *Truth._fields), map(list, columns), strict=True)))
        sources = [path.relative_to(self.folder).as_posix() for path in self.sources]
        content = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({"sources": json.dumps(sources)}), content)
        path = self.folder / _FILE
        write_whole(path, content.getvalue())
        return path

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the truth from the folder of a demo.

        Raises:
            BadInputError: There is none, or it cannot be read.
        """
        try:
            table = pq.read_table(folder / _FILE)
            sources = json.loads(table.schema.metadata[b"sources"])
            rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
            truth = {Key(name, key): Truth(Fate(fate), *known) for name, key, fate, *known in rows}
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
            raise BadInputError(
                f"{folder} holds no readable {_FILE}", hint="give the folder of a demo, or run the demo again"
            ) from error
        return cls(folder=folder, sources=tuple(folder / source for source in sources), truth=truth)


class Problem(NamedTuple):
    """A record that is not as it should be after a recovery.

    Attributes:
        what: What is wrong.
        where: The record, or the collection.
    """

    what: str
    where: str


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What became of every record.

    Attributes:
        lost: How many the losses removed or damaged.
        recovered: How many of them are now the newest version that a readable source holds.
        inferred: How many of the recovered have that content, but other types, as no source kept the types.
        older: How many of the recovered are older than just before the losses: no source holds that version.
        unrecoverable: The lost ones that no readable source holds.
        intact: How many that the losses spared are still as they were, byte for byte.
        problems: Everything else.
    """

    lost: int
    recovered: int
    inferred: int
    older: int
    unrecoverable: tuple[Key, ...]
    intact: int
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        """Whether all was recovered that can be, and nothing else was touched."""
        return not self.problems and self.recovered + len(self.unrecoverable) == self.lost


def check(scenario: Scenario, uri: str) -> DemoResult:
    """Compare every record in the database with the truth. It only reads."""
    counts: Counter[str] = Counter()
    gone: list[Key] = []
    problems: list[Problem] = []
    with MongoClient[Any](uri) as client:
        shop = client.get_default_database()
        known = {key.collection for key in scenario.truth}
        names = [name for name in shop.list_collection_names() if not name.startswith("system.")]
        problems += [Problem("a collection that was not there before", name) for name in set(names) - known]
        found = {_key(name, raw): raw for name in names if name in known for raw in raw_records(shop, name)}
    for key, truth in scenario.truth.items():
        verdict = _judge(truth, found.pop(key, None))
        if verdict == "gone":
            gone.append(key)
        elif verdict in _TALLY:
            counts.update(_TALLY[verdict])
        else:
            problems.append(Problem(verdict, str(key)))
        if verdict in {"exact", "inferred"} and truth.best != truth.before:
            counts["older"] += 1
    problems += [Problem("a record that was not there before", str(key)) for key in found]
    return DemoResult(
        lost=scenario.lost,
        recovered=counts["recovered"],
        inferred=counts["inferred"],
        older=counts["older"],
        unrecoverable=tuple(sorted(gone)),
        intact=counts["intact"],
        problems=tuple(problems),
    )


_TALLY = {"intact": ("intact",), "exact": ("recovered",), "inferred": ("recovered", "inferred")}


def _judge(truth: Truth, raw: bytes | None) -> str:
    """Return "intact", "exact", "inferred", "gone", or what is wrong."""
    if truth.fate is not Fate.INTACT:
        return _judge_lost(truth, raw)
    if raw is None:
        return "was spared by the losses and is gone now"
    return "intact" if fingerprint(raw) == truth.before else "was spared by the losses and has been altered"


def _judge_lost(truth: Truth, raw: bytes | None) -> str:
    if raw is None:
        return "gone" if truth.best is None else "was not put back, though a source holds it"
    if fingerprint(raw) == truth.best:
        return "exact"
    if truth.projected is not None and projection(raw) == truth.projected:
        return "inferred"
    return f"was {truth.fate} and is not the newest version that a source holds"


def fingerprint(raw: bytes) -> bytes:
    """Return the SHA-256 of a record's BSON."""
    return hashlib.sha256(raw).digest()


def projection(raw: bytes) -> bytes:
    """Return the SHA-256 of what `json.dumps(…, default=str)` leaves of a record: field order, not types."""
    return hashlib.sha256(plain_json(bson.decode(raw))).digest()


def _key(collection: str, raw: bytes) -> Key:
    return Key(collection, str(RawBSONDocument(raw)["_id"]))
