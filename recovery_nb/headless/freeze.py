"""Turning an executed notebook into a record: without secrets, and without what needs a kernel."""

from __future__ import annotations

import copy
import re
from typing import Any

from nbformat import from_dict

from recovery_nb.headless.scrub import Scrubber

__all__ = ["freeze"]

_KEPT = (
    "text/html",
    "text/markdown",
    "text/latex",
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "image/gif",
    "text/plain",
)
"""What can be read without a kernel, a script or a network; all else is dropped."""

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
_NOTHING_LEFT = "(an interactive view, which this record cannot hold)"
_MARKER = "papermill-error-cell-tag"
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n\r])")


def freeze(notebook: Any, scrubber: Scrubber, *, facts: dict[str, object]) -> Any:
    """Return a copy of an executed notebook that can be read later, by anybody, without a kernel.

    Args:
        notebook: An nbformat node.
        scrubber: Takes the secrets out of sources, outputs and metadata.
        facts: What is known of the run, kept as `metadata.recovery_nb`; already scrubbed.
    """
    frozen = copy.deepcopy(notebook)
    # Papermill's own error cells point at positions; the record says what failed in its own words.
    frozen.cells = [cell for cell in frozen.cells if _MARKER not in cell.metadata.get("tags", [])]
    captured = _captured(frozen.metadata.pop("widgets", {}))
    for cell in frozen.cells:
        cell.source = scrubber.text(cell.source)
        cell.metadata = from_dict(scrubber.tree(cell.metadata))
        if cell.cell_type == "code":
            shown = [part for output in cell.outputs for part in _expand(output, captured)]
            cell.outputs = [_scrubbed(_still(output), scrubber) for output in _merged(shown)]
    metadata = dict(frozen.metadata)
    if "papermill" in metadata:
        machine = ("input_path", "output_path", "environment_variables")
        metadata["papermill"] = {key: value for key, value in metadata["papermill"].items() if key not in machine}
    frozen.metadata = from_dict({**scrubber.tree(metadata), "recovery_nb": facts})
    return frozen


def _captured(widgets: Any) -> dict[str, list[Any]]:
    """Return what each Output widget had captured: it is in no cell's outputs."""
    states = widgets.get(_WIDGET_STATE, {}).get("state", {})
    return {
        model: state.get("state", {}).get("outputs", [])
        for model, state in states.items()
        if state.get("model_name") == "OutputModel"
    }


def _expand(output: Any, captured: dict[str, list[Any]]) -> list[Any]:
    view = output.get("data", {}).get(_WIDGET_VIEW)
    inside = captured.get(view.get("model_id", ""), []) if isinstance(view, dict) else []
    return [from_dict(part) for part in inside] or [output]


def _merged(outputs: list[Any]) -> list[Any]:
    """Join neighbouring pieces of one stream: a secret may have been cut in two between them."""
    merged: list[Any] = []
    for output in outputs:
        before = merged[-1] if merged else None
        if output.output_type == "stream" and before is not None and before.get("name") == output.name:
            before.text += output.text
        else:
            merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = _OVERWRITTEN.sub("", output.text)
    return merged


def _still(output: Any) -> Any:
    if output.output_type in ("display_data", "execute_result"):
        kept = {kind: output.data[kind] for kind in _KEPT if kind in output.data}
        output.data = from_dict(kept or {"text/plain": _NOTHING_LEFT})
        output.metadata = from_dict({kind: value for kind, value in output.metadata.items() if kind in _KEPT})
    return output


def _scrubbed(output: Any, scrubber: Scrubber) -> Any:
    """Scrub what an output says; the words that give it its form are left alone."""
    if "data" in output:
        for kind, content in output.data.items():
            if not kind.startswith("image/") or kind == "image/svg+xml":
                output.data[kind] = scrubber.text(content)
        output.metadata = from_dict({kind: scrubber.tree(value) for kind, value in output.metadata.items()})
    for key in ("text", "ename", "evalue", "traceback"):
        if key in output:
            output[key] = scrubber.tree(output[key])
    return output
