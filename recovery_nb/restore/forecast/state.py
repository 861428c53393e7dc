"""What a plan will have written so far: in a temporary file, so that memory is bounded whatever the plan's size."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from recovery_nb.errors import RecoveryError

__all__ = ["Now", "State"]

_SHORT = 40
_SCHEMA = """
PRAGMA journal_mode = MEMORY;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16384;
CREATE TABLE written (collection INTEGER, place BLOB, print BLOB, valid INTEGER, PRIMARY KEY (collection, place))
    WITHOUT ROWID;
CREATE TABLE keys (entry INTEGER, key BLOB, collection INTEGER, owner BLOB, PRIMARY KEY (entry, key)) WITHOUT ROWID;
CREATE INDEX keys_by_owner ON keys (collection, owner);
"""


@dataclass(frozen=True, slots=True)
class Now:
    """What a plan has made of a record.

    Attributes:
        fingerprint: The SHA-256 of its bytes; None where it is removed.
        valid: Whether the collection's validator accepts it.
    """

    fingerprint: bytes | None
    valid: bool


class State:
    """Records that are written, and who has which key in which unique index.

    Args:
        folder: Where the file is made; it has no name there and vanishes with the process. Where there is no
            such folder, the system's one for temporary files is used.

    Raises:
        RecoveryError: The file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        with _explained():
            handle, name = tempfile.mkstemp(dir=folder if folder.is_dir() else None, prefix=".forecast-")
            os.close(handle)
            try:
                self._table = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
                self._table.executescript(_SCHEMA)
            finally:
                with suppress(OSError):
                    Path(name).unlink()

    def close(self) -> None:
        """Let go of the file."""
        self._table.close()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Make what is written inside one step.

        Raises:
            RecoveryError: The file cannot be written.
        """
        with _explained():
            self._table.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._table.execute("ROLLBACK")
                raise
            self._table.execute("COMMIT")

    def take_back(self) -> None:
        """Forget what was written since the batch began."""
        self._table.execute("ROLLBACK")
        self._table.execute("BEGIN")

    def now(self, collection: int, place: bytes) -> Now | None:
        """Return what the plan has made of a record; None where it has not written it."""
        query = "SELECT print, valid FROM written WHERE collection = ? AND place = ?"
        found = self._table.execute(query, (collection, _short(place))).fetchone()
        return None if found is None else Now(found[0], bool(found[1]))

    def takes(self, entry: int, keys: Collection[bytes], place: bytes) -> bool:
        """Return whether another record than this one, written by the plan, has one of these keys in an index."""
        query = "SELECT 1 FROM keys WHERE entry = ? AND key = ? AND owner <> ?"
        own = _short(place)
        return any(self._table.execute(query, (entry, key, own)).fetchone() for key in keys)

    def put(self, collection: int, place: bytes, now: Now, keys: Mapping[int, Collection[bytes]]) -> None:
        """Note that a record is written, and its keys by index; those that it had from the plan are free."""
        own = _short(place)
        written = self._table.execute(
            "UPDATE written SET print = ?, valid = ? WHERE collection = ? AND place = ?",
            (now.fingerprint, now.valid, collection, own),
        )
        if written.rowcount:
            self._table.execute("DELETE FROM keys WHERE collection = ? AND owner = ?", (collection, own))
        else:
            self._table.execute(
                "INSERT INTO written VALUES (?, ?, ?, ?)", (collection, own, now.fingerprint, now.valid)
            )
        rows = [(entry, key, collection, own) for entry, some in keys.items() for key in some]
        self._table.executemany("INSERT INTO keys VALUES (?, ?, ?, ?)", rows)


def _short(place: bytes) -> bytes:
    return place if len(place) <= _SHORT else sha256(place).digest() + bytes(_SHORT)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RecoveryError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise RecoveryError(
            f"what the plan will have written cannot be noted in a temporary file: {error}",
            hint="free space in the case's folder, or in that for temporary files (TMPDIR)",
        ) from None
