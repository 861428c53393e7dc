"""One colour for each kind of finding, the same in tables and plots."""

from __future__ import annotations

__all__ = ["COLOURS", "OTHER"]

COLOURS = {
    "identical": "#8fb7de",
    "present": "#8fb7de",
    "equivalent": "#c3d9ee",
    "changed": "#0b5cad",
    "missing": "#d1571a",
    "corrupt": "#22272e",
    "extra": "#6b4fbb",
    "duplicate": "#8a6d00",
    "success": "#1a7f37",
    "partial": "#8a6d00",
    "failed": "#b3261e",
    "pending": "#5f6b7a",
}
"""By finding, and by status."""

OTHER = "#5f6b7a"
