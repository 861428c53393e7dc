"""Searching text for records: in objects that stand in it, and in strings within them that hold JSON again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.salvage import leading_json_fields
from recovery_nb.sources.log.around import Around
from recovery_nb.sources.log.judge import Judge
from recovery_nb.sources.log.objects import LAYERS, Scan, Unescaped, scan
from recovery_nb.sources.log.pieces import DOUBT, UPDATE, Converter, Piece
from recovery_nb.sources.log.records import (
    BEGINS_AS_RECORD,
    NEARLY_A_RECORD,
    SERVER_ENTRY,
    Lead,
    collection_in_object,
    lead_of,
)
from recovery_nb.sources.log.strays import Strays
from recovery_nb.sources.log.whole import Whole

__all__ = ["Search"]

_SPACE = rb"(?:[ \t\r\n]|\\+[nrt])*+"
_CANDIDATE = re.compile(rb"\{" + _SPACE + rb'(\\*+)"')
_ESCAPED = re.compile(rb"\{" + _SPACE + rb'\\++"')
_DANGLING = re.compile(rb"\{" + _SPACE + rb"\\*+\Z")
_DANGLING_REACH = 96
_STRING_REST = re.compile(rb'[^"\\\r\n]*+(?:\\[^\r\n][^"\\\r\n]*+)*+')

_REACH_BEFORE = 256
_FIELD_BEFORE = re.compile(rb'[,{\x00-\x1f]\s*+"[^"\\]{1,64}+"\s*+:\s*+"[^"]*+\Z')
_USUAL = 8
"""As often at least a log has put records themselves under a name before it is taken for its way."""

_QUOTED = "quoted in an object whose beginning is broken: perhaps a part of that"
"""Of what stands in a string, behind which an object ends that begins nowhere before it."""


class Search:
    """Searches one text, or one after another of a longer one, for records.

    Args:
        notes: What had to be decided while records were converted, and how often; it is added to.
        layer: How often the text was escaped in another one.

    Attributes:
        resume: After a search, from where on the text has to be searched again together with what follows it.
    """

    def __init__(self, notes: Counter[str], *, layer: int = 0) -> None:
        self.resume = 0
        self._notes, self._layer = notes, layer
        self._around, converter = Around(), Converter(notes)
        self._whole = Whole(self._around, converter)
        self._judge = Judge(self._around, converter)
        self._strays = Strays(self._around, converter)
        self._holders: Counter[bytes] = Counter()

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
        self._around.move(text, stop, final=final, before=before, offset=offset)
        self._strays.restart()
        self.resume, position = stop, start
        while found := _CANDIDATE.search(text, position, stop):
            start = found.start()
            if found[1]:
                pieces, position = self._in_string(start, stop)
                if pieces and self._is_part_of_string(start, position):
                    pieces = [piece._replace(text=b"", reason=piece.reason or _QUOTED) for piece in pieces]
            elif passed := self._passes_over(start):
                position = passed
                continue
            else:
                pieces, position = self._in_object(start)
            if position < 0:
                self.resume = start
                return
            yield from pieces
        if not final and (dangling := _DANGLING.search(text, max(position, stop - _DANGLING_REACH), stop)):
            self.resume = dangling.start()

    def _passes_over(self, start: int) -> int:
        """Return where a line ends that is one object without an identity, or of the server's own log; else 0."""
        text, stop = self._around.text, self._around.stop
        if start and text[start - 1] != 0x0A:
            return 0
        end = text.find(b"\n", start, stop)
        end = stop if end < 0 else end
        if text[end - 1] != 0x7D or text.find(b"_id", start, end) >= 0:
            return 0
        if not text.startswith(SERVER_ENTRY, start) and (
            text.find(b'"id"', start, end) >= 0 or text.find(b'id\\"', start, end) >= 0
        ):
            return 0
        return end

    def _in_object(self, start: int) -> tuple[list[Piece], int]:
        """Return what is found in the object at `start`, and where to go on; -1 if it has to be seen whole first."""
        around = self._around
        lead = around.lead(start)
        doubtful = around.goes_on(start, lead)
        suspect = around.on_broken_line(start) and not lead.speaks
        passes = lead.excludes or lead.updates or (lead.nested and not lead.holds)
        if not passes and (piece := self._whole.at(start, lead)):
            self._holders[lead.name] += bool(lead.name)
            doubtful = doubtful or self._is_part(piece.end, lead, suspect=suspect)
            around.passed(piece.end, lead, broken=doubtful)
            return [self._trimmed(self._doubted(piece) if doubtful else piece, None)] if piece.record else [], piece.end
        text = around.text
        seen = scan(text, start, around.stop)
        if seen.end < 0 and seen.cut and not around.final:
            return [], -1
        end = seen.reached
        doubtful = doubtful or (seen.end >= 0 and self._is_part(end, lead, suspect=suspect))
        around.passed(end, lead, broken=doubtful or seen.end < 0)
        if seen.end >= 0 and _is_passed_over(lead):
            return [], end
        pieces = self._judge.pieces(start, seen, lead)
        if seen.end < 0 or self._judge.doubted or any(piece.reason not in ("", UPDATE) for piece in pieces):
            following = self._strays.next_entry(start, end)
            if following < end:
                end = following
                around.alone(end)
                seen = _up_to(end, seen)
                pieces = self._judge.pieces(start, seen, lead)
            if not seen.deep:
                pieces += self._strays.records(start, end, pieces)
            if seen.end < 0 and lead.listed and not lead.nested and len(pieces) == 1 and pieces[0].start == start:
                pieces += self._strays.siblings(start, lead)
        broken = seen.end < 0 or any(piece.start == start and piece.reason not in ("", UPDATE) for piece in pieces)
        if self._holders[lead.name] > _USUAL and not any(piece.start == start for piece in pieces):
            # This log's records have stood here themselves: one that is none, and looks broken, is a broken one.
            doubtful = doubtful or self._breaks_at(start, end) < end
            broken = broken or doubtful
        if broken:
            around.passed(end, lead, broken=True)
        own = broken and BEGINS_AS_RECORD.match(text, start)  # what a broken record quotes is a part of it
        if not own and text.find(b'\\"', start, end) >= 0:
            pieces += self._escaped_within(start, end, pieces)
        pieces = sorted(self._doubted(piece) if doubtful else piece for piece in pieces)
        pieces = [self._trimmed(piece, following) for piece, following in zip_longest(pieces, pieces[1:])]
        return pieces, max(end, pieces[-1].end if pieces else 0)

    def _is_part_of_string(self, start: int, end: int) -> bool:
        """Return whether a string, found at `start` and closed at `end`, is in an object that lost its beginning."""
        around = self._around
        brackets = around.brackets
        return (
            bool(_FIELD_BEFORE.search(around.text, max(0, start - _REACH_BEFORE), start))
            or brackets.field_follows(end + 1)
            or brackets.closes_alone(end + 1)
            or (around.on_broken_line(start) and brackets.closed(end + 1))
        )

    def _is_part(self, end: int, lead: Lead, *, suspect: bool) -> bool:
        """Return whether what follows an object on its line says that it is in one which is broken."""
        brackets = self._around.brackets
        return not lead.speaks and (
            brackets.lost(end) or brackets.field_follows(end) or (suspect and brackets.closed(end))
        )

    def _doubted(self, piece: Piece) -> Piece:
        """Return a record as what may be a part of a broken one, unless a word before it says what it is."""
        if piece.reason or lead_of(self._around.text, piece.start).speaks:
            return piece
        return piece._replace(record=b"", text=b"", reason=DOUBT)

    def _trimmed(self, piece: Piece, following: Piece | None) -> Piece:
        """Let a broken stretch end where the next record begins, and say what is whole in it."""
        if not piece.reason or piece.record:
            return piece
        end = min(piece.end, following.start) if following else piece.end
        text = self._around.text[piece.start : min(end, piece.start + MAX_RECORD_BYTES)]
        return piece._replace(end=end, record=leading_json_fields(text))

    def _escaped_within(self, start: int, end: int, pieces: list[Piece]) -> list[Piece]:
        """Return what is found in the strings of an object, apart from those of records."""
        found: list[Piece] = []
        position = start
        taken = iter(sorted(pieces))
        following = next(taken, None)
        own: str | None = ""
        looked = False
        while candidate := _ESCAPED.search(self._around.text, position, end):
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
                if not piece.collection and not looked:
                    own, looked = collection_in_object(self._around.text, start, end), True
                collection = piece.collection or own
                if collection is not None:
                    found.append(piece._replace(collection=collection, entry=start, entry_end=end))
        # What a string quotes behind a break may be quoted by a record that is broken there.
        if NEARLY_A_RECORD.match(self._around.text, start):
            return [self._doubted(piece) for piece in found]
        proved = self._breaks_at(start, end) if found else end
        return [self._doubted(piece) if piece.start >= proved else piece for piece in found]

    def _breaks_at(self, start: int, end: int) -> int:
        """Return where an object stops being valid JSON; `end` if it does not, or is of another notation."""
        proved = self._judge.proved(start, end)
        return proved if self._around.text.find(b'":', start, proved) >= 0 else end

    def _in_string(self, start: int, stop: int) -> tuple[list[Piece], int]:
        """Return what is found in a string from `start` on, and where it ends; -1 if it has to be seen whole first."""
        around = self._around
        rest = _STRING_REST.match(around.text, start, stop)
        end = rest.end() if rest else start
        if end >= stop - 1 and stop == around.stop and not around.final:
            return [], -1
        end = max(end, start + 1)
        if self._layer >= LAYERS or _is_passed_over(lead_of(around.text, start, around.before)):
            return [], end
        inner = Unescaped(around.text[start:end])
        below = Search(self._notes, layer=self._layer + 1)
        pieces: list[Piece] = []
        named: str | None = ""
        looked = False
        for piece in below.pieces(inner.text, stop=len(inner.text), before=around.within(start)):
            if not piece.collection and not looked:
                named, looked = around.collection(start, end), True
            collection = piece.collection or named
            if collection is not None:
                begin, finish = start + inner.raw(piece.start), start + inner.raw(piece.end)
                pieces.append(
                    piece._replace(start=begin, end=finish, collection=collection, entry=start, entry_end=end)
                )
        return pieces, end


def _is_passed_over(lead: Lead) -> bool:
    """Return whether nothing in an object is looked at, for what stands before it; an update is shown."""
    return lead.excludes and not lead.updates


def _up_to(end: int, seen: Scan) -> Scan:
    """Return what was found before `end`, where an object breaks off."""
    places = [place if place.end <= end else place._replace(end=-1) for place in seen.places if place.start < end]
    return seen._replace(end=-1, reached=end, cut=False, places=places)
