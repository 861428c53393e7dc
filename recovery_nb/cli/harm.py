"""What could not be read of the sources that were compared: it is said wherever they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recovery_nb.cli.console import Console

if TYPE_CHECKING:
    from recovery_nb.compare.result import Comparison

__all__ = ["harm_of", "print_harm"]

_SHOWN = 20


def harm_of(found: Comparison, collection: str) -> list[dict[str, object]]:
    """Return each place of damage in the sources of a comparison.

    Args:
        found: The comparison.
        collection: Of this collection only, and what is of none; "" for all.
    """
    return [
        {"source": entry.path, "member": one.member, "offset": one.offset, "length": one.length,
         "reason": one.reason, "collection": one.collection}
        for entry in found.sources.values()
        for one in entry.damage
        if not collection or one.collection in ("", collection)
    ]  # fmt: skip


def print_harm(console: Console, harm: list[dict[str, object]]) -> None:
    """Say where the damage is."""
    for one in harm[:_SHOWN]:
        place = f"{one['source']}/{one['member']}" if one["member"] else str(one["source"])
        console.say(f"damaged: {place} at byte {one['offset']:,}: {one['reason']}")
    if len(harm) > _SHOWN:
        console.say(f"damaged: {len(harm) - _SHOWN:,} more places")
