"""The exact, immutable list of writes that a restore would make; preview and apply use the same object."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import rfc8785

from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Ref
from recovery_nb.restore.plan_file import COLUMNS, UNREADABLE, read_groups
from recovery_nb.restore.rows import WRITING, Action, Rows, Write, canonical_bytes

__all__ = ["VERSION", "Action", "OnConflict", "Plan", "Selected", "Tally", "Transaction", "Write"]

VERSION = 2

Transaction = Literal["", "batch", "plan"]
"""What is written as a whole or not at all: nothing but each record, each batch, or the whole plan."""


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
class Plan:
    """A plan on disk. It is never changed.

    Attributes:
        digest: SHA-256, in hexadecimal, of the header and of every column.
        path: Its folder.
        database: The database it was made for, without secrets.
        on_conflict: What it does where the database holds another version.
        sources: By source id, what the source is called.
        counts: How many writes there are, by action.
        collections: The same by collection.
        structures: By name, what the collections and views that the database lacks are made with: canonical
            Extended JSON of `{"options": …, "indexes": […]}`. Those of which no record is written are among them.
        mark: The field that every written record is given, "" for none.
        marked_at: The time that the field holds, in milliseconds since 1970.
        transaction: What is written as a whole or not at all.
    """

    digest: str
    path: Path
    database: str
    on_conflict: OnConflict
    sources: Mapping[str, str]
    counts: Mapping[Action, int]
    collections: Mapping[str, Mapping[Action, int]] = field(default_factory=dict)
    structures: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""
    marked_at: int = 0
    transaction: Transaction = ""

    def __len__(self) -> int:
        """Return the number of rows, those skipped and refused included."""
        return sum(self.counts.values())

    @property
    def to_write(self) -> int:
        """How many records it would insert, replace, merge or overlay."""
        return sum(self.counts.get(action, 0) for action in WRITING)

    def writes(self) -> Iterator[Write]:
        """Yield every row in order; memory is bounded by some thousand of them."""
        for rows in self.groups():
            yield from rows

    def groups(self) -> Iterator[Rows]:
        """Yield every row in order, some thousand at a time, as columns.

        Raises:
            BadInputError: The plan cannot be read any more.
        """
        try:
            yield from read_groups(self.path / "plan.parquet")
        except UNREADABLE as error:
            raise _no_plan(self.path, error) from None

    def batches(self, most: int, most_bytes: int) -> Iterator[Rows]:
        """Yield every row in order, cut so that one batch writes to one collection only.

        The rows that write nothing, of whatever collection, go with those around them.

        Args:
            most: The most records that a batch writes.
            most_bytes: How many bytes of them end a batch.

        Raises:
            BadInputError: The plan cannot be read any more.
        """
        for rows in self.groups():
            start = 0
            while start < len(rows):
                stop = _fitting(rows, start, most, most_bytes)
                yield rows[start:stop]
                start = stop

    @classmethod
    def load(cls, folder: Path) -> Plan:
        """Load a plan and check that it is the one that was made.

        Raises:
            BadInputError: There is no plan there, it is of another version, or it has been altered.
        """
        try:
            header: dict[str, Any] = json.loads((folder / "plan.json").read_bytes())
            stated, version = header.pop("digest"), header["version"]
            if version != VERSION:
                raise BadInputError(
                    f"the plan in {folder} is of version {version}, and this program makes and applies {VERSION}",
                    hint="make the plan again",
                )
            texts = (header["database"], header["mark"], header["transaction"], *header["structures"].values())
            if not all(isinstance(text, str) for text in texts) or not isinstance(header["marked_at"], int):
                raise TypeError("a header of other types")
            tally = Tally({name: header[name] for name in _HEADER})
            for rows in read_groups(folder / "plan.parquet"):
                tally.add(rows)
            plan = tally.plan(folder)
        except BadInputError:
            raise
        except UNREADABLE as error:
            raise _no_plan(folder, error) from None
        if plan.digest != stated:
            raise BadInputError(f"the plan in {folder} is not as it was made", hint="make the plan again")
        return plan


_HEADER = (
    "format", "version", "database", "on_conflict", "sources", "structures", "mark", "marked_at", "transaction",
)  # fmt: skip


def _no_plan(folder: Path, error: Exception) -> BadInputError:
    return BadInputError(f"no plan can be read in {folder} ({type(error).__name__})", hint="make the plan again")


def _fitting(rows: Rows, start: int, most: int, most_bytes: int) -> int:
    """Return where the batch that begins at `start` ends."""
    stop = min(start + most, len(rows))
    same = len(set(rows.collections[start:stop])) == 1
    if same and WRITING.issuperset(rows.actions[start:stop]) and sum(rows.sizes[start:stop]) <= most_bytes:
        return stop  # nearly always
    count = size = 0
    collection = ""
    for place in range(start, len(rows)):
        if rows.actions[place] in WRITING:
            full = count == most or size + rows.sizes[place] > most_bytes
            if count and (full or rows.collections[place] != collection):
                return place
            collection = rows.collections[place]
            count += 1
            size += rows.sizes[place]
    return len(rows)


class Tally:
    """The digest and the counts of a plan, as its rows pass by.

    The digest is that of the header as RFC 8785 writes it and then, for each group of rows, of their number (64
    bits) and each column's `canonical_bytes`, in the order of the file's columns.
    """

    def __init__(self, header: Mapping[str, Any]) -> None:
        self._header = header
        self._hash = hashlib.sha256(rfc8785.dumps(dict(header)))
        self._counts: dict[str, Counter[Action]] = {}

    def add(self, rows: Rows) -> None:
        """Take the next group of rows into the digest and the counts."""
        self._hash.update(len(rows).to_bytes(8, "little"))
        for ours, _ in COLUMNS.values():
            self._hash.update(canonical_bytes(getattr(rows, ours)))
        for (collection, action), count in Counter(zip(rows.collections, rows.actions, strict=True)).items():
            self._counts.setdefault(collection, Counter())[action] += count

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
            structures=header["structures"],
            mark=header["mark"],
            marked_at=header["marked_at"],
            transaction=header["transaction"],
        )

    def document(self) -> dict[str, Any]:
        """Return what `plan.json` holds."""
        return {**self._header, "digest": self.digest(), "collections": dict(sorted(self._counts.items()))}
