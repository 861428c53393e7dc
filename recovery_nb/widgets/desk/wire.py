"""What a browser is sent: plain values, every text made visible and cut, every list bounded, whatever the data are."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from recovery_nb.browse.browser import Facets, Page, Row
from recovery_nb.browse.detail import Cell, Detail, Line, Version
from recovery_nb.browse.times import Bucket
from recovery_nb.browse.view import View

__all__ = ["Json", "clipped", "detail", "facets", "fitting", "page", "row", "times", "view", "visible"]

Json = dict[str, Any]

_NAME, _KEY, _DOUBT = 60, 160, 120
_TITLE = 260
"""A namespace has at most 255 bytes: a whole name fits."""
_LISTED = 100
_PATH = 300
_LIST_BYTES = 12_000
"""A page with all its lists and what came of a restore stays below 200 kB."""
_DETAIL_BYTES = 150_000
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, *, lines: bool = False) -> str:
    """Return a text in which what has no shape, or turns the direction of writing, is a dot.

    Args:
        text: Any text.
        lines: Whether tabs and ends of lines stay.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join("·" if unicodedata.category(one) in _HIDDEN and one not in kept else one for one in text)


def clipped(text: str, most: int = 120) -> str:
    """Return a text for one line, visible, cut in its middle where it is long."""
    if len(text) > most:
        left = most // 2
        text = f"{text[:left]}…{text[len(text) - (most - left - 1) :]}"
    return visible(text)


def fitting(items: Iterable[Any], *, most: int, most_bytes: int = _LIST_BYTES) -> list[Any]:
    """Return the first items, as many as fit into a message."""
    found, size = list[Any](), 0
    for item in items:
        size += len(json.dumps(item, ensure_ascii=False).encode("utf-8", "replace"))
        if len(found) == most or size > most_bytes:
            break
        found.append(item)
    return found


def moment(time: datetime | None) -> str:
    """Return a time as people read it, UTC, to the second; "" for none."""
    return "" if time is None else f"{time:%Y-%m-%d %H:%M:%S}"


def row(one: Row) -> Json:
    """Return one line of the table."""
    return {
        "number": one.number, "status": one.status, "collection": clipped(one.collection, _NAME),
        "title": clipped(one.collection, _TITLE) if len(one.collection) > _NAME else "", "key": clipped(one.key, _KEY),
        "source": clipped(one.source, _NAME), "confidence": one.confidence, "candidates": one.candidates,
        "made": moment(one.made), "fields": one.fields, "doubt": clipped(one.doubt, _DOUBT),
        "restorable": one.restorable, "picked": one.picked,
    }  # fmt: skip


def page(one: Page, *, size: int) -> Json:
    """Return a page of the table; less than 200 kB, for its texts are bounded."""
    first = one.number * size
    return {
        "rows": [row(line) for line in one.rows], "number": one.number, "pages": one.pages, "total": one.total,
        "first": first + 1 if one.rows else 0, "last": first + len(one.rows),
    }  # fmt: skip


def view(one: View) -> Json:
    """Return the filters and the order."""
    return {
        "statuses": list(one.statuses), "collections": list(one.collections), "sources": list(one.sources),
        "field": one.field, "since": one.since.isoformat() if one.since else "",
        "until": one.until.isoformat() if one.until else "", "text": one.text, "picked": one.picked,
        "doubtful": one.doubtful, "sort": one.sort, "descending": one.descending,
    }  # fmt: skip


def facets(one: Facets, *, chosen: View) -> Json:
    """Return what can be filtered by, the most frequent first; what is filtered by is always among it."""
    wanted = {name: one.collections.get(name, 0) for name in chosen.collections}
    names = {**wanted, **dict(list(one.collections.items())[:_LISTED])}
    sources = {**{key: (key, 0) for key in chosen.sources}, **dict(list(one.sources.items())[:_LISTED])}
    paths = {**({chosen.field: 0} if chosen.field else {}), **one.fields}
    collections = fitting(([name, clipped(name, _NAME), count] for name, count in names.items()), most=_LISTED)
    return {
        "statuses": dict(one.statuses),
        "collections": collections,
        "more": max(len(one.collections) - len(collections), 0),
        "sources": fitting(([key, clipped(name, _NAME), n] for key, (name, n) in sources.items()), most=_LISTED),
        # A path is sent back as it is: one that is too long to send cannot be filtered by here.
        "fields": fitting(
            ([path, clipped(path, _NAME), n] for path, n in paths.items() if len(path) <= _PATH), most=_LISTED
        ),
    }  # fmt: skip


def times(buckets: Sequence[Bucket]) -> list[Json]:
    """Return the small histogram beside the time filter."""
    return [
        {"start": one.start.isoformat(), "end": one.end.isoformat(), "missing": one.missing, "changed": one.changed,
         "other": one.other}
        for one in buckets
    ]  # fmt: skip


def detail(one: Detail, *, of: Row, chosen: int, revealed: Sequence[str]) -> Json:
    """Return a record with its versions side by side, and which of them a restore would take.

    Lines that do not fit are counted: those that differ come first.
    """
    # Side by side, the database has its place also where it has no such record.
    lines = fitting(
        (_line(line, gap=one.database is None) for line in one.lines), most=len(one.lines), most_bytes=_DETAIL_BYTES
    )
    return {
        "number": of.number, "status": one.status, "collection": clipped(one.collection),
        "title": clipped(one.collection, _TITLE), "key": clipped(one.key, 2_000), "doubt": clipped(of.doubt, 500),
        "restorable": of.restorable, "picked": of.picked, "chosen": chosen,
        "database": _version(one.database) if one.database else None,
        "versions": [_version(version) for version in one.candidates], "of": of.candidates,
        "lines": lines, "left_out": one.left_out + len(one.lines) - len(lines),
        "masked": fitting(([name, clipped(name)] for name in one.masked), most=50), "revealed": list(revealed)[:50],
    }  # fmt: skip


def _version(one: Version) -> Json:
    return {
        "rank": one.rank, "source": clipped(one.source), "path": clipped(str(one.path), 400),
        "member": clipped(one.member), "offset": one.offset, "length": one.length, "taken": moment(one.taken_at),
        "at": moment(one.at), "confidence": one.confidence, "inferred": clipped(one.inferred),
        "fingerprint": one.fingerprint, "same": one.same_as_best, "problem": clipped(one.problem, 500),
    }  # fmt: skip


def _line(one: Line, *, gap: bool) -> Json:
    values = [*([None] if gap else []), *map(_cell, one.values)]
    return {"path": clipped(one.path, _PATH), "kind": str(one.kind), "values": values}


def _cell(one: Cell | None) -> Mapping[str, Any] | None:
    if one is None:
        return None
    return {"text": visible(one.text, lines=True), "type": one.type, "masked": one.masked}
