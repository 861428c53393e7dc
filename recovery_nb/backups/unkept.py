"""What the json layout does not keep of a database: it holds records, and nothing of what they were kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recovery_nb.backups.structure import kind_of
from recovery_nb.sources.mongodb import Database

__all__ = ["unkept", "unkept_note", "unkept_stated"]

_SHOWN = 20
"""How many collections a note names."""

_STATED = 100
"""How many a backup's metadata names: what reads it takes no metadata of more than 1 MiB, checksum and all."""

_TEXT_BYTES = 300
"""So much of what is said of one collection is stated there."""

_OF_KIND = frozenset(("capped", "size", "max", "clusteredIndex", "timeseries", "viewOn", "pipeline"))
"""Options that make a collection what it is: the kind says as much."""

_KINDS = {"view": "a view", "timeseries": "a time-series", "capped": "capped", "clustered": "clustered"}
_LEVELS = frozenset(("validationLevel", "validationAction"))
"""Options of a validator, which is named."""


def unkept(database: Database, entries: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int]) -> dict[str, str]:
    """Return what a restore from records alone would not make again.

    Args:
        database: Where the collections are.
        entries: By collection, its `listCollections` entry.
        counts: By collection, how many records of it were written; a view has none.

    Returns:
        By collection, what a reader of the records would not know of it, as it follows the name in a sentence.

    Raises:
        ConnectionFailedError: The database does not answer, or does not allow it.
    """
    found = {}
    for name, entry in sorted(entries.items()):
        kind, options = kind_of(entry), entry.get("options") or {}
        being = [_KINDS[kind]] if kind in _KINDS else []
        being += ["empty"] if counts.get(name) == 0 else []
        having = _options(options)
        if kind != "view" and (indexes := _indexes(database.indexes(name))):
            having.append(indexes)
        parts = [f"is {_listed(being)}" if being else "", f"has {_listed(having)}" if having else ""]
        if told := " and ".join(filter(None, parts)):
            found[name] = told
    return found


def unkept_note(found: Mapping[str, str]) -> list[str]:
    """Return the one line that says it; none where nothing is lost."""
    if not found:
        return []
    told = ", ".join(f"{name} {what}" for name, what in list(found.items())[:_SHOWN])
    more = f" (and {len(found) - _SHOWN:,} more collections)" if len(found) > _SHOWN else ""
    return [f"{told}{more}: the json format keeps records only; take the bson format to keep them"]


def unkept_stated(found: Mapping[str, str]) -> dict[str, str]:
    """Return what a backup's metadata states of it: a bounded part."""
    return {name: what[:_TEXT_BYTES] for name, what in list(found.items())[:_STATED]}


def _options(options: Mapping[str, Any]) -> list[str]:
    known = {"validator": "a validator", "collation": "a collation"}
    others = sorted(options.keys() - known.keys() - _OF_KIND - _LEVELS)
    told = [text for name, text in known.items() if options.get(name)]
    return told + ([f"the option{'s' * (len(others) > 1)} {', '.join(others)}"] if others else [])


def _indexes(indexes: Sequence[Mapping[str, Any]]) -> str:
    """Return what is to be said of indexes; the one on `_id` every collection has."""
    own = [one for one in indexes if one.get("name") != "_id_" and not one.get("clustered")]
    unique = sum(bool(one.get("unique")) for one in own)
    if not own:
        return ""
    if len(own) == 1:
        return "a unique index" if unique else "an index"
    return f"{len(own):,} indexes" + (f", {unique:,} of them unique" if unique else "")


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
