"""The journal: what is about to be written, with what was there before, on disk before the batch is sent.

The file is a row of BSON documents. What is appended at once is a block; a block ends with a mark that holds
the SHA-256 of the previous mark and the block. A block without its mark was never acted upon, because a batch
is sent only after its block has been synced, so a torn tail is left out on reading.

A batch is one document (`intents`). Batches stand in the order of the plan; a process that goes on with a restore
begins with what was given up. What came of them follows, in any order, and names only what was not written.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import bson

from recovery_nb.errors import RecoveryError
from recovery_nb.files import sync_folder
from recovery_nb.restore.intents import (
    UNSENT,
    Intent,
    Intents,
    Left,
    batch_entry,
    grouped,
)
from recovery_nb.restore.journal_reader import SEED, VERSION, JournalReader

__all__ = ["UNSENT", "VERSION", "Intent", "Intents", "Journal", "JournalReader", "Left"]


class Journal:
    """A journal that is written, by one process at a time, and by one thread at a time.

    Args:
        path: The file. One that exists is continued after its last whole block.
        header: What the first block says: the restore, the plan's digest, the database.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        self._path = path
        self._mark, self._batch, end = SEED, 0, 0
        if path.exists():
            read = JournalReader(path)
            self._mark, self._batch, end = read.mark, read.last_batch, read.end
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        self._append({"t": "begin", "version": VERSION, **header})
        self.sync()
        sync_folder(path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def write(self, intents: Intents, skipped: Sequence[Left] = ()) -> int:
        """Write a batch's intents and before-images, and return its number. Nothing may be sent before a `sync`.

        Args:
            intents: What is about to be sent.
            skipped: The records that belong to the batch and are not, each with why.
        """
        self._batch += 1
        self._append(batch_entry(self._batch, intents, skipped))
        return self._batch

    def sync(self) -> None:
        """Wait until everything is on disk."""
        try:
            os.fdatasync(self._file)
        except OSError as error:
            raise self._full(error) from None

    def intend(self, intents: Intents) -> int:
        """Write a batch's intents and before-images, wait until they are on disk, and return its number."""
        number = self.write(intents)
        self.sync()
        return number

    def settle(self, batch: int, left: Iterable[Left]) -> None:
        """Write what came of a batch: all of it was written but what is `left`.

        It reaches the disk with the next batch; until then a look at the database tells the same.
        """
        self._append({"t": "outcomes", "b": batch, "x": grouped(left)})

    def collection(self, name: str, uuid: bytes) -> None:
        """Write which collection a name stands for, before the first batch that goes to it."""
        self._append({"t": "collection", "c": name, "u": uuid})

    def created(self, collection: str, structure: str = "") -> None:
        """Write that the restore is about to create a collection or a view, and wait until it is on disk.

        Args:
            collection: What it is called.
            structure: What it is made with, as the plan has it.
        """
        self._append({"t": "created", "c": collection, "s": structure})
        self.sync()

    def existed(self, collection: str) -> None:
        """Write that a collection was not created after all: someone else had made it."""
        self._append({"t": "existed", "c": collection})

    def end(self, counts: Mapping[str, int]) -> None:
        """Write that the work is complete, and wait until it is on disk."""
        self._append({"t": "end", "counts": dict(counts)})
        self.sync()

    def _append(self, entry: Mapping[str, object]) -> None:
        block = bson.encode(entry)
        digest = hashlib.sha256(self._mark)
        digest.update(block)
        self._mark = digest.digest()
        try:
            for part in (block, bson.encode({"t": "mark", "h": self._mark})):
                data = memoryview(part)
                while data:
                    data = data[os.write(self._file, data) :]
        except OSError as error:
            raise self._full(error) from None

    def _full(self, error: OSError) -> RecoveryError:
        return RecoveryError(
            f"the journal {self._path} cannot be written ({error.strerror}); nothing more was written",
            hint="make room there",
        )
