"""Taking a record that stands alone and whole, without looking at each bracket in it."""

from __future__ import annotations

from recovery_nb.records.extended_json import NotARecordError
from recovery_nb.sources.log.around import Around
from recovery_nb.sources.log.pieces import Converter, Piece
from recovery_nb.sources.log.records import BEGINS_AS_RECORD, Lead, is_record

__all__ = ["Whole"]

_REACH = 64 * 1024
_PATIENCE = 8


class Whole:
    """Guesses where a record ends; that it is converted proves it, since an object ends in one place only.

    Args:
        around: The text.
        converter: What makes records.
    """

    def __init__(self, around: Around, converter: Converter) -> None:
        self._around, self._converter = around, converter
        self._hits = self._misses = self._last = 0
        self._next_is_part = False

    def at(self, start: int, lead: Lead) -> Piece | None:
        """Return the record at `start`; None if none begins there, or its end was not guessed.

        Args:
            start: Where an object begins.
            lead: What stands before it.
        """
        text = self._around.text
        begins = BEGINS_AS_RECORD.match(text, start)
        if not begins or self._misses > _PATIENCE + self._hits // 4:
            return None
        end = self._end(start, begins.end())
        if not end:
            return None
        own = text[start:end]
        try:
            record = self._converter.record(own)
        except NotARecordError:
            self._misses += 1
            self._next_is_part = not self._next_is_part
            return None
        if not is_record(record, held=lead.holds):
            return None
        self._hits += 1
        self._last = end - start
        collection = self._around.collection(start, end)
        return Piece(start, end, b"" if collection is None else record, own, "", collection or "", start, end)

    def _end(self, start: int, identity: int) -> int:
        """Return where the last brace is that may close it: of its line, or before the next identity; 0 for none."""
        text, stop = self._around.text, self._around.stop
        reach = min(stop, start + _REACH + 4 * self._last)
        if not self._next_is_part:
            following = text.find(b'"_id"', identity, reach)
            line_end = text.find(b"\n", start, reach if following < 0 else following)
            if following >= 0 and line_end < 0:
                return text.rfind(b"}", start, following) + 1
        else:
            line_end = text.find(b"\n", start, reach)
        if line_end < 0 and reach < stop:
            return 0
        return text.rfind(b"}", start, reach if line_end < 0 else line_end) + 1
