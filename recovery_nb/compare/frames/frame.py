"""A pandas dataframe whose HTML is safe to show, says what it leaves out, and is never too much for a notebook."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pandas as pd

from recovery_nb.compare.frames.values import cut, text
from recovery_nb.reports.html import table

__all__ = ["Frame"]

_ROWS = 100
_COLUMNS = 16


class Frame(pd.DataFrame):  # type: ignore[misc]  # pandas publishes no types
    """A dataframe like any other; what is made of it by filtering, grouping or joining is one of these again.

    In a notebook its first 100 rows and 16 columns are shown, as static HTML in which everything is escaped: the
    evidence may hold markup. Of one that is cut (`head`, `tail`, records up to a bound), the HTML says how many rows
    there are altogether.
    """

    _whole: int | None = None
    """How many rows there are altogether, where that is known; what is derived from this dataframe does not say it."""
    _note: str = ""

    @property
    def _constructor(self) -> Callable[..., Frame]:
        return Frame

    def of(self, whole: int, *, note: str = "") -> Frame:
        """Return the same rows as a part of so many; `note` says what else was left out."""
        part: Frame = self.copy(deep=False)
        part._whole, part._note = whole, note
        return part

    def head(self, n: int = 5) -> Frame:
        """Return the first rows, which know of how many."""
        return super().head(n).of(self._whole or len(self))  # type: ignore[no-any-return]  # as above

    def tail(self, n: int = 5) -> Frame:
        """Return the last rows, which know of how many."""
        return super().tail(n).of(self._whole or len(self))  # type: ignore[no-any-return]  # as above

    @property
    def style(self) -> Any:
        """A Styler that escapes what it shows, as a dataframe does; pandas' own does not."""
        plain = super().style.format(escape="html")
        return plain.format_index(escape="html", axis=0).format_index(escape="html", axis=1)

    def _repr_html_(self) -> str:
        """Return the first rows as static HTML, and how many there are."""
        named = any(name is not None for name in self.index.names) or not pd.api.types.is_integer_dtype(self.index)
        shown = pd.DataFrame(self.iloc[:_ROWS])
        levels = [shown.index.get_level_values(level) for level in range(shown.index.nlevels)] if named else []
        series = [*levels, *(shown.iloc[:, place] for place in range(min(self.shape[1], _COLUMNS)))]
        heads = [*(self.index.names if named else ()), *islice(self.columns, _COLUMNS)]
        left = f"{_COLUMNS} of {self.shape[1]:,} columns" if self.shape[1] > _COLUMNS else ""
        return table(
            [_head(name) for name in heads],
            zip(*map(_cells, series), strict=True),
            total=self._whole or len(self),
            caption="; ".join(filter(None, (left, self._note))),
        )


def _head(name: object) -> str:
    """Return a column's heading; that of several levels is a tuple."""
    if isinstance(name, tuple):
        return ", ".join(filter(None, map(_head, name)))
    return "" if name is None else cut(str(name))


def _cells(column: Any) -> Iterator[object]:
    """Return a column's cells for a table: numbers of a numeric column as such, everything else as text."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        return (None if pd.isna(value) else value for value in column.tolist())
    if column.dtype == object:  # what a cell of records holds has its own meaning: None is a null, NaN a number
        return map(text, column)
    return ("" if gone else text(value) for value, gone in zip(column, column.isna(), strict=True))
