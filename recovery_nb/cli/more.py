"""The commands around the verbs: notebooks run headless, the demo, copies of the notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recovery_nb.cli.console import Console
from recovery_nb.cli.options import Globals
from recovery_nb.errors import BadInputError

__all__ = ["demo", "notebooks", "run"]


def run(
    context: typer.Context,
    notebook: Annotated[str, typer.Argument(metavar="NOTEBOOK", help="1_scan … 5_verify, recover, or a path.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME VALUE", help="Set a parameter.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder of runs; the case's by default.", metavar="DIR")] = None,
) -> int:
    """Run a notebook headless and keep what it leaves."""
    from recovery_nb.headless import run_notebook  # noqa: PLC0415 - `--help` must answer at once
    from recovery_nb.settings import load_settings  # noqa: PLC0415 - `--help` must answer at once

    console: Console = context.obj.console
    folder: Path = context.obj.case.absolute()
    uri = context.obj.database or load_settings().database.get_secret_value()
    with console.progress() as emit:
        done = run_notebook(
            notebook,
            _pairs(parameters or []),
            out=out or folder / "runs",
            database=uri,
            case=folder,
            emit=emit,
        )
    _log_run(context.obj, done)
    console.document(
        {"run": str(done.run), "status": done.status, "notebook": str(done.notebook), "html": str(done.html),
         "report": str(done.report) if done.report else None, "error": done.error}
    )  # fmt: skip
    if done.error:
        console.complain(done.error)
    console.say(f"{done.status}: {done.html}")
    return done.exit_code


def _pairs(words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise BadInputError(f"the parameter {word} has no value", hint="write -p NAME VALUE")
        if not word.partition("=")[2]:
            raise BadInputError(f"the parameter {word[:-1]} is empty", hint="give a value, or leave it out")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _log_run(options: Globals, done: Any) -> None:
    from recovery_nb.audit import AuditLog  # noqa: PLC0415 - `--help` must answer at once

    AuditLog(options.case.absolute() / "audit.jsonl").append(
        "run", notebook=done.notebook.name, run=str(done.run), status=done.status, error=done.error
    )


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--dir", help="Where it happens.", metavar="DIR")] = Path("demo"),
) -> int:
    """Lose data in a private MongoDB, recover it headless, and check every record against the truth."""
    from recovery_nb.demo.show import run_demo  # noqa: PLC0415 - `--help` must answer at once

    console: Console = context.obj.console
    with console.progress() as emit:
        result = run_demo(folder, emit=emit, say=console.remark)
    console.document(result.as_dict())
    console.say(result.text())
    return 0 if result.ok else 1


def notebooks(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where they go.")] = Path("notebooks"),
) -> int:
    """Copy the notebooks to a folder, ready to open; nothing there is overwritten."""
    from recovery_nb.headless import copy_notebooks  # noqa: PLC0415 - `--help` must answer at once

    console: Console = context.obj.console
    written = copy_notebooks(folder)
    console.document({"written": [str(path) for path in written]})
    for path in written:
        console.say(str(path))
    console.say(f"open them with: jupyter lab {folder}")
    return 0
