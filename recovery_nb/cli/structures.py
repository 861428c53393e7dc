"""Collections, time-series and views as such: what of them a database lacks, and what a restore made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recovery_nb.cli.console import Console
from recovery_nb.kinds import kinds

if TYPE_CHECKING:
    from recovery_nb.case import Case
    from recovery_nb.restore import Plan

__all__ = ["made_by", "print_kinds"]


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
