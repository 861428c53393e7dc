"""Which records are held back since the file they are from is not what was backed up.

Three of four altered bytes in plain BSON still decode, to a record that never was. Only the manifest of a backup tells
that there is one, and of plain BSON not where: its checksum is of the whole file. So all that the file holds waits for
the analyst, but for what is proved in another way: damage was found that explains the difference, and is elsewhere; or
another source holds the same bytes. Where the manifest itself is not as it was written, nothing vouches for any file;
and a state at a time is no better than the backup that is its base.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from recovery_nb.backups.compression import FRAME_BYTES
from recovery_nb.backups.doubt import Doubt, RecordsFile, doubted, records_files
from recovery_nb.backups.manifest import MANIFEST
from recovery_nb.catalog.entry import DamageEntry, SourceEntry
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.files import scratch
from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.selection.picking import Row
from recovery_nb.sources.base import AS_OF, Kind

__all__ = ["Altered"]

_REACH = FRAME_BYTES + MAX_RECORD_BYTES
"""No frame of a packed file expands to more: so far before a damaged place its frame may begin."""

_GRIDFS = (".files", ".chunks")
"""Of these, damage may mean that a file in GridFS is not whole, which explains nothing."""

_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA cache_size = -8192;
CREATE TABLE sound (fingerprint BLOB, collection TEXT, PRIMARY KEY (fingerprint, collection)) WITHOUT ROWID;
"""


class _Suspicion(NamedTuple):
    """What is suspected of a file of records.

    Attributes:
        reason: Why its records are held back; "" for no suspicion.
        spans: Where they begin, from one offset to before the other; everywhere if None.
    """

    reason: str = ""
    spans: Sequence[tuple[int, int]] | None = None


class Altered:
    """Says of records whether they may have been altered since they were backed up.

    A file is held against its manifest when the first of its records is asked for; which other source holds the same
    bytes is gathered when the first of them is in doubt. Close it when it is done with.

    Args:
        comparison: What was found.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._backups: dict[str, dict[str, RecordsFile] | BadInputError | None] = {}
        self._bases: dict[str, dict[str, Doubt]] = {}
        self._suspicions: dict[tuple[str, str, str], _Suspicion] = {}
        self._sound: sqlite3.Connection | None = None

    def close(self) -> None:
        """Remove the temporary file, if there is one."""
        if self._sound:
            self._sound.close()

    def hold(self, row: Row) -> str:
        """Return why the record of a difference is not written unless it is named, "" if nothing is in doubt.

        Raises:
            RecoveryError: The temporary file cannot be written.
        """
        reason = self._doubt(row)
        return "" if reason and self._is_elsewhere(row) else reason

    def _doubt(self, row: Row) -> str:
        place = (row["source"], row["member"], row["source_collection"])
        if place not in self._suspicions:
            self._suspicions[place] = self._suspicion(*place)
        reason, spans = self._suspicions[place]
        near = not reason or spans is None or any(first <= row["offset"] < end for first, end in spans)
        return reason if near else ""

    def _suspicion(self, source: str, member: str, given: str) -> _Suspicion:
        entry = self._comparison.sources[source]
        if entry.taken_from == AS_OF:
            return self._suspicion_of_state(entry, given)
        files = self._files(entry)
        if files is None:
            return _Suspicion()
        if isinstance(files, BadInputError):
            return _Suspicion(_held(f"nothing vouches for its file: {files.message}"))
        name = member or entry.path.name
        file = files.get(name) or next((one for one in files.values() if Path(one.name).name == name), None)
        if file is None:
            return _Suspicion(_held(f"the manifest does not know {name}"))
        if file.collection != given:
            return _Suspicion(_held(f"by its manifest {file.name} holds records of {file.collection}"))
        spans = () if file.is_sound() else _in_doubt(file, [one for one in entry.damage if one.member == member], entry)
        if spans is not None and not spans:
            return _Suspicion()
        return _Suspicion(_held(f"{file.name} does not agree with its manifest"), spans)

    def _suspicion_of_state(self, entry: SourceEntry, given: str) -> _Suspicion:
        """Return what is suspected of a collection of a state: what is of its base, whatever came after it."""
        if entry.id not in self._bases:
            base = _base_of(entry.path)
            self._bases[entry.id] = doubted(base) if base else {}
        doubts = self._bases[entry.id]
        # One that the state does not have may have got another name since.
        named = doubts.get(given) or next((one for name, one in doubts.items() if name not in entry.collections), None)
        return _Suspicion(_held(f"the base of its state is not as it was backed up: {named.reason}") if named else "")

    def _files(self, entry: SourceEntry) -> dict[str, RecordsFile] | BadInputError | None:
        """Return what a manifest says of the files of a source, or why it says nothing; None where there is none."""
        if entry.id not in self._backups:
            is_of_one = entry.kind in (Kind.DUMP, Kind.BSON)
            try:
                self._backups[entry.id] = records_files(entry.path) if is_of_one else None
            except BadInputError as error:
                self._backups[entry.id] = error
        return self._backups[entry.id]

    def _is_elsewhere(self, row: Row) -> bool:
        """Whether a source holds the same bytes of this record where nothing is in doubt."""
        if len(self._comparison.sources) == 1:
            return False
        ask = "SELECT 1 FROM sound WHERE fingerprint = ? AND collection = ?"
        with scratch("sound records"):
            self._sound = self._sound or self._gathered()
            return self._sound.execute(ask, (row["fingerprint"], row["collection"])).fetchone() is not None

    def _gathered(self) -> sqlite3.Connection:
        """Return the fingerprints of all candidates that are not in doubt."""
        table = sqlite3.connect("", check_same_thread=False)
        table.executescript(_SCHEMA)
        sound = (one for one in self._comparison.versions() if not self._doubt(one))
        values = ((one["fingerprint"], one["collection"]) for one in sound)
        table.executemany("INSERT OR IGNORE INTO sound VALUES (?, ?)", values)
        return table


def _base_of(state: Path) -> Path | None:
    """Return the backup that a state was put together from, as its manifest names it; None where it names none."""
    try:
        base = json.loads((state.parent / MANIFEST).read_bytes())["base"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Path(base) if isinstance(base, str) else None


def _in_doubt(file: RecordsFile, damage: Sequence[DamageEntry], entry: SourceEntry) -> Sequence[tuple[int, int]] | None:
    """Return where the records of a file that is not what was written may have been altered; everywhere if None.

    Args:
        file: The file.
        damage: What could not be read of it.
        entry: The source that it is of.
    """
    if not damage or file.collection.endswith(_GRIDFS):
        return None
    # Its end is missing, and nothing more is known to be wrong; or age has proved what there is of it.
    if file.encrypted or (file.is_cut() and entry.checksum_ok is not False):
        return ()
    # A stretch of unknown length stands for more places than are listed.
    if not file.packed or any(one.length < 0 for one in damage):
        return None
    return [(one.offset - _REACH, one.offset + one.length) for one in damage]


def _held(reason: str) -> str:
    return f"held: {reason}; to restore it, name its key in a --keys FILE (compare --out writes one)"
