"""Taking a backup."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from recovery_nb.cli.console import Console
from recovery_nb.cli.given import listed
from recovery_nb.cli.options import next_command

__all__ = ["backup"]


class _Layout(StrEnum):
    BSON = "bson"
    JSON = "json"


class _Compression(StrEnum):
    ZSTD = "zstd"
    GZIP = "gzip"
    NONE = "none"


def backup(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; the case's backups by default.", metavar="DIR")
    ] = None,
    collections: Annotated[str, typer.Option(help="Only these, with commas.", metavar="A,B")] = "",
    layout: Annotated[
        _Layout, typer.Option("--format", help="bson: as mongodump writes it, with a manifest.")
    ] = _Layout.BSON,
    compression: Annotated[
        _Compression | None, typer.Option(help="zstd for bson, none for json by default; mongorestore reads gzip.")
    ] = None,
    age_recipient: Annotated[
        list[str] | None,
        typer.Option(help="Encrypt it to this public key (age, SSH), or to those in a file.", metavar="KEY_OR_FILE"),
    ] = None,
) -> int:
    """Take a verified copy of the database."""
    console: Console = context.obj.console
    named = listed(collections, "--collections") or None
    with console.progress() as emit, context.obj.open(emit) as case:
        taken = case.backup(out, collections=named, layout=layout.value,
                           compression=compression.value if compression else None,
                           age_recipients=age_recipient or [])  # fmt: skip
    console.document(
        {"path": str(taken.path), "collections": taken.collections, "records": taken.records, "bytes": taken.bytes,
         "consistent": taken.consistent, "cluster_time": taken.cluster_time, "seconds": round(taken.seconds, 3),
         "compression": taken.compression, "recipients": taken.recipients, "notes": list(taken.notes)}
    )  # fmt: skip
    console.say(f"{taken.records:,} records ({taken.bytes:,} bytes) in {taken.path}, read back and checked")
    for note in taken.notes:
        console.say(note)
    if taken.recipients:
        keys = f"{taken.recipients:,} key{'s' if taken.recipients != 1 else ''}"
        console.say(f"encrypted to {keys}; to read it, name a file of identities in RECOVERY_NB_AGE_IDENTITIES")
    next_command(context.obj, "to see what is lost since", "compare", str(taken.path))
    if taken.cluster_time is None:
        console.remark("this server has no snapshots: records written meanwhile may be in it or not")
    return 0
