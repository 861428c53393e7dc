"""Which fields changed? Fields by collections, as shares of the records that changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.plots.canvas import GREY, INK, Picture, headline, hint, label, names, png, sheet

__all__ = ["heatmap"]

_QUESTION = "Which fields changed?"
_MAX_FIELDS, _MAX_COLLECTIONS = 15, 10
_SHADES = LinearSegmentedColormap.from_list(
    "changed", [(0, "#f1f6fb"), (0.25, "#c3d9ee"), (0.5, "#8fb7de"), (1, COLOURS["changed"])]
)
_NONE = "#f7f8f9"
_DARK = 75
"""From this share on, white letters read better than dark ones."""
_TOLD = 3
_LONG = 12


def heatmap(fields: Mapping[str, Mapping[str, int]], changed: Mapping[str, int]) -> Picture:
    """Draw which fields changed, in per cent of the changed records of each collection.

    The 15 fields that changed most often are drawn, and the 10 collections with the most changed records.

    Args:
        fields: By collection and field, in how many of its changed records the field differs.
        changed: By collection, how many of its records changed.
    """
    every: Counter[str] = Counter()
    for counts in fields.values():
        every.update(counts)
    order = [name for name, _ in sorted(every.items(), key=lambda item: (-item[1], item[0]))]
    lossy = sorted((name for name in changed if changed[name]), key=lambda name: (-changed[name], name))
    rows, columns = order[:_MAX_FIELDS], lossy[:_MAX_COLLECTIONS]
    figure, axes = sheet(height=1.6 + 0.31 * max(len(rows), 2))
    cut = [
        f"the first {len(shown)} of {len(whole):,} {what}"
        for shown, whole, what in ((rows, order, "fields"), (columns, lossy, "collections"))
        if len(shown) < len(whole)
    ]
    headline(axes, _QUESTION, "% of changed records" + (f"  ({', '.join(cut)})" if cut else ""))
    if rows and columns:
        shares = np.array(
            [[100 * fields.get(name, {}).get(row, 0) / changed[name] for name in columns] for row in rows]
        )
        names(axes, rows, most=40)
        axes.set_facecolor(_NONE)
        shades = np.ma.masked_equal(shares, 0)
        axes.pcolormesh(np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5, shades,
                        cmap=_SHADES, vmin=0, vmax=100, edgecolors="white", linewidth=1.5)  # fmt: skip
        for (row, column), share in np.ndenumerate(shares):
            ink = "white" if share > _DARK else INK if share else GREY
            axes.text(column, row, _percent(share), ha="center", va="center", fontsize=9, color=ink)
        labels = [f"{label(name, 22)}\n{changed[name]:,} changed" for name in columns]
        tilted = len(columns) > 6 or (len(columns) > 3 and any(len(name) > _LONG for name in columns))
        slant: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if tilted else {}
        axes.set_xticks(range(len(columns)), labels, parse_math=False, color=INK, **slant)
        axes.tick_params(axis="x", length=0)
        axes.spines["bottom"].set_visible(False)
    else:
        hint(axes, "no record differs in a field")
    return Picture(png(figure), f"{_QUESTION} {_said(fields, changed)}")


def _percent(share: float) -> str:
    """Return a percentage in whole numbers that neither hides one record nor the lack of one."""
    if not share:
        return "·"
    return "<1%" if share < 1 else ">99%" if 99.5 <= share < 100 else f"{share:.0f}%"


def _said(fields: Mapping[str, Mapping[str, int]], changed: Mapping[str, int]) -> str:
    cells = [
        (count, name, field) for name, counts in fields.items() for field, count in counts.items() if changed.get(name)
    ]
    if not cells:
        return "No record differs in a field."
    told = [
        f"{label(field, 120)} in {_percent(100 * count / changed[name])} of the {changed[name]:,} changed records "
        f"of {label(name, 120)}"
        for count, name, field in sorted(cells, key=lambda cell: (-cell[0], cell[1:]))[:_TOLD]
    ]
    return f"Most often: {'; '.join(told)}."
