"""What is wrong with one file of GridFS: its chunks against its document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Chunk", "FileFacts", "file_faults"]

_NAMED = 5
"""So many faults of one kind are named; more are only said to be there."""


class Chunk(NamedTuple):
    """A chunk: its number, from 0, and how many bytes it holds."""

    n: int
    size: int


class FileFacts(NamedTuple):
    """What a file's document says, and what was computed.

    Attributes:
        length: Of the file in bytes; None if that is no whole number.
        chunk_size: Of all chunks but the last, in bytes; None if that is no whole number.
        md5: Of the file, in hexadecimal; "" if the document has none.
        digested: How many chunks, from the first on, came in order.
        digest: The MD5 of these.
    """

    length: int | None
    chunk_size: int | None
    md5: str
    digested: int
    digest: str


def file_faults(facts: FileFacts, chunks: Iterable[Chunk]) -> list[str]:
    """Return what is wrong with a file, nothing if it is whole.

    Args:
        facts: Of the file.
        chunks: Those with its `_id`, in the order of their numbers.
    """
    length, chunk_size = facts.length, facts.chunk_size
    if length is None or length < 0:
        return ["its document states no length"]
    if chunk_size is None or chunk_size < 1:
        return ["its document states no size of chunks"]
    count = -(-length // chunk_size)
    missing, doubled, sizes, strange = _Some(), _Some(), _Some(), _Some()
    total, awaited, last = 0, 0, None
    for n, size in chunks:
        total += size
        if n == last:
            doubled.add(str(n))
            continue
        last = n
        if not 0 <= n < count:
            # A file of no bytes may have one chunk, of no bytes.
            if (n, size, count) != (0, 0, 0):
                strange.add(str(n))
            continue
        if n > awaited:
            missing.add(_stretch(awaited, n - 1))
        awaited = n + 1
        due = chunk_size if awaited < count else length - n * chunk_size
        if size != due:
            sizes.add(f"{n} ({size:,} bytes instead of {due:,})")
    if awaited < count:
        missing.add(_stretch(awaited, count - 1))
    faults = [
        f"{what}: {some}"
        for what, some in (
            (f"missing chunks (of {_stretch(0, count - 1)})", missing),
            ("doubled chunks", doubled),
            ("chunks of the wrong size", sizes),
            ("chunks beyond its end", strange),
        )
        if some
    ]
    if total != length:
        faults.append(f"its chunks hold {total:,} bytes, not {length:,}")
    if not faults and facts.md5 and facts.digested == count > 0 and facts.digest != facts.md5.lower():
        faults.append(f"its MD5 is {facts.digest}, not {facts.md5}")
    return faults


class _Some:
    """The first few of what may be many."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        if len(self._texts) <= _NAMED:
            self._texts.append(text if len(self._texts) < _NAMED else "…")

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __str__(self) -> str:
        return ", ".join(self._texts)


def _stretch(first: int, last: int) -> str:
    return str(first) if first >= last else f"{first}-{last}"
