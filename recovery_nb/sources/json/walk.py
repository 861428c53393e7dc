"""The shapes in which JSON files hold records, and one pass over each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from recovery_nb.records.batch import Damage
from recovery_nb.records.extended_json import NotARecordError, to_bson, to_bson_together
from recovery_nb.sources.content import UNKNOWN_SIZE, Content
from recovery_nb.sources.json.borders import next_list, within_border
from recovery_nb.sources.json.elements import Converter, Elements, Found, Walker
from recovery_nb.sources.json.resync import Resync
from recovery_nb.sources.json.text import RECORD_LIMIT, Budget, NoEndError, Text

__all__ = ["Found", "Shape", "Walk"]

_LISTS = {
    "data": "",
    "records": "",
    "items": "",
    "collections": "",
    "conversations": "conversations",
    "messages": "messages",
}
_IDENTITIES = frozenset({"_id", "id", "session_id"})
_FACT_BYTES = 1024 * 1024


class Shape(StrEnum):
    """How a file holds its records."""

    LIST = "list"
    """One list of them, or several one after another."""
    OBJECT = "object"
    """An object with lists of them."""
    RECORD = "record"
    """One record alone."""
    SEQUENCE = "sequence"
    """JSON Lines, or values one after another without a list around them."""
    BROKEN = "broken"
    """Records without a beginning that tells what they are in."""
    NONE = "none"
    """JSON without records, or no JSON."""


@dataclass(slots=True)
class _Survey:
    """What the top level of an object shows: how the fields that matter begin, and where it ends."""

    fields: dict[str, bytes] = field(default_factory=dict)
    end: int = -1

    def shape(self) -> Shape:
        lists = {
            name
            for name, first in self.fields.items()
            if (name in _LISTS and first == b"[") or (name == "collections" and first == b"{")
        }
        known = not _IDENTITIES.isdisjoint(self.fields)
        if "_id" in self.fields:  # only a record has one; its own lists may be called `items` or `data`
            return Shape.RECORD
        if lists - {"messages"} or (lists and not known):
            return Shape.OBJECT
        return Shape.RECORD if known else Shape.NONE


class _ToBson:
    def __call__(self, text: bytes) -> bytes:
        return to_bson(text)

    def together(self, texts: list[bytes]) -> list[bytes] | None:
        return to_bson_together(texts)


class Walk:
    """One pass over a file: iterate over it for its records and damages.

    An object with lists under several of the known names yields all of them. Under `collections`, a name
    whose value is an object instead of a list files that object as one record. An object with an `_id` is one
    record, whatever its lists are called; so is one with an id and `messages` and no other list of a known
    name: a conversation.

    Args:
        content: The file's content.
        convert: Turns the text of objects into what is wanted of them; None where only their shape is.
        shape: The shape of the file, if it is known from an earlier pass.

    Attributes:
        facts: The scalar fields of the top-level object, and its `metadata`; complete after the pass.
        lists: Where the lists under `collections` begin, by name, "" for a list without one; likewise.
        others: Whether `collections` holds something else than lists; likewise.
    """

    def __init__(self, content: Content, convert: Converter | None = None, *, shape: Shape | None = None) -> None:
        self._content = content
        self._known = shape
        self._read_to = 0
        self._budget = Budget()
        self._named = False  # whether the file is known to hold several collections
        self._convert = convert or _ToBson()
        self.facts: dict[str, object] = {}
        self.lists: dict[str, int] = {}
        self.others = False

    def shape(self) -> Shape:
        """Return the shape, told from the beginning of the file: at most 64 MiB are read."""
        text = Text(self._content)
        return self._shape(text, text.skip_space(0))

    def __iter__(self) -> Iterator[Found | Damage]:
        """Yield every record and every damage, in their order; where the file is cut, one damage."""
        damaged_to = -1
        for piece in self._pieces():
            if isinstance(piece, Damage):
                if piece.length == 0 and piece.offset == damaged_to:
                    continue
                damaged_to = piece.offset + piece.length
            yield piece

    def _pieces(self) -> Iterator[Found | Damage]:
        text = Text(self._content)
        pos, known = text.skip_space(0), self._known
        while text.byte(pos):
            shape, known = known or self._shape(text, pos), None
            if shape is Shape.LIST:
                pos = yield from self._elements(text, pos + 1, "", b"]")
            elif shape is Shape.OBJECT:
                pos = yield from self._object(text, pos)
            elif shape is Shape.BROKEN:
                known, self._read_to = shape, pos
                pos = yield from self._salvaged(text, NoEndError("broken", pos))
                pos = yield from self._mapping(text, pos, harmed=True)
            else:
                pos = yield from self._elements(text, pos, "", b"")
            pos = text.skip_space(pos)

    def list_at(self, offset: int) -> Iterator[Found | Damage]:
        """Yield what the one list that begins at `offset` holds."""
        yield from self._elements(Text(self._content), offset + 1, "", None)

    def _elements(
        self, text: Text, pos: int, collection: str, closing: bytes | None, *, hidden: bool = False
    ) -> Walker:
        reader = Elements(text, collection, convert=self._convert, closing=closing, budget=self._budget)
        self._named = self._named or bool(collection)
        if hidden or (closing or b"").startswith(b"]}"):
            return within_border(reader.read(pos), text, reader.resync, hidden=hidden, named=self._named)
        return reader.read(pos)

    def _shape(self, text: Text, pos: int) -> Shape:
        first = text.byte(pos)
        if first == b"[":
            return Shape.LIST
        if first == b"{":
            survey = _survey(text, pos)
            following = text.byte(_skip_comma(text, survey.end)) if survey.end > 0 else b""
            shape = survey.shape()
            if following == b"{" or (following and shape is not Shape.OBJECT):
                return Shape.SEQUENCE
            if survey.end < 0 and shape is not Shape.OBJECT and self._second_line_is_record(text, pos):
                return Shape.SEQUENCE
            return shape
        return Shape.SEQUENCE if first and self._second_line_is_record(text, pos) else Shape.NONE

    def has_records(self) -> bool:
        """Return whether there is a record anywhere in the first 64 MiB of a text whose beginning is broken."""
        text = Text(self._content)
        return Resync(text, None).next_record(0, stop=RECORD_LIMIT) >= 0

    def _second_line_is_record(self, text: Text, pos: int) -> bool:
        """Return whether only the first line of JSON Lines is broken."""
        start = text.find(b"\n{", pos, pos + RECORD_LIMIT) + 1
        if not start or text.find(b"\n", pos, start) + 1 != start:
            return False
        end = text.find(b"\n", start, start + RECORD_LIMIT)
        end = text.end() if end < 0 else end
        try:
            to_bson(text.slice(start, min(end, start + RECORD_LIMIT)))
        except NotARecordError:
            return False
        return text.byte(text.skip_space(end)) in (b"", b"{")

    def _object(self, text: Text, pos: int) -> Walker:
        """Read the lists of the top-level object that begins at `pos`."""
        pos += 1
        harmed = False
        while True:
            self._read_to = pos
            try:
                name, pos = _next_field(text, pos)
                if name is None:
                    return pos
                first = text.byte(pos)
                if first == b"[" and (name in _LISTS or harmed):
                    if name == "collections":
                        self.lists[""] = pos
                    pos = yield from self._elements(text, pos + 1, _LISTS.get(name, name), b"]}")
                elif first == b"{" and name == "collections":
                    pos = yield from self._mapping(text, pos + 1)
                else:
                    pos = self._fact(text, pos, name)
            except NoEndError as error:
                harmed = True
                pos = yield from self._salvaged(text, error)
                if not text.byte(pos):
                    return pos

    def _mapping(self, text: Text, pos: int, *, harmed: bool = False) -> Walker:
        """Read the value of `collections`, where it maps names to lists; `harmed` if that it is one is not sure."""
        self._named = self._named or not harmed
        while True:
            self._read_to = pos
            try:
                name, pos = _next_field(text, pos)
                if name is None:
                    return pos
                if text.byte(pos) == b"[":
                    self.lists[name] = pos
                    pos = yield from self._elements(text, pos + 1, name, b"]}}")
                    continue
                if harmed:
                    pos = self._fact(text, pos, name)
                    continue
                if text.byte(pos) == b"{" and text.byte(text.skip_space(pos + 1)) == b"{":
                    raise NoEndError("broken", pos)  # the bracket of a list became one of an object
                end = text.value_end(pos, limit=RECORD_LIMIT, keep=True)
            except NoEndError as error:
                harmed = True
                pos = yield from self._salvaged(text, error)
                if not text.byte(pos):
                    return pos
                continue
            self.others = True
            try:
                yield Found(name, pos, end - pos, self._convert(text.slice(pos, end)))
            except NotARecordError as error:
                yield Damage("", pos, end - pos, error.reason, name)
            pos = end

    def _salvaged(self, text: Text, error: NoEndError) -> Walker:
        """Read the records behind a place where the object that holds the lists is broken: whose they are, it hides."""
        start = text.skip_space(self._read_to)
        resync = Resync(text, None, self._budget)
        found = resync.next_record(start)
        key, _ = next_list(text, resync, start + 1, text.end() if found < 0 else found)
        if key >= 0:
            yield Damage("", start, key - start, "invalid JSON: what stands here is in no list")
            return key
        if found < 0:
            if text.byte(start) or self._known is not Shape.BROKEN:
                yield _rest(text, self._read_to, error)
            return text.end()
        yield Damage("", start, found - start, "invalid JSON: what stands here is in no list")
        return (yield from self._elements(text, found, "", None, hidden=True))

    def _fact(self, text: Text, pos: int, name: str) -> int:
        """Keep a value at the top level if it is small and says something of the file; return its end."""
        first = text.byte(pos)
        nested = first in (b"{", b"[")
        end = text.value_end(pos, limit=UNKNOWN_SIZE)
        if end - pos <= _FACT_BYTES and (not nested or name == "metadata"):
            try:
                self.facts[name] = json.loads(text.slice(pos, end))
            except (ValueError, RecursionError):
                self.facts.pop(name, None)
        return end


def _next_field(text: Text, pos: int) -> tuple[str | None, int]:
    """Return the name of the next field and where its value begins, or None and where the object ends."""
    pos = text.skip_space(pos)
    while text.byte(pos) == b",":
        pos = text.skip_space(pos + 1)
    byte = text.byte(pos)
    if byte == b"}":
        return None, pos + 1
    if byte != b'"':
        raise NoEndError("broken" if byte else "eof", pos)
    end = text.value_end(pos, limit=_FACT_BYTES)
    try:
        name = str(json.loads(text.slice(pos, end)))
    except ValueError:
        raise NoEndError("broken", pos) from None
    pos = text.skip_space(end)
    if text.byte(pos) != b":":
        raise NoEndError("broken" if text.byte(pos) else "eof", pos)
    pos = text.skip_space(pos + 1)
    if not text.byte(pos):
        raise NoEndError("eof", pos)
    return name, pos


def _skip_comma(text: Text, pos: int) -> int:
    pos = text.skip_space(pos)
    return text.skip_space(pos + 1) if text.byte(pos) == b"," else pos


def _rest(text: Text, pos: int, error: NoEndError) -> Damage:
    cut = error.cause == "eof"
    reason = "the file ends before its object is closed" if cut else "invalid JSON from here to the end"
    return Damage("", pos, text.end() - pos, reason)


def _survey(text: Text, start: int) -> _Survey:
    """Look at the top level of an object, until it ends, breaks off or has told its shape."""
    survey = _Survey()
    pos = start + 1
    try:
        while pos - start < RECORD_LIMIT:
            name, pos = _next_field(text, pos)
            if name is None:
                survey.end = pos
                break
            first = text.byte(pos)
            if name in _LISTS or name in _IDENTITIES:
                survey.fields[name] = first
                if _is_settled(text, start, pos, name, survey):
                    break
            pos = text.value_end(pos, limit=start + RECORD_LIMIT - pos)
    except NoEndError:
        pass
    return survey


def _is_settled(text: Text, start: int, pos: int, name: str, survey: _Survey) -> bool:
    """Return whether an object is a container beyond doubt, so that its end need not be looked for."""
    if survey.shape() is not Shape.OBJECT or not _IDENTITIES.isdisjoint(survey.fields):
        return False
    if name == "collections" and survey.fields[name] == b"{":
        return True
    # Its own lines: neither JSON Lines nor a record printed by a shell, which begins with `_id`.
    return text.find(b"\n", start, pos) >= 0
