"""The exact, immutable list of writes that a restore would make; preview and apply use the same object."""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import rfc8785

from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Ref

__all__ = [
    "COLUMNS",
    "ROWS",
    "SCHEMA",
    "Action",
    "OnConflict",
    "Plan",
    "Selected",
    "Tally",
    "Write",
    "row_of",
]

ROWS = 10_000
COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys(("seq", "offset", "length", "partial", "size"), pa.int64()),
    **dict.fromkeys(("id", "before", "after"), pa.binary()),
    **dict.fromkeys(("collection", "key_text", "action", "source", "member", "inferred", "reason"), pa.string()),
}
"""The columns of `plan.parquet`."""
SCHEMA = pa.schema(list(COLUMNS.items()))


class Action(StrEnum):
    """What a plan does with one record."""

    INSERT = "insert"
    REPLACE = "replace"
    MERGE = "merge"
    OVERLAY = "overlay"
    """Replaced field by field: what a source of text cannot state stays as the database has it."""
    SKIP = "skip"
    """Left as the database has it, for a stated reason."""
    REFUSE = "refuse"
    """Cannot be written; it counts as failed."""


_WRITES = (Action.INSERT, Action.REPLACE, Action.MERGE, Action.OVERLAY)
_ACTIONS = {str(action): action for action in Action}


class OnConflict(StrEnum):
    """What to do where the database holds another version of a record."""

    SKIP = "skip"
    REPLACE = "replace"
    MERGE = "merge"
    """Add the fields that are absent there, change none that is present."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Selected:
    """One record that someone wants back.

    Attributes:
        collection: The collection it goes to.
        key_text: Its key, for people.
        id: Type byte and value bytes of the `_id`: the database record's if it has one, else the candidate's.
        current: The database's record now, raw; None where it has none.
        planned: The record as the source has it, raw.
        source: The id of the source.
        ref: Where in the source it can be read again.
        inferred: By what its types were inferred, "" where the source kept them.
        newer: Why the database's version is newer than the source, "" where it is not known to be.
        hold: Why it is not written unless it is named with its source, "" where nothing holds it back.
        incomplete: Whether the source cannot say which other fields the record had: CSV.
    """

    collection: str
    key_text: str
    id: bytes
    current: bytes | None
    planned: bytes
    source: str
    ref: Ref
    inferred: str = ""
    newer: str = ""
    hold: str = ""
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """One row of a plan.

    Attributes:
        seq: Its place in the plan, from 0.
        collection: The collection it goes to.
        key_text: The record's key, for people.
        action: What is done.
        id: Type byte and value bytes of the `_id`.
        before: SHA-256 of what must be there, None where nothing may be.
        after: SHA-256 of the exact bytes that will be there.
        source: The id of the source.
        ref: Where in the source the record is read again.
        inferred: By what its types were inferred, "" where the source kept them.
        reason: Why it is skipped or refused.
        size: Bytes of the record before and after, together: it bounds a batch's memory.
    """

    seq: int
    collection: str
    key_text: str
    action: Action
    id: bytes
    before: bytes | None
    after: bytes
    source: str
    ref: Ref
    inferred: str = ""
    reason: str = ""
    size: int = 0

    @property
    def writes(self) -> bool:
        """Whether it changes the database."""
        return self.action in _WRITES


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan on disk. It is never changed.

    Attributes:
        digest: SHA-256, in hexadecimal, of the header and of every write.
        path: Its folder.
        database: The database it was made for, without secrets.
        on_conflict: What it does where the database holds another version.
        sources: By source id, what the source is called.
        counts: How many writes there are, by action.
        collections: The same by collection.
    """

    digest: str
    path: Path
    database: str
    on_conflict: OnConflict
    sources: Mapping[str, str]
    counts: Mapping[Action, int]
    collections: Mapping[str, Mapping[Action, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows, those skipped and refused included."""
        return sum(self.counts.values())

    @property
    def to_write(self) -> int:
        """How many records it would insert, replace, merge or overlay."""
        return sum(self.counts.get(action, 0) for action in _WRITES)

    def writes(self) -> Iterator[Write]:
        """Yield every row in order; memory is bounded by some thousand of them."""
        return read_rows(self.path / "plan.parquet")

    @classmethod
    def load(cls, folder: Path) -> Plan:
        """Load a plan and check that it is the one that was made.

        Raises:
            BadInputError: There is no plan there, or it has been altered.
        """
        try:
            header: dict[str, Any] = json.loads((folder / "plan.json").read_bytes())
            stated = header.pop("digest")
            tally = Tally({name: header[name] for name in _HEADER})
            for write in read_rows(folder / "plan.parquet"):
                tally.add(write)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise BadInputError(
                f"no plan can be read in {folder} ({type(error).__name__})", hint="make the plan again"
            ) from None
        if tally.digest() != stated:
            raise BadInputError(f"the plan in {folder} is not as it was made", hint="make the plan again")
        return tally.plan(folder)


_HEADER = ("format", "version", "database", "on_conflict", "sources")


class Tally:
    """The digest and the counts of a plan, as its writes pass by."""

    def __init__(self, header: Mapping[str, Any]) -> None:
        self._header = header
        self._hash = hashlib.sha256(rfc8785.dumps(dict(header)))
        self._counts: dict[str, Counter[Action]] = {}

    def add(self, write: Write) -> None:
        """Take the next write into the digest and the counts."""
        names = (write.collection, write.key_text, write.action, write.source)
        texts = (*names, write.ref.member, write.inferred, write.reason)
        blobs = [*(text.encode() for text in texts), write.id, write.before or b"", write.after]
        place = (write.ref.offset, write.ref.length, write.ref.partial)
        numbers = (write.seq, *place, write.size, write.before is not None)
        self._hash.update(struct.pack(f"<6q{len(blobs)}I", *numbers, *map(len, blobs)) + b"".join(blobs))
        self._counts.setdefault(write.collection, Counter())[write.action] += 1

    def digest(self) -> str:
        """Return the digest so far, in hexadecimal."""
        return self._hash.hexdigest()

    def plan(self, path: Path) -> Plan:
        """Return the plan that stands in a folder."""
        header = self._header
        return Plan(
            digest=self.digest(),
            path=path,
            database=header["database"],
            on_conflict=OnConflict(header["on_conflict"]),
            sources=header["sources"],
            counts=dict(sum(self._counts.values(), Counter[Action]())),
            collections={name: dict(counts) for name, counts in sorted(self._counts.items())},
        )

    def document(self) -> dict[str, Any]:
        """Return what `plan.json` holds."""
        return {**self._header, "digest": self.digest(), "collections": dict(sorted(self._counts.items()))}


def read_rows(path: Path) -> Iterator[Write]:
    """Yield the writes of a plan file, some thousand at a time in memory."""
    with pq.ParquetFile(path) as file:
        for rows in file.iter_batches(ROWS):
            columns = [rows.column(name).to_pylist() for name in COLUMNS]
            for seq, offset, length, partial, size, own, before, after, *texts in zip(*columns, strict=True):
                collection, key, action, source, member, inferred, reason = texts
                ref = Ref(member, offset, length, bool(partial))
                yield Write(
                    seq, collection, key, _ACTIONS[action], own, before, after, source, ref, inferred,
                    reason, size,
                )  # fmt: skip


def row_of(write: Write) -> tuple[object, ...]:
    """Return a write as a row of `COLUMNS`."""
    ref = write.ref
    return (
        write.seq, ref.offset, ref.length, int(ref.partial), write.size, write.id, write.before, write.after,
        write.collection, write.key_text, str(write.action), write.source, ref.member, write.inferred, write.reason,
    )  # fmt: skip
