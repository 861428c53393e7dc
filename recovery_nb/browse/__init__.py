"""Looking through the differences of a comparison and picking from them: what a panel shows, with no panel in it."""

from __future__ import annotations
