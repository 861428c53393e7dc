"""Static HTML for notebooks: no script, no style sheet, no kernel; it reads in light and dark themes.

Only inline styles are used, those that JupyterLab lets through in an untrusted notebook, and everything
that comes from data goes through `html.escape`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice

from recovery_nb.reports.colours import COLOURS, OTHER

__all__ = ["Markup", "chip", "chips", "facts", "image", "join", "table"]

_DARK_TEXT = frozenset({"identical", "present", "equivalent"})
_LINE = "border-bottom: 1px solid rgba(128, 128, 128, 0.3)"
_CELL = f"text-align: left; vertical-align: top; padding: 3px 12px 3px 0; color: inherit; {_LINE}"
_NUMBER = _CELL.replace("text-align: left", "text-align: right") + "; white-space: nowrap"
_HEAD = f"{_CELL}; white-space: nowrap; font-weight: bold; background-color: rgba(128, 128, 128, 0.12)"
_TABLE = "border-collapse: collapse; margin: 4px 0; color: inherit"
_MAX_CELL = 500
_LONG_WORD = 32
"""Only longer words are broken: a column of short ones must not become a column of letters."""


class Markup(str):
    """HTML that a function of this module made; every other text is escaped."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        """Show it in a notebook."""
        return str(self)


def chip(status: str, count: int | None = None) -> Markup:
    """Return a status as a coloured chip, with a count if there is one."""
    text = status if count is None else f"{status} {count:,}"
    colour = COLOURS.get(status, OTHER)
    ink = "#10202f" if status in _DARK_TEXT else "#ffffff"
    return Markup(
        f'<span style="display: inline-block; padding: 1px 8px; margin: 1px 4px 1px 0; border-radius: 3px;'
        f" font-size: 90%; white-space: nowrap; color: {ink}; background-color: {colour};"
        f' border: 1px solid rgba(128, 128, 128, 0.6)">{escape(text)}</span>'
    )


def chips(counts: Mapping[str, int]) -> Markup:
    """Return one chip for each status that occurs."""
    return Markup("".join(chip(status, count) for status, count in counts.items() if count))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    total: int | None = None,
    caption: str = "",
    limit: int = 100,
) -> Markup:
    """Return a table that says what it leaves out.

    Args:
        columns: The headings.
        rows: The cells; numbers are set to the right. At most `limit` rows are taken.
        total: How many rows there are altogether; None for those that are shown.
        caption: What the table is.
        limit: The most rows to show.
    """
    shown = [list(row) for row in islice(rows, limit)]
    head = "".join(f'<th style="{_HEAD}">{escape(name)}</th>' for name in columns)
    body = "".join(f'<tr style="background-color: transparent">{"".join(map(_cell, row))}</tr>' for row in shown)
    whole = len(shown) if total is None else max(total, len(shown))
    rest = f"{len(shown):,} of {whole:,} shown" if whole > len(shown) else f"{whole:,} in all"
    title = f"<b>{escape(caption)}</b> · " if caption else ""
    return Markup(
        f'<div style="color: inherit; margin: 6px 0">{title}<span style="opacity: 0.75">{rest}</span>'
        f'<table style="{_TABLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(values: Mapping[str, object]) -> Markup:
    """Return names and values, one pair a line."""
    body = "".join(
        f'<tr style="background-color: transparent">'
        f'<th style="{_CELL}; font-weight: normal; opacity: 0.75">{escape(name)}</th>{_cell(value)}</tr>'
        for name, value in values.items()
    )
    return Markup(f'<table style="{_TABLE}"><tbody>{body}</tbody></table>')


def image(png: bytes, *, alt: str) -> Markup:
    """Return a PNG as an image that needs no other file; `alt` says what it shows."""
    data = base64.b64encode(png).decode("ascii")
    return Markup(f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" style="max-width: 100%">')


def join(*parts: str) -> Markup:
    """Return the parts one below the other; those that are not `Markup` are escaped paragraphs."""
    return Markup(
        "".join(
            part if isinstance(part, Markup) else f'<div style="color: inherit">{escape(part)}</div>' for part in parts
        )
    )


def _cell(value: object) -> str:
    if isinstance(value, Markup):
        return f'<td style="{_CELL}">{value}</td>'
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td style="{_NUMBER}">{value:,}</td>'
    text = "" if value is None else str(value)
    cut = f"{text[:_MAX_CELL]} … ({len(text):,} characters)" if len(text) > _MAX_CELL else text
    wrap = "anywhere" if any(len(word) > _LONG_WORD for word in cut.split()) else "normal"
    return f'<td style="{_CELL}; white-space: pre-wrap; overflow-wrap: {wrap}">{escape(cut)}</td>'
