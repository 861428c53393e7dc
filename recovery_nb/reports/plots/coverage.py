"""How much of each collection is intact? Shares of the backup's records."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.plots.canvas import (
    INK,
    Picture,
    beside,
    headline,
    hint,
    label,
    names,
    percent_axis,
    png,
    sheet,
)

__all__ = ["PARTS", "bar", "coverage", "intact"]

PARTS = ("identical", "equivalent", "changed", "missing", "corrupt")
"""What a backup's records can be, from good to bad."""

_QUESTION = "How much of each collection is intact?"
_MAX_BARS = 40
_NAMED = 5
_ROOM = 24
"""A bar of this share, in per cent, has room for a word in it."""


def coverage(counts: Mapping[str, Mapping[str, int]]) -> Picture:
    """Draw how much of each collection is intact, changed, missing or corrupt, as shares of the backup.

    Args:
        counts: By collection, the records by finding; "extra" and "duplicate" are not part of a backup's
            records and are left out. At most 40 collections are drawn, the worst first.
    """
    order = sorted(counts, key=lambda name: (intact(counts[name]), name))
    shown = order[:_MAX_BARS]
    figure, axes = sheet(height=1.35 + 0.42 * max(len(shown), 1))
    rest = f"(the worst {len(shown)} of {len(order):,})" if len(order) > len(shown) else ""
    headline(axes, _QUESTION, rest)
    names(axes, shown)
    percent_axis(axes)
    for row, name in enumerate(shown):
        bar(axes, row, counts[name])
    beside(axes, [f"{sum(counts[name].get(part, 0) for part in PARTS):,}" for name in shown])
    if not shown:
        hint(axes, "nothing was compared")
    found = [part for part in PARTS if any(counts[name].get(part, 0) for name in shown)]
    if found:
        handles = [axes.barh(-9, 0, color=COLOURS[part], label=part) for part in found]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(found), frameon=False)
    return Picture(png(figure), f"{_QUESTION} {_said(counts, order)}")


def bar(axes: Axes, row: int, count: Mapping[str, int], *, height: float = 0.62) -> None:
    """Draw one bar of shares, with how much is intact written in it where there is room."""
    whole = sum(count.get(part, 0) for part in PARTS)
    at = 0.0
    for part in PARTS:
        if not (share := 100 * count.get(part, 0) / max(whole, 1)):
            continue
        # A single lost record in a million is still seen.
        axes.barh(row, share, left=at, height=height, color=COLOURS[part], zorder=2, lw=0)
        if part not in {"identical", "equivalent"} and share < 0.3:
            axes.plot([at + share / 2] * 2, [row - height / 2, row + height / 2], color=COLOURS[part], lw=1.5, zorder=3)
        at += share
    if whole and (share := 100 * intact(count)) >= _ROOM:
        text = f"{_rounded(share)} intact"
        axes.text(share / 2, row, text, ha="center", va="center", fontsize=9, color=INK, zorder=4)


def intact(count: Mapping[str, int]) -> float:
    """Return which share of a backup's records the database has as they were; 1 where there are none."""
    whole = sum(count.get(part, 0) for part in PARTS)
    return (count.get("identical", 0) + count.get("equivalent", 0)) / whole if whole else 1.0


def _rounded(share: float) -> str:
    """Return a percentage rounded down: what is not wholly intact never reads as 100 %."""
    return f"{int(share * 10) / 10:.1f}%"


def _said(counts: Mapping[str, Mapping[str, int]], order: list[str]) -> str:
    if not order:
        return "Nothing was compared."
    harmed = [name for name in order if intact(counts[name]) < 1]
    if not harmed:
        return f"All records of {len(order):,} collections are intact."
    told = [f"{label(name, 120)} {_rounded(100 * intact(counts[name]))}" for name in harmed[:_NAMED]]
    more = f" and {len(harmed) - _NAMED:,} more" if len(harmed) > _NAMED else ""
    whole = len(order) - len(harmed)
    return f"Intact are: {', '.join(told)}{more}; {whole:,} of {len(order):,} collections wholly."
