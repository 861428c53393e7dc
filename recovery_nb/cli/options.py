"""The options that every command has, and those that several share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recovery_nb._version import __version__
from recovery_nb.cli.console import Console

if TYPE_CHECKING:
    from recovery_nb.case import Case
    from recovery_nb.events import Emit

__all__ = ["AsOf", "Collection", "Globals", "Key", "Sources", "Target", "global_options", "next_command"]

Sources = Annotated[
    list[str], typer.Argument(metavar="SOURCE…", help="Backups, exports, dumps, logs, folders of them, oplog:.")
]
Collection = Annotated[str, typer.Option(help="Only this collection.", metavar="C")]
AsOf = Annotated[
    str | None, typer.Option(help="Against the state at that time, from an oplog and a backup.", metavar="TIME")
]
Target = Annotated[str, typer.Option(help="The database's collection to use instead.", metavar="T")]
Key = Annotated[str, typer.Option(help="The fields that identify a record.", metavar="FIELD,…")]


@dataclass(frozen=True, slots=True)
class Globals:
    """The options that every command has.

    Attributes:
        case: The case's folder.
        database: The URI given with `--db`, "" for none.
        console: Where results and remarks go.
        hinted: What `next_command` has said of secrets.
    """

    case: Path
    database: str
    console: Console
    hinted: set[str] = field(default_factory=set)

    def open(self, emit: Emit) -> Case:
        """Open the case."""
        from recovery_nb.case import Case  # noqa: PLC0415 - `--help` must answer at once

        return Case.open(self.case, database=self.database, emit=emit)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"recovery-nb {__version__}\n")
        raise typer.Exit


def global_options(
    context: typer.Context,
    case: Annotated[Path, typer.Option(help="The case's folder.", metavar="DIR")] = Path("case"),
    db: Annotated[str, typer.Option(help="The database: mongodb://host:port/NAME or embedded:NAME; else "
                                    "DATABASE_URI, else the profile.", metavar="URI")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no remarks.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True,
                                          help="Show the version.")] = False,
) -> None:  # fmt: skip
    """Keep the options that every command has for the command."""
    context.obj = Globals(case, db, Console(as_json=as_json, quiet=quiet))


def next_command(
    options: Globals, purpose: str, *words: str, database: str = "", say: Callable[[str], None] | None = None
) -> None:
    """Tell a command that can be run next, as it is, in a shell: on the same case and the same database.

    A URI with a secret is not shown. A variable stands for it, and is explained once.

    Args:
        options: The options of this command.
        purpose: What the next one is for: "to undo it".
        *words: The next one: its name and what it takes.
        database: The URI of another database than that of `--db`.
        say: Where it goes; to the result for people if None.
    """
    from recovery_nb.audit import redact_uri  # noqa: PLC0415 - `--help` must answer at once
    from recovery_nb.commands import VARIABLE, command_line  # noqa: PLC0415 - likewise

    say, uri = say or options.console.say, database or options.database
    say(f"{purpose}: {command_line(*words, case=str(options.case), database=uri)}")
    shown = redact_uri(uri)
    if shown != uri and shown not in options.hinted:
        options.hinted.add(shown)
        say(f"  where {VARIABLE} is {shown} with its user and password, which are not shown: set it first")
