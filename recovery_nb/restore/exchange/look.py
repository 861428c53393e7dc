"""Looking at what is there, where a reply was lost."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.errors import ConnectionFailure

from recovery_nb.restore.exchange.change import CHANGED, DONE, Item, Verdicts, as_expected
from recovery_nb.restore.target import Target

__all__ = ["gave_up", "look", "look_after_loss"]


def look(target: Target, collection: str, items: Sequence[Item], verdicts: Verdicts) -> list[Item]:
    """Give every change its verdict from what is there now; return those that are still as expected."""
    found = target.read(collection, [change.id for _, change in items])
    same = []
    for place, change in items:
        there = found.get(change.place)
        if there == change.wanted:
            verdicts[place] = DONE
        elif as_expected(there, change):
            same.append((place, change))
        else:
            verdicts[place] = CHANGED
    return same


def look_after_loss(target: Target, collection: str, items: Sequence[Item], verdicts: Verdicts) -> list[Item]:
    """Look as `look` does, once the server takes writes again: a former primary may be behind, or ahead.

    Raises:
        ConnectionFailedError: It is no longer the primary, and stays so.
    """
    target.ensure_primary()
    return look(target, collection, items, verdicts)


def gave_up() -> ConnectionFailure:
    """Return what is raised when looking and sending again has come to no end."""
    return ConnectionFailure("the connection was lost again and again")
