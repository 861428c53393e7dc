"""Where a backup grows until it is whole: a hidden folder beside its final place, named after its process."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from recovery_nb.errors import BadInputError, ConflictError, RecoveryError
from recovery_nb.events import Emit, Event
from recovery_nb.files import sync_folder

__all__ = ["explained_writes", "prepare_folder", "publish", "require_space", "staging", "sweep"]

_LEFTOVER = re.compile(r"\.[^/]+_\d{8}_\d{6}(?:\.json(?:\.zst|\.gz)?(?:\.age)?)?(?:\.\d+)?\.partial-(\d+)")
_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@contextmanager
def explained_writes(folder: Path) -> Iterator[None]:
    """Turn a failure of the file system into the one line that says what to do."""
    try:
        yield
    except RecoveryError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise ConflictError(
                f"{folder} is full ({error.strerror}); the unfinished backup was removed",
                hint="free some space there, or give another folder",
            ) from None
        raise BadInputError(
            f"{folder} cannot be written to: {error.strerror or type(error).__name__}",
            hint="give a folder that you may write to",
        ) from None


def prepare_folder(folder: Path) -> None:
    """Make the folder for backups where it is not there.

    Raises:
        BadInputError: It is a file or a symbolic link, or cannot be made or written to.
    """
    with explained_writes(folder):
        if folder.is_symlink():
            raise BadInputError(
                f"{folder} is a symbolic link", hint=f"give the folder itself: {os.path.realpath(folder)}"
            )
        if folder.exists() and not folder.is_dir():
            raise BadInputError(f"{folder} is a file, not a folder", hint="give a folder for backups")
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what cannot fit.

    Args:
        folder: Where the backup is to be.
        needed: The least it will take, in bytes.

    Raises:
        ConflictError: Less is free.
    """
    with explained_writes(folder):
        free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConflictError(
            f"{folder} has {free:,} bytes free and the backup needs at least {needed:,}",
            hint="free some space there, or give another folder",
        )


def sweep(folder: Path, *, emit: Emit) -> None:
    """Remove what backups left here whose process has died; nothing else, and nothing of a living one."""
    for entry in sorted(folder.iterdir()):
        match = _LEFTOVER.fullmatch(entry.name)
        if not match or not stat.S_ISDIR(entry.lstat().st_mode) or _lives(int(match[1])):
            continue
        with suppress(OSError):  # another process sweeps too, or it is a writer's on another machine or container
            with _locked(entry):
                shutil.rmtree(entry)
            emit(Event("backup", str(entry), note="removed what an interrupted backup had left"))


@contextmanager
def staging(folder: Path, name: str) -> Iterator[Path]:
    """Give a new private folder beside the final place; what is not published of it is removed in the end."""
    for number in count(1):
        partial = folder / f".{name}{f'.{number}' if number > 1 else ''}.partial-{os.getpid()}"
        with suppress(FileExistsError):
            partial.mkdir(mode=0o700)
            break
    try:
        with _locked(partial):
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish(staged: Path, folder: Path, name: str) -> Path:
    """Give a staged file or folder its final name, which nothing that is there already can lose.

    Args:
        staged: What is whole now.
        folder: Where it is to be.
        name: What to call it; where that is taken, `_2`, `_3` … is added before the suffix.

    Returns:
        Its final path.
    """
    stem, dot, suffix = name.partition(".")
    for number in count(1):
        final = folder / f"{stem}{f'_{number}' if number > 1 else ''}{dot}{suffix}"
        if os.path.lexists(final):
            continue
        try:
            _move(staged, final)
        except OSError as error:
            if error.errno in _TAKEN:
                continue
            raise
        break
    sync_folder(folder)
    return final


def _move(staged: Path, final: Path) -> None:
    if staged.is_dir():
        staged.rename(final)  # fails where the target is a file or a folder that is not empty
        return
    try:
        os.link(staged, final)  # unlike a rename it never replaces
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        staged.rename(final)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
