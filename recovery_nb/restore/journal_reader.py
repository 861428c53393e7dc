"""Reading a journal: what is whole of it, as `journal` describes its format."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.restore.intents import UNREADABLE, Intents, Left, intents_of, ungrouped

__all__ = ["SEED", "VERSION", "JournalReader"]

VERSION = 2
"""Of the format: version 1 had a document for each record."""

_MAX_ENTRY = 10 * MAX_RECORD_BYTES
"""A batch holds one large record before it, its `_id`, and its key as text; a longer document is damage."""
SEED = bytes(32)
"""What stands for the mark before the first block."""
_MARK = b"\x02t\0\x05\0\0\0mark\0\x05h\0\x20\0\0\0"
_MARK_BYTES = len(_MARK) + 34
"""How a block's mark begins behind its length, and how long it is from there."""
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    batch: int


@dataclass(slots=True)
class JournalReader:
    """A journal that is read. It is scanned once; intents and before-images are read again batch by batch.

    Attributes:
        path: The file.
        header: What the first block says.
        created: The collections and views that the restore created, or was about to.
        structures: What it made, or was about to make, each of these with.
        collections: The UUID of each collection that it wrote to, by name.
        left: By place in the plan, what was not written though it was intended.
        passed: Likewise, what was not even intended.
        again: By place in the plan, the last batch of what was in more than one: what a batch that was given up
            says of it counts no more.
        settled: The batches of which the outcome is written.
        ended: Whether the work was completed.
        torn: Whether bytes follow the last whole block.
        end: Where the last whole block ends, in bytes.
        mark: The last whole block's mark.
        last_batch: The number of the last batch.
        last_seq: The last place in the plan that was come to: batches stand in the order of the plan.

    Raises:
        OSError: The file cannot be opened.
        BadInputError: It is of another version.
    """

    path: Path
    header: dict[str, Any] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    structures: dict[str, str] = field(default_factory=dict)
    collections: dict[str, bytes] = field(default_factory=dict)
    left: dict[int, Left] = field(default_factory=dict)
    passed: dict[int, Left] = field(default_factory=dict)
    again: dict[int, int] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    ended: bool = False
    torn: bool = False
    end: int = 0
    mark: bytes = SEED
    last_batch: int = 0
    last_seq: int = -1
    _places: list[_Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest, entries = hashlib.sha256(self.mark), list[tuple[int, Mapping[str, Any]]]()
            for offset, raw in _entries(file):
                try:
                    entry = RawBSONDocument(raw, _RAW)
                    kind, mark = entry["t"], entry.get("h")
                except (KeyError, bson.InvalidBSON):
                    break
                if kind != "mark":
                    digest.update(raw)
                    entries.append((offset, entry))
                    continue
                if digest.digest() != mark:
                    break
                self.mark, self.end = digest.digest(), file.tell()
                try:
                    for place, one in entries:
                        self._accept(place, one)
                except BadInputError:
                    raise
                except UNREADABLE as error:
                    raise BadInputError(
                        f"{self.path} is no journal of a restore ({type(error).__name__})",
                        hint="bring it back from a copy of the case",
                    ) from None
                digest, entries = hashlib.sha256(self.mark), []
            self.torn = self.end < size

    def _accept(self, offset: int, entry: Mapping[str, Any]) -> None:
        kind = entry["t"]
        if kind == "begin":
            if entry.get("version") != VERSION:
                raise BadInputError(
                    f"the journal {self.path} is of version {entry.get('version')}, and this program reads {VERSION}",
                    hint="roll that restore back with the version of this program that made it",
                )
            self.header, self.ended = {name: value for name, value in entry.items() if name != "t"}, False
        elif kind == "batch":
            self._accept_batch(offset, entry)
        elif kind == "created":
            self.structures[entry["c"]] = entry.get("s", "")
            if entry["c"] not in self.created:  # a process that was killed may have been about to create it
                self.created.append(entry["c"])
        elif kind == "existed":
            self.created.remove(entry["c"])
        elif kind == "collection":
            self.collections[entry["c"]] = entry["u"]
        elif kind == "outcomes":
            self.settled.add(entry["b"])
            self.left.update((one.seq, one) for one in ungrouped(entry["x"]))
        elif kind == "end":
            self.ended = True

    def _accept_batch(self, offset: int, entry: Mapping[str, Any]) -> None:
        intents, passed = intents_of(entry), {one.seq: one for one in ungrouped(entry["x"])}
        for seq in (*intents.seqs, *passed) if self.left else ():
            if self.left.pop(seq, None):
                self.again[seq] = entry["b"]
        self.passed.update(passed)
        self.last_batch = entry["b"]
        self.last_seq = max(self.last_seq, *intents.seqs, *passed, -1)
        if intents:
            self._places.append(_Place(offset, entry["b"]))
        else:
            self.settled.add(entry["b"])  # nothing of it was to be sent

    def batches(self, *, newest_first: bool = False) -> Iterator[tuple[int, Intents]]:
        """Yield the number and the intents of every batch that was, or may have been, sent; no record comes twice."""
        with self.path.open("rb") as file:
            for place in reversed(self._places) if newest_first else self._places:
                file.seek(place.offset)
                _, raw = next(_entries(file))
                entry = RawBSONDocument(raw, _RAW)
                number, intents = entry["b"], intents_of(entry)
                if not self.again.keys().isdisjoint(intents.seqs):
                    last = [one for one in intents if self.again.get(one.seq, number) == number]
                    if not last:
                        continue
                    intents = Intents.of(last)
                yield number, intents

    def damaged(self) -> bool:
        """Return whether what follows the last whole block is more than the torn tail of a process that was killed.

        Such a tail is one block without its mark. Where a mark follows, blocks have been changed that were whole.
        """
        with self.path.open("rb") as file:
            file.seek(self.end)
            before = b""
            while piece := file.read(1 << 20):
                piece = before + piece
                if 0 <= piece.find(_MARK) <= len(piece) - _MARK_BYTES:
                    return True
                before = piece[1 - _MARK_BYTES :]
        return False


def _entries(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the documents that stand whole in a file, each with its place, up to the first that does not."""
    while True:
        offset, prefix = file.tell(), file.read(4)
        if len(prefix) < 4:
            return
        (length,) = struct.unpack("<i", prefix)
        if not 5 <= length <= _MAX_ENTRY:
            return
        body = file.read(length - 4)
        if len(body) < length - 4 or body[-1]:
            return
        yield offset, prefix + body
