"""Whose the documents are behind a damaged stretch in which a border of blocks may be lost.

A wrong collection would be worse than a lost record, so nothing is guessed. Whose documents they are is found by
exclusion. They belong to a namespace that has not ended before them, and whose documents are not complete without
them: the CRC-64 at its end does not hold for those that stand in blocks whose headers are whole. If only one such
namespace is left, they are its documents; else it is not known whose they are. After one damage, all namespaces that
it did not touch hold, so that the answer is known; after several it may not be.

All namespaces there are must be known for that. They are if the prelude is whole; they are too if what follows is
whole up to an end behind a closed namespace, as then the end of each that could own them stands there.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter

from recovery_nb.sources.archive.blocks import walk
from recovery_nb.sources.archive.format import Namespace
from recovery_nb.sources.archive.prelude import Prelude
from recovery_nb.sources.archive.steps import Closed, Ended, Lost, Opened
from recovery_nb.sources.content import Content

__all__ = ["MOST_OWNERS", "Owners"]

MOST_OWNERS = 64
"""No more namespaces than this are told for one place: it bounds time."""


class Owners:
    """What can be told of an archive as a whole. It is read through for that, once, when something is first asked.

    Args:
        content: The archive.
        prelude: What stands before the blocks.
    """

    def __init__(self, content: Content, prelude: Prelude) -> None:
        self._content, self._prelude = content, prelude
        self._listed = prelude.expected() | {entry.namespace for entry in prelude.listings}
        self._facts: _Facts | None = None

    def credible(self, namespace: Namespace) -> bool:
        """Say whether a namespace exists that a header names: no checksum covers a header.

        It does if the prelude lists it, or if both a header and an end name it. Where both the prelude and the end
        of the archive are damaged, one is enough.
        """
        if namespace in self._listed:
            return True
        facts = self._survey()
        return namespace in facts.twice or not (self._prelude.whole or facts.clean)

    def owner(self, place: int) -> Namespace | None:
        """Return whose documents begin at `place`; None where that cannot be known."""
        owners = self.possible(place)
        return owners[0] if len(owners) == 1 and (self._prelude.whole or self._survey().clean_behind(place)) else None

    def possible(self, place: int) -> list[Namespace]:
        """Return whose the documents that begin at `place` may be, as far as that is known; at most `MOST_OWNERS`."""
        facts = self._survey()
        first = bisect_right(facts.ending, place, key=itemgetter(0))
        endless = [] if facts.clean_behind(place) else facts.endless
        owners = [name for _, name in facts.ending[first : first + MOST_OWNERS]] + endless[:MOST_OWNERS]
        return sorted(owners)[:MOST_OWNERS]

    def _survey(self) -> _Facts:
        if self._facts is None:
            self._facts = _Facts(self._content, self._prelude, self._listed)
        return self._facts


class _Facts:
    """What one reading of the whole archive tells.

    Attributes:
        twice: The namespaces that both a header of a block and an end name.
        ending: Those whose checksum does not hold, each with where it ends, in that order.
        endless: Those that have no end.
        clean: Whether the archive ends behind the end of a namespace.
        last_doubt: Where the last stretch ends in which a border may be lost; or the last header is that names a
            namespace which is named nowhere else.
    """

    def __init__(self, content: Content, prelude: Prelude, listed: set[Namespace]) -> None:
        self.clean, self.last_doubt = False, -1
        headers: dict[Namespace, int] = {}
        ends: dict[Namespace, int] = {}
        wrong: set[Namespace] = set()
        for step in walk(content, prelude, _Believer()):
            match step:
                case Opened():
                    headers[step.namespace] = step.offset
                case Closed():
                    ends[step.namespace] = step.offset
                    if not step.holds:
                        wrong.add(step.namespace)
                case Lost() if not step.sure:
                    self.last_doubt = max(self.last_doubt, step.offset + step.length)
                case Ended():
                    self.clean = step.clean
                case _:
                    pass
        self.twice = headers.keys() & ends.keys()
        self.ending = sorted((ends[name], name) for name in wrong)
        self.endless = sorted((headers.keys() | prelude.expected()) - ends.keys())
        for name in (headers.keys() ^ ends.keys()) - listed:
            self.last_doubt = max(self.last_doubt, headers.get(name, -1), ends.get(name, -1))

    def clean_behind(self, place: int) -> bool:
        """Say whether nothing behind `place` is in doubt, to a clean end."""
        return self.clean and self.last_doubt <= place


class _Believer:
    """Believes every header, and knows of no other owners."""

    def credible(self, _: Namespace) -> bool:
        return True

    def owner(self, _: int) -> Namespace | None:
        return None
