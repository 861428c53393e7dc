"""What all pictures have in common: the sheet, its colours and letters, and how it becomes a PNG."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num, num2date
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

__all__ = [
    "GREY",
    "GRID",
    "INK",
    "Picture",
    "beside",
    "headline",
    "hint",
    "label",
    "later",
    "names",
    "percent_axis",
    "png",
    "sheet",
    "sooner",
    "time_axis",
]

INK, GREY, GRID = "#1f2933", "#4a5561", "#e6e9ec"
_AXIS = "#9aa5b1"
_MAX_LABEL = 32
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
_MARGIN = timedelta(days=1000)
_INSTANT = 1e-4
"""The shortest stretch that is drawn, in days."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it says.

    Attributes:
        png: The picture.
        alt: Its question and its finding, in words, for who cannot see it.
    """

    png: bytes
    alt: str


def sheet(*, height: float) -> tuple[Figure, Axes]:
    """Return a white sheet, nine inches wide and so many high, and its axes."""
    figure = Figure(figsize=(9.0, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_AXIS)
    axes.tick_params(colors=GREY, labelsize=9)
    axes.set_axisbelow(True)
    return figure, axes


def headline(axes: Axes, question: str, rest: str = "") -> None:
    """Write the question over a picture, and what is drawn behind it; neither is read as mathematics."""
    text = f"{question}  {rest}" if rest else question
    axes.set_title(text, loc="left", fontsize=11, fontweight="bold", color=INK, parse_math=False)


def names(axes: Axes, labels: list[str], *, most: int = _MAX_LABEL) -> None:
    """Write the names of the rows to the left of a picture; the first is at the top."""
    ticks: dict[str, Any] = {"parse_math": False, "color": INK}
    axes.set_yticks(range(len(labels)), [label(name, most) for name in labels], **ticks)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def beside(axes: Axes, texts: list[str]) -> None:
    """Write what belongs to the rows to the right of a picture; the first is at the top."""
    right = axes.twinx()
    right.set_yticks(range(len(texts)), texts, fontsize=8.5, color=GREY)
    right.set_ylim(max(len(texts), 1) - 0.5, -0.5)
    right.tick_params(axis="y", length=0)
    for spine in right.spines.values():
        spine.set_visible(False)


def time_axis(axes: Axes, first: datetime, last: datetime) -> None:
    """Let the horizontal axis be time, in UTC, from one moment to another; both stay within the calendar."""
    left, right = (float(date2num(min(max(moment, _FIRST), _LAST))) for moment in (first, last))
    right = max(right, left + _INSTANT)
    axes.set_xlim(left, right)
    if first > _FIRST + _MARGIN and last < _LAST - _MARGIN:
        locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
    else:  # there, matplotlib looks for ticks outside of the calendar
        ticks = [left + (right - left) * part / 4 for part in range(5)]
        axes.set_xticks(ticks, [f"{num2date(min(tick, right), tz=UTC):%Y-%m-%d}" for tick in ticks])


def percent_axis(axes: Axes) -> None:
    """Let the horizontal axis be shares of a whole."""
    axes.set_xlim(0, 100)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}%"))
    axes.grid(axis="x", color=GRID, zorder=0)


def hint(axes: Axes, text: str) -> None:
    """Say in the middle of a picture why it is empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, parse_math=False)


def label(name: str, most: int = _MAX_LABEL) -> str:
    """Return a name that comes from data as it can be drawn: on one line, of a bounded length.

    Of a long one the end is kept too: it is what tells a backup from the one of the day before.
    """
    plain = "".join(each if each.isprintable() else "·" for each in name)
    if len(plain) <= most:
        return plain
    end = most // 3
    return f"{plain[: most - end - 1]}…{plain[-end:]}"


def png(figure: Figure) -> bytes:
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # of letters that the font does not have: they are drawn as boxes
        warnings.simplefilter("ignore", UserWarning)
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def sooner(moment: datetime, span: timedelta) -> datetime:
    """Return a moment so long before another, within the calendar."""
    try:
        return moment - span
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def later(moment: datetime, span: timedelta) -> datetime:
    """Return a moment so long after another, within the calendar."""
    try:
        return moment + span
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
