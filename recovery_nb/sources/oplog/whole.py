"""Folders that are whole or not there: what this package writes for the user."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.files import sync_file, sync_folder

__all__ = ["Growing", "whole_folder"]


@dataclass(slots=True)
class Growing:
    """A folder that is being written.

    Attributes:
        path: Where it grows; once it is whole, its final path.
    """

    path: Path


@contextmanager
def whole_folder(parent: Path, name: str) -> Iterator[Growing]:
    """Give a hidden folder to write into, which gets its name, or NAME_2, NAME_3 …, when all went well.

    Args:
        parent: The folder it is to be in; it is made where it is not there.
        name: What it is to be called.

    Raises:
        BadInputError: It cannot be written; nothing of it is left.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        growing = Growing(parent / f".{name[:100]}.{secrets.token_hex(8)}")
        growing.path.mkdir(mode=0o700)
        try:
            yield growing
            for folder, _, files in os.walk(growing.path, topdown=False):
                for file in files:
                    sync_file(Path(folder) / file)
                sync_folder(Path(folder))
            growing.path = _named(growing.path, parent, name)
        except BaseException:
            shutil.rmtree(growing.path, ignore_errors=True)
            raise
        sync_folder(parent)
    except RecoveryError:
        raise
    except OSError as error:
        raise BadInputError(
            f"{parent} cannot be written to: {error.strerror or type(error).__name__}",
            hint="free some space there, or give another folder",
        ) from None


def _named(growing: Path, parent: Path, name: str) -> Path:
    for number in count(1):
        final = parent / (name if number == 1 else f"{name}_{number}")
        if not os.path.lexists(final):
            return growing.rename(final)
    raise AssertionError("unreachable")
