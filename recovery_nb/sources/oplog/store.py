"""The records as they are at one point of a fold: in memory the ones in use, the others in a temporary database."""

from __future__ import annotations

import sqlite3
import tempfile
import weakref
from collections.abc import Iterator
from typing import NamedTuple

from recovery_nb.sources.content import Content

__all__ = ["Folded", "State", "Store", "is_spooled"]

_HOT_BYTES = 24 * 1024 * 1024
"""How many bytes of records and keys are kept in memory in each of the two generations."""
_STATE_BYTES = 400
"""What a state takes in memory beside its record and key, roughly."""
_SPOOL_BYTES = 1024 * 1024
_INDEX_ROWS = 10_000
_SPOOL = 0
_CONTENT_BITS = 48
"""A place is the number of a content in the high bits and a position in it in the low ones."""

_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA cache_size = -32768;
    CREATE TABLE state (
        number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, operation INTEGER NOT NULL, place INTEGER NOT NULL,
        length INTEGER NOT NULL, epoch INTEGER NOT NULL);
    CREATE TABLE folded (
        operation INTEGER PRIMARY KEY, place INTEGER NOT NULL, length INTEGER NOT NULL, sure INTEGER NOT NULL);
"""
_PUT = """
    INSERT INTO state (key, operation, place, length, epoch) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET operation = excluded.operation, place = excluded.place,
        length = excluded.length, epoch = excluded.epoch
"""


class State(NamedTuple):
    """What is known of one record.

    Attributes:
        operation: The place of the operation that left it so.
        place: Where its bytes are.
        length: How many; -1 where what it is now is not known.
        epoch: Since when its bytes are sure: the number of interruptions before that. Negative: they are not.
        record: Its bytes, while it is in memory.
    """

    operation: int
    place: int
    length: int
    epoch: int
    record: bytes | None = None


def is_spooled(state: State) -> bool:
    """Say whether a record was kept by `Store.spool`, and is not as it stands in a content."""
    return state.place >> _CONTENT_BITS == _SPOOL


class Folded(NamedTuple):
    """What an update made: the record's bytes after it, and whether they are sure."""

    record: bytes
    sure: bool


class Store:
    """The states by key, and the bytes of what updates made. All of it is temporary.

    Memory is bounded: two generations of states are held, and each time the younger is full, the older is let go.
    """

    def __init__(self) -> None:
        # An empty name is a temporary database: SQLite keeps it in memory while it is small, then in a file.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")
        weakref.finalize(self, self._database.close)
        self._spool = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as this does
        self._unwritten = bytearray()
        self._spooled = 0
        self._contents: list[Content] = []
        self._young: dict[bytes, State | None] = {}
        self._old: dict[bytes, State | None] = {}
        self._held = 0
        self._index: list[tuple[int, int, int, bool]] = []

    def add_content(self, content: Content) -> int:
        """Return the place where this content begins: a position in it is added to it."""
        self._contents.append(content)
        return len(self._contents) << _CONTENT_BITS

    def get(self, key: bytes) -> State | None:
        """Return a record's state; None where it does not exist."""
        if key in self._young:
            return self._young[key]
        if key in self._old:
            state = self._old.pop(key)
        else:
            row = self._database.execute(
                "SELECT operation, place, length, epoch FROM state WHERE key = ?", (key,)
            ).fetchone()
            if row is None:
                return None
            state = State(*row)
        self._hold(key, state)
        return state

    def put(self, key: bytes, state: State) -> None:
        """Set a record's state."""
        self._old.pop(key, None)
        self._hold(key, state)

    def delete(self, key: bytes) -> None:
        """Say that a record does not exist."""
        self._old.pop(key, None)
        self._hold(key, None)

    def record(self, state: State) -> bytes:
        """Return a record's bytes."""
        return self._read(state.place, state.length) if state.record is None else state.record

    def spool(self, record: bytes) -> int:
        """Keep bytes that are in no content, and return their place."""
        place = self._spooled
        self._unwritten += record
        self._spooled += len(record)
        if len(self._unwritten) >= _SPOOL_BYTES:
            self._write_spool()
        return place

    def remember(self, operation: int, place: int, length: int, *, sure: bool) -> None:
        """Keep what an update made, for `folded`."""
        self._index.append((operation, place, length, sure))
        if len(self._index) >= _INDEX_ROWS:
            self._write_index()

    def folded(self, operation: int) -> Folded | None:
        """Return what the update at a place made; None where there is none."""
        self._write_index()
        row = self._database.execute(
            "SELECT place, length, sure FROM folded WHERE operation = ?", (operation,)
        ).fetchone()
        return None if row is None else Folded(self._read(row[0], row[1]), bool(row[2]))

    def settle(self) -> None:
        """Let go of the states: from now on only what updates made is wanted."""
        self._young, self._old, self._held = {}, {}, 0
        self._write_index()
        self._database.execute("DELETE FROM state")

    def states(self, prefix: bytes) -> Iterator[tuple[bytes, State]]:
        """Yield the keys that begin with `prefix`, and their states, in the order in which they first came."""
        self._flush()
        self._old, self._held = {}, 0
        rows = self._database.execute(
            "SELECT key, operation, place, length, epoch FROM state WHERE key >= ? AND key < ? ORDER BY number",
            (prefix, prefix + b"\xff" * 8),
        )
        for key, *state in rows:
            yield key, State(*state)

    def _hold(self, key: bytes, state: State | None) -> None:
        self._young[key] = state
        self._held += len(key) + _STATE_BYTES
        if state is not None and state.record is not None:
            self._held += len(state.record)
        if self._held > _HOT_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Write the young generation, which becomes the old one."""
        young, self._young, self._held = self._young, {}, 0
        gone = [(key,) for key, state in young.items() if state is None]
        self._database.executemany("DELETE FROM state WHERE key = ?", gone)
        self._database.executemany(_PUT, ((key, *state[:4]) for key, state in young.items() if state is not None))
        self._old = {key: state for key, state in young.items() if state is not None}

    def _write_spool(self) -> None:
        self._spool.seek(0, 2)
        view = memoryview(self._unwritten)
        while view:
            view = view[self._spool.write(view) :]
        del view
        self._unwritten = bytearray()

    def _write_index(self) -> None:
        self._database.executemany("INSERT OR REPLACE INTO folded VALUES (?, ?, ?, ?)", self._index)
        self._index.clear()

    def _read(self, place: int, length: int) -> bytes:
        number, position = place >> _CONTENT_BITS, place & ((1 << _CONTENT_BITS) - 1)
        if number != _SPOOL:
            return self._contents[number - 1].read_at(position, length)
        written = self._spooled - len(self._unwritten)
        if position >= written:
            return bytes(self._unwritten[position - written : position - written + length])
        self._spool.seek(position)
        return self._spool.read(length)
