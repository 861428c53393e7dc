"""bzip2: blocks of at most 900,000 bytes, each with its own CRC, at any bit. Every block is decoded for itself.

A block is found by its 48-bit magic, moved to a byte boundary and put into a stream of its own, as `bzip2recover` does.
So damage costs the blocks it is in, and nothing is given that its CRC does not prove.
"""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from dataclasses import dataclass

from recovery_nb.sources.expand.parts import Break, Decoded, Readable
from recovery_nb.sources.expand.sequence import behind_zeros

__all__ = ["decode", "is_bzip2"]

_BLOCK, _END = 0x314159265359, 0x177245385090
_MAGIC_BITS = 48

_LARGEST = 1_400_000
"""Bytes of a compressed block, above what a block of noise takes."""

_WINDOW = 4 * 1024 * 1024
_FAILURES = 4096
"""How many false blocks are tried, besides one for each KiB: it bounds the time of a hostile file."""

_STEP = 4096


def is_bzip2(head: bytes) -> bool:
    """Return whether a bzip2 stream begins so: a header, and a block's or the end's magic."""
    magic = int.from_bytes(head[4:10], "big")
    return head[:3] == b"BZh" and b"1" <= head[3:4] <= b"9" and magic in (_BLOCK, _END)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A magic in the compressed bits.

    Attributes:
        bit: Where it begins, counted from the content's beginning.
        block: Whether a block begins there; else a stream ends.
    """

    bit: int
    block: bool


@dataclass(frozen=True, slots=True)
class _Block:
    """What a block holds, proved by its CRC.

    Attributes:
        data: Its bytes.
        whole: Whether it ends at the magic that follows; else there is something foreign between them.
    """

    data: bytes
    whole: bool


def decode(content: Readable, start: int) -> Decoded:
    """Decode every block of every stream."""
    if not is_bzip2(content.read_at(start, 10)):
        yield Break(f"what begins at byte {start:,} is no bzip2: it was left out")
    failures = combined = 0
    broken, last_end = True, start
    for mark, behind in _pairs(_marks(content, start)):
        if not mark.block:
            stored = _bits(content, mark.bit + _MAGIC_BITS, 32)
            if stored < 0:
                yield Break(f"the bzip2 stream is cut off at its end, at byte {mark.bit // 8:,}: no block is lost")
            elif stored != combined and not broken:
                yield Break(
                    f"the bzip2 stream that ends at byte {mark.bit // 8:,} misses blocks, or its sum is damaged"
                )
            last_end = (mark.bit + _MAGIC_BITS + 32 + 7) // 8
            combined, broken = 0, False
            if behind is not None and not _follows(content, last_end, behind.bit):
                yield Break(f"what begins at byte {last_end:,} is no bzip2: it was left out")
            continue
        if last_end == start and mark.bit == (start + 4) * 8:
            broken = False
        last_end = -1
        end = min(behind.bit if behind else mark.bit + _LARGEST * 8, mark.bit + _LARGEST * 8)
        found = None if failures > _FAILURES + mark.bit // 8192 else _block(content, mark.bit, end)
        if found is not None:
            combined = ((combined << 1 | combined >> 31) & 0xFFFFFFFF) ^ _bits(content, mark.bit + _MAGIC_BITS, 32)
            yield found.data
        if found is None or not found.whole or behind is None:
            failures += 1
            broken = True
            what = "the bzip2 block" if found is None else "what follows the bzip2 block"
            state = "is damaged" if behind else "is damaged or cut off"
            yield Break(f"{what} at byte {mark.bit // 8:,} {state}: it was left out")
    if last_end > start and content.read_at(behind_zeros(content, last_end), 1):
        yield Break(f"what begins at byte {last_end:,} is no bzip2: it was left out")


def _follows(content: Readable, end: int, bit: int) -> bool:
    """Return whether the magic at `bit` is that of the stream that begins where another ended, or behind zeros."""
    return bit % 8 == 0 and bit // 8 - 4 == behind_zeros(content, end) and is_bzip2(content.read_at(bit // 8 - 4, 10))


def _pairs(marks: Iterator[_Mark]) -> Iterator[tuple[_Mark, _Mark | None]]:
    last = next(marks, None)
    while last is not None:
        following = next(marks, None)
        yield last, following
        last = following


def _patterns() -> list[tuple[bytes, int, bool]]:
    """Return, for each magic and each of eight positions within a byte, the five whole bytes that it always has."""
    found = []
    for magic, block in ((_BLOCK, True), (_END, False)):
        for shift in range(8):
            whole = (magic << (8 - shift)).to_bytes(7, "big")
            found.append((whole[1:6], shift, block))
    return found


_PATTERNS = _patterns()


def _marks(content: Readable, start: int) -> Iterator[_Mark]:
    at = start
    while True:
        window = content.read_at(at, _WINDOW + 8)
        found: list[_Mark] = []
        for pattern, shift, block in _PATTERNS:
            place = 0
            while (place := window.find(pattern, place)) >= 0:
                bit = (place - 1) * 8 + shift
                if 0 <= bit < _WINDOW * 8 and _at(window, bit, _MAGIC_BITS) == (_BLOCK if block else _END):
                    found.append(_Mark(at * 8 + bit, block))
                place += 1
        yield from sorted(found, key=lambda mark: mark.bit)
        if len(window) < _WINDOW + 8:
            return
        at += _WINDOW


def _at(data: bytes, bit: int, length: int) -> int:
    end = (bit + length + 7) // 8
    number = int.from_bytes(data[bit // 8 : end], "big")
    return number >> (end * 8 - bit - length) & (1 << length) - 1 if end <= len(data) else -1


def _bits(content: Readable, bit: int, length: int) -> int:
    data = content.read_at(bit // 8, (length + 14) // 8)
    return _at(data, bit % 8, length)


def _block(content: Readable, begin: int, end: int) -> _Block | None:
    """Return what the block between two bits holds; None if its CRC does not prove it."""
    data = content.read_at(begin // 8, (end + 7) // 8 - begin // 8)
    length = min(end - begin, len(data) * 8 - begin % 8)
    bits = int.from_bytes(data, "big") >> (len(data) * 8 - begin % 8 - length) & (1 << length) - 1
    crc = bits >> length - _MAGIC_BITS - 32 & 0xFFFFFFFF if length > _MAGIC_BITS + 32 else -1
    if crc < 0:
        return None
    total = length + _MAGIC_BITS + 32
    padding = -total % 8
    stream = ((bits << _MAGIC_BITS | _END) << 32 | crc) << padding
    body = b"BZh9" + stream.to_bytes((total + padding) // 8, "big")
    try:
        return _Block(bz2.decompress(body), whole=True)
    except (OSError, ValueError):
        return _ahead_of_an_error(body)


def _ahead_of_an_error(body: bytes) -> _Block | None:
    """Return a block behind which something else stands than the magic it was thought to end at.

    The decoder proves a block and gives it before it looks at what follows, if it has not been given that yet.
    """
    engine = bz2.BZ2Decompressor()
    at, step = 0, _STEP
    while at < len(body):
        try:
            out = engine.decompress(body[at : at + step])
            while more := engine.decompress(b""):
                out += more
        except (OSError, EOFError):
            if step == 1:
                return None
            engine, step = bz2.BZ2Decompressor(), 1
            engine.decompress(body[:at])
            continue
        if out:
            return _Block(out, whole=False)
        at += step
    return None
