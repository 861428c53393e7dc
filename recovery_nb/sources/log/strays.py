"""What a broken object has swallowed of a log: the entry after it, records that stand alone, the rest of its list."""

from __future__ import annotations

import re
from itertools import islice

from recovery_nb.records.extended_json import NotARecordError
from recovery_nb.sources.log.around import Around
from recovery_nb.sources.log.objects import broken_at, scan
from recovery_nb.sources.log.pieces import DOUBT, UPDATE, Converter, Piece
from recovery_nb.sources.log.records import BEGINS_AS_RECORD, Lead, is_record, lead_of

__all__ = ["Strays"]

_TRIES = 8
"""So many records at most are looked for within what a broken object may have swallowed: it bounds the time."""

_CANDIDATES = 1000
_OPENING = re.compile(rb'\{\s*+"[^"\\]{1,64}+"\s*+:')
_FOLLOWS = re.compile(rb"\}\s*+,\s*+(?=\{)")
_GOES_ON = re.compile(rb"\s*+,\s*+(?=\{)")
_LIST_ENDS = re.compile(rb'\s*+\][^"{}\[\]\n]*+\Z')
_OBJECT = re.compile(rb'\{\s*+\\*+"')
_NOWHERE = Piece(1 << 62, 1 << 62, b"", b"", "", "", 0, 0)


class Strays:
    """Looks for what broken objects have swallowed.

    Args:
        around: The text.
        converter: What makes records.
    """

    def __init__(self, around: Around, converter: Converter) -> None:
        self._around, self._converter = around, converter
        self._joined = self._joined_until = 0
        self._lists = self._lists_until = 0

    def restart(self) -> None:
        """Go on to another text."""
        self._joined_until = self._lists_until = 0

    def next_entry(self, start: int, end: int) -> int:
        """Return where, within the reach of one that is broken, the next entry begins: it was on a line of its own."""
        text = self._around.text
        opening = _OPENING.match(text, start)
        if not opening or BEGINS_AS_RECORD.match(text, start):
            return end
        if start >= self._joined_until:
            self._joined, self._joined_until = 0, end
        self._joined += 1
        found = text.find(opening[0], start + 1, end)
        return found if found >= 0 and self._joined <= _TRIES else end

    def records(self, start: int, end: int, pieces: list[Piece]) -> list[Piece]:
        """Return records that a broken object has swallowed, told from its own parts by what stands before them.

        Args:
            start: Where the object begins.
            end: How far it reaches.
            pieces: What was found in it.
        """
        around = self._around
        found: list[Piece] = []
        tries, spans, span = 0, iter(sorted(pieces)), _NOWHERE._replace(end=-1)
        covered = start + 1
        for candidate in islice(BEGINS_AS_RECORD.finditer(around.text, covered, end), _CANDIDATES):
            here = candidate.start()
            while span.end <= here:
                span = next(spans, _NOWHERE)
            broken = span.start <= here
            if here < covered or (broken and (not span.reason or span.start == here)):
                continue
            lead = lead_of(around.text, here, around.before)
            passes = lead.follows or (lead.excludes and not lead.updates)
            if passes or (lead.nested and (broken or not lead.holds)):
                continue
            tries += 1
            if tries > _TRIES:
                break
            seen = scan(around.text, here, around.stop)
            if seen.end < 0:
                continue
            text = around.text[here : seen.end]
            try:
                record = self._converter.record(text)
            except NotARecordError:
                continue
            collection = around.collection(here, seen.end)
            if collection is not None and is_record(record, held=lead.holds):
                covered = seen.end
                alone = lead.speaks or not around.brackets.closed(seen.end)
                reason = UPDATE if lead.updates else "" if alone else DOUBT
                if reason:
                    record, text = b"", b""
                found.append(Piece(here, seen.end, record, text, reason, collection, here, seen.end))
        return found

    def siblings(self, start: int, lead: Lead) -> list[Piece]:
        """Return what seems to be the rest of a list, up to its end, after a member that is broken.

        That the last bracket of a line closes the list of the broken member is likely and not certain: the line may be
        cut, too, behind a list in that member. So these are no records, but something to look at.

        Args:
            start: Where the broken member begins.
            lead: What stands before the list.
        """
        text, stop = self._around.text, self._around.stop
        if start >= self._lists_until:
            line_end = text.find(b"\n", start, stop)
            self._lists, self._lists_until = 0, stop if line_end < 0 else line_end
        self._lists += 1
        position, stop = start, self._lists_until
        for _ in range(_TRIES if self._lists <= _TRIES else 0):
            behind = _FOLLOWS.search(text, position, stop)
            if not behind:
                break
            members, position = self._members(behind.end(), stop)
            if members and _LIST_ENDS.match(text, position, stop):
                return self._doubtful(members, lead) if self._parts(start, members[0][0]) else []
        return []

    def _members(self, start: int, stop: int) -> tuple[list[tuple[int, int]], int]:
        """Return where the whole objects in a list are that begin as records, and how far it was looked at."""
        members: list[tuple[int, int]] = []
        while BEGINS_AS_RECORD.match(self._around.text, start, stop):
            seen = scan(self._around.text, start, stop)
            if seen.end < 0:
                return [], start
            members.append((start, seen.end))
            goes_on = _GOES_ON.match(self._around.text, seen.end, stop)
            if not goes_on:
                return members, seen.end
            start = goes_on.end()
        return [], start

    def _parts(self, start: int, end: int) -> bool:
        """Return whether a member is broken before `end`, and nothing that stands alone begins until there."""
        text = self._around.text[start:end].rstrip()
        inner = [one.start() for one in islice(_OBJECT.finditer(text, 1), _CANDIDATES)]
        leads = [lead_of(text, position) for position in inner]
        return (
            len(inner) < _CANDIDATES
            and all(lead.nested or lead.follows for lead in leads)
            and (-1 < broken_at(text) < len(text) - 1)
        )

    def _doubtful(self, members: list[tuple[int, int]], lead: Lead) -> list[Piece]:
        found: list[Piece] = []
        for start, end in members:
            try:
                record = self._converter.record(self._around.text[start:end])
            except NotARecordError:
                continue
            collection = self._around.collection(start, end)
            if collection is not None and is_record(record, held=lead.holds):
                found.append(Piece(start, end, b"", b"", DOUBT, collection, start, end))
        return found
