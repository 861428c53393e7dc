"""Under which databases and names a server takes records: what it would refuse is said before anything is written.

The rules are those of `NamespaceString::validCollectionName` and `userAllowedCreateNS` in the server's source, and of
the driver, which opens no collection with an empty part in its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from recovery_nb.errors import BadInputError
from recovery_nb.restore.structure import BUCKETS, Structure, shown

__all__ = ["check_names"]

_SERVERS_OWN = frozenset({"admin", "config", "local"})
_FUNCTIONS = "system.js"
_LONGEST = 255
"""Of the names of database and collection and the dot between them, in bytes; since MongoDB 4.4."""
_QUOTED = 40
"""How much of a name that is too long is shown, in characters."""


def check_names(
    database: str, label: str, there: Mapping[str, Mapping[str, Any]], *, names: Iterable[str],
    structures: Mapping[str, str],
) -> None:  # fmt: skip
    """Check that a database can be written, and that every collection can take records.

    Args:
        database: Its name.
        label: What to call it in an error.
        there: Its `listCollections` entries, by name.
        names: The collections that are written. A time-series is written through its buckets, `system.buckets.NAME`.
        structures: The `structure` of those that are to be created, by the name that users know.

    Raises:
        BadInputError: The database is the server's own; or a collection is a view, a time-series or the server's own,
            or is to be created under a name that no server takes.
    """
    if database in _SERVERS_OWN:
        raise BadInputError(
            f"{label} is the server's own database, and what is written there could not be undone",
            hint="restore into another database (--target-db)",
        )
    for name in names:
        user = shown(name)
        entry = there.get(user)
        kind = entry["type"] if entry else Structure.parse(structures.get(user, "")).kind
        if kind == "view":
            base = entry["options"].get("viewOn", "") if entry else ""
            raise BadInputError(
                f"{name} in {label} is a view and holds no records",
                hint=f"restore into the collection that it shows{base and ', ' + base}, or name a --target-collection",
            )
        if kind == "timeseries" and not name.startswith(BUCKETS):
            raise BadInputError(
                f"{name} in {label} is a time-series, which is restored by its buckets",
                hint=f"restore {BUCKETS}{name}, or name a --target-collection",
            )
        if kind != "timeseries" and name.startswith(BUCKETS):
            raise BadInputError(
                f"{user} in {label} is no time-series, and {name} holds the buckets of one",
                hint=f"create the time-series {user} first",
            )
        _check_name(database, label, name, exists=entry is not None)
    for name, text in structures.items():
        if name not in there and Structure.parse(text).kind != "view":  # a view that cannot be made costs nothing else
            _check_name(database, label, name, exists=False)


def _check_name(database: str, label: str, name: str, *, exists: bool) -> None:
    user = shown(name)
    if not user or "$" in name or (user.startswith("system.") and name != _FUNCTIONS):
        raise BadInputError(
            f"{name or 'a collection without a name'} in {label} is not for records", hint="name a --target-collection"
        )
    if reason := _refused(database, user, exists=exists):
        quoted = user if len(user) <= _QUOTED else f"{user[:_QUOTED]}…"
        raise BadInputError(
            f"{quoted if quoted.isprintable() else ascii(quoted)} in {label} cannot be a collection's name: {reason}",
            hint="name a --target-collection",
        )


def _refused(database: str, name: str, *, exists: bool) -> str:
    """Return why no collection can be called so, or "".

    Args:
        database: The database's name.
        name: What users would call the collection; that of a time-series' buckets may be longer.
        exists: Whether there is one: then the server has taken the name.
    """
    try:
        own, most = len(name.encode()), _LONGEST - len(database.encode()) - 1
    except UnicodeEncodeError:
        return "it is not text"
    if "\0" in name:
        return "it holds a NUL"
    if not all(name.split(".")):
        return "it begins or ends with a dot, or has two in a row"
    if not exists and ".system." in name:
        return "servers keep names with .system. in them for themselves"
    if not exists and own > most:
        return f"it has {own:,} bytes, and in {database} a server takes {most} at most"
    return ""
