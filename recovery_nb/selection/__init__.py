"""From differences to the records that someone wants back: the analyst's choice, read again from the sources."""

from __future__ import annotations

from recovery_nb.selection.choices import Choice, Keys, read_keys
from recovery_nb.selection.choosing import select
from recovery_nb.selection.loading import planned_bytes
from recovery_nb.selection.picking import RESTORABLE
from recovery_nb.selection.query import read_query
from recovery_nb.selection.structures import collection_options, structure_notes, structures

__all__ = [
    "RESTORABLE",
    "Choice",
    "Keys",
    "collection_options",
    "planned_bytes",
    "read_keys",
    "read_query",
    "select",
    "structure_notes",
    "structures",
]
