"""Pictures that answer a question, as PNG bytes: static, so that they survive every export."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.windows import Buckets, bucket, loss_window

__all__ = ["coverage", "timeline"]

_PARTS = ("identical", "equivalent", "changed", "missing", "corrupt")
_INK, _GREY, _GRID = "#1f2933", "#4a5561", "#e6e9ec"
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_MAX_BARS = 40
_MAX_LABEL = 32


def coverage(counts: Mapping[str, Mapping[str, int]]) -> bytes:
    """Draw how much of each collection is intact, changed, missing or corrupt, as shares of the backup.

    Args:
        counts: By collection, the records by finding; "extra" and "duplicate" are not part of a backup's
            records and are left out. At most 40 collections are drawn, the worst first.

    Returns:
        A PNG.
    """
    names = sorted(counts, key=lambda name: (_intact(counts[name]), name))
    shown = names[:_MAX_BARS]
    figure, axes = _figure(height=1.35 + 0.42 * max(len(shown), 1))
    left = len(names) - len(shown)
    axes.set_title(
        "How much of each collection is intact?" + (f"  (the worst {len(shown)} of {len(names):,})" if left else ""),
        **_title(),
    )
    for row, name in enumerate(shown):
        _bar(axes, row, counts[name])
    axes.set_yticks(range(len(shown)), [_label(name) for name in shown], parse_math=False, color=_INK)
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}%"))
    axes.grid(axis="x", color=_GRID, zorder=0)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if not shown:
        axes.text(50, 0, "nothing was compared", ha="center", va="center", color=_GREY)
    found = [part for part in _PARTS if any(counts[name].get(part, 0) for name in shown)]
    if found:
        handles = [axes.barh(-9, 0, color=COLOURS[part], label=part) for part in found]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(found), frameon=False)
    return _png(figure)


def timeline(present: Sequence[datetime], missing: Sequence[datetime], *, title: str) -> bytes:
    """Draw when the records that are present and those that are missing were made, in UTC.

    The window of the loss is shaded only if it is clear: see `windows.loss_window`.

    Args:
        present: The times of records in the database; one without a zone is taken as UTC.
        missing: The times of records that are missing from it.
        title: What is drawn, after the question: "quotes by created_at".

    Returns:
        A PNG.
    """
    buckets = bucket(present, missing)
    figure, axes = _figure(height=3.6)
    axes.set_title(f"When was data lost?  {_label(title, 70)} ({buckets.unit}, UTC)", **_title())
    axes.set_ylabel("records", color=_GREY)
    if buckets.starts:
        _columns(axes, buckets)
        _loss(axes, buckets)
        figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9, labelcolor=_INK)
    else:
        axes.set_xticks([])
        axes.text(0.5, 0.5, "no record has a time", transform=axes.transAxes, ha="center", color=_GREY)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="y", color=_GRID, zorder=0)
    return _png(figure)


def _columns(axes: Axes, buckets: Buckets) -> None:
    starts = [date2num(start) for start in buckets.starts]
    step = buckets.step / timedelta(days=1)
    bars: dict[str, Any] = {"width": step * 0.92, "align": "edge", "zorder": 2}
    axes.bar(starts, buckets.present, color=COLOURS["present"], label="present", **bars)
    axes.bar(starts, buckets.missing, bottom=buckets.present, color=COLOURS["missing"], label="missing", **bars)
    axes.set_xlim(max(starts[0] - step / 2, date2num(_FIRST)), min(starts[-1] + step * 1.5, date2num(_LAST)))
    axes.set_ylim(bottom=0)
    locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))


def _loss(axes: Axes, buckets: Buckets) -> None:
    """Say in the legend how much is lost, and shade the window if it is clear."""
    lost, whole = sum(buckets.missing), sum(buckets.missing) + sum(buckets.present)
    window = loss_window(buckets)
    if window is None:
        where = ", in no single window" if lost else ""
        axes.plot([], [], linestyle="none", label=f"{lost:,} of {whole:,} records missing{where}")
        return
    first, last = window
    begin, end = buckets.starts[first], buckets.end(last)
    lost = sum(buckets.missing[first : last + 1])
    whole = lost + sum(buckets.present[first : last + 1])
    days = buckets.step >= timedelta(days=1)
    stamp = "%-d %b %Y" if days else "%-d %b %Y %H:%M"
    until = end - timedelta(days=1) if days else end
    axes.axvspan(
        float(date2num(begin)),
        float(date2num(end)),
        facecolor=COLOURS["missing"],
        alpha=0.12,
        zorder=1,
        lw=0,
        label=f"loss window {begin:{stamp}} to {until:{stamp}} UTC: {lost:,} of {whole:,} records missing",
    )


def _bar(axes: Axes, row: int, count: Mapping[str, int]) -> None:
    whole = sum(count.get(part, 0) for part in _PARTS)
    at = 0.0
    for part in _PARTS:
        if not (share := 100 * count.get(part, 0) / max(whole, 1)):
            continue
        # A single lost record in a million is still seen.
        axes.barh(row, share, left=at, height=0.62, color=COLOURS[part], zorder=2, lw=0)
        if part not in {"identical", "equivalent"} and share < 0.3:
            axes.plot([at + share / 2] * 2, [row - 0.31, row + 0.31], color=COLOURS[part], lw=1.5, zorder=3)
        at += share
    if whole and (intact := 100 * _intact(count)) >= 18:
        # Rounded down: what is not wholly intact never reads as 100 %.
        text = f"{int(intact * 10) / 10:.1f}% intact"
        axes.text(intact / 2, row, text, ha="center", va="center", fontsize=9, color=_INK, zorder=4)
    axes.text(1.01, row, f"{whole:,}", transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=_GREY)


def _intact(count: Mapping[str, int]) -> float:
    whole = sum(count.get(part, 0) for part in _PARTS)
    return (count.get("identical", 0) + count.get("equivalent", 0)) / whole if whole else 1.0


def _figure(*, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9.0, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9aa5b1")
    axes.tick_params(colors=_GREY, labelsize=9)
    axes.set_axisbelow(True)
    return figure, axes


def _title() -> dict[str, Any]:
    return {"loc": "left", "fontsize": 11, "fontweight": "bold", "color": _INK, "parse_math": False}


def _label(name: str, most: int = _MAX_LABEL) -> str:
    """Names are data: no control characters, one line, a bounded length."""
    plain = "".join(each if each.isprintable() else "·" for each in name)
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
