"""What collections that the database lacks were made with: options and indexes, as the sources describe them."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.json_util import JSONMode, JSONOptions

from recovery_nb.compare.resolve import series_of
from recovery_nb.compare.result import Comparison
from recovery_nb.restore.plan import Action, Plan
from recovery_nb.sources.mongodb import Database

__all__ = ["collection_options", "structure_notes", "structures"]

_SHOWN = 20
"""How many collections a note names."""

_CANONICAL = JSONOptions(
    json_mode=JSONMode.CANONICAL, tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def _described(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Return by name what the most trusted source that describes a collection says, as canonical Extended JSON."""
    found: dict[str, dict[str, Any]] = {}
    for identifier in comparison.summary.sources:
        stated = comparison.sources[identifier].options
        for given, name in comparison.summary.placed.get(identifier, {}).items():
            if given in stated:
                found.setdefault(name, stated[given])
    return found


def collection_options(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Return options and indexes of each collection, from the most trusted source that records them.

    Every value has the BSON type that the source states.
    """
    return {
        name: json_util.loads(json.dumps(stated), json_options=_CANONICAL)
        for name, stated in _described(comparison).items()
    }


def structures(comparison: Comparison, database: Database, *, only: Collection[str] | None = None) -> dict[str, str]:
    """Return what the collections are made with that the sources describe and the database lacks.

    Views, collections without records and time-series (by their own name) are among them.

    Args:
        comparison: What was found.
        database: The database.
        only: The collections that records are chosen of; None where whatever is lost is wanted.

    Returns:
        By name, canonical Extended JSON of `{"options": …, "indexes": […]}`.

    Raises:
        ConnectionFailedError: The database does not answer.
    """
    there = database.collections(system=("system.js",))
    wanted = None if only is None else {series_of(name) for name in only}
    return {
        name: json.dumps(
            {"options": stated.get("options", {}), "indexes": stated.get("indexes", [])}, ensure_ascii=False
        )
        for name, stated in sorted(_described(comparison).items())
        if name not in there and (wanted is None or name in wanted)
    }


def structure_notes(plan: Plan, database: Database) -> list[str]:
    """Return which collections a plan makes of which no source tells what they were made with.

    Text formats keep no indexes and no options: what was unique, checked or capped is so no more. It is to be asked
    before the plan is applied.

    Args:
        plan: The plan.
        database: The database, as it is before.

    Returns:
        One line; none where every collection is there, or described.

    Raises:
        ConnectionFailedError: The database does not answer.
    """
    there = database.collections(system=("system.js",))
    made = {series_of(name) for name, counts in plan.collections.items() if counts.get(Action.INSERT)}
    bare = sorted(name for name in made - there.keys() - plan.structures.keys() if not name.startswith("system."))
    if not bare:
        return []
    more = f" (and {len(bare) - _SHOWN:,} more)" if len(bare) > _SHOWN else ""
    return [f"made with no indexes or options, since no source keeps any: {', '.join(bare[:_SHOWN])}{more}"]
