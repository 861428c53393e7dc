"""Which backup is the newest before the loss? When copies were taken, and between which of them records were lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from matplotlib.axes import Axes
from matplotlib.dates import date2num

from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.plots.canvas import (
    GREY,
    GRID,
    INK,
    Picture,
    beside,
    headline,
    hint,
    later,
    names,
    png,
    sheet,
    sooner,
    time_axis,
)

__all__ = ["Copy", "Span", "spans"]

_QUESTION = "Which backup is the newest before the loss?"
_MAX_COPIES, _MAX_LOSSES = 14, 8
_DATABASE = "the database"
_DAY = timedelta(days=1)
_ROOM = 0.04


@dataclass(frozen=True, slots=True)
class Copy:
    """A source, as the picture shows it.

    Attributes:
        name: What it is called.
        taken_at: When it was read from the database, UTC.
        certain: Whether it says so itself; a file's name and modification time are hearsay.
        holds: How many of the missing records it holds.
    """

    name: str
    taken_at: datetime
    certain: bool
    holds: int


@dataclass(frozen=True, slots=True)
class Span:
    """Records of one collection that were lost between two moments.

    Attributes:
        collection: The collection, as people call it.
        after: They were still there: when the newest copy that holds them was taken, UTC.
        before: They were gone: when the next copy that lacks them was taken, or the database was read.
        records: How many they are.
    """

    collection: str
    after: datetime
    before: datetime
    records: int


def spans(
    copies: Sequence[Copy],
    lost: Sequence[Span],
    *,
    read_at: datetime,
    missing: int,
    made: Mapping[str, tuple[datetime, datetime]] | None = None,
    said: str = "",
) -> Picture:
    """Draw when the copies were taken and, below them, between which moments each collection lost its records.

    The stretch in which most records were lost is shaded from top to bottom.

    Args:
        copies: The sources, in any order. At most 14 are drawn, those that are about the losses first.
        lost: The losses; of at most 8 collections, those that lost most.
        read_at: When the database was read, which is the last word on what is lost.
        missing: How many records are missing.
        made: By collection, when the first and the last of its missing records was made, where that is known.
        said: The finding, in words.
    """
    shown = _shown(copies, lost)
    order: dict[str, int] = {}
    for one in lost:
        order[one.collection] = order.get(one.collection, 0) + one.records
    rows = sorted(order, key=lambda name: (-order[name], name))[:_MAX_LOSSES]
    figure, axes = sheet(height=1.5 + 0.33 * (len(shown) + len(rows) + 2))
    cut = f"({len(shown)} of {len(copies):,} sources)" if len(shown) < len(copies) else ""
    headline(axes, _QUESTION, f"{cut} (UTC)".strip())
    if not shown or not lost:
        hint(axes, "no record is missing" if shown else "there is no source")
        return Picture(png(figure), f"{_QUESTION} {said or 'No record is missing.'}")
    names(axes, [*(one.name for one in shown), _DATABASE, "", *rows], most=36)
    right = max([read_at, *(one.before for one in lost)])
    begun = min([right, *(one.after for one in lost)])
    left = max(min([begun, *(one.taken_at for one in shown)]), sooner(begun, 2 * (right - begun) or _DAY))
    room = (right - left) * _ROOM or _DAY
    time_axis(axes, sooner(left, room), later(right, room))
    axes.grid(axis="x", color=GRID, zorder=0)
    most = max(lost, key=lambda one: one.records)
    axes.axvspan(
        float(date2num(max(most.after, left))), float(date2num(most.before)),
        facecolor=COLOURS["missing"], alpha=0.13, zorder=1, lw=0,
    )  # fmt: skip
    for number, copy in enumerate(shown):
        _copy(axes, number, copy, left=left, right=right)
    axes.plot([float(date2num(right))], [len(shown)], marker="D", ms=7, color=INK, zorder=4, lw=0)
    for number, name in enumerate(rows, len(shown) + 2):
        own = [one for one in lost if one.collection == name]
        _loss(axes, number, own, left=left)
        if made and name in made:
            _made(axes, number, *made[name], left=left, right=right)
    texts = [f"{one.taken_at:%-d %b %Y %H:%M}  holds {_count(one.holds, missing)}" for one in shown]
    texts += [f"{read_at:%-d %b %Y %H:%M}  lacks {missing:,}", "", *(f"lost {order[name]:,}" for name in rows)]
    beside(axes, texts)
    between = len(shown) + 1
    axes.text(0.01, between, "Between which copies each collection lost its records:", va="center",
              transform=axes.get_yaxis_transform(), fontsize=9, color=GREY)  # fmt: skip
    _legend(axes, made=bool(made))
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    return Picture(png(figure), f"{_QUESTION} {said}")


def _shown(copies: Sequence[Copy], lost: Sequence[Span]) -> list[Copy]:
    """Return the copies that are drawn, the oldest first: those at the ends of a loss, then the newest."""
    ends = {moment for one in lost for moment in (one.after, one.before)}
    order = sorted(copies, key=lambda one: (one.taken_at not in ends, -one.taken_at.timestamp(), one.name))
    return sorted(order[:_MAX_COPIES], key=lambda one: (one.taken_at, one.name))


def _copy(axes: Axes, row: int, copy: Copy, *, left: datetime, right: datetime) -> None:
    colour = COLOURS["changed"]
    marker = "<" if copy.taken_at < left else ">" if copy.taken_at > right else "o"
    at = min(max(copy.taken_at, left), right)
    axes.plot(
        [float(date2num(at))], [row], marker=marker, ms=8, mew=1.6, lw=0, zorder=4,
        mec=colour, mfc=colour if copy.certain else "white",
    )  # fmt: skip


def _loss(axes: Axes, row: int, lost: Sequence[Span], *, left: datetime) -> None:
    whole = sum(one.records for one in lost)
    for one in lost:
        begin, end = date2num(max(one.after, left)), date2num(one.before)
        # However few records a stretch lost, it is seen.
        strength = 0.3 + 0.7 * one.records / whole
        axes.barh(row, end - begin, left=begin, height=0.5, color=COLOURS["missing"], alpha=strength, zorder=3, lw=0)
        axes.plot([begin, begin], [row - 0.25, row + 0.25], color=COLOURS["missing"], lw=1.5, zorder=3)


def _made(axes: Axes, row: int, first: datetime, last: datetime, *, left: datetime, right: datetime) -> None:
    """Draw a thin line for when the missing records were made, as far as the picture reaches."""
    begin, end = max(first, left), min(last, right)
    if begin <= end:
        axes.plot([float(date2num(begin)), float(date2num(end))], [row + 0.36] * 2, color=GREY, lw=2, zorder=3)


def _count(held: int, missing: int) -> str:
    return "none" if not held else f"all {held:,}" if held == missing else f"{held:,}"


def _legend(axes: Axes, *, made: bool) -> None:
    colour = COLOURS["changed"]
    dots = {"marker": "o", "ms": 7, "mew": 1.6, "lw": 0, "mec": colour}
    axes.plot([], [], label="taken, by its own word", mfc=colour, **dots)  # type: ignore[arg-type]  # a mapping of both
    axes.plot([], [], label="by its name or modification time", mfc="white", **dots)  # type: ignore[arg-type]
    axes.plot([], [], marker="D", ms=6, lw=0, color=INK, label="read")
    axes.barh([-9], [0], color=COLOURS["missing"], label="lost in this time")
    if made:
        axes.plot([], [], color=GREY, lw=2, label="made in this time")
