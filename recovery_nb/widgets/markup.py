"""The small parts of which the views are made; everything that comes from data is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from recovery_nb.reports.colours import COLOURS
from recovery_nb.reports.html import Markup

__all__ = ["answer", "cut", "folded", "pieces", "steps", "unbroken"]

_COMMAND = re.compile(r"`([^`]+)`")
_CODE = "padding: 1px 5px; border-radius: 3px; background-color: rgba(128, 128, 128, 0.14); overflow-wrap: anywhere"


def answer(text: str, *, tone: str = "pending") -> Markup:
    """Return the sentence that answers a section's question, marked by how the matter stands.

    Args:
        text: The sentence.
        tone: "success", "partial", "failed" or "pending".
    """
    colour = COLOURS.get(tone, COLOURS["pending"])
    style = f"border-left: 5px solid {colour}; padding: 4px 12px; margin: 10px 0; font-size: 115%; font-weight: 600"
    return Markup(f'<div style="{style}; color: inherit">{escape(text)}</div>')


def pieces(count: int, one: str, several: str = "") -> str:
    """Return a number and what is counted: "1 record", "2,000 records"."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def cut(text: str, most: int = 120) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def folded(summary: str, body: Markup) -> Markup:
    """Return something that is read only by who wants to: it opens without a script."""
    style = "cursor: pointer; opacity: 0.75"
    return Markup(
        f'<details style="color: inherit; margin: 6px 0"><summary style="{style}">{escape(summary)}</summary>'
        f"{body}</details>"
    )


def steps(lines: Iterable[str]) -> Markup:
    """Return what to do next as a numbered list; what stands between backticks is a command."""
    items = (_COMMAND.sub(rf'<code style="{_CODE}">\1</code>', escape(line)) for line in lines)
    body = "".join(f'<li style="margin: 4px 0">{item}</li>' for item in items)
    return Markup(f'<ol style="color: inherit; padding-left: 24px">{body}</ol>')


def unbroken(text: str) -> Markup:
    """Return a text that is never broken into lines: a time, a short name."""
    return Markup(f'<span style="white-space: nowrap">{escape(text)}</span>')
