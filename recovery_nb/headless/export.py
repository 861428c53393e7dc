"""The record as one page of HTML: no script, no request, no kernel, good in print."""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbconvert.exporters import HTMLExporter

from recovery_nb.headless.sanitize import sanitize

__all__ = ["to_html"]

_TEMPLATES = Path(__file__).parent / "templates"
_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)
_PRIORITY = (
    "text/html",
    "text/markdown",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/gif",
    "text/latex",
    "text/plain",
)


def to_html(notebook: Any, facts: Mapping[str, object]) -> str:
    """Return a frozen notebook as a page that needs nothing beside itself.

    Args:
        notebook: An nbformat node, frozen.
        facts: What the page says of the run at its top: "notebook", "status", "error", "started", "finished",
            "seconds", "exit_code", "parameters", "run" and "versions"; and for the record of a session its "kind"
            ("session", or "file" for one that was not compared with a kernel), "saved", "cells" and "notes".
    """
    heading, story = _headed(notebook)
    page, _ = _exporter().from_notebook_node(
        story, resources={"facts": facts, "heading": heading or str(facts["notebook"])}
    )
    return str(page)


@functools.cache
def _exporter() -> Any:
    exporter = HTMLExporter(
        template_name="record",
        extra_template_basedirs=[str(_TEMPLATES)],
        exclude_anchor_links=True,
    )
    exporter.register_filter("sanitize", sanitize)
    exporter.register_filter("best", _best)
    return exporter


def _best(data: Mapping[str, str]) -> str:
    """Return the richest kind that an output holds."""
    return next((kind for kind in _PRIORITY if kind in data), "")


def _headed(notebook: Any) -> tuple[str, Any]:
    """Return the text of the first heading, and the notebook without it: the page says it at its top."""
    story = copy.deepcopy(notebook)
    for cell in story.cells:
        if cell.cell_type == "markdown" and (found := _HEADING.search(cell.source)):
            cell.source = cell.source[: found.start()] + cell.source[found.end() :]
            return found[1], story
    return "", story
