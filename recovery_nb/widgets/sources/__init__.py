"""What a scan found, and which sources take part in what follows, chosen in a notebook."""

from __future__ import annotations

from recovery_nb.widgets.sources.picker import SourcePicker

__all__ = ["SourcePicker"]
