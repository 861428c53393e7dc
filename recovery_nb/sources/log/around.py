"""The text around an object: what stands before it, which collection its line names, and how a list goes on."""

from __future__ import annotations

from recovery_nb.sources.log.brackets import Brackets
from recovery_nb.sources.log.records import Lead, collection_in_line, lead_of

__all__ = ["Around"]

_BEFORE = 96
"""How many bytes before a text are wanted with it."""

_LINE_REACH = 1024
"""How far a line is looked at for what it says of an object in it: lines may be long, and objects in them many."""

_HEADING = (b":", b"=", b"(", b">", b"[")
"""How a line ends that speaks of what is on the next."""

_NOTHING = Lead(b"", nested=False, listed=False, follows=False)


class Around:
    """A text, or one after another of a longer one, and what it says of the objects that are in no other one.

    Of a list only the first object has a name before it: the next one that follows has the same.

    Attributes:
        text: The text.
        stop: Where to stop.
        final: Whether nothing follows it.
        before: What precedes it.
        brackets: What its brackets tell.
    """

    def __init__(self) -> None:
        self.text, self.before, self.stop, self.final = b"", b"", 0, True
        self._offset = 0
        self._end, self._lead = -1, _NOTHING
        self._collection: str | None = ""
        self._goes_on_at = self._alone_at = self._broke_at = -1
        self._broken = False
        self._sight = True
        self.brackets = Brackets()

    def move(self, text: bytes, stop: int, *, final: bool, before: bytes, offset: int) -> None:
        """Go on to another text, which begins at `offset` in the longer one."""
        self.text, self.before, self.stop, self.final, self._offset = text, before, stop, final, offset
        self._alone_at = -1
        self.brackets.move(text, alone=not before or before.endswith(b"\n"))

    def passed(self, end: int, lead: Lead, *, broken: bool = False) -> None:
        """Note where the last object ended or broke off, and what stood before it."""
        self._end, self._lead, self._broken = self._offset + end, lead, broken
        if broken:
            self._broke_at = self._end

    def goes_on(self, start: int, lead: Lead) -> bool:
        """Return whether the object at `start` goes on with a list that has a broken member or began out of sight."""
        return not self._sight or (self._broken and (start == self._goes_on_at or lead.follows))

    def on_broken_line(self, start: int) -> bool:
        """Return whether an object before `start` is broken, and no line break parts it from this one."""
        if self._broke_at < 0:
            return False
        broke_at = max(0, self._broke_at - self._offset)
        if start == self._alone_at or self.text.find(b"\n", broke_at, start) >= 0:
            self._broke_at = -1
        else:
            self._broke_at = self._offset + start  # what is before it is looked at once
        return self._broke_at >= 0

    def alone(self, start: int) -> None:
        """Note that what stands before the object at `start` is the broken end of another one."""
        self._alone_at = start

    def lead(self, start: int) -> Lead:
        """Return what stands before an object that is in no other one."""
        self._goes_on_at, self._sight = -1, True
        if start == self._alone_at:
            return _NOTHING
        lead = lead_of(self.text, start, self.before)
        if not lead.follows:
            return lead
        gone = self._end - self._offset
        between = self.text[gone:start] if gone >= 0 else self.before[gone:] + self.text[:start]
        if gone >= -_BEFORE and start - gone <= _BEFORE and between.strip() == b",":
            if not self._lead.listed:
                return lead._replace(nested=self._lead.nested)
            self._goes_on_at = start
            return self._lead
        self._sight = False
        return lead

    def within(self, start: int) -> bytes:
        """Return what precedes a text that begins at `start` in this one."""
        return (self.before + self.text[max(0, start - _BEFORE) : start])[-_BEFORE:]

    def collection(self, start: int, end: int) -> str | None:
        """Return the collection that the lines around an object name; of a list's, those around the first of it.

        Returns:
            The name, "" where they name none; None for one of the server's own.
        """
        if start == self._goes_on_at:
            return self._collection
        text, least = self.text, max(0, start - _LINE_REACH)
        line = max(text.rfind(b"\n", least, start) + 1, least)
        if line and not text[line:start].strip() and text[max(0, line - 3) : line].rstrip().endswith(_HEADING):
            line = max(text.rfind(b"\n", least, line - 1) + 1, least)
        stop = min(self.stop, end + _LINE_REACH)
        line_end = text.find(b"\n", end, stop)
        self._collection = collection_in_line(text, line, start, end, stop if line_end < 0 else line_end)
        return self._collection
