"""Taking a backup of the case's database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from recovery_nb.backups import BackupResult, Compression, Layout, recipients, write_backup
from recovery_nb.errors import BadInputError
from recovery_nb.verbs.context import Context

__all__ = ["take_backup"]


def take_backup(
    context: Context,
    folder: str | Path | None = None,
    *,
    collections: Sequence[str] | None = None,
    layout: Layout = "bson",
    compression: Compression | None = None,
    age_recipients: Sequence[str] = (),
    prefix: str = "backup",
) -> BackupResult:
    """Take a verified copy of the database, as `Case.backup` describes it."""
    if layout not in get_args(Layout):
        raise BadInputError(f"a backup has no layout {layout!r}", hint=f"choose of {', '.join(get_args(Layout))}")
    packed: Compression = compression or ("zstd" if layout == "bson" else "none")
    if packed not in get_args(Compression):
        raise BadInputError(f"there is no compression {packed!r}", hint=f"choose of {', '.join(get_args(Compression))}")
    keys = recipients(age_recipients)
    target = context.folder / "backups" if folder is None else Path(folder)
    with context.audited(
        "backup", folder=str(target), layout=layout, compression=packed, recipients=len(keys)
    ) as outcome:
        taken = write_backup(
            context.database, target, layout=layout, prefix=prefix, collections=collections, compression=packed,
            recipients=keys, emit=context.emit,
        )  # fmt: skip
        outcome.update(path=str(taken.path), records=taken.records)
    return taken
