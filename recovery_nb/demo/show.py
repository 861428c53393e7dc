"""The demo as a user runs it: lose data in a private MongoDB, recover it headless, check it against the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recovery_nb.demo.scenario import Scenario, check, prepare
from recovery_nb.demo.truth import DemoResult
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.events import Emit, silent
from recovery_nb.headless import RunResult, run_notebook

__all__ = ["Shown", "run_demo"]

_MARKER = "recovery_nb-demo"
_DATABASE = "shop"
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo came to.

    Attributes:
        result: Every record held against the truth.
        run: The headless run of the notebook.
    """

    result: DemoResult
    run: RunResult

    @property
    def ok(self) -> bool:
        """Whether all that any source held is back and nothing else was touched."""
        return self.result.ok

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON values."""
        result = self.result
        return {
            "lost": result.lost,
            "recovered": result.recovered,
            "inferred": result.inferred,
            "older": result.older,
            "unrecoverable": len(result.unrecoverable),
            "unrecoverable_keys": [str(key) for key in result.unrecoverable],
            "intact": result.intact,
            "problems": [{"what": one.what, "where": one.where} for one in result.problems],
            "run": str(self.run.run),
            "notebook": str(self.run.notebook),
            "html": str(self.run.html),
        }

    def text(self) -> str:
        """Return it for people."""
        result = self.result
        gone = [str(key) for key in result.unrecoverable]
        lines = [
            f"lost           {result.lost:>7,}  records deleted, dropped or overwritten",
            f"recovered      {result.recovered:>7,}  of them, checked one by one against the truth",
            f"               {result.inferred:>7,}  of these had their types inferred, {result.older:,} are an older "
            "version, the newest that any backup holds",
            f"unrecoverable  {len(gone):>7,}  that no backup holds: {', '.join(gone[:_NAMED])}"
            f"{', …' if len(gone) > _NAMED else ''}",
            f"intact         {result.intact:>7,}  never damaged, and unchanged byte for byte",
        ]
        lines += [f"PROBLEM {one.where}: {one.what}" for one in result.problems[:20]]
        lines.append(f"the executed notebook: {self.run.html}")
        return "\n".join(lines)


def _fresh(folder: Path) -> None:
    """Make the folder, or empty it if it is an earlier demo's.

    Raises:
        BadInputError: It holds something else.
    """
    try:
        if folder.is_dir() and (folder / _MARKER).is_file():
            shutil.rmtree(folder)
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInputError(f"{folder} exists and is not an earlier demo", hint="choose another folder with --dir")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MARKER).write_text("This folder is made anew by each `recovery-nb demo`.\n", encoding="utf-8")
    except OSError as error:
        raise BadInputError(
            f"the folder {folder} cannot be used: {error.strerror}", hint="choose another folder with --dir"
        ) from None


def _recover(folder: Path, uri: str, emit: Emit) -> RunResult:
    run = run_notebook(
        "recover",
        {
            "sources": f"{folder / 'backups'},{folder / 'exports'}",
            "restore": True,
            "only": "missing,changed",
            "on_conflict": "replace",
        },
        out=folder / "case" / "runs",
        database=uri,
        case=folder / "case",
        emit=emit,
    )
    if run.status != "success":
        raise ConflictError(f"the recovery did not come to its end: {run.error}", hint=f"look at {run.html}")
    return run


def run_demo(folder: Path, *, emit: Emit = silent, say: Callable[[str], None] = lambda _: None) -> Shown:
    """Run the demo in a folder of its own.

    Args:
        folder: Where it happens; an earlier demo in it is replaced.
        emit: Hears how far the recovery is.
        say: Is told what happens.

    Raises:
        BadInputError: The folder holds something else.
        MissingRequirementError: There is no mongod.
        ConflictError: The recovery did not come to its end.
    """
    folder = folder.absolute()
    _fresh(folder)
    say("starting a private MongoDB")
    with EmbeddedMongod(folder / "case" / "embedded") as server:
        uri = server.uri(_DATABASE)
        say("loading 60,000 records, taking backups at three times, then losing data")
        scenario: Scenario = prepare(uri, folder)
        say("recovering: the notebook recover.ipynb runs headless")
        run = _recover(folder, uri, emit)
        say("checking every record against the truth")
        result = check(scenario, uri)
    return Shown(result, run)
