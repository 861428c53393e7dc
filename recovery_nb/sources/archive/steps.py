"""What a walk through the blocks of an archive meets, and what it must ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from recovery_nb.sources.archive.format import Namespace

__all__ = ["Closed", "Ended", "Judge", "Lost", "Opened", "Run", "Step"]


class Judge(Protocol):
    """Decides what the archive does not say where it is damaged."""

    def credible(self, namespace: Namespace) -> bool:
        """Say whether a header that names `namespace` may be believed."""
        ...

    def owner(self, place: int) -> Namespace | None:
        """Return whose the documents are that begin at `place`, where the header of their block is lost."""
        ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A block begins.

    Attributes:
        namespace: Whose it is.
        offset: Where its header is.
    """

    namespace: Namespace
    offset: int


@dataclass(frozen=True, slots=True)
class Run:
    """Documents of one block.

    Attributes:
        namespace: Whose they are; None where that is not known.
        place: Where the part of the block begins whose header is lost; -1 if it is not.
        records: The documents.
        offsets: Where each begins.
    """

    namespace: Namespace | None
    place: int
    records: list[bytes]
    offsets: list[int]


@dataclass(frozen=True, slots=True)
class Lost:
    """A stretch that could not be read.

    Attributes:
        offset: Where it begins, in bytes.
        length: How long it is.
        reason: What is wrong there.
        namespace: Whose block it is in; None where not in one, or not in one of a known namespace.
        place: As in `Run`, if it is within a block; -1 else.
        sure: Whether it is all one document, so that no border of a block can be in it.
        record: Whether a record stood at its beginning.
    """

    offset: int
    length: int
    reason: str
    namespace: Namespace | None
    place: int
    sure: bool
    record: bool


@dataclass(frozen=True, slots=True)
class Closed:
    """A namespace ends.

    Attributes:
        namespace: Which.
        offset: Where its last header is.
        length: How long that is.
        holds: Whether the checksum there is that of the documents that were read.
    """

    namespace: Namespace
    offset: int
    length: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The archive ends.

    Attributes:
        offset: Where.
        clean: Whether it ends behind a block, not in one.
    """

    offset: int
    clean: bool


Step = Opened | Run | Lost | Closed | Ended
