"""The numbers behind the pictures, as dataframes: views for eyes, never the source of a write."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from recovery_nb.case import Case
from recovery_nb.compare import brackets as losses
from recovery_nb.compare import tallies
from recovery_nb.compare.composition import composition
from recovery_nb.compare.result import Comparison
from recovery_nb.reports.holding import Holding
from recovery_nb.widgets.timeline import timeline

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["backups", "changes", "holdings", "structure", "when"]


def when(case: Case, found: Comparison, collection: str, *, field: str = "") -> pd.DataFrame:
    """Return when a collection's records were made: one row a bucket, with what is present, changed and missing.

    Raises:
        RecoveryError: As `widgets.timeline.timeline`.
    """
    return timeline(case, found, collection, field=field).to_pandas()


def changes(found: Comparison) -> pd.DataFrame:
    """Return which fields differ: one row a field and status, with its records and their share in per cent.

    A share is of the collection's records of that status.
    """
    frame = tallies.frame(tallies.changed_fields(found), ["collection", "field", "status", "records"])
    counts = found.summary.collections
    whole = [counts[name][status] for name, status in zip(frame["collection"], frame["status"], strict=True)]
    return frame.assign(percent=100 * frame["records"] / whole if whole else frame["records"])


def holdings(found: Comparison) -> pd.DataFrame:
    """Return what each source holds of each collection: see `reports.holding.Holding`."""
    return tallies.frame(tallies.holdings(found), [one.name for one in fields(Holding)])


def backups(found: Comparison) -> pd.DataFrame:
    """Return between which copies the missing records were lost: see `compare.brackets.Bracket`.

    Sources are called by their names; the database is the witness of what no copy lacks.
    """
    frame = tallies.frame(losses.brackets(found), [one.name for one in fields(losses.Bracket)])
    named = {"": "the database", **tallies.titles(found.sources)}
    return frame.assign(holder=frame["holder"].map(named), witness=frame["witness"].map(named))


def structure(case: Case, found: Comparison, collection: str) -> pd.DataFrame:
    """Return how a collection is built: one row a field, with its share and types in the database and in a backup.

    Raises:
        RecoveryError: As `compare.composition.composition`.
    """
    return composition(found, case.database, case.catalog, collection).to_pandas()
