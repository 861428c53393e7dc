"""What guards a restore: it is of one selection, under the options that were previewed, confirmed, and done once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.restore import OnConflict, Plan, RestoreResult

__all__ = ["Decision", "Options", "Previewed"]

_SEPARATORS = re.compile(r"[\s,.'_\u2019\u00a0\u202f]")
"""What people write between the thousands of a number."""
_LONGEST_MARK = 200


@dataclass(frozen=True, slots=True)
class Options:
    """How a restore is done.

    Attributes:
        on_conflict: What to do where the database holds another version.
        transaction: Whether each batch is written as a whole or not at all.
        mark: The field that every restored record gets, with the time; "" for none.
    """

    on_conflict: OnConflict = OnConflict.SKIP
    transaction: bool = False
    mark: str = ""

    def changed(self, values: Mapping[str, Any]) -> Options:
        """Return them with what a browser sent.

        Raises:
            BadInputError: It sent what cannot be used.
        """
        conflict, mark = values.get("on_conflict", self.on_conflict), values.get("mark", self.mark)
        transaction = values.get("transaction", self.transaction)
        if conflict not in [*OnConflict]:
            raise BadInputError(f"{conflict!r:.60} is not known", hint=f"choose {', '.join(OnConflict)}")
        if not isinstance(mark, str) or len(mark) > _LONGEST_MARK:
            raise BadInputError("the mark is no name of a field", hint=f"write at most {_LONGEST_MARK} characters")
        if not isinstance(transaction, bool):
            raise BadInputError("the transaction is neither on nor off", hint="send true or false")
        return replace(self, on_conflict=OnConflict(conflict), transaction=transaction, mark=mark.strip())

    def as_dict(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {"on_conflict": self.on_conflict.value, "transaction": self.transaction, "mark": self.mark}


@dataclass(frozen=True, slots=True)
class Previewed:
    """A plan that was previewed, and of what.

    Attributes:
        revision: The revision of the selection.
        options: The options.
        plan: The plan.
        found: What would come of it.
        keys: The file that names what was selected.
    """

    revision: int
    options: Options
    plan: Plan
    found: RestoreResult
    keys: Path


@dataclass(slots=True)
class Decision:
    """What is about to be done.

    Attributes:
        options: How it is to be done.
        previewed: What was previewed and not yet done.
    """

    options: Options
    previewed: Previewed | None = None

    def is_fresh(self, revision: int) -> bool:
        """Return whether the preview is of this selection and these options."""
        one = self.previewed
        return one is not None and (one.revision, one.options) == (revision, self.options)

    def take(self, revision: int, *, digest: object, confirmation: object) -> Previewed:
        """Return what is to be done now, once: a second call finds nothing.

        Args:
            revision: The revision of the selection as it is now.
            digest: The digest of the plan that the browser showed.
            confirmation: What was typed.

        Raises:
            ConflictError: It is not what was previewed.
            BadInputError: It is not confirmed, or nothing would be written.
        """
        one = self.previewed
        if one is None or not self.is_fresh(revision) or digest != one.plan.digest:
            raise ConflictError("the selection has changed since the preview", hint="preview again")
        count = one.plan.to_write
        if not count:
            raise BadInputError("nothing would be written", hint="select other records, or another way with conflicts")
        if not isinstance(confirmation, str) or _SEPARATORS.sub("", confirmation) != str(count):
            raise BadInputError("the restore is not confirmed", hint=f"type {count:,} into the field")
        self.previewed = None
        return one
