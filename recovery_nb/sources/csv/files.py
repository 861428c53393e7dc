"""CSV and TSV files as sources: exports of mongoexport, of spreadsheets and of programs. Read-only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recovery_nb.errors import DamagedSourceError
from recovery_nb.records.batch import Damage, RecordBatch, Ref
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS, Header, Kind, Typing
from recovery_nb.sources.content import Content, File
from recovery_nb.sources.csv.dialect import BOM, CONVERT, UTF16, CsvHead, is_windows_1252, looks_like_csv, read_head
from recovery_nb.sources.csv.records import BadRowError, RecordMaker
from recovery_nb.sources.csv.rows import Row, read_rows
from recovery_nb.sources.csv.text import leading_cells, split_cells
from recovery_nb.sources.csv.types import Column, HeaderError, columns
from recovery_nb.sources.json.files import moment_of_name

__all__ = ["CsvSource", "looks_like_csv"]

_HEAD = 256 * 1024
"""Where the header and the rows that tell how the file is written must be."""

_PARTIAL = 1024 * 1024
"""How much of a broken row is looked at for what can still be read."""


class CsvSource:
    """A CSV or TSV file with a header.

    Every cell is a string, as the file has it, unless the header states a type; `ObjectId(…)` is one. An empty
    cell is no field. What a string was in the database, a comparison infers.

    Args:
        file: The file.

    Attributes:
        path: The file.
        kind: `CSV`.
        doubted: Whether a checksum speaks against its content; known once `read` has been exhausted.

    Raises:
        DamagedSourceError: The file is empty, in UTF-16, has no header, or one in Windows-1252 or without its fields.
    """

    def __init__(self, file: File) -> None:
        self.path, self.file = file.path, file
        self.kind = Kind.CSV
        self.doubted = False
        self._head = self._read_head()
        self._columns, self._maker = self._compiled()

    def files(self) -> list[File]:
        """Return the file alone."""
        return [self.file]

    def header(self) -> Header:
        """Return what its name says of the time it was taken: a CSV file says nothing else."""
        taken_at, taken_from = moment_of_name(self.file.name)
        return Header(taken_at=taken_at, taken_from=taken_from)

    def typing(self) -> Typing:
        """Return how much of BSON's types it kept: nothing, or what its header states."""
        stated = {column.type for column in self._columns if column.name}
        if "" in stated:
            return Typing.TEXT
        return Typing.RELAXED if "auto" in stated else Typing.FULL

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record, in batches, and every damage, in their order."""
        content = self.file.open()
        batch, size = RecordBatch("", "", [], [], []), 0
        for item in self._items(content):
            if isinstance(item, Damage):
                if batch.records:
                    yield batch
                    batch, size = RecordBatch("", "", [], [], []), 0
                yield item
                continue
            row, record = item
            batch.records.append(record)
            batch.offsets.append(row.offset)
            batch.lengths.append(len(row.text))
            size += len(record)
            if size >= BATCH_BYTES or len(batch) >= BATCH_RECORDS:
                yield batch
                batch, size = RecordBatch("", "", [], [], []), 0
        if batch.records:
            yield batch
        self.doubted = bool(content.doubt)

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the BSON bytes of the records at `refs`, in their order.

        Raises:
            DamagedSourceError: A record cannot be read there (any more).
        """
        content = self.file.open()
        for ref in refs:
            record = self._partial(content, ref.offset, ref.length) if ref.partial else self._fetch(content, ref)
            if not record:
                raise DamagedSourceError(
                    f"{self.path} holds no record at byte {ref.offset} any more",
                    hint="scan the file again, it has changed since",
                )
            yield record

    def _items(self, content: Content) -> Iterator[tuple[Row, bytes] | Damage]:
        content.read_at(self._head.start - 1, 1)  # gaps are known once what is behind them was read
        for gap in content.gaps:
            if gap.position < self._head.start:
                yield Damage("", gap.position, 0, gap.reason)
        record, header = self._maker.record, self._head.header
        for found in read_rows(content, self._head.dialect, start=self._head.start, width=len(self._columns)):
            if not isinstance(found, Row):
                partial = self._partial(content, found.offset, found.length)
                yield Damage("", found.offset, found.length, found.reason, partial=partial)
                continue
            if found.text.removeprefix(BOM) == header:  # files were joined
                continue
            try:
                made = record(found.text, found.cells)
            except BadRowError as error:
                behind = content.read_at(found.offset + len(found.text), 2)
                length = len(found.text) + behind.find(self._head.dialect.line_end) + 1
                partial = self._partial(content, found.offset, length)
                yield Damage("", found.offset, length, str(error), partial=partial)
                continue
            if made:
                yield found, made

    def _fetch(self, content: Content, ref: Ref) -> bytes:
        text = content.read_at(ref.offset, ref.length)
        cells = split_cells(text, self._head.dialect)
        try:
            return self._maker.record(text, cells) if len(cells) == len(self._columns) else b""
        except BadRowError:
            return b""

    def _partial(self, content: Content, offset: int, length: int) -> bytes:
        """Return what can be read of the row that begins a damaged stretch: the same at each reading."""
        text = content.read_at(offset, min(length, _PARTIAL))
        return self._maker.partial(leading_cells(text, self._head.dialect))

    def _read_head(self) -> CsvHead:
        head = self.file.head(_HEAD)
        if not head.strip():
            raise DamagedSourceError(f"{self.path} is empty", hint="look for another copy of it")
        if head.startswith(UTF16):
            raise DamagedSourceError(f"{self.path} is UTF-16 text", hint="convert it first: iconv -f UTF-16 -t UTF-8")
        found = read_head(head, self.file.name)
        if not found and is_windows_1252(head, self.file.name):
            raise DamagedSourceError(f"{self.path} has a header that is not UTF-8", hint=CONVERT)
        if not found or found.start >= _HEAD:
            raise DamagedSourceError(
                f"{self.path} has no header: its first line does not name the columns of its rows",
                hint="write one into a copy of it",
            )
        return found

    def _compiled(self) -> tuple[tuple[Column, ...], RecordMaker]:
        try:
            found = columns(self._head.names)
            return found, RecordMaker(found)
        except HeaderError as error:
            raise DamagedSourceError(f"{self.path}: {error}", hint=error.hint) from None
