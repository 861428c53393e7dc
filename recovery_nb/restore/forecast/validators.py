"""What a collection's validator refuses: the server is asked, nothing is written.

https://www.mongodb.com/docs/manual/core/schema-validation/: level "strict" checks every write, "moderate" no
replacement of a record that the validator refuses already, "off" none; action "warn" refuses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pymongo.database import Database

from recovery_nb.errors import BadInputError
from recovery_nb.restore.forecast.indexes import unlike_simple
from recovery_nb.sources.oracle import matching

__all__ = ["Validator"]


@dataclass(frozen=True, slots=True)
class Validator:
    """A validator that can refuse a record.

    Attributes:
        query: What a record must match.
        moderate: Whether it leaves alone the replacement of a record that does not match as it is.
        collation: How strings compare in it, the collection's; None: by their bytes.
    """

    query: Mapping[str, Any]
    moderate: bool = False
    collation: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self | None:
        """Read it from a collection's options; None where nothing is refused."""
        query, level = options.get("validator"), options.get("validationLevel", "strict")
        if not query or level == "off" or options.get("validationAction", "error") == "warn":
            return None
        return cls(query, level == "moderate", unlike_simple(options.get("collation")))

    def accepts(self, records: Sequence[bytes], database: Database[Any]) -> list[bool]:
        """Return for each record whether it is accepted; one for which it cannot be evaluated is not.

        Raises:
            MissingRequirementError: The server is older than MongoDB 5.1.
            PyMongoError: The server does not answer.
        """
        try:
            return matching(database, records, self.query, collation=self.collation)
        except BadInputError:
            if len(records) == 1:
                return [False]
        half = len(records) // 2
        return [*self.accepts(records[:half], database), *self.accepts(records[half:], database)]
