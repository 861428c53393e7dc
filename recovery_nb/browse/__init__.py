"""Looking through the differences of a comparison and picking from them: what a panel shows, with no panel in it."""

from __future__ import annotations

from recovery_nb.browse.browser import Browser, Facets, Page, Row
from recovery_nb.browse.masking import Masking
from recovery_nb.browse.view import View

__all__ = ["Browser", "Facets", "Masking", "Page", "Row", "View"]
