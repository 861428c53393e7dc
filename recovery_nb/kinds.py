"""What a collection is, in words, by the options that it is described with."""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["kinds"]

_KINDS = {"timeseries": "time-series", "viewOn": "view", "capped": "capped collection"}
"""What a user calls it, by the option that makes it so."""


def kinds(structures: Mapping[str, str]) -> dict[str, str]:
    """Return by name what each structure is: a "collection", a "capped collection", a "time-series" or a "view".

    Args:
        structures: By name, as a plan holds them.
    """
    return {name: _kind(text) for name, text in structures.items()}


def _kind(structure: str) -> str:
    options = json.loads(structure)["options"]
    return next((kind for name, kind in _KINDS.items() if options.get(name)), "collection")
