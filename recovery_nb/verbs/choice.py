"""Which of a case's sources take part where none are named: the choice is kept in the case, for other sessions, too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from recovery_nb.audit.values import printable
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.files import write_json, writing
from recovery_nb.verbs.asked import texts
from recovery_nb.verbs.context import Context

__all__ = ["catalogued_ids", "choose_sources", "left_out", "without_left_out"]

_CHOICE = "sources.json"
_TOLD = 20
"""How many sources that are left out a comparison names; it counts the others."""
_LOGGED = 1_000
"""How many of their ids are logged; the file holds all."""


def without_left_out(context: Context, entries: Sequence[SourceEntry]) -> tuple[list[SourceEntry], list[str]]:
    """Return the sources that take part, and a line for what was left out by choice.

    Raises:
        BadInputError: All of them are left out, or the choice cannot be read.
    """
    out = left_out(context.folder)
    chosen = [entry for entry in entries if entry.id not in out]
    if entries and not chosen:
        raise BadInputError(
            f"no source takes part: {len(entries):,} of {len(entries):,} are left out by choice",
            hint="choose sources, or name those to compare with",
        )
    gone = [printable(entry.path) for entry in entries if entry.id in out]
    notes = [f"left out by choice: {path}" for path in gone[:_TOLD]]
    more = [f"left out by choice: {len(gone) - _TOLD:,} more sources"] if len(gone) > _TOLD else []
    return chosen, [*notes, *more]


def left_out(folder: Path) -> frozenset[str]:
    """Return the ids of the sources that are left out by choice.

    Args:
        folder: The case's folder.

    Raises:
        BadInputError: The file of the choice cannot be read: nothing is guessed in its place.
    """
    path = folder / _CHOICE
    try:
        ids = json.loads(path.read_bytes())["left_out"]
        if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
            raise TypeError("its left_out is no list of ids")
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise BadInputError(
            f"which sources take part cannot be read from {path} ({type(error).__name__})",
            hint="choose the sources again, or name those to compare with",
        ) from None
    return frozenset(ids)


def catalogued_ids(catalog: Catalog) -> frozenset[str]:
    """Return the ids of everything in the catalog."""
    return frozenset(path.parent.name for path in catalog.folder.glob("*/source.json"))


def choose_sources(context: Context, ids: Iterable[str] | None) -> None:
    """Keep in the case which sources take part, as `Case.choose_sources` describes it.

    Args:
        context: What the case lends.
        ids: Those that do; None for all.

    Raises:
        BadInputError: There is something else than ids.
        RecoveryError: It cannot be logged, or not be written; then the choice is as it was.
    """
    known = catalogued_ids(context.catalog)
    wanted = known if ids is None else known & set(texts(ids, "the sources"))
    out = sorted(known - wanted)
    context.audit.append("sources chosen", taken=len(wanted), left_out=out[:_LOGGED], left_out_total=len(out))
    path = context.folder / _CHOICE
    try:
        with writing(path):
            write_json(path, {"left_out": out})
    except RecoveryError as error:
        context.failed("sources chosen", error)
        raise
