"""What does each source hold of each collection? Shares of its records, and how many of the lost ones it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.holding import Holding
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
from recovery_nb.reports.plots.coverage import bar

__all__ = ["holdings"]

_QUESTION = "What does each source hold of each collection?"
_MAX_ROWS = 36
_TOLD = 5
_WORDS = {"identical": "intact", "changed": "changed", "missing": "missing", "corrupt": "corrupt"}


def holdings(held: Sequence[Holding]) -> Picture:
    """Draw what each source holds: bars of what became of its records, the collections that lost most first.

    At most 36 rows are drawn, and the title says of how many.
    """
    order = sorted(held, key=lambda one: (-one.lost, one.collection))
    groups = [(name, list(group)) for name, group in groupby(order, key=lambda one: one.collection)]
    rows = _rows(groups)
    drawn = sum(isinstance(row, Holding) for row in rows)
    figure, axes = sheet(height=1.6 + 0.3 * max(len(rows), 2))
    headline(axes, _QUESTION, f"({drawn} of {len(order):,} shown)" if drawn < len(order) else "")
    names(axes, [row.source if isinstance(row, Holding) else "" for row in rows])
    percent_axis(axes)
    for number, row in enumerate(rows):
        if isinstance(row, Holding):
            bar(axes, number, {part: getattr(row, word) for part, word in _WORDS.items()}, height=0.7)
        else:
            axes.text(0, number + 0.12, row, va="center", fontsize=9.5, fontweight="bold", color=INK, parse_math=False)
    if rows:
        beside(axes, [_beside(row) for row in rows])
        parts = [part for part, word in _WORDS.items() if any(getattr(one, word) for one in order)]
        handles = [axes.barh(-9, 0, color=COLOURS[part], label=_WORDS[part]) for part in parts]
        if handles:
            figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    else:
        hint(axes, "no source holds a collection")
    return Picture(png(figure), f"{_QUESTION} {_said(groups)}")


def _rows(groups: Iterable[tuple[str, list[Holding]]]) -> list[Holding | str]:
    """Return a line with the collection's name, and its sources, for as many collections as there is room for."""
    rows: list[Holding | str] = []
    for name, group in groups:
        if len(rows) + 2 > _MAX_ROWS:
            break
        lost = group[0].lost
        rows.append(f"{label(name, 60)}  ({lost:,} lost)" if lost else label(name, 60))
        rows += group[: _MAX_ROWS - len(rows)]
    return rows


def _beside(row: Holding | str) -> str:
    if isinstance(row, str):
        return ""
    lost = f"{row.missing:,} of the lost" if row.lost and row.missing else "none of the lost" if row.lost else ""
    sole = f"{row.sole:,} only here" if row.sole else ""
    return " · ".join(filter(None, [f"{row.records:,} records", lost, sole]))


def _said(groups: Sequence[tuple[str, list[Holding]]]) -> str:
    lossy = [(name, group) for name, group in groups if group[0].lost]
    if not lossy:
        return "No record that a source holds is missing."
    told = []
    for name, group in lossy[:_TOLD]:
        best = max(group, key=lambda one: one.missing)
        told.append(
            f"of {best.lost:,} lost records of {label(name, 120)}, {label(best.source, 120)} holds {best.missing:,}"
        )
    more = f"; and {len(lossy) - _TOLD:,} more collections lost records" if len(lossy) > _TOLD else ""
    text = "; ".join(told) + more
    return f"{text[0].upper()}{text[1:]}."
