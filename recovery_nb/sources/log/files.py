"""Logs of applications and of MongoDB as sources: the records that are embedded in their lines. Read-only."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from recovery_nb.errors import DamagedSourceError
from recovery_nb.records.batch import Damage, RecordBatch, Ref
from recovery_nb.records.extended_json import NotARecordError, to_bson
from recovery_nb.records.salvage import leading_json_fields
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS, Header, Kind, Typing
from recovery_nb.sources.content import Content, File
from recovery_nb.sources.gaps import apart
from recovery_nb.sources.json.text import RECORD_LIMIT
from recovery_nb.sources.log.hexed import Hexed
from recovery_nb.sources.log.lines import (
    Clock,
    entry_time,
    line_time,
    looks_like_json_log,
    looks_like_log,
    time_before,
)
from recovery_nb.sources.log.objects import LAYERS, Unescaped
from recovery_nb.sources.log.pieces import Piece
from recovery_nb.sources.log.search import Search
from recovery_nb.sources.typed import TypingSeen

__all__ = ["LogSource", "looks_like_json_log", "looks_like_log"]

_WINDOW = 4 * 1024 * 1024
_INDENT = 1024
_BEFORE = 1024
_PLAIN_JSON = re.compile(rb'\{\s*"')


class LogSource:
    """A log: text in lines, or structured, one JSON object a line, with records embedded in it.

    The time of a record is that of the entry it is in. An entry without one has that of the entry before it; a
    time without a zone is read as UTC. A later entry counts as the newer one, even within one tick.

    Args:
        file: The file.

    Attributes:
        path: The file.
        kind: `LOG`.
        notes: What had to be decided while records were converted, and how often; complete after `read`.
    """

    kind = Kind.LOG

    def __init__(self, file: File) -> None:
        self.path, self.file = file.path, file
        self.doubted = False
        self.kind = Kind.LOG
        self.notes: Counter[str] = Counter()
        self._typing = TypingSeen()
        self._clock = Clock()
        self._timed_line = -1

    def files(self) -> list[File]:
        """Return the file alone."""
        return [self.file]

    def header(self) -> Header:
        """Return the time of the last entry; known once `read` has been exhausted."""
        if self._clock.last is None:
            return Header()
        try:
            return Header(taken_at=datetime.fromtimestamp(self._clock.last, UTC), taken_from="last entry")
        except (ValueError, OverflowError, OSError):
            return Header()

    def typing(self) -> Typing:
        """Return how much of BSON's types the records kept; known once `read` has been exhausted."""
        return self._typing.typing

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record, in batches of one collection each, and every damage.

        What is no record is passed over, whatever it looks like; damage is where a record has begun and is cut or
        broken.
        """
        content = self.file.open()
        self._typing, self._clock, self._timed_line = TypingSeen(), Clock(), -1
        self.notes.clear()
        yield from apart(content, self._batches(content))
        self.doubted = bool(content.doubt)

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the BSON bytes of the records at `refs`, in their order.

        Raises:
            DamagedSourceError: A record cannot be read there (any more).
        """
        content = self.file.open()
        for ref in refs:
            text = Hexed(content.read_at(ref.offset, min(ref.length, RECORD_LIMIT))).text
            for _ in range(LAYERS):
                if _PLAIN_JSON.match(text):
                    break
                text = Unescaped(text).text
            try:
                yield leading_json_fields(text) if ref.partial else to_bson(text)
            except NotARecordError as error:
                raise DamagedSourceError(
                    f"{self.path} holds no record at byte {ref.offset} any more: {error.reason}",
                    hint="scan the file again, it has changed since",
                ) from error

    def _batches(self, content: Content) -> Iterator[RecordBatch | Damage]:
        pending = _Pending(content)
        for base, piece, at in self._found(content):
            offset, length = base + piece.start, piece.end - piece.start
            if piece.reason:
                yield from pending.batches()
                yield Damage("", offset, length, piece.reason, piece.collection, piece.record)
                continue
            if pending.is_full() or pending.is_timed() is not (at is not None):
                yield from pending.batches()
            self._typing.see(piece.text)
            pending.add(piece.collection, piece.record, offset, length, at)
        yield from pending.batches()

    def _found(self, content: Content) -> Iterator[tuple[int, Piece, int | None]]:
        """Yield what is found, with where the text it is in begins, and its time."""
        search = Search(self.notes)
        base, begin, wanted = 0, 0, _WINDOW
        position = 0  # where to go on in the whole text, as it would be
        while len(raw := content.read_at(base, begin + wanted)) > begin:
            final = len(raw) < begin + wanted
            hexed = Hexed(raw)
            text, start = hexed.text, len(Hexed(raw[:begin]).text)
            stop = len(text) if final else text.rfind(b"\n", start) + 1
            if not final and wanted >= RECORD_LIMIT:
                # No record is as long: what is open here is not going to end.
                final, stop = True, stop or len(text)
            done = start
            # The first line may not be whole: no time is taken from what is left of it.
            whole = text.find(b"\n", 0, stop) + 1 or stop if base else 0
            if stop:
                line = looked = 0
                for piece in search.pieces(text, stop=stop, start=start, final=final, offset=position - start):
                    since, line = line, text.rfind(b"\n", looked, piece.entry) + 1 or line
                    looked = piece.entry
                    self._note_time(text, piece, (line, max(since, whole)), base=base + hexed.raw(line) - line)
                    placed = piece._replace(start=hexed.raw(piece.start), end=hexed.raw(piece.end))
                    yield base, placed, self._clock.next()
                done = search.resume
                self._clock.note(time_before(text, done, since=max(line, whole)))
            elif b'"' not in text:
                done = len(text)
                self._clock.note(time_before(text, done, since=whole))
            wanted = _WINDOW if done > start else min(2 * wanted, RECORD_LIMIT)
            # What stands before an object, on its line and the one above, goes with it.
            position += done - start
            done = hexed.raw(done)
            begin = min(done, _BEFORE)
            base += done - begin

    def _note_time(self, text: bytes, piece: Piece, lines: tuple[int, int], *, base: int) -> None:
        """Take the time of the entry that a piece is in.

        Args:
            text: The text.
            piece: What was found in it.
            lines: Where the line of its entry begins, and that of the piece before.
            base: Where the text begins in the log.
        """
        line, since = lines
        # Where the text begins within a line, that line's time was taken with what is before.
        if (base + line == self._timed_line and line != piece.entry) or (base and not line):
            return
        self._timed_line = base + line
        lead = text[line : min(piece.entry, line + _INDENT)]
        if lead.strip():
            time = line_time(lead)
        else:
            # The times within a record are its own.
            own = piece.entry == piece.start
            time = None if own else entry_time(text[piece.entry : piece.entry_end])
        if time is None and line:
            time = time_before(text, line - 1, since=since)
        self._clock.note(time)


class _Pending:
    """Records on their way into batches."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._rows: list[tuple[str, bytes, int, int, int | None]] = []
        self._size = 0

    def add(self, collection: str, record: bytes, offset: int, length: int, at: int | None) -> None:
        """Take one more record."""
        self._rows.append((collection, record, offset, length, at))
        self._size += len(record)

    def is_full(self) -> bool:
        """Return whether it is time to hand them on."""
        return self._size >= BATCH_BYTES or len(self._rows) >= BATCH_RECORDS

    def is_timed(self) -> bool | None:
        """Return whether the records have times; None if there are none."""
        return self._rows[-1][-1] is not None if self._rows else None

    def batches(self) -> Iterator[RecordBatch]:
        """Yield them by collection, in their order within each, and forget them."""
        rows, self._rows, self._size = self._rows, [], 0
        if not rows:
            return
        parted = any(rows[0][2] < gap.position < rows[-1][2] + rows[-1][3] for gap in self._content.gaps)
        groups: dict[object, list[tuple[str, bytes, int, int, int | None]]] = {}
        run = 0
        for number, row in enumerate(rows):
            # What is parted by a gap stays in the order of the file, so that the gap is told in its place.
            run += parted and number > 0 and row[0] != rows[number - 1][0]
            groups.setdefault((run, row[0]), []).append(row)
        for group in groups.values():
            names, records, offsets, lengths, times = (list(column) for column in zip(*group, strict=True))
            at = None if times[0] is None else times
            yield RecordBatch(names[0], "", records, offsets, lengths, at)
