"""When was data lost? Records by the time they were made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.plots.canvas import (
    GREY,
    GRID,
    INK,
    Picture,
    headline,
    hint,
    label,
    later,
    png,
    sheet,
    sooner,
    time_axis,
)
from recovery_nb.reports.windows import Buckets, loss_window

__all__ = ["timeline"]

_QUESTION = "When was data lost?"


def timeline(buckets: Buckets, *, subject: str) -> Picture:
    """Draw when the records that are present, changed and missing were made, in UTC.

    The window of the loss is shaded only if it is clear: see `windows.loss_window`.

    Args:
        buckets: The records by time.
        subject: What is drawn: "quotes by created_at".
    """
    figure, axes = sheet(height=3.6)
    headline(axes, _QUESTION, f"{label(subject, 70)} ({buckets.unit}, UTC)")
    axes.set_ylabel("records", color=GREY)
    said = finding(buckets)
    if buckets.starts:
        _columns(axes, buckets)
        _window(axes, buckets)
        axes.legend(loc="upper left", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
        figure.supxlabel(said, x=0.01, ha="left", fontsize=9, color=INK)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y", color=GRID, zorder=0)
    else:
        hint(axes, said)
    return Picture(png(figure), f"{_QUESTION} {subject} ({buckets.unit}, UTC): {said}.")


def finding(buckets: Buckets) -> str:
    """Return what a picture of these shows, in words."""
    if not buckets.starts:
        return "no record has a time"
    lost, whole = _counts(buckets, 0, len(buckets.starts) - 1)
    far = f"; {buckets.outside:,} far off not drawn ({buckets.outside_missing:,} missing)" if buckets.outside else ""
    window = loss_window(buckets)
    if window is None:
        where = ", in no single window" if lost else ""
        return f"{lost:,} of {whole:,} records missing{where}{far}"
    begin, until = _shown(buckets, *window)
    lost, whole = _counts(buckets, *window)
    return f"loss window {begin} to {until} UTC: {lost:,} of {whole:,} records missing{far}"


def _counts(buckets: Buckets, first: int, last: int) -> tuple[int, int]:
    lost, here, altered = (sum(part[first : last + 1]) for part in (buckets.missing, buckets.present, buckets.changed))
    return lost, lost + here + altered


def _shown(buckets: Buckets, first: int, last: int) -> tuple[str, str]:
    begin, end = buckets.starts[first], buckets.end(last)
    if buckets.step < timedelta(minutes=1):
        return f"{begin:%-d %b %Y %H:%M:%S}", f"{end:%-d %b %Y %H:%M:%S}"
    if buckets.step < timedelta(days=1):
        return f"{begin:%-d %b %Y %H:%M}", f"{end:%-d %b %Y %H:%M}"
    return f"{begin:%-d %b %Y}", f"{end - timedelta(days=1):%-d %b %Y}"


def _columns(axes: Axes, buckets: Buckets) -> None:
    starts = [date2num(start) for start in buckets.starts]
    step = buckets.step / timedelta(days=1)
    bars: dict[str, Any] = {"width": step * 0.92, "align": "edge", "zorder": 2, "lw": 0}
    below = [0] * len(starts)
    for part, heights in (("present", buckets.present), ("changed", buckets.changed), ("missing", buckets.missing)):
        if part != "changed" or any(heights):
            axes.bar(starts, heights, bottom=below, color=COLOURS[part], label=part, **bars)
            below = [low + height for low, height in zip(below, heights, strict=True)]
    half = buckets.step / 2
    time_axis(axes, sooner(buckets.starts[0], half), later(buckets.end(len(starts) - 1), half))
    axes.set_ylim(0, 1.16 * max(below))  # room for the legend


def _window(axes: Axes, buckets: Buckets) -> None:
    """Shade the window of the loss, if it is clear."""
    window = loss_window(buckets)
    if window is not None:
        begin, end = buckets.starts[window[0]], buckets.end(window[1])
        axes.axvspan(
            float(date2num(begin)), float(date2num(end)), facecolor=COLOURS["missing"], alpha=0.12, zorder=1, lw=0
        )
