"""Pictures that answer a question, as PNG: static, so that they survive every export.

Each is drawn from numbers that are counted elsewhere, on white, and says in words what it shows (`Picture.alt`).
"""

from __future__ import annotations

from recovery_nb.reports.plots.canvas import Picture
from recovery_nb.reports.plots.coverage import coverage
from recovery_nb.reports.plots.heatmap import heatmap
from recovery_nb.reports.plots.holdings import holdings
from recovery_nb.reports.plots.spans import Copy, Span, spans
from recovery_nb.reports.plots.timeline import timeline

__all__ = ["Copy", "Picture", "Span", "coverage", "heatmap", "holdings", "spans", "timeline"]
