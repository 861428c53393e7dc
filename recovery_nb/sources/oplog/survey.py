"""What an oplog is about, told by a quick pass: its databases, its time, and what its collections are called now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from recovery_nb.records.batch import RecordBatch
from recovery_nb.records.elements import InvalidRecordError
from recovery_nb.sources.content import Content
from recovery_nb.sources.dump.framing import frame
from recovery_nb.sources.oplog.entries import command, flatten, parse
from recovery_nb.sources.oplog.namespaces import COMMANDS, Collections

__all__ = ["Survey", "databases", "survey"]

_SERVERS_OWN = frozenset(("admin", "config", "local", ""))
_COMMAND = b"\x02op\x00\x02\x00\x00\x00c\x00"
_CHANGES_NAMES = re.compile(rb"[\x01\x02\x08\x10\x12](?:drop|dropDatabase|renameCollection|emptycapped)\x00")


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass tells.

    Attributes:
        first: The time of the first entry, as `moment` gives it; 0 where there is none.
        last: The time of the last entry.
        names: What collections that were renamed are called in the end, by their identity.
    """

    first: int
    last: int
    names: dict[bytes, str]


def survey(content: Content, database: str) -> Survey:
    """Return what an oplog tells of a database's collections, and its time."""
    collections = Collections(database)
    prefix = database.encode() + b"."
    first, last = 0, 0
    for batch in _batches(content):
        first = first or _time(batch.records)
        last = _time(batch.records[:-11:-1]) or last
        for record, offset in zip(batch.records, batch.offsets, strict=True):
            if _COMMAND not in record or not _CHANGES_NAMES.search(record):
                continue
            try:
                entry = parse(record, offset)
                for operation in flatten(entry.operation, transaction=bool(entry.transaction)):
                    if operation.op == b"c" and operation.ns.startswith(prefix):
                        said = command(operation)
                        if said.name in COMMANDS:
                            collections.apply(operation, said)
            except InvalidRecordError:
                continue  # the fold says it
    return Survey(first, last, {one.identity: one.name for one in collections.all})


def databases(content: Content) -> dict[str, int]:
    """Return how many operations an oplog holds of each database, the most first; the server's own left out."""
    found: Counter[bytes] = Counter()
    for batch in _batches(content):
        for record, offset in zip(batch.records, batch.offsets, strict=True):
            try:
                operation = parse(record, offset).operation
                if operation.op == b"c" and operation.ns.startswith(b"admin."):
                    found.update(inner.ns.partition(b".")[0] for inner in flatten(operation, transaction=True))
                elif operation.op != b"n":
                    found[operation.ns.partition(b".")[0]] += 1
            except InvalidRecordError:
                continue
    named = ((name.decode("utf-8", "replace"), count) for name, count in found.most_common())
    return {name: count for name, count in named if name not in _SERVERS_OWN}


def _batches(content: Content) -> Iterator[RecordBatch]:
    for item in frame(content, member="", collection=""):
        if isinstance(item, RecordBatch):
            yield item


def _time(records: list[bytes]) -> int:
    """Return the time of the first of these entries that can be read; 0 for none."""
    for record in records:
        try:
            return parse(record, 0).at
        except InvalidRecordError:
            continue
    return 0
