"""What a browser is told of the sources: every text made visible and cut, every list bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from recovery_nb.audit.values import printable
from recovery_nb.case import Scan
from recovery_nb.compare.standing import TYPES, age, is_weakly_dated, said_by
from recovery_nb.widgets.desk.wire import Json, clipped, fitting
from recovery_nb.widgets.sources.coverage import Coverage
from recovery_nb.widgets.sources.lines import Line

__all__ = ["aside", "grid", "row"]

_PATH, _WHOLE_PATH = 72, 4_200
"""A path has at most 4,096 bytes: the whole of it fits."""
_FOLDER = 8
_PARTS, _REASONS = 8, 4
_COLLECTIONS = 60
_LISTED = 50


def row(line: Line, *, state: str, now: datetime) -> Json:
    """Return a line of the table.

    Args:
        line: The source.
        state: "taken", "left out" or "gone".
        now: What its age is counted to.
    """
    entry, found = line.entry, line.standing
    return {
        "id": entry.id, "path": _cut(line.near), "title": clipped(line.path, _WHOLE_PATH), "state": state,
        "earlier": line.earlier, "format": clipped(entry.kind.value), "types": TYPES[entry.typing],
        "taken": f"{entry.taken_at:%Y-%m-%d %H:%M}", "says": clipped(said_by(entry)), "weak": is_weakly_dated(entry),
        "age": age(entry.taken_at, now), "records": entry.records,
        "parts": [
            {"name": clipped(part.name, 40), "title": clipped(part.name, 260), "records": part.records,
             "because": clipped(part.because, 200)}
            for part in line.parts[:_PARTS]
        ],
        "more_parts": max(0, len(line.parts) - _PARTS),
        "trust": str(found.trust), "reasons": [clipped(reason, 400) for reason in found.reasons[:_REASONS]],
        "more_reasons": max(0, len(found.reasons) - _REASONS),
    }  # fmt: skip


def _cut(path: str) -> str:
    """Return a path for a line: cut in the middle of its folders, so that its name stays whole where it can."""
    folder, slash, name = path.rpartition("/")
    room = _PATH - len(slash + name)
    return clipped(path, _PATH) if room < _FOLDER else f"{clipped(folder, room)}{slash}{clipped(name, _PATH)}"


def grid(one: Coverage, shown: Sequence[Line], *, state: Callable[[Line], str]) -> Json:
    """Return how much of each collection the sources of a page hold.

    Args:
        one: Which source holds how much of which collection.
        shown: The sources of the page.
        state: Tells of a source whether it is taken, left out or gone.
    """
    heads = [
        {"name": clipped(line.entry.name, 24), "title": clipped(line.path, _WHOLE_PATH), "state": state(line)}
        for line in shown
    ]
    rows = [
        {"name": clipped(held.collection, 40), "title": clipped(held.collection, 260), "database": held.database,
         "most": held.most, "lacking": held.lacking,
         "counts": [held.sources.get(line.entry.id) for line in shown]}
        for held in one.rows[:_COLLECTIONS]
    ]  # fmt: skip
    kept = fitting(rows, most=_COLLECTIONS, most_bytes=80_000)
    return {"sources": heads, "rows": kept, "total": len(one.rows), "short": one.short, "counted": one.counted}


def aside(scan: Scan) -> Json:
    """Return what is found and is no source: what cannot be read, and why; copies; what holds no records."""
    copies = ([clipped(printable(path), 200), clipped(printable(of), 200)] for path, of in scan.copies)
    return {
        "unread": fitting((clipped(error, 600) for error in map(printable, scan.unread)), most=_LISTED),
        "unread_total": len(scan.unread),
        "copies": fitting(copies, most=_LISTED), "copies_total": len(scan.copies), "ignored": len(scan.ignored),
    }  # fmt: skip
