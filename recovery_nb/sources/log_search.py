"""Searching text for records: in objects that stand in it, and in strings within them that hold JSON again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

import bson

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.elements import CODEC, id_element
from recovery_nb.records.extended_json import NotARecordError, to_bson
from recovery_nb.records.salvage import leading_json_fields
from recovery_nb.sources.log_lines import is_entry
from recovery_nb.sources.log_objects import LAYERS, Place, Scan, Unescaped, broken_at, scan
from recovery_nb.sources.log_records import (
    BEGINS_AS_RECORD,
    Lead,
    collection_in_line,
    collection_in_object,
    is_record,
    lead_of,
    truncated,
)

__all__ = ["Piece", "Search"]

_BEFORE = 96
"""How many bytes before a text are wanted with it."""

_SPACE = rb"(?:[ \t\r\n]|\\+[nrt])*+"
_CANDIDATE = re.compile(rb"\{" + _SPACE + rb'(\\*+)"')
_ESCAPED = re.compile(rb"\{" + _SPACE + rb'\\++"')
_DANGLING = re.compile(rb"\{" + _SPACE + rb"\\*+\Z")
_STRING_REST = re.compile(rb'(?:[^"\\\r\n]|\\[^\r\n])*+')
_HEADING = (b":", b"=", b"(", b">", b"[")
"""How a line ends that speaks of what is on the next."""

_SERVER_ENTRY = b'{"t":{"$date":"'
_OPENING = re.compile(rb'\{\s*+"[^"\\]{1,64}+"\s*+:')
_GUESS_REACH = 64 * 1024
_LINE_REACH = 1024
"""How far a line is looked at for what it says of an object in it: lines may be long, and objects in them many."""

_PATIENCE = 8
_STRAYS = 8
"""So many records at most are looked for within what a broken object may have swallowed: it bounds the time."""

_STRAY_CANDIDATES = 1000

_PROVABLE = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """A record that was found, or a stretch in which one is broken.

    Attributes:
        start: Where it begins in the text.
        end: Where it ends.
        record: It, as BSON; of a broken one its leading whole fields.
        text: Its JSON text, not escaped.
        reason: What is wrong with it; "" for nothing.
        collection: The collection that the text names; "" where it names none.
        entry: Where the outermost object that it is in, or the string, begins; `start` if it is in none.
        entry_end: Where that ends.
    """

    start: int
    end: int
    record: bytes
    text: bytes
    reason: str
    collection: str
    entry: int
    entry_end: int


_NOWHERE = Piece(1 << 62, 1 << 62, b"", b"", "", "", 0, 0)


@dataclass(slots=True)
class _Entry:
    """An outermost object: where it begins and ends, where the server cut it, and up to where it is valid JSON."""

    start: int
    end: int
    cut_at: list[str]
    proved: int = -1


class Search:
    """Searches one text, or one after another of a longer one, for records.

    Args:
        layer: How often the text was escaped in another one.

    Attributes:
        notes: What had to be decided while records were converted, and how often.
        resume: After a search, from where on the text has to be searched again together with what follows it.
    """

    def __init__(self, *, layer: int = 0, notes: Counter[str] | None = None) -> None:
        self.notes: Counter[str] = Counter() if notes is None else notes
        self.resume = 0
        self._layer = layer
        self._text, self._before, self._stop, self._final = b"", b"", 0, True
        self._offset = 0
        # The last object that stood alone, and what stood before it: in a list, the next has the same name.
        self._list_end, self._list_lead = -1, Lead(b"", nested=False, listed=False, follows=False)
        self._list_collection: str | None = ""
        self._goes_on_at = -1
        self._joined, self._joined_until, self._entry_at = 0, 0, -1
        self._doubted = False
        self._hits = self._misses = self._last = 0

    def pieces(
        self, text: bytes, *, stop: int, start: int = 0, final: bool = True, before: bytes = b"", offset: int = 0
    ) -> Iterator[Piece]:
        """Yield the records in a text, and where one is broken, in their order.

        Args:
            text: The text.
            stop: Where to stop.
            start: Where to begin; what is before says what stands around it.
            final: Whether an object that is open there has no end; else it is left for `resume`.
            before: What precedes the text.
            offset: Where the text begins in the longer one.
        """
        self._text, self._before, self._stop, self._final, self._offset = text, before, stop, final, offset
        self.resume = stop
        self._joined_until, self._entry_at, position = 0, -1, start
        while found := _CANDIDATE.search(text, position, stop):
            start = found.start()
            if found[1]:
                pieces, position = self._in_string(start, stop)
            elif passed := self._passes_over(start):
                position = passed
                continue
            else:
                pieces, position = self._in_object(start)
            if position < 0:
                self.resume = start
                return
            yield from pieces
        if not final and (dangling := _DANGLING.search(text, max(position, stop - _BEFORE), stop)):
            self.resume = dangling.start()

    def _passes_over(self, start: int) -> int:
        """Return where a line ends that is one object without an identity, or of the server's own log; else 0."""
        text = self._text
        if start and text[start - 1] != 0x0A:
            return 0
        end = text.find(b"\n", start, self._stop)
        end = self._stop if end < 0 else end
        if text[end - 1] != 0x7D or text.find(b"_id", start, end) >= 0:
            return 0
        if not text.startswith(_SERVER_ENTRY, start) and (
            text.find(b'"id"', start, end) >= 0 or text.find(b'id\\"', start, end) >= 0
        ):
            return 0
        return end

    # Text that stands by itself

    def _lead(self, start: int) -> Lead:
        """Return what stands before an object that is in no other one."""
        self._goes_on_at = -1
        if start == self._entry_at:  # what stands before it is the broken end of another one
            return Lead(b"", nested=False, listed=False, follows=False)
        lead = lead_of(self._text, start, self._before)
        if not lead.follows:
            return lead
        gone = self._list_end - self._offset
        between = self._text[gone:start] if gone >= 0 else self._before[gone:] + self._text[:start]
        if gone >= -_BEFORE and start - gone <= _BEFORE and between.strip() == b",":
            if not self._list_lead.listed:
                return lead
            self._goes_on_at = start
            return self._list_lead
        # The list that it goes on with began somewhere out of sight: it may be part of a record.
        return lead._replace(nested=True)

    def _in_object(self, start: int) -> tuple[list[Piece], int]:
        """Return what is found in the object at `start`, and where to go on; -1 if it has to be seen whole first."""
        lead = self._lead(start)
        believed = not lead.nested or lead.holds
        if believed and not lead.excludes and BEGINS_AS_RECORD.match(self._text, start):
            piece = self._guessed(start, lead)
            if piece:
                self._list_end, self._list_lead = self._offset + piece.end, lead
                return [piece] if piece.record else [], piece.end
        seen = scan(self._text, start, self._stop)
        if seen.end < 0 and seen.cut and not self._final:
            return [], -1
        end = seen.reached
        self._list_end, self._list_lead = self._offset + end, lead
        if seen.end >= 0 and lead.excludes:
            return [], end
        pieces = self._judged(start, seen, lead)
        if seen.end < 0 or self._doubted or any(piece.reason for piece in pieces):
            following = self._next_entry(start, end)
            if following < end:
                end = self._entry_at = following
                seen = _up_to(end, seen)
                pieces = self._judged(start, seen, lead)
            if not seen.deep:
                pieces += self._strays(start, end, pieces)
        if self._text.find(b'\\"', start, end) >= 0:
            pieces += self._escaped_within(start, end, pieces)
        pieces.sort(key=_start)
        pieces = [self._trimmed(piece, following) for piece, following in zip_longest(pieces, pieces[1:])]
        return pieces, max(end, pieces[-1].end if pieces else 0)

    def _guessed(self, start: int, lead: Lead) -> Piece | None:
        """Return the record at `start` if the last brace of its line closes it, which the conversion proves."""
        reach = min(self._stop, start + _GUESS_REACH + 4 * self._last)
        line_end = self._text.find(b"\n", start, reach)
        if self._misses > _PATIENCE + self._hits // 4 or (line_end < 0 and reach < self._stop):
            return None
        end = self._text.rfind(b"}", start, reach if line_end < 0 else line_end) + 1
        if not end:
            return None
        text = self._text[start:end]
        try:
            record = self._convert(text)
        except NotARecordError:
            self._misses += 1
            return None
        if not is_record(record, held=lead.holds):
            return None
        self._hits += 1
        self._last = end - start
        collection = self._named(start, end)
        return Piece(start, end, b"" if collection is None else record, text, "", collection or "", start, end)

    def _convert(self, text: bytes) -> bytes:
        notes: list[str] = []
        record = to_bson(text, notes)
        if len(record) > MAX_RECORD_BYTES:
            raise NotARecordError("a record larger than a server stores (16 MiB)", well_formed=True)
        self.notes.update(notes)
        return record

    def _named(self, start: int, end: int) -> str | None:
        """Return the collection that the lines around an object name; of a list's, those around the first of it."""
        if start == self._goes_on_at:
            return self._list_collection
        text, least = self._text, max(0, start - _LINE_REACH)
        line = max(text.rfind(b"\n", least, start) + 1, least)
        if line and not text[line:start].strip() and text[max(0, line - 3) : line].rstrip().endswith(_HEADING):
            line = max(text.rfind(b"\n", least, line - 1) + 1, least)
        stop = min(self._stop, end + _LINE_REACH)
        line_end = text.find(b"\n", end, stop)
        self._list_collection = collection_in_line(text, line, start, end, stop if line_end < 0 else line_end)
        return self._list_collection

    # Objects within an object

    def _judged(self, start: int, seen: Scan, lead: Lead) -> list[Piece]:
        """Return the records among the objects with an identity: the outermost of each."""
        text, end = self._text, seen.reached
        entry = _Entry(start, end, truncated(text[start:end]) if text.startswith(_SERVER_ENTRY, start) else [])
        pieces: list[Piece] = []
        self._doubted = False
        if seen.crowded >= 0:
            pieces.append(Piece(seen.crowded, end, b"", b"", "more objects in one than are looked at", "", start, end))
        covered = start
        for place in seen.places:
            if place.start < covered:
                continue
            near, excluded = self._names(place, lead)
            believed = near.holds or (place.certain and not lead.nested)
            if excluded or not believed:
                covered = max(covered, (end if place.end < 0 else place.end) if excluded else 0)
                continue
            if place.end < 0 or seen.deep:
                piece = self._broken(place, end, _why(seen), entry)
            else:
                piece = self._whole(place, near, seen, entry)
            if piece:
                covered = piece.entry_end if place.end < 0 else place.end
                pieces += [piece] if piece.record or piece.reason else []
        return pieces

    def _whole(self, place: Place, near: Lead, seen: Scan, entry: _Entry) -> Piece | None:
        """Return the record that an object is, or where it is broken; None if it is no record."""
        start, end = place.start, place.end
        text = self._text[start:end]
        try:
            record = self._convert(text)
        except NotARecordError as error:
            return self._broken(place, end, error.reason, entry)
        if not is_record(record, held=near.holds) or self._is_entry(place, record, entry.start):
            return None
        if not near.holds and start > entry.start and end > self._proved(entry):
            self._doubted = True  # what it is in is broken before: it may be a part of a record
            return None
        if _is_cut(place, near, entry.cut_at, seen.places):
            # What the server left away stood before the brackets that close all that was open.
            return self._broken(place, start + len(text.rstrip(b"}]")), "the server cut this entry short", entry)
        collection = self._collection(place, entry)
        kept = b"" if collection is None else record
        return Piece(start, end, kept, text, "", collection or "", entry.start, entry.end)

    def _proved(self, entry: _Entry) -> int:
        """Return up to where an outermost object is valid JSON, so that it is certain what is in what."""
        if entry.proved < 0:
            known = entry.end - entry.start <= _PROVABLE
            stop = broken_at(self._text[entry.start : entry.end]) if known else 0
            entry.proved = entry.end if stop < 0 else entry.start + stop
        return entry.proved

    def _names(self, place: Place, lead: Lead) -> tuple[Lead, bool]:
        """Return under which name an object stands, and whether one of those around it says that it is no record."""
        if not place.above:
            return lead, lead.excludes
        inner = [*place.above[1:], place.start]
        leads = [lead_of(self._text, bracket) for bracket in inner]
        in_list = self._text[place.above[-1]] == 0x5B and len(leads) > 1
        return leads[-2] if in_list else leads[-1], lead.excludes or any(one.excludes for one in leads)

    def _is_entry(self, place: Place, record: bytes, start: int) -> bool:
        """Return whether an object without an `_id` is an entry of a structured log."""
        if place.start != start or id_element(record) is not None:
            return False
        return is_entry(bson.decode(record, CODEC))

    def _collection(self, place: Place, entry: _Entry) -> str | None:
        """Return the collection that is named for a record; None if it is one of the server's own."""
        collection = collection_in_object(self._text, place.above, entry.end) if place.above else ""
        return self._named(entry.start, entry.end) if collection == "" else collection

    def _broken(self, place: Place, stop: int, reason: str, entry: _Entry) -> Piece | None:
        """Return a stretch in which a record is broken; None if it does not begin as one."""
        if not BEGINS_AS_RECORD.match(self._text, place.start):
            return None
        collection = self._collection(place, entry) or ""
        return Piece(place.start, stop, b"", b"", reason, collection, entry.start, entry.end)

    def _trimmed(self, piece: Piece, following: Piece | None) -> Piece:
        """Let a broken stretch end where the next record begins, and say what is whole in it."""
        if not piece.reason or piece.record:
            return piece
        end = min(piece.end, following.start) if following else piece.end
        text = self._text[piece.start : min(end, piece.start + MAX_RECORD_BYTES)]
        return replace(piece, end=end, record=leading_json_fields(text))

    def _next_entry(self, start: int, end: int) -> int:
        """Return where, within the reach of one that is broken, the next entry begins: it was on a line of its own."""
        opening = _OPENING.match(self._text, start)
        if not opening or BEGINS_AS_RECORD.match(self._text, start):
            return end
        if start >= self._joined_until:
            self._joined, self._joined_until = 0, end
        self._joined += 1
        found = self._text.find(opening[0], start + 1, end)
        return found if found >= 0 and self._joined <= _STRAYS else end

    def _strays(self, start: int, end: int, pieces: list[Piece]) -> list[Piece]:
        """Return records that a broken object has swallowed, told from its own parts by what stands before them."""
        text = self._text
        found: list[Piece] = []
        tries, spans, span = 0, iter(sorted(pieces, key=_start)), None
        covered = start + 1
        for _, candidate in zip(range(_STRAY_CANDIDATES), BEGINS_AS_RECORD.finditer(text, covered, end), strict=False):
            here = candidate.start()
            while span is None or span.end <= here:
                span = next(spans, _NOWHERE)
            broken = span.start <= here
            if here < covered or (broken and (not span.reason or span.start == here)):
                continue
            lead = lead_of(text, here, self._before)
            if lead.follows or lead.excludes or (lead.nested and (broken or not lead.holds)):
                continue
            tries += 1
            seen = scan(text, here, self._stop) if tries <= _STRAYS else None
            if seen is None:
                break
            if seen.end < 0:
                continue
            try:
                record = self._convert(text[here : seen.end])
            except NotARecordError:
                continue
            collection = self._named(here, seen.end)
            if collection is not None and is_record(record, held=lead.holds):
                covered = seen.end
                found.append(Piece(here, seen.end, record, text[here : seen.end], "", collection, here, seen.end))
        return found

    # Objects within a string

    def _escaped_within(self, start: int, end: int, pieces: list[Piece]) -> list[Piece]:
        """Return what is found in the strings of an object, apart from those of records."""
        found: list[Piece] = []
        position = start
        taken = iter(sorted(pieces, key=_start))
        following = next(taken, None)
        while candidate := _ESCAPED.search(self._text, position, end):
            here = candidate.start()
            while following and following.end <= here:
                following = next(taken, None)
            if following and following.start <= here:
                position = following.end
                continue
            inner, position = self._in_string(here, end)
            if position < 0:  # the object was seen whole: so was the string
                break
            for piece in inner:
                collection: str | None = piece.collection
                if not collection:
                    collection = collection_in_object(self._text, (start,), end)
                if collection is not None:
                    found.append(replace(piece, collection=collection, entry=start, entry_end=end))
        return found

    def _in_string(self, start: int, stop: int) -> tuple[list[Piece], int]:
        """Return what is found in a string from `start` on, and where it ends; -1 if it has to be seen whole first."""
        rest = _STRING_REST.match(self._text, start, stop)
        end = rest.end() if rest else start
        if end >= stop - 1 and stop == self._stop and not self._final:
            return [], -1
        end = max(end, start + 1)
        lead = lead_of(self._text, start, self._before)
        if self._layer >= LAYERS or lead.excludes:
            return [], end
        inner = Unescaped(self._text[start:end])
        before = (self._before + self._text[max(0, start - _BEFORE) : start])[-_BEFORE:]
        below = Search(layer=self._layer + 1, notes=self.notes)
        pieces: list[Piece] = []
        for piece in below.pieces(inner.text, stop=len(inner.text), before=before):
            begin, finish = start + inner.raw(piece.start), start + inner.raw(piece.end)
            collection: str | None = piece.collection or self._named(start, end)
            if collection is not None:
                pieces.append(
                    replace(piece, start=begin, end=finish, collection=collection, entry=start, entry_end=end)
                )
        return pieces, end


def _start(piece: Piece) -> int:
    return piece.start


def _up_to(end: int, seen: Scan) -> Scan:
    """Return what was found before `end`, where an object breaks off."""
    places = [place if place.end <= end else place._replace(end=-1) for place in seen.places if place.start < end]
    return seen._replace(end=-1, reached=end, cut=False, places=places)


def _why(seen: Scan) -> str:
    if seen.deep:
        return "nested too deeply to be a record"
    return "the file ends inside a record" if seen.cut else "a record that does not end"


def _is_cut(place: Place, near: Lead, cut_at: list[str], places: list[Place]) -> bool:
    """Return whether a record is the one within which the server cut an entry short."""
    name = near.name.decode(errors="replace")
    if name not in cut_at:
        return False
    within = cut_at[cut_at.index(name) + 1 :]
    if not within or not near.listed or not within[0].isdigit():
        return True
    siblings = [other.start for other in places if other.above == place.above]
    return siblings.index(place.start) == int(within[0])
