"""The folder of a case's restores: its lock and its headers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from recovery_nb.errors import BadInputError, ConflictError, RecoveryError
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
    "next_step",
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
        sessions: The server sessions that its processes, and those of its rollbacks, wrote through.
        comparison: The id of the comparison that its plan was made from; "" where that was not said.
        counts: What came of its records.
    """

    id: str
    path: Path
    state: State
    plan_digest: str
    database: str
    started: str
    sessions: tuple[str, ...]
    comparison: str
    counts: Mapping[str, int]

    def save(self, state: State, counts: Mapping[str, int], *, sessions: Sequence[str] = ()) -> RestoreInfo:
        """Write the header anew, atomically, and return it."""
        info = replace(self, state=state, counts=dict(counts), sessions=tuple(sessions) or self.sessions)
        document = {**asdict(info), "path": None, "format": "recovery_nb.restore", "version": 2}
        del document["path"]
        write_json(self.path / "restore.json", document)
        return info


def new_restore(
    folder: Path, *, plan_digest: str, database: str, sessions: Sequence[str], comparison: str = ""
) -> RestoreInfo:
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
        path.name, path, State.APPLYING, plan_digest, database, now.isoformat(timespec="seconds"), tuple(sessions),
        comparison, {},
    )  # fmt: skip
    return info.save(State.APPLYING, {})


def _load(path: Path) -> RestoreInfo:
    try:
        return _header(path)
    except (OSError, ValueError, KeyError, TypeError):
        # The journal is what a rollback needs; its first block says the rest. How far it came is not known.
        header = JournalReader(path / "journal.bson").header
        if header["restore"] != path.name:
            raise
        comparison = header.get("comparison", "")
        return RestoreInfo(
            path.name, path, State.INTERRUPTED, header["plan"], header["database"], "", (), comparison, {}
        )


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
        document["started"], tuple(document["sessions"] if "sessions" in document else [document["session"]]),
        document.get("comparison", ""), document["counts"],
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
    return [session for info in list_restores(folder) if info.state not in ended for session in info.sessions]


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
        BadInputError: The folder cannot be written to.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        busy = [info for info in list_restores(folder) if info.state in (State.APPLYING, State.ROLLING_BACK)]
        name = f"{busy[-1].id} ({busy[-1].state})" if busy else "another one"
        told = f" (verify {busy[-1].id} tells)" if busy else ""
        raise ConflictError(
            f"a restore is at work in {folder}: {name}",
            hint=f"wait until it has ended{told}, then run the command again",
        ) from None
    except OSError as error:
        raise BadInputError(
            f"{folder} cannot be written to: {error.strerror or type(error).__name__}",
            hint="give a case that you may write to, on a disk that has room",
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def next_step(folder: Path, commands: str) -> Iterator[None]:
    """Let what stops a restore or a rollback on its way say how to go on.

    Args:
        folder: The restore's folder; it may be full.
        commands: What to run then.
    """
    try:
        yield
    except (BadInputError, ConflictError):
        raise
    except RecoveryError as error:
        first = "" if error.hint in ("", "run the command again") else f"{error.hint}, then "
        raise type(error)(error.message, hint=f"{first}{commands}", exit_code=error.exit_code) from None
    except OSError as error:
        raise RecoveryError(
            f"{error.filename or folder} cannot be written or read ({error.strerror or type(error).__name__})",
            hint=f"make room there, then {commands}",
        ) from None
