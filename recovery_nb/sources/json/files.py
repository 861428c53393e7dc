"""JSON files as sources: backups, exports and JSON Lines, whatever tool wrote them. Read-only."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from recovery_nb.errors import DamagedSourceError
from recovery_nb.records.batch import MAX_RECORD_BYTES, Damage, RecordBatch, Ref
from recovery_nb.records.extended_json import NotARecordError, to_bson, to_bson_together
from recovery_nb.records.salvage import leading_json_fields
from recovery_nb.sources.base import BATCH_BYTES, BATCH_RECORDS, Header, Kind, Typing
from recovery_nb.sources.content import UNKNOWN_SIZE, File
from recovery_nb.sources.gaps import apart
from recovery_nb.sources.json.text import RECORD_LIMIT, NoEndError, Text
from recovery_nb.sources.json.walk import Found, Shape, Walk
from recovery_nb.sources.typed import TypingSeen

__all__ = ["JsonSource", "looks_like_json", "moment_of_name"]

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_EXPECTED = "a list, an object with data, records, items, conversations, messages or collections, or one with an id"
_NAMED_DATE = re.compile(
    r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)"
    r"(?:[T_ -]?([0-2]\d)[-:.]?([0-5]\d)[-:.]?([0-5]\d)(?:[-.](\d{3})(?!\d))?)?",
    re.ASCII,
)


def looks_like_json(head: bytes) -> bool:
    """Return whether a file that begins with `head` may be JSON: by its content, not by its name."""
    text = head.removeprefix(_BOM).lstrip(b" \t\r\n\x1e")
    if not text or b"\0" in text[:4]:  # further on, NULs are damage
        return False
    return bool(re.match(rb'\[\s*(?:[\[{\]"0-9tfn-]|$)|\{\s*(?:"|\}|$)', text))


class JsonSource:
    """A JSON file, in any of the shapes that `Walk` knows.

    Args:
        file: The file.

    Attributes:
        path: The file.
        kind: `JSON`, or `JSON_LINES` for records one after another without a list around them.
        notes: What had to be decided while records were converted, and how often; complete after `read`.

    Raises:
        DamagedSourceError: The file is empty, is no JSON in UTF-8, or holds JSON but no records.
    """

    def __init__(self, file: File) -> None:
        self.path, self.file = file.path, file
        self.doubted = False
        self.notes: Counter[str] = Counter()
        self._records = _Records(self.notes)
        self._walk: Walk | None = None
        self._shape = self._check()
        self.kind = Kind.JSON_LINES if self._shape is Shape.SEQUENCE else Kind.JSON

    def files(self) -> list[File]:
        """Return the file alone."""
        return [self.file]

    def header(self) -> Header:
        """Return what the file says of itself; complete only after `read` has been exhausted."""
        facts = self._walk.facts if self._walk else {}
        metadata = facts.get("metadata")
        checksum = metadata.get("checksum") if isinstance(metadata, dict) else None
        taken_at, taken_from = _moment(facts.get("timestamp"))
        if taken_at is None:
            taken_at, taken_from = moment_of_name(self.file.name)
        return Header(
            taken_at=taken_at,
            taken_from=taken_from,
            version=_text(facts.get("version")),
            origin=_text(facts.get("source")),
            checksum=_text(checksum),
        )

    def typing(self) -> Typing:
        """Return how much of BSON's types the records kept; known once `read` has been exhausted."""
        return self._records.seen.typing

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record, in batches, and every damage, in their order.

        Raises:
            DamagedSourceError: There is JSON, but nothing in it is a record.
        """
        content = self.file.open()
        self.notes.clear()
        self._records = _Records(self.notes)
        self._walk = Walk(content, self._records, shape=self._shape)
        yield from apart(content, self._read(self._walk))
        self.doubted = bool(content.doubt)

    def _read(self, walk: Walk) -> Iterator[RecordBatch | Damage]:
        batch, size, found, strangers = RecordBatch("", "", [], [], []), 0, False, False
        broken = False
        for piece in walk:
            whole = isinstance(piece, Found)
            if batch.records and (not whole or piece.collection != batch.collection):
                yield batch
                batch, size = RecordBatch("", "", [], [], []), 0
            if not isinstance(piece, Found):
                stranger = piece.reason.endswith("where a record is expected")
                strangers, broken = strangers or stranger, broken or not stranger
                yield piece
                continue
            found = True
            if not batch.records:
                batch = RecordBatch(piece.collection, "", [], [], [])
            batch.records.append(piece.value)
            batch.offsets.append(piece.offset)
            batch.lengths.append(piece.length)
            size += len(piece.value)
            if size >= BATCH_BYTES or len(batch) >= BATCH_RECORDS:
                yield batch
                batch, size = RecordBatch("", "", [], [], []), 0
        if batch.records:
            yield batch
        if strangers and not found and not broken:
            raise self._no_records()

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the BSON bytes of the records at `refs`, in their order.

        Raises:
            DamagedSourceError: A record cannot be read there (any more).
        """
        content = self.file.open()
        for ref in refs:
            text = content.read_at(ref.offset, min(ref.length, RECORD_LIMIT))
            try:
                yield leading_json_fields(text) if ref.partial else to_bson(text)
            except NotARecordError as error:
                raise DamagedSourceError(
                    f"{self.path} holds no record at byte {ref.offset} any more: {error.reason}",
                    hint="scan the file again, it has changed since",
                ) from error

    def verify_checksum(self) -> bool | None:
        """Return whether the checksum that the file carries is right; None if it carries none.

        It is the SHA-256 of `collections` as compact JSON with sorted keys in UTF-8, as Python's `json`
        writes it. The file is read once for the places of the lists, and then list by list.
        """
        walk = Walk(self.file.open(), _SortedJson(), shape=self._shape)
        whole = all(isinstance(piece, Found) for piece in walk)
        metadata = walk.facts.get("metadata")
        stated = metadata.get("checksum") if isinstance(metadata, dict) else None
        if not isinstance(stated, str):
            return None
        if not whole or walk.others:
            return False
        digest = hashlib.sha256()
        named = "" not in walk.lists
        digest.update(b"{" if named else b"")
        for number, name in enumerate(sorted(walk.lists)):
            opening = (b"," if number else b"") + json.dumps(name, ensure_ascii=False).encode() + b":"
            digest.update(opening + b"[" if named else b"[")
            for place, piece in enumerate(walk.list_at(walk.lists[name])):
                if isinstance(piece, Found):
                    digest.update(b"," + piece.value if place else piece.value)
            digest.update(b"]")
        digest.update(b"}" if named else b"")
        return digest.hexdigest() == stated.lower().removeprefix("sha256-").removeprefix("sha256:")

    def _check(self) -> Shape:
        """Return the shape of the file, or say in one line why it cannot be read."""
        content = self.file.open()
        text = Text(content)
        head, start = text.slice(0, 4096), text.skip_space(0)
        if not text.byte(start):
            raise DamagedSourceError(f"{self.path} is empty", hint="look for another copy of it")
        if head.startswith(_UTF16) or b"\0" in head[:4]:
            raise DamagedSourceError(
                f"{self.path} is UTF-16 or UTF-32 text", hint="convert it first: iconv -f UTF-16 -t UTF-8"
            )
        shape = Walk(content).shape()
        if shape is Shape.NONE and not looks_like_json(head) and Walk(content).has_records():
            return Shape.BROKEN
        if shape is Shape.NONE and not self._is_cut(start):
            if not looks_like_json(head):
                raise DamagedSourceError(f"{self.path} is not JSON", hint=f"expected {_EXPECTED}")
            raise self._no_records()
        return shape

    def _is_cut(self, start: int) -> bool:
        """Return whether the file is an object without an end: its records may have come later."""
        text = Text(self.file.open())
        try:
            text.value_end(start, limit=UNKNOWN_SIZE)
        except NoEndError:
            return text.byte(start) == b"{"
        return False

    def _no_records(self) -> DamagedSourceError:
        return DamagedSourceError(f"{self.path} holds JSON but no records", hint=f"expected {_EXPECTED}")


class _Records:
    """Converts texts to records, and learns from them how much of their types they state.

    Args:
        notes: Where what had to be decided is counted.
    """

    def __init__(self, notes: Counter[str]) -> None:
        self._notes = notes
        self.seen = TypingSeen()

    def __call__(self, text: bytes) -> bytes:
        notes: list[str] = []
        record = to_bson(text, notes)
        if notes:
            self._notes.update(notes)
        if len(record) > MAX_RECORD_BYTES:
            raise NotARecordError("a record larger than a server stores (16 MiB)", well_formed=True)
        self.seen.see(text)
        return record

    def together(self, texts: list[bytes]) -> list[bytes] | None:
        records = to_bson_together(texts)
        if records is None or max(map(len, records)) > MAX_RECORD_BYTES:
            return None
        for text in texts:
            if self.seen.typing is Typing.FULL:
                break
            self.seen.see(text)
        return records


class _SortedJson:
    """Converts texts to JSON with its keys sorted, of which checksums are made."""

    def __call__(self, text: bytes) -> bytes:
        return _sorted_json(text)

    def together(self, texts: list[bytes]) -> list[bytes] | None:
        return [_sorted_json(text) for text in texts]


def _sorted_json(text: bytes) -> bytes:
    try:
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotARecordError(f"invalid JSON: {error}") from error


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""


def _moment(value: object) -> tuple[datetime | None, str]:
    if not isinstance(value, str):
        return None, ""
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=UTC), "timestamp (no zone, read as UTC)"
        return moment.astimezone(UTC), "timestamp"
    except (ValueError, OverflowError):
        return None, ""


def moment_of_name(name: str) -> tuple[datetime | None, str]:
    """Return the date in a file's name, and "file name"; None and "" where it has none."""
    for match in _NAMED_DATE.finditer(name):
        year, month, day, hour, minute, second, millis = (int(part or 0) for part in match.groups())
        try:
            return datetime(year, month, day, hour, minute, second, millis * 1000, UTC), "file name"
        except ValueError:
            continue
    return None, ""
