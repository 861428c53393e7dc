"""Keeping apart what a gap in expanded content parts: no record is made of both sides of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recovery_nb.records.batch import Damage, RecordBatch
from recovery_nb.sources.content import Content, Gap

__all__ = ["apart"]


def apart(content: Content, items: Iterable[RecordBatch | Damage]) -> Iterator[RecordBatch | Damage]:
    """Yield what was read from content, but records that reach over a gap as damage; and each gap as one, in its place.

    Args:
        content: What was read.
        items: The records and damages that were found there, in their order.
    """
    passed = 0

    def due(end: int) -> Iterator[Gap]:
        nonlocal passed
        for gap in content.gaps[passed:]:
            if gap.position > end:
                return
            passed += 1
            yield gap

    for item in items:
        if isinstance(item, Damage):
            yield item
            yield from (_damage(gap, item.member, item.collection) for gap in due(item.offset + item.length))
            continue
        ends = [offset + length for offset, length in zip(item.offsets, item.lengths, strict=True)]
        start = 0
        for gap in list(due(ends[-1])) if ends else []:
            stop = next(number for number, end in enumerate(ends) if end >= gap.position)
            across = item.offsets[stop] < gap.position < ends[stop]
            if stop > start:
                yield item.part(start, stop)
            if across and stop >= start:
                yield Damage(item.member, item.offsets[stop], item.lengths[stop], gap.reason, item.collection)
            else:
                yield _damage(gap, item.member, item.collection)
            start = max(start, stop + across)
        if start < len(item):
            yield item.part(start, len(item)) if start else item
    yield from (_damage(gap, "", "") for gap in content.gaps[passed:])


def _damage(gap: Gap, member: str, collection: str) -> Damage:
    return Damage(member, gap.position, 0, gap.reason, collection)
