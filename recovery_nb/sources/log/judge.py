"""Judging which of the objects in one are records, and where one of them is broken."""

from __future__ import annotations

from dataclasses import dataclass, field

import bson

from recovery_nb.records.elements import CODEC, id_element
from recovery_nb.records.extended_json import NotARecordError
from recovery_nb.sources.log.around import Around
from recovery_nb.sources.log.lines import is_entry
from recovery_nb.sources.log.objects import Place, Scan, broken_at
from recovery_nb.sources.log.pieces import DOUBT, UPDATE, Converter, Piece
from recovery_nb.sources.log.records import (
    BEGINS_AS_RECORD,
    NEARLY_A_RECORD,
    SERVER_ENTRY,
    Lead,
    collection_in_object,
    is_record,
    lead_of,
    truncated,
)

__all__ = ["Judge"]

_PROVABLE = 16 * 1024 * 1024


@dataclass(slots=True)
class _Entry:
    """An outermost object: where it begins and ends, and what is found out about it only once.

    Attributes:
        cut_at: The names that lead to where the server cut it.
        proved: Up to where it is valid JSON; -1 while nobody asked.
        leads: What stands before the brackets in it.
        collections: Which one each bracket around a record names.
        named: Which one the text around it names; "" while nobody `looked`.
        members: Where the objects with an identity begin that are in the same brackets.
    """

    start: int
    end: int
    cut_at: list[str]
    proved: int = -1
    leads: dict[int, Lead] = field(default_factory=dict)
    collections: dict[int, str | None] = field(default_factory=dict)
    named: str | None = ""
    looked: bool = False
    members: dict[tuple[int, ...], list[int]] = field(default_factory=dict)


class Judge:
    """Judges the objects in outermost ones.

    Args:
        around: The text.
        converter: What makes records.

    Attributes:
        doubted: Whether, in the object judged last, a record was not believed since what it is in is broken before.
    """

    def __init__(self, around: Around, converter: Converter) -> None:
        self._around, self._converter = around, converter
        self.doubted = False

    def pieces(self, start: int, seen: Scan, lead: Lead) -> list[Piece]:
        """Return the records among the objects with an identity: the outermost of each.

        Args:
            start: Where the outermost object begins.
            seen: What was found in it.
            lead: What stands before it.
        """
        text, end = self._around.text, seen.reached
        entry = _Entry(start, end, truncated(text[start:end]) if text.startswith(SERVER_ENTRY, start) else [])
        pieces: list[Piece] = []
        self.doubted = False
        if seen.crowded >= 0:
            pieces.append(Piece(seen.crowded, end, b"", b"", "more objects in one than are looked at", "", start, end))
        covered = start
        for place in seen.places:
            if place.start < covered:
                continue
            near, excluded = self._names(place, lead, entry)
            harmed = any(NEARLY_A_RECORD.match(text, bracket) for bracket in place.above)
            believed = near.holds or (place.certain and not lead.nested)
            if excluded or not believed:
                covered = max(covered, (end if place.end < 0 else place.end) if excluded else 0)
                continue
            if place.end < 0 or seen.deep:
                piece = self._broken(place, end, _why(seen), entry)
            else:
                piece = self._whole(place, near, seen, entry)
            if piece and harmed and not piece.reason:
                piece = piece._replace(record=b"", text=b"", reason=DOUBT)
            if piece:
                covered = piece.entry_end if place.end < 0 else place.end
                pieces += [piece] if piece.record or piece.reason else []
        return pieces

    def _whole(self, place: Place, near: Lead, seen: Scan, entry: _Entry) -> Piece | None:
        """Return the record that an object is, or where it is broken; None if it is no record."""
        start, end = place.start, place.end
        text = self._around.text[start:end]
        try:
            record = self._converter.record(text)
        except NotARecordError as error:
            return self._broken(place, end, error.reason, entry)
        if not is_record(record, held=near.holds) or _is_entry(place, record, entry.start):
            return None
        if not near.holds and start > entry.start and end > self._proved(entry):
            self.doubted = True  # what it is in is broken before: it may be a part of a record
            return None
        if _is_cut(place, near, entry, seen.places):
            # What the server left away stood before the brackets that close all that was open.
            return self._broken(place, start + len(text.rstrip(b"}]")), "the server cut this entry short", entry)
        collection = self._collection(place, entry)
        if near.updates and collection is not None:
            return Piece(start, end, b"", b"", UPDATE, collection, entry.start, entry.end)
        kept = b"" if collection is None else record
        return Piece(start, end, kept, text, "", collection or "", entry.start, entry.end)

    def _broken(self, place: Place, stop: int, reason: str, entry: _Entry) -> Piece | None:
        """Return a stretch in which a record is broken; None if it does not begin as one."""
        if not BEGINS_AS_RECORD.match(self._around.text, place.start):
            return None
        collection = self._collection(place, entry) or ""
        return Piece(place.start, stop, b"", b"", reason, collection, entry.start, entry.end)

    def _proved(self, entry: _Entry) -> int:
        if entry.proved < 0:
            known = entry.end - entry.start <= _PROVABLE
            entry.proved = self.proved(entry.start, entry.end) if known else entry.start
        return entry.proved

    def proved(self, start: int, end: int) -> int:
        """Return up to where an outermost object is valid JSON, as far as it was looked at."""
        stop = broken_at(self._around.text[start:end]) if end - start <= _PROVABLE else -1
        return end if stop < 0 else start + stop

    def _names(self, place: Place, lead: Lead, entry: _Entry) -> tuple[Lead, bool]:
        """Return under which name an object stands, and whether one of those around it says that it is no record."""
        if not place.above:
            return lead, lead.excludes and not lead.updates
        known = entry.leads
        for bracket in place.above[1:]:
            if bracket not in known:
                known[bracket] = lead_of(self._around.text, bracket)
        above = [known[bracket] for bracket in place.above[1:]]
        own = lead_of(self._around.text, place.start)
        in_list = self._around.text[place.above[-1]] == 0x5B and bool(above)
        excluded = lead.excludes or (own.excludes and not own.updates) or any(one.excludes for one in above)
        # Of a list's members, each of which may be whole, none is called an update.
        return above[-1]._replace(updates=False) if in_list else own, excluded

    def _collection(self, place: Place, entry: _Entry) -> str | None:
        """Return the collection that is named for a record; None if it is one of the server's own."""
        known = entry.collections
        for bracket in reversed(place.above):
            if bracket not in known:
                known[bracket] = collection_in_object(self._around.text, bracket, entry.end)
            if known[bracket] != "":
                return known[bracket]
        if not entry.looked:
            entry.named, entry.looked = self._around.collection(entry.start, entry.end), True
        return entry.named


def _why(seen: Scan) -> str:
    if seen.deep:
        return "nested too deeply to be a record"
    return "the file ends inside a record" if seen.cut else "a record that does not end"


def _is_entry(place: Place, record: bytes, start: int) -> bool:
    """Return whether an object without an `_id` is an entry of a structured log."""
    if place.start != start or id_element(record) is not None:
        return False
    return is_entry(bson.decode(record, CODEC))


def _is_cut(place: Place, near: Lead, entry: _Entry, places: list[Place]) -> bool:
    """Return whether a record is the one within which the server cut an entry short."""
    cut_at = entry.cut_at
    if not cut_at:
        return False
    name = near.name.decode(errors="replace")
    if name not in cut_at:
        return False
    within = cut_at[cut_at.index(name) + 1 :]
    if not within or not near.listed or not within[0].isdigit():
        return True
    if not entry.members:
        for other in places:
            entry.members.setdefault(other.above, []).append(other.start)
    members = entry.members[place.above]
    number = int(within[0])
    return number < len(members) and members[number] == place.start
