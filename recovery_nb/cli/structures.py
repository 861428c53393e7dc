"""Collections, time-series and views as such: what of them a database lacks, and what a restore made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from recovery_nb.cli.console import Console

if TYPE_CHECKING:
    from recovery_nb.case import Case
    from recovery_nb.restore import Plan

__all__ = ["kinds", "made_by", "print_kinds"]

_KINDS = {"timeseries": "time-series", "viewOn": "view", "capped": "capped collection"}
"""What a user calls it, by the option that makes it so."""


def kinds(structures: Mapping[str, str]) -> dict[str, str]:
    """Return by name what each structure is: a "collection", a "capped collection", a "time-series" or a "view".

    Args:
        structures: By name, as a plan holds them.
    """
    return {name: _kind(text) for name, text in structures.items()}


def _kind(structure: str) -> str:
    options = json.loads(structure)["options"]
    return next((kind for name, kind in _KINDS.items() if options.get(name)), "collection")


def made_by(plan: Plan, case: Case, *, dry_run: bool) -> dict[str, str]:
    """Return by name what a restore made of its plan, or would make: it was not there before, and is now."""
    told = kinds(plan.structures)
    if dry_run or not told:
        return told
    there = case.database.collections(system=("system.js",))
    return {name: kind for name, kind in told.items() if name in there}


def print_kinds(console: Console, found: Mapping[str, str], lead: str) -> None:
    """Say which collections, time-series and views are meant: some of them may hold no record."""
    if found:
        names = (name if kind == "collection" else f"{name} (a {kind})" for name, kind in found.items())
        console.say(f"{lead}, as the sources describe it: {', '.join(names)}")
