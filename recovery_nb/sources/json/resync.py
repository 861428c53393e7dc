"""Finding the next record behind damage in JSON, and telling it from an object within a damaged record.

An object that is whole looks the same wherever it stands. What follows it tells: behind one that is part of a record
come more of its fields, the bracket that closes it, and then the next record. Behind a record come others.
"""

from __future__ import annotations

import re
from enum import Enum

from recovery_nb.sources.content import UNKNOWN_SIZE, Memory
from recovery_nb.sources.json.text import RECORD_LIMIT, Budget, NoEndError, Text, is_json

__all__ = ["Resync", "Verdict"]

_OPENING = re.compile(rb'\{\s*+"[^"\\\x00-\x1f]{0,200}"\s*+:')
_FIRST_TWO = re.compile(rb'\{\s*+"([^"\\\x00-\x1f]{0,200})"\s*+:\s*+')
_NAME = re.compile(rb'\s*+,\s*+"([^"\\\x00-\x1f]{0,200})"\s*+:')
_FIELD_BEFORE = re.compile(rb'"\s*+:\s*+(?:\[\s*+)?+\Z')

_FAR = 256 * 1024
"""A list that goes on for this long, and for this many times a record's length, is in no record."""
_TIMES = 16
_FOLLOWERS = 4
_MANY = 8
_PROVED = 256 * 1024
_LEARNED = 100
_LOOKED_AT = 200
"""How many records are looked at, from the beginning on and behind each damage, for how they begin."""
_REMEMBERED = 100_000
_OVERLAP = 256
_WINDOW = 1024 * 1024


class Verdict(Enum):
    """What an object behind damage is: a record, a part of one, or one of both."""

    RECORD = 1
    INSIDE = 2
    UNKNOWN = 3


class Resync:
    """Searches one text; it learns from the records before the damage how records begin.

    Args:
        text: The text.
        closing: The brackets that close what records are in; None where that is not known.
        budget: How much may be looked at in vain.
    """

    def __init__(self, text: Text, closing: bytes | None, budget: Budget | None = None) -> None:
        self._text, self._closing, self._budget = text, closing, budget or Budget()
        self._starts: set[tuple[bytes, bytes]] = set()
        self._inside: set[int] = set()  # where objects within damaged records end
        self._cut, self._wanted = False, _LOOKED_AT
        self.learning = True

    def learn(self, start: int, end: int) -> bool:
        """Take note of how a record begins; say whether it is one, if none began so before.

        Args:
            start: Where what seems to be a record begins.
            end: Where it ends.
        """
        self._wanted -= 1
        self.learning = self._wanted > 0 and len(self._starts) < _LEARNED
        begins = self._start(self._text.slice(start, min(end, start + RECORD_LIMIT)))
        if begins in self._starts:
            return True
        self._budget.gain(end - start)
        ends = [end]
        if (
            (self._starts or not self._closing)
            and self._climb(start, ends, [], _FAR) is Verdict.INSIDE
            and len(ends) < _MANY
        ):
            return False
        self._starts.add(begins)
        return True

    def ends(self, start: int, end: int) -> bool:
        """Return whether a broken record that seems to end there does so, as what follows it are records."""
        return self._climb(start, [end], [], _FAR) is Verdict.RECORD

    def next_record(self, pos: int, *, stop: int = UNKNOWN_SIZE, usual: int = 0, cut: bool = False) -> int:
        """Return where the next record begins, from `pos` on and before `stop`; -1 where there is none.

        Args:
            pos: The first place to look at.
            stop: The first place not to look at.
            usual: How long a record is, in bytes.
            cut: Whether all that is there may be a single record that is cut: then one in it must be beyond doubt.
        """
        text, self._cut, self._wanted = self._text, cut, _LOOKED_AT
        self.learning = len(self._starts) < _LEARNED
        self._budget.begin(pos)
        while pos < stop:
            text.need(pos, _WINDOW)
            found = _OPENING.search(text.data, pos - text.base)
            if not found or text.base + found.start() >= stop:
                reached = text.base + len(text.data)
                if reached >= min(text.size, stop):
                    return -1
                self._budget.gain(reached - pos)
                pos = max(pos + 1, reached - _OVERLAP)
                continue
            candidate = text.base + found.start()
            self._budget.gain(candidate - pos)
            pos = candidate + 1
            try:
                end = self._value_end(candidate)
            except NoEndError:
                continue
            if not self._is_sound(candidate, end):
                continue
            if end not in self._inside and self._is_record(candidate, end, usual):
                return candidate
            pos = end
        return -1

    def judge_list(self, bracket: int, *, usual: int, is_field: bool) -> Verdict:
        """Say whether a list in a damaged stretch is one of records, beside the one that was read, or is in a record.

        Args:
            bracket: Where it opens.
            usual: How long a record is, in bytes.
            is_field: Whether records have lists of this name: then that its objects begin as records do tells nothing.
        """
        text, self._cut, followers = self._text, False, list[int]()
        first, far = text.skip_space(bracket + 1), max(_FAR, _TIMES * usual)
        self._budget.begin(bracket)
        if text.byte(first) == b"]":
            return self._climb(bracket, [first + 1], [], far, closed=b"]")
        if text.byte(first) != b"{":
            return Verdict.INSIDE
        try:
            end = self._sound_end(first)
        except NoEndError:
            return Verdict.UNKNOWN
        verdict = self._climb(first, [end], followers, far)
        known = [self._start(text.slice(one, one + _WINDOW)) in self._starts for one in (first, *followers)]
        if any(known) and not known[0]:  # its first object may be in a record that lost the brackets behind it
            return Verdict.INSIDE if verdict is Verdict.INSIDE else Verdict.UNKNOWN
        if verdict is Verdict.UNKNOWN and len(known) > 1 and all(known[:2]) and not is_field:
            return Verdict.RECORD
        return verdict

    def _is_sound(self, start: int, end: int) -> bool:
        """Return whether a value, whose brackets match, is valid besides."""
        self._budget.spend(end - start)
        return is_json(self._text.slice(start, end))

    def _value_end(self, pos: int) -> int:
        """Return where a value ends, if looking for that is still allowed."""
        if self._budget.left <= 0:
            raise NoEndError("limit", pos)
        try:
            end = self._text.value_end(pos, limit=RECORD_LIMIT, keep=True)
        except NoEndError as error:
            self._budget.spend(4 * (error.reached - pos))
            raise
        self._budget.spend(end - pos)
        return end

    def _is_record(self, start: int, end: int, usual: int) -> bool:
        """Return whether a valid object is a record, and remember where it ends if it is none."""
        text, ends, followers = self._text, [end], list[int]()
        verdict = self._climb(start, ends, followers, max(_FAR, _TIMES * usual))
        if self._closing == b"" and followers and verdict is Verdict.RECORD:
            verdict = Verdict.UNKNOWN  # no commas part the records of a sequence
        known = not self._starts or self._start(text.slice(start, end)) in self._starts
        if self._cut and not (known and self._starts):
            verdict = Verdict.INSIDE
        is_field = bool(_FIELD_BEFORE.search(text.slice(max(0, start - _OVERLAP), start)))
        if verdict is Verdict.RECORD and not known and not is_field:
            # If records follow one that is none, damage hides where the list that it is in ends.
            return not any(self._start(text.slice(one, one + _WINDOW)) in self._starts for one in followers)
        if verdict is Verdict.INSIDE and len(ends) >= _MANY and not (self._cut or is_field):
            verdict = Verdict.UNKNOWN  # what is behind so many is another damage, or a list that began unseen
        elif verdict is Verdict.UNKNOWN and self._cut:
            verdict = Verdict.INSIDE
        if known and (verdict is Verdict.RECORD or (verdict is Verdict.UNKNOWN and not is_field)):
            return True
        if verdict is not Verdict.INSIDE or self._cut:
            del ends[1:]
        if len(self._inside) > _REMEMBERED:
            self._inside.clear()
        self._inside.update(ends)
        return False

    def _climb(self, start: int, ends: list[int], followers: list[int], far: int, *, closed: bytes = b"") -> Verdict:
        """Read on behind an object, and behind what it is in, until that tells whether it is a record.

        Args:
            start: Where it begins.
            ends: Where it ends; the ends of those behind it in the same list are added.
            followers: Where the first of them begin; likewise.
            far: How far a list goes that is in no record, in bytes.
            closed: The brackets that were passed already.
        """
        text, pos, mixed = self._text, ends[0], False
        try:
            while True:
                if not closed and pos - start >= far:
                    return Verdict.UNKNOWN if mixed else Verdict.RECORD
                pos = text.skip_space(pos)
                byte = text.byte(pos)
                if not byte:
                    return self._at_end(closed)
                if byte == b"{":  # objects without a comma between them are in nothing
                    doubtful = mixed or self._closing
                    return Verdict.INSIDE if closed else Verdict.UNKNOWN if doubtful else Verdict.RECORD
                if byte in (b"]", b"}"):
                    closed += byte
                    pos += 1
                    if closed == b"}" or not self._may_close(closed):
                        return Verdict.INSIDE
                    continue
                if byte != b"," or (closed and closed == self._closing):
                    return Verdict.INSIDE if byte == b"," else Verdict.UNKNOWN
                pos = text.skip_space(pos + 1)
                if text.byte(pos) == b"{" and not closed:
                    if len(followers) < _FOLLOWERS:
                        followers.append(pos)
                    pos = self._sound_end(pos)
                    ends.append(pos)
                    continue
                named = self.is_name(pos)
                if (named and not closed) or text.byte(pos) == b"{":
                    return Verdict.INSIDE
                pos, mixed = self._field_end(pos), not named
        except NoEndError:
            return Verdict.UNKNOWN

    def is_name(self, pos: int) -> bool:
        """Return whether the name of a field begins at `pos`."""
        text = self._text
        try:
            return text.byte(pos) == b'"' and text.byte(text.skip_space(self._value_end(pos))) == b":"
        except NoEndError:
            return False

    def _field_end(self, pos: int) -> int:
        """Return where a field, or an element that is none, ends."""
        return self._sound_end(
            self._text.skip_space(self._text.skip_space(self._value_end(pos)) + 1) if self.is_name(pos) else pos
        )

    def _sound_end(self, pos: int) -> int:
        """Return where a value ends that is valid; a long one must only seem to be a list of records.

        Raises:
            NoEndError: It is not, or does not end.
        """
        end = self._value_end(pos)
        if not (self._is_sound(pos, end) if end - pos <= _PROVED else self._text.byte(pos) == b"["):
            raise NoEndError("broken", end)
        return end

    def _may_close(self, closed: bytes) -> bool:
        """Return whether these brackets may close what records are in."""
        if self._closing is None:
            return b"}]" not in closed and b"]]" not in closed
        return not self._closing or self._closing.startswith(closed)

    def _at_end(self, closed: bytes) -> Verdict:
        if self._cut:
            return Verdict.RECORD if closed and closed == self._closing else Verdict.INSIDE
        if self._closing is None:
            return Verdict.RECORD if closed else Verdict.UNKNOWN
        if closed == self._closing:
            return Verdict.RECORD
        return Verdict.UNKNOWN if self._closing.startswith(closed) else Verdict.INSIDE

    def _start(self, record: bytes) -> tuple[bytes, bytes]:
        """Return the names of the first two fields."""
        first = _FIRST_TWO.match(record)
        if not first:
            return b"", b""
        try:
            end = Text(Memory(record)).value_end(first.end(), limit=RECORD_LIMIT)
        except NoEndError:
            return first[1], b""
        second = _NAME.match(record, end)
        return first[1], second[1] if second else b""
