"""What a case lends to its verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recovery_nb.audit import AuditLog
from recovery_nb.catalog.store import Catalog
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import RecoveryError
from recovery_nb.events import Emit
from recovery_nb.sources.mongodb import Database
from recovery_nb.sources.tree import Tree

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """What a verb works with. Nothing is connected to, and no server is started, before a verb asks for it.

    Attributes:
        folder: The case's folder, absolute.
        label: The database's URI without its secrets, "" where none was given.
        origin: The URI of the database that the sources are of: the same, unless records go into another one.
        called: What the sources call the database.
        emit: Hears how far the verb is.
        audit: The case's audit log.
        tree: What opens files, also compressed, encrypted or within archives.
        catalog: The case's catalog.
        resolve: Gives the URI that a driver takes for one that a user gave; for "", of the case's own database.
        connect: Gives the case's database, connected.
        latest: Gives the newest comparison of the case.
    """

    folder: Path
    label: str
    origin: str
    called: str
    emit: Emit
    audit: AuditLog
    tree: Tree
    catalog: Catalog
    resolve: Callable[[str], str]
    connect: Callable[[], Database]
    latest: Callable[[], Comparison]

    def address(self) -> str:
        """Return the URI of the case's own database, as a driver takes it.

        Raises:
            BadInputError: No database was given.
            MissingRequirementError: There is no mongod to start.
        """
        return self.resolve("")

    @property
    def database(self) -> Database:
        """The case's database, connected when it is first needed.

        Raises:
            BadInputError: No database was given, or its URI cannot be used.
            ConnectionFailedError: It does not answer.
        """
        return self.connect()

    @contextmanager
    def audited(self, action: str, /, **details: object) -> Iterator[dict[str, object]]:
        """Log a verb when it begins and when it ends, with what came of it; a failed one with its reason.

        A verb does not begin where it cannot be logged. Where its end cannot be, the error that ended it is the one
        that is told: what it says to do next is what matters then.

        Args:
            action: The verb.
            **details: What it was called with.

        Yields:
            What came of it, for the verb to fill in.

        Raises:
            RecoveryError: The log cannot be written; where the verb was done, the error says that and what came of it.
        """
        outcome: dict[str, object] = {}
        self.audit.append(f"{action} started", database=self.label, **details)
        try:
            yield outcome
        except BaseException as error:
            self.failed(action, error)
            raise
        if unlogged := self.logged(f"{action} finished", **outcome):
            raise RecoveryError(
                f"{action} was done{_shown(outcome)}, and that it ended is not in the log: {unlogged}",
                hint="make room there, or mend its permissions",
                exit_code=3,
            )

    def failed(self, action: str, error: BaseException, /, **details: object) -> None:
        """Log why a verb failed; where that cannot be done, the error itself says so, too.

        Args:
            action: The verb.
            error: What ended it.
            **details: What it was called with.
        """
        if unlogged := self.logged(f"{action} failed", **details, error=str(error) or type(error).__name__):
            _add(error, unlogged)

    def logged(self, action: str, /, **details: object) -> str:
        """Log what was done; return why that cannot be, "" where it was.

        A verb that changes nothing is worth its result without an entry, too; who calls this tells the reason.

        Args:
            action: What was done.
            **details: The facts of it.
        """
        try:
            self.audit.append(action, **details)
        except RecoveryError as error:
            return error.message
        return ""


def _add(error: BaseException, line: str) -> None:
    """Add a line to what an error says."""
    if isinstance(error, RecoveryError):
        error.message = f"{error.message} ({line})"
    else:
        error.add_note(line)


def _shown(outcome: Mapping[str, object]) -> str:
    """Return what came of a verb, as far as it goes on a line."""
    facts = {name.replace("_", " "): fact for name, fact in outcome.items() if fact and isinstance(fact, str | int)}
    told = ", ".join(f"{name} {fact:,}" if isinstance(fact, int) else f"{name} {fact}" for name, fact in facts.items())
    return told and f" ({told})"
