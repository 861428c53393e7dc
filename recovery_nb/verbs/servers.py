"""Where a database is: the addresses that users write, and the private server that a case may hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.errors import BadInputError

__all__ = ["EMBEDDED", "Servers"]

EMBEDDED = "embedded:"
"""How the address of a database begins that the case's own server holds; its name follows."""


@dataclass(slots=True)
class Servers:
    """Turns what a user gave into what a driver takes.

    Attributes:
        folder: Where the data of the case's own server are.
    """

    folder: Path
    _own: EmbeddedMongod | None = None

    def address(self, uri: str) -> str:
        """Return the URI that a driver takes; `embedded:NAME` starts the case's own server.

        Args:
            uri: What the user gave, "" for nothing.

        Raises:
            BadInputError: No database was given, or it has no name.
            MissingRequirementError: There is no mongod to start.
        """
        if not uri:
            raise BadInputError(
                "no database was given",
                hint="set DATABASE_URI, or use --db mongodb://localhost:27017/NAME or embedded:NAME",
            )
        if not uri.startswith(EMBEDDED):
            return uri
        name = uri.removeprefix(EMBEDDED)
        if not name or set(name) & set('/\\. "$*<>:|?'):
            raise BadInputError(f"{uri} names no database", hint="write embedded:NAME")
        if not self._own:
            self._own = EmbeddedMongod(self.folder).start()
        return self._own.uri(name)

    def stop(self) -> None:
        """Stop the case's own server, if it was started."""
        if self._own:
            self._own.stop()
            self._own = None
