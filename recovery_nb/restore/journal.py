"""The journal: what is about to be written, with what was there before, on disk before the batch is sent.

The file is a row of BSON documents. Everything that is flushed at once is a block; a block ends with a mark
that holds the SHA-256 of the previous mark and the block. A block without its mark was never acted upon,
because a batch is sent only after its block has been fsynced, so a torn tail is left out on reading.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from recovery_nb.errors import RecoveryError
from recovery_nb.files import sync_folder
from recovery_nb.records.batch import MAX_RECORD_BYTES

__all__ = ["Intent", "Journal", "JournalReader", "Left"]

_MAX_ENTRY = 3 * MAX_RECORD_BYTES
"""An entry holds one before-image and one `_id`; a longer one is damage."""
_SEED = bytes(32)
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True, slots=True)
class Intent:
    """One write that is about to be sent.

    Attributes:
        seq: Its place in the plan.
        collection: Where it goes.
        key: The record's key, for people.
        action: "insert", "replace", "merge"; in a rollback "put back" or "remove".
        id: Type byte and value bytes of the `_id`.
        before: The record as it is before the write, raw; None where there is none.
        after: SHA-256 of the record after it; empty where there will be none.
    """

    seq: int
    collection: str
    key: str
    action: str
    id: bytes
    before: bytes | None
    after: bytes


@dataclass(frozen=True, slots=True)
class Left:
    """A record of a batch that was not written.

    Attributes:
        seq: Its place in the plan.
        outcome: "skipped" or "failed".
        reason: Why.
    """

    seq: int
    outcome: str
    reason: str


def _encode(intent: Intent, batch: int) -> bytes:
    entry: dict[str, object] = {
        "t": "intent", "b": batch, "s": intent.seq, "c": intent.collection, "k": intent.key,
        "a": intent.action, "i": intent.id, "f": intent.after,
    }  # fmt: skip
    if intent.before is not None:
        entry["p"] = RawBSONDocument(intent.before)
    return bson.encode(entry)


class Journal:
    """A journal that is written, by one process at a time.

    Args:
        path: The file. One that exists is continued after its last whole block.
        header: What the first block says: the restore, the plan's digest, the database.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        self._path = path
        self._mark, self._batch, end = _SEED, 0, 0
        if path.exists():
            read = JournalReader(path)
            self._mark, self._batch, end = read.mark, read.last_batch, read.end
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        self._append([bson.encode({"t": "begin", **header})], sync=True)
        sync_folder(path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def intend(self, intents: Iterable[Intent]) -> int:
        """Write a batch's intents and before-images, wait until they are on disk, and return its number."""
        self._batch += 1
        self._append([_encode(intent, self._batch) for intent in intents], sync=True)
        return self._batch

    def settle(self, batch: int, left: Sequence[Left]) -> None:
        """Write what came of a batch: all of it was written but what is `left`.

        It reaches the disk with the next batch; until then a look at the database tells the same.
        """
        entries = [[one.seq, one.outcome, one.reason] for one in left]
        self._append([bson.encode({"t": "outcomes", "b": batch, "x": entries})], sync=False)

    def collection(self, name: str, uuid: bytes) -> None:
        """Write which collection a name stands for, before the first batch that goes to it."""
        self._append([bson.encode({"t": "collection", "c": name, "u": uuid})], sync=False)

    def created(self, collection: str) -> None:
        """Write that the restore is about to create a collection."""
        self._append([bson.encode({"t": "created", "c": collection})], sync=True)

    def end(self, counts: Mapping[str, int]) -> None:
        """Write that the work is complete."""
        self._append([bson.encode({"t": "end", "counts": dict(counts)})], sync=True)

    def _append(self, entries: list[bytes], *, sync: bool) -> None:
        block = b"".join(entries)
        self._mark = hashlib.sha256(self._mark + block).digest()
        data = memoryview(block + bson.encode({"t": "mark", "h": self._mark}))
        try:
            while data:
                data = data[os.write(self._file, data) :]
            if sync:
                os.fdatasync(self._file)
        except OSError as error:
            raise RecoveryError(
                f"the journal {self._path} cannot be written ({error.strerror}); nothing more was restored",
                hint="make room there, then run the command again, or roll the restore back",
            ) from None


@dataclass(slots=True)
class _Block:
    offset: int
    length: int
    batch: int


@dataclass(slots=True)
class JournalReader:
    """A journal that is read. It is scanned once; before-images are read again batch by batch.

    Attributes:
        path: The file.
        header: What the first block says.
        created: The collections that the restore created, or was about to.
        collections: The UUID of each collection that it wrote to, by name.
        left: By place in the plan, what was not written though it was intended.
        settled: The batches of which the outcome is written.
        ended: Whether the work was completed.
        torn: Whether bytes follow the last whole block.
        end: Where the last whole block ends, in bytes.
        mark: The last whole block's mark.
        last_batch: The number of the last batch.
    """

    path: Path
    header: dict[str, Any] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    collections: dict[str, bytes] = field(default_factory=dict)
    left: dict[int, Left] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    ended: bool = False
    torn: bool = False
    end: int = 0
    mark: bytes = _SEED
    last_batch: int = 0
    _blocks: list[_Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest, batch = hashlib.sha256(self.mark), 0
            others: list[RawBSONDocument] = []
            for raw in _entries(file):
                entry = RawBSONDocument(raw, _RAW)
                try:
                    kind, number, mark = entry["t"], entry.get("b"), entry.get("h")
                except (KeyError, bson.InvalidBSON):
                    break
                if kind == "mark":
                    if digest.digest() != mark:
                        break
                    self.mark = digest.digest()
                    self._accept(others, batch, file.tell())
                    digest, batch, others = hashlib.sha256(self.mark), 0, []
                    continue
                digest.update(raw)
                if kind == "intent":
                    batch = number or 0
                else:
                    others.append(entry)
            self.torn = self.end < size

    def _accept(self, others: list[RawBSONDocument], batch: int, end: int) -> None:
        start, self.end = self.end, end
        if batch:
            self._blocks.append(_Block(start, end - start, batch))
            self.last_batch = batch
        for raw in others:
            entry = bson.decode(raw.raw)
            kind = entry.pop("t")
            if kind == "begin":
                self.header, self.ended = entry, False
            elif kind == "created":
                self.created.append(entry["c"])
            elif kind == "collection":
                self.collections[entry["c"]] = bytes(entry["u"])
            elif kind == "outcomes":
                self.settled.add(entry["b"])
                self.left.update((seq, Left(seq, outcome, reason)) for seq, outcome, reason in entry["x"])
            elif kind == "end":
                self.ended = True

    def batches(self, *, newest_first: bool = False) -> Iterator[tuple[int, list[Intent]]]:
        """Yield the number and the intents of every batch that was, or may have been, sent."""
        with self.path.open("rb") as file:
            for block in reversed(self._blocks) if newest_first else self._blocks:
                file.seek(block.offset)
                intents = []
                for raw in _entries(file, block.offset + block.length):
                    entry = RawBSONDocument(raw, _RAW)
                    if entry["t"] != "intent":
                        continue
                    before = entry.get("p")
                    intents.append(
                        Intent(
                            entry["s"], entry["c"], entry["k"], entry["a"], bytes(entry["i"]),
                            None if before is None else before.raw, bytes(entry["f"]),
                        )
                    )  # fmt: skip
                yield block.batch, intents


def _entries(file: BinaryIO, end: int | None = None) -> Iterator[bytes]:
    """Yield the documents that stand whole in a file, up to `end` or the first that does not."""
    while end is None or file.tell() < end:
        prefix = file.read(4)
        if len(prefix) < 4:
            return
        (length,) = struct.unpack("<i", prefix)
        if not 5 <= length <= _MAX_ENTRY:
            return
        body = file.read(length - 4)
        if len(body) < length - 4 or body[-1]:
            return
        yield prefix + body
