"""Zstandard (RFC 8878): frames one after another, some of which hold no content and are skipped."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

from recovery_nb.sources.expand.parts import Decoded, Readable
from recovery_nb.sources.expand.sequence import Candidate, Format, decode_units

__all__ = ["MAGIC", "SKIPPABLE", "decode"]

MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")


def _candidates(window: bytes, _first: bytes) -> Iterator[Candidate]:
    at = -1
    while (at := window.find(MAGIC, at + 1)) >= 0:
        yield Candidate(at)


def _skip(head: bytes, at: int) -> int | None:
    return at + 8 + int.from_bytes(head[4:8], "little") if SKIPPABLE.match(head) and len(head) >= 8 else None


# The decoder refuses windows above 128 MiB by itself: that bounds its memory.
_FORM = Format(
    name="zstd",
    unit="frame",
    new=ZstdDecompressor,
    errors=(ZstdError, EOFError),
    begins=lambda head: head.startswith(MAGIC),
    candidates=_candidates,
    overlap=16,
    lookback=256 * 1024,
    skip=_skip,
)


def decode(content: Readable, start: int) -> Decoded:
    """Decode every frame."""
    return decode_units(content, start, _FORM)
