"""The one stream through which the verbs say how far they are; printers, notebooks and logs listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Emit", "Event", "silent"]


@dataclass(frozen=True, slots=True)
class Event:
    """How far a verb is.

    Attributes:
        verb: "scan", "backup", "compare", "restore", "rollback" or "verify".
        what: What is being worked on: a source's name, a collection.
        done: How much is done, in `unit`.
        total: How much there is, in `unit`; 0 where it is not known.
        unit: "records", "bytes" or "files".
        note: A remark for a person; "" for none.
    """

    verb: str
    what: str
    done: int = 0
    total: int = 0
    unit: str = "records"
    note: str = ""


Emit = Callable[[Event], None]
"""What a verb calls with each event. It must be quick, and raise nothing but a KeyboardInterrupt, to stop the verb."""


def silent(event: Event) -> None:
    """Listen to nothing."""
