"""The analyst's desk: look through what differs, compare versions, restore, and undo it, in a notebook."""

from __future__ import annotations

from recovery_nb.widgets.desk.desk import Desk

__all__ = ["Desk"]
