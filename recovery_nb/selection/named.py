"""The records that an analyst named, a million of them as well as one, and which of them were found."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate, islice

import numpy as np
import numpy.typing as npt

from recovery_nb.compare.resolve import series_of
from recovery_nb.errors import BadInputError

__all__ = ["Choice", "Keys", "Named"]

Named = tuple[str, str, str, int, bool]
"""The fields of a `Choice`, in their order: what a million lines are read as."""

_BATCH = 10_000
_STEP = 0x9E3779B97F4A7C15
"""An odd number: so the same key in many collections falls into as many slots (2^64 by the golden ratio)."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a keys file.

    Attributes:
        key: The key, as comparisons show it.
        collection: The collection; "" for any.
        source: The path, name or id of the source whose version is wanted; "" for the best.
        offset: The place of that version in its source; -1 for any.
        partial: Whether what could be read of a damaged record is wanted, the rest being lost; of a file in GridFS,
            the chunks that are left. It takes a word of its own: nothing else restores what is not whole.
    """

    key: str
    collection: str = ""
    source: str = ""
    offset: int = -1
    partial: bool = False

    @property
    def is_placed(self) -> bool:
        """Whether it says which version is meant, of a record that is wanted whole."""
        return not self.partial and (self.source != "" or self.offset >= 0)


class Marks:
    """Which choices were found among the differences: a byte for each."""

    def __init__(self, count: int) -> None:
        self._bytes = bytearray(count)

    def __bool__(self) -> bool:
        """Whether any was found."""
        return 1 in self._bytes

    def add(self, number: int) -> None:
        """Mark a choice as found."""
        self._bytes[number] = 1

    def update(self, numbers: Iterable[int]) -> None:
        """Mark some choices as found."""
        for number in numbers:
            self._bytes[number] = 1

    def missing(self, numbers: npt.NDArray[np.uint32]) -> list[int]:
        """Return which of these choices were not found."""
        found: list[int] = numbers[np.frombuffer(self._bytes, np.uint8)[numbers] == 0].tolist()
        return found


class Keys:
    """The keys that an analyst named, and which of them were found.

    A choice goes by its number: the order in which it was given. They are held as columns and found by a table of
    hashes: some 50 bytes for each beside the text of its key, where objects took ten times as much. A hash only says
    where to look: a key is compared byte by byte. What is named twice in the same words counts once.

    Args:
        named: The choices, field by field.

    Attributes:
        matched: The choices that were found among the differences.

    Raises:
        BadInputError: An offset is no place in a file.
    """

    def __init__(self, named: Iterable[Named]) -> None:
        self._text, self._ends = bytearray(), array("Q", [0])
        self._collection_codes: dict[str, int] = {}  # what stands for each name
        self._source_codes: dict[str, int] = {}
        self._asked: dict[str, tuple[int, ...]] = {}
        self._collections, self._sources = array("I"), array("I")
        self._offsets, self._partials = array("q"), bytearray()
        hashes = array("q")
        every = iter(named)
        while batch := list(islice(every, _BATCH)):
            hashes.extend(map(hash, self._add(batch)))
        self.matched = Marks(len(hashes))
        self._index(np.frombuffer(hashes, np.uint64))

    @classmethod
    def of(cls, choices: Iterable[Choice]) -> Keys:
        """Return the keys of these choices.

        Raises:
            BadInputError: An offset is no place in a file.
        """
        return cls(astuple(choice) for choice in choices)

    def _add(self, batch: Sequence[Named]) -> Sequence[str]:
        """Take choices into the columns; return their keys."""
        keys, collections, sources, offsets, partials = zip(*batch, strict=True)
        encoded = [_bytes(key) for key in keys]
        self._text += b"".join(encoded)
        self._ends.extend(islice(accumulate(map(len, encoded), initial=self._ends[-1]), 1, None))
        self._collections.extend(_coded(collections, self._collection_codes))
        self._sources.extend(_coded(sources, self._source_codes))
        try:
            self._offsets.extend(offsets)
        except (OverflowError, TypeError):
            raise BadInputError(
                "an offset that is no number of 64 bits is no place in a file", hint="write it as compare does"
            ) from None
        self._partials += bytes(map(bool, partials))
        return keys

    def _index(self, hashes: npt.NDArray[np.uint64]) -> None:
        """Make the table: by slot, where its choices begin in `order`; by that place, the number of the choice."""
        self._collection_names, self._source_names = list(self._collection_codes), list(self._source_codes)
        numbers = self._once(hashes)
        self._mask = (1 << max(len(numbers) - 1, 0).bit_length()) - 1
        slots = hashes[numbers] + np.frombuffer(self._collections, np.uint32)[numbers] * np.uint64(_STEP)
        slots &= np.uint64(self._mask)
        order = np.argsort(slots, kind="stable")  # so that those of one slot stand as they were given
        starts = np.zeros(self._mask + 2, np.uint32)
        np.cumsum(np.bincount(slots.astype(np.int64), minlength=self._mask + 1), out=starts[1:])
        self._numbers = numbers
        self._order, self._starts = array("I", numbers[order].tobytes()), array("I", starts.tobytes())

    def _once(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
        """Return the numbers of the choices without those that say what an earlier one said."""
        whole = hashes.copy()
        for column, kind in (
            (self._collections, np.uint32), (self._sources, np.uint32), (self._offsets, np.uint64),
            (self._partials, np.uint8),
        ):  # fmt: skip
            whole *= np.uint64(_STEP)
            whole += np.frombuffer(column, kind)
        order = np.argsort(whole, kind="stable")
        alike = np.flatnonzero(whole[order[1:]] == whole[order[:-1]])
        again = [int(order[one + 1]) for one in alike if self[int(order[one])] == self[int(order[one + 1])]]
        return np.delete(np.arange(len(hashes), dtype=np.uint32), again)

    def __getitem__(self, number: int) -> Choice:
        """Return a choice by its number."""
        key = self.text(number).decode("utf-8", "surrogatepass")
        collection = self._collection_names[self._collections[number]]
        source = self._source_names[self._sources[number]]
        return Choice(key, collection, source, self._offsets[number], self._partials[number] == 1)

    def __iter__(self) -> Iterator[Choice]:
        """Yield every choice once, in the order in which they were given."""
        return map(self.__getitem__, self._numbers.tolist())

    @property
    def count(self) -> int:
        """How many choices there are."""
        return len(self._numbers)

    def find(self, collection: str, key: str) -> list[int]:
        """Return the numbers of what was named of a record, in order; nothing where it was not named.

        A time-series is named by its own name, or by that of the collection of its buckets.
        """
        if (codes := self._asked.get(collection)) is None:
            codes = self._asked[collection] = self._codes(collection)
        found: list[int] = []
        value, text = hash(key), _bytes(key)
        for code in codes:
            slot = (value + code * _STEP) & self._mask
            for number in self._order[self._starts[slot] : self._starts[slot + 1]]:
                start, end = self._ends[number], self._ends[number + 1]
                if self._collections[number] == code and self._text[start:end] == text:
                    found.append(number)
        if len(found) > 1:
            found.sort()
        return found

    def _codes(self, collection: str) -> tuple[int, ...]:
        """Return what stands for the names under which records of a collection may have been named."""
        names = dict.fromkeys(("", collection, series_of(collection)))
        return tuple(self._collection_codes[name] for name in names if name in self._collection_codes)

    def is_plain(self, number: int) -> bool:
        """Whether a choice names a record and says nothing of its version."""
        return self._offsets[number] == -1 and not (self._partials[number] or self._source_names[self._sources[number]])

    def placed(self) -> list[int]:
        """Return the numbers of the choices that say which version is meant (`Choice.is_placed`)."""
        sources, offsets = np.frombuffer(self._sources, np.uint32), np.frombuffer(self._offsets, np.int64)
        placed = (sources != self._source_codes.get("", len(self._source_codes))) | (offsets >= 0)
        placed &= np.frombuffer(self._partials, np.uint8) == 0
        found: list[int] = self._numbers[placed[self._numbers]].tolist()
        return found

    def text(self, number: int) -> bytes:
        """Return the key of a choice as UTF-8."""
        return bytes(self._text[self._ends[number] : self._ends[number + 1]])

    def sources_of(self, numbers: Iterable[int]) -> list[str]:
        """Return the sources that these choices name, each once."""
        return [self._source_names[code] for code in sorted({self._sources[number] for number in numbers})]

    @property
    def unmatched(self) -> list[Choice]:
        """The choices that no difference answers to."""
        return [self[number] for number in self.matched.missing(self._numbers)]


def _coded(names: Sequence[str], codes: dict[str, int]) -> Iterator[int]:
    """Return what stands for each of these names; a new one gets the next number."""
    for name in dict.fromkeys(names):
        codes.setdefault(name, len(codes))
    return map(codes.__getitem__, names)


def _bytes(key: str) -> bytes:
    """Return the text of a key; half of a surrogate pair, which JSON can hold, is in no record's key."""
    return key.encode("utf-8", "surrogatepass")
