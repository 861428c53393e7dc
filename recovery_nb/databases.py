"""Which of the databases that a dump holds is the one that is compared: records of two are never mixed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.errors import BadInputError
from recovery_nb.sources.base import Kind

__all__ = ["of_one_database"]

_STATED = (Kind.DUMP, Kind.ARCHIVE, Kind.OPLOG)
"""What says which database it is of."""


def of_one_database(
    entries: Sequence[SourceEntry], database: str, named: Iterable[str | Path]
) -> tuple[list[SourceEntry], list[str]]:
    """Return the sources that are compared with a database, and what is said of those that are not.

    Of the databases that lie side by side in one dump, that of the database's own name is taken. What the user
    named by its own path is taken whatever it is called.

    Args:
        entries: Catalogued sources.
        database: The database's name.
        named: What the user named.

    Raises:
        BadInputError: Several databases lie side by side, and none has that name.
    """
    own = {Path(name).absolute() for name in named}
    groups: dict[Path, list[SourceEntry]] = defaultdict(list)
    for entry in entries:
        if entry.kind in _STATED and entry.path not in own:
            groups[entry.path.parent].append(entry)
    left_out: set[str] = set()
    notes: list[str] = []
    for place, group in groups.items():
        origins = {entry.origin for entry in group}
        if len(origins) < 2:
            continue
        if database not in origins:
            raise BadInputError(
                f"{place} holds several databases ({', '.join(sorted(origins))}), and none is called {database}",
                hint=f"name the one that is meant by its path: {group[0].path}",
            )
        for entry in group:
            if entry.origin != database:
                left_out.add(entry.id)
                notes.append(f"left out: {entry.path}, which is of the database {entry.origin}")
    return [entry for entry in entries if entry.id not in left_out], notes
