"""A loss to practise on: a private database, backups of it, and the truth to hold one's own recovery against."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from recovery_nb.demo.scenario import check, prepare
from recovery_nb.demo.truth import DemoResult, Scenario
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.errors import BadInputError
from recovery_nb.reports.html import Markup, facts, join, table

__all__ = ["Practice", "practice"]

_DATABASE = "shop"
_COUNT = 2_000
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Practice:
    """A prepared loss, and where one works on it.

    Attributes:
        folder: Holds the backups, the exports, the truth and the case.
        fresh: Whether it was made just now; else it is as it was left.
    """

    folder: Path
    fresh: bool

    @property
    def case(self) -> Path:
        """The folder of the case."""
        return self.folder / "case"

    @property
    def database(self) -> str:
        """The database, as a case takes it: a private server within the case."""
        return f"embedded:{_DATABASE}"

    @property
    def sources(self) -> list[str]:
        """Where the backups and exports are."""
        return [str(self.folder / "backups"), str(self.folder / "exports")]

    def check(self) -> DemoResult:
        """Hold every record of the database against the truth; a case that works on it must be closed."""
        with EmbeddedMongod(self.case / "embedded") as server:
            return check(Scenario.load(self.folder), server.uri(_DATABASE))

    def answer(self) -> Markup:
        """Return what `check` found, for eyes."""
        found = self.check()
        gone = [[str(key)] for key in found.unrecoverable[:_NAMED]]
        problems = [[one.where, one.what] for one in found.problems[:_NAMED]]
        return join(
            facts({"lost": found.lost, "recovered": found.recovered, "in no backup": len(found.unrecoverable),
                   "never touched, and as they were": found.intact}),
            table(["what no backup holds"], gone, total=len(found.unrecoverable)) if gone else "",
            table(["where", "what is not as it should be"], problems, total=len(found.problems)) if problems else "",
        )  # fmt: skip

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        state = "made just now" if self.fresh else "as it was left: delete the folder to begin again"
        return join(facts({"folder": self.folder, "state": state, "sources": ", ".join(self.sources)}))


def practice(folder: str | Path = "tutorial", *, count: int = _COUNT) -> Practice:
    """Lose data of a private database, in a folder of its own; where that was done already, go on with it.

    Args:
        folder: Where everything goes. It appears there whole or not at all.
        count: How many records each of three collections has.

    Raises:
        BadInputError: The folder holds something else.
        MissingRequirementError: There is no mongod.
    """
    folder = Path(folder).absolute()
    if (folder / "backups").is_dir() and (folder / "case").is_dir():
        Scenario.load(folder)
        return Practice(folder, fresh=False)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInputError(f"{folder} holds something else", hint="name another folder for the practice")
    staged = folder.with_name(f".{folder.name}-{uuid4().hex[:8]}")
    try:
        staged.mkdir(parents=True)
        with EmbeddedMongod(staged / "case" / "embedded") as server:
            prepare(server.uri(_DATABASE), staged, count=count)
        staged.replace(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Practice(folder, fresh=True)
