"""Simple-8b as MongoDB packs it: 64-bit blocks of small unsigned numbers, gaps and runs.

The lowest 4 bits of a block, its selector, say how its other bits are cut into slots. A slot of all ones is a gap:
no value. Selectors 7 and 8 leave 4 bits over, which say whether their slots hold numbers that end in zero bits;
selector 15 is a run: 120 to 1,920 times the slot before. The format: src/mongo/bson/column/README.md and
simple8b.h of the MongoDB server.
"""

from __future__ import annotations

from recovery_nb.records.elements import InvalidRecordError

__all__ = ["Slot", "slots"]

Slot = int | None
"""A number, or None for a gap."""

_RUN = 15
_RUN_UNIT = 120
_BITS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60)
"""By selector: how many bits a slot has."""

_EXTENDED = {
    7: ((0, 2, 3, 4, 5, 7, 10, 14, 24, 52), ()),
    8: ((0, 4, 5, 7, 10, 14, 24, 52), (4, 6, 9, 13, 23, 51)),
}
"""By selector and extension: how many bits the number in a slot has, besides 4 (or then 5) that count its zeros."""

_Layout = tuple[int, int, int, int]
"""Where the first slot begins, a slot's bits, how many of these count zeros, and how many zeros one counts for."""


def _layouts() -> dict[int, _Layout]:
    """Return the layout of a block by its lowest 8 bits."""
    layouts: dict[int, _Layout] = {}
    for selector, bits in enumerate(_BITS):
        if selector:
            plain = (4, bits, 0, 0) if selector not in _EXTENDED else (8, bits, 0, 0)
            layouts |= {selector | rest << 4: plain for rest in range(16 if plain[0] == 4 else 1)}
    for selector, (four, five) in _EXTENDED.items():
        for extension, bits in enumerate(four[1:] + five, 1):
            zeros = 4 if extension < len(four) else 5
            layouts[selector | extension << 4] = (8, bits + zeros, zeros, 1 if selector == 7 else 4)
    return layouts


_LAYOUTS = _layouts()


def slots(block: int, last: Slot, *, width: int) -> list[Slot]:
    """Return what a block holds.

    Args:
        block: Its 64 bits.
        last: The slot before it, which a run repeats.
        width: How many bits a number may have: 64 or 128.

    Raises:
        InvalidRecordError: There is no such selector, or a number has more bits.
    """
    low = block & 0xFF
    if low & 0xF == _RUN:
        return [last] * (((low >> 4) + 1) * _RUN_UNIT)
    layout = _LAYOUTS.get(low)
    if layout is None:
        raise InvalidRecordError(f"a Simple-8b block with the selector 0x{low:02x}, which there is not")
    begin, bits, zeros, unit = layout
    gap = (1 << bits) - 1
    found = [None if (slot := block >> shift & gap) == gap else slot for shift in range(begin, 65 - bits, bits)]
    if not zeros:
        return found
    count = (1 << zeros) - 1
    numbers = [None if slot is None else slot >> zeros << (slot & count) * unit for slot in found]
    if any(number is not None and number >> width for number in numbers):
        raise InvalidRecordError(f"a Simple-8b number of more than {width} bits")
    return numbers
