"""What a case lends to its verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recovery_nb.audit import AuditLog
from recovery_nb.catalog.store import Catalog
from recovery_nb.compare.result import Comparison
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

        Args:
            action: The verb.
            **details: What it was called with.

        Yields:
            What came of it, for the verb to fill in.
        """
        outcome: dict[str, object] = {}
        self.audit.append(f"{action} started", database=self.label, **details)
        try:
            yield outcome
        except BaseException as error:
            self.audit.append(f"{action} failed", error=str(error) or type(error).__name__)
            raise
        self.audit.append(f"{action} finished", **outcome)
