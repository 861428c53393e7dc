"""The folder of a case's restores: its lock and its headers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.files import sync_folder, write_json
from recovery_nb.restore.journal import JournalReader

__all__ = [
    "RestoreInfo",
    "State",
    "dead_sessions",
    "has_header",
    "list_restores",
    "locked",
    "new_restore",
    "open_restore",
]


class State(StrEnum):
    """How far a restore came."""

    APPLYING = "applying"
    """At work, or killed at work: its lock tells which."""
    DONE = "done"
    INTERRUPTED = "interrupted"
    """Stopped by a person or by a lost connection."""
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True)
class RestoreInfo:
    """The header of a restore, `restore.json`.

    Attributes:
        id: The restore's id, which sorts by time.
        path: Its folder.
        state: How far it came.
        plan_digest: The digest of its plan.
        database: The database it writes to, without secrets.
        started: When it began, ISO 8601 in UTC.
        session: The server session that its last process wrote through.
        counts: What came of its records.
    """

    id: str
    path: Path
    state: State
    plan_digest: str
    database: str
    started: str
    session: str
    counts: Mapping[str, int]

    def save(self, state: State, counts: Mapping[str, int], *, session: str = "") -> RestoreInfo:
        """Write the header anew, atomically, and return it."""
        info = replace(self, state=state, counts=dict(counts), session=session or self.session)
        document = {**asdict(info), "path": None, "format": "recovery_nb.restore", "version": 1}
        del document["path"]
        write_json(self.path / "restore.json", document)
        return info


def new_restore(folder: Path, *, plan_digest: str, database: str, session: str) -> RestoreInfo:
    """Create the folder of a new restore, `r<UTC time>-<4 hex digits>`, and its header."""
    now = datetime.now(UTC)
    while True:
        path = folder / f"r{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        try:
            path.mkdir(parents=True)
            break
        except FileExistsError:
            continue
    sync_folder(folder)
    info = RestoreInfo(
        path.name, path, State.APPLYING, plan_digest, database, now.isoformat(timespec="seconds"), session, {}
    )
    return info.save(State.APPLYING, {})


def _load(path: Path) -> RestoreInfo:
    try:
        return _header(path)
    except (OSError, ValueError, KeyError, TypeError):
        # The journal is what a rollback needs; its first block says the rest. How far it came is not known.
        header = JournalReader(path / "journal.bson").header
        if header["restore"] != path.name:
            raise
        return RestoreInfo(path.name, path, State.INTERRUPTED, header["plan"], header["database"], "", "", {})


def has_header(path: Path) -> bool:
    """Return whether a restore's `restore.json` can be read."""
    try:
        _header(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def _header(path: Path) -> RestoreInfo:
    document = json.loads((path / "restore.json").read_bytes())
    return RestoreInfo(
        document["id"], path, State(document["state"]), document["plan_digest"], document["database"],
        document["started"], document["session"], document["counts"],
    )  # fmt: skip


def list_restores(folder: Path) -> list[RestoreInfo]:
    """Return the restores of a case, oldest first; a folder with neither header nor journal is left out."""
    found = []
    for path in sorted(folder.glob("r*Z-*")):
        try:
            found.append(_load(path))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def dead_sessions(folder: Path) -> list[str]:
    """Return the sessions of restores and rollbacks that did not end. Hold the lock: they are dead."""
    ended = (State.DONE, State.ROLLED_BACK)
    return [info.session for info in list_restores(folder) if info.state not in ended]


def open_restore(path: Path) -> RestoreInfo:
    """Return a restore's header.

    Raises:
        BadInputError: There is no such restore; the known ones are named.
    """
    try:
        return _load(path)
    except (OSError, ValueError, KeyError, TypeError):
        known = [info.id for info in list_restores(path.parent)]
        names = ", ".join(known[-10:]) if known else "none"
        raise BadInputError(f"no restore {path.name} in {path.parent}", hint=f"name a known one ({names})") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: one restore or rollback at a time. A dead holder's lock is free.

    Raises:
        ConflictError: Another one is at work; it is named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        busy = [info for info in list_restores(folder) if info.state in (State.APPLYING, State.ROLLING_BACK)]
        name = f"{busy[-1].id} ({busy[-1].state})" if busy else "another one"
        raise ConflictError(
            f"a restore is at work in {folder}: {name}",
            hint="wait until it has ended, then run the command again",
        ) from None
    try:
        yield
    finally:
        lock.release()
