"""Taking a backup of the case's database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from recovery_nb.backups import BackupResult, Compression, Layout, recipients, write_backup
from recovery_nb.errors import BadInputError
from recovery_nb.verbs.asked import one_of, place, text, texts
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
    one_of(layout, get_args(Layout), "a backup's layout")
    usual: Compression = "zstd" if layout == "bson" else "none"
    packed = usual if compression is None else one_of(compression, get_args(Compression), "a backup's compression")
    named = None if collections is None else texts(collections, "collections")
    if named == ():
        raise BadInputError("collections names nothing", hint="name some, or leave it out for all of them")
    keys = recipients(texts(age_recipients, "age_recipients"))
    text(prefix, "the prefix")
    target = context.folder / "backups" if folder is None else place(folder, "the backup's folder")
    with context.audited(
        "backup", folder=str(target), layout=layout, compression=packed, recipients=len(keys)
    ) as outcome:
        taken = write_backup(
            context.database, target, layout=layout, prefix=prefix, collections=named, compression=packed,
            recipients=keys, emit=context.emit,
        )  # fmt: skip
        outcome.update(path=str(taken.path), records=taken.records)
    return taken
