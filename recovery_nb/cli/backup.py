"""Taking a backup."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from recovery_nb.cli.console import Console
from recovery_nb.cli.options import listed

__all__ = ["backup"]


class _Layout(StrEnum):
    BSON = "bson"
    JSON = "json"


def backup(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; the case's backups by default.", metavar="DIR")
    ] = None,
    collections: Annotated[str, typer.Option(help="Only these, with commas.", metavar="A,B")] = "",
    layout: Annotated[
        _Layout, typer.Option("--format", help="bson: as mongodump writes it, with a manifest.")
    ] = _Layout.BSON,
) -> int:
    """Take a verified copy of the database."""
    console: Console = context.obj.console
    with console.progress() as emit, context.obj.open(emit) as case:
        taken = case.backup(out, collections=listed(collections) or None, layout=layout.value)
    console.document(
        {"path": str(taken.path), "collections": taken.collections, "records": taken.records, "bytes": taken.bytes,
         "consistent": taken.consistent, "cluster_time": taken.cluster_time, "seconds": round(taken.seconds, 3)}
    )  # fmt: skip
    console.say(f"{taken.records:,} records ({taken.bytes:,} bytes) in {taken.path}, read back and checked")
    if taken.cluster_time is None:
        console.remark("this server has no snapshots: records written meanwhile may be in it or not")
    return 0
