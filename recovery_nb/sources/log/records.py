"""Which objects in a log are records, and of which collection. A wrong record is worse than a lost one."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from recovery_nb.records.elements import InvalidRecordError, elements
from recovery_nb.sources.log.objects import shallow

__all__ = [
    "BEGINS_AS_RECORD",
    "NEARLY_A_RECORD",
    "SERVER_ENTRY",
    "Lead",
    "collection_in_line",
    "collection_in_object",
    "is_record",
    "lead_of",
    "truncated",
]

BEGINS_AS_RECORD = re.compile(
    rb'\{\s*+"(?:_|session_)id"\s*+:(?!\s*+\{\s*+"\$(?!oid|uuid|binary|date|number|timestamp))'
)
"""How a record begins that has its identity first; a condition on the identity is none."""

NEARLY_A_RECORD = re.compile(rb'\{\s*+"(?:[^a-zA-Z@$#"]id|_[^"]d|_i[^"d])"\s*+:')
"""How one begins of whose `_id` one byte is another: what is in it is a part of it."""

SERVER_ENTRY = b'{"t":{"$date":"'
"""How an entry of MongoDB's own log begins."""

_REACH = 96
# What stands before an object is read backwards: `"docs": [` as `[ :"scod"`.
_LEAD = re.compile(
    rb"""
    (?P<apart>  [ \t\r]*+ \n \s*+ [^\s\[(=:,])
    | (?P<next> \s*+ , \s*+ \})
    | \s*+ (?P<list_of_key> \[?) \s*+ (?P<quote> "?) \\*+ \s*+ : \s*+ "\\*+ (?P<key> [\w@.$-]++)
    | (?P<nameless> \s*+ \[? \s*+ : \s*+ ")
    | \s*+ (?P<list> \[?) (?: \s*+ ["']? \\*+ \s*+ [=:(]?+ \s*+ ["']? (?P<word> [\w@.$-]++) (?![^\s"'\[({,;|:=<>/\\]) )?
    """,
    re.VERBOSE,
)

_HOLDERS = frozenset(
    b"after before data doc docs document documents entity fulldocument fulldocumentbeforechange inserted item items "
    b"newdoc newobj obj object olddoc oldobj payload record records replacement row rows saved storeddocument u "
    b"update".split()
)
"""Names under which records are put; of a record that is nested in another one this is rarely the name."""

_OTHERS = frozenset(
    b"aggregate arrayfilters c cond condition conditions config constants count countdocuments count_documents "
    b"criteria delete deleteone deletemany delete_one delete_many diff distinct fields filter filters filterby find "
    b"findandmodify findone findoneandreplace findoneandupdate find_one find_one_and_replace find_one_and_update "
    b"findmany hint index indexes indexspec key keypattern keys let lsid match max members min newconfig oldconfig "
    b"options orderby pipeline projection project q query readconcern remove replaceone replace_one replsetinitiate "
    b"replsetreconfig select selector sort spec updateone updatemany update_one update_many where writeconcern".split()
)
"""Names of conditions, projections, orders and settings, and of calls that begin with one: no records."""

_UPDATES = frozenset(b"changed changes delta diff fields patch patched set".split())
"""Names of what is changed in a record: an object directly behind one need not be the whole record."""

# Read backwards, as `_LEAD`: `patch users `, `PATCH /users/5 `.
_PATCH_OF = re.compile(rb"[ \t]++[\w@.$/-]++ [ \t]++ (?:de)?hctap (?![\w@.$-])", re.VERBOSE | re.IGNORECASE)

_IDENTITY_FIRST = re.compile(rb".{4}(?:\x02_id\0(.{4})|\x07_id\0.{12}|[\x09\x12]_id\0.{8})", re.DOTALL)
# Each begins with what is rare, so that it is found fast: the byte of the type stands before.
_OPERATOR = re.compile(rb"\$(?<=[\x01-\x13\x7f\xff]\$)")
_NO_IDENTITY = re.compile(rb"id\0(?:(?<=[\x04\x06\x0b]id\0)|(?<=[\x04\x06\x0b]_id\0)|(?<=[\x04\x06\x0b]session_id\0))")
_BETWEEN_WORDS = frozenset((b"", b" ", b"\t", b"\n"))
_REDACTED = b"\4\0\0\0###\0"

_SYSTEM = frozenset({"admin", "config", "local"})
_COMMAND = re.compile(r"insert|update|find_?and_?modify|find_?one_?and_?replace|replace|save", re.IGNORECASE)
_NAMESPACE_NAMES = ("ns", "namespace")
_COLLECTION_NAMES = ("collection", "coll", "collectionName", "collection_name")
_DATABASE_NAMES = ("$db", "db", "database")
_LINE_REACH = 1024
_IN_LINE = re.compile(
    rb"(?<![\w.])(?:(?:ns|namespace)\s?[=:]\s?[\"']?([\w-]{1,63})\.([\w.$-]{1,120})"
    rb"|(?:collection|coll|collection_name|collectionName)\s?[=:]\s?[\"']?([\w.$-]{1,120})"
    rb"|db\.([\w.$-]{1,100})\.(?:insert|replace|save)\w*\()"
)


class Lead(NamedTuple):
    """What stands before an object.

    Attributes:
        name: The last word, in lower case; b"" for none.
        nested: Whether it is a JSON key, so that the object is part of another one.
        listed: Whether a bracket opens a list there.
        follows: Whether it is the comma after another object.
        updates: Whether it says that the object is an update, which need not be the whole record.
        speaks: Whether it is a word among others, as a log's line has them and JSON does not.
    """

    name: bytes
    nested: bool
    listed: bool
    follows: bool
    updates: bool = False
    speaks: bool = False

    @property
    def holds(self) -> bool:
        """Whether records are put under this name."""
        return self.name in _HOLDERS

    @property
    def excludes(self) -> bool:
        """Whether nothing under this name is a record."""
        return self.name in _OTHERS or self.name.startswith(b"$")


def lead_of(text: bytes, position: int, before: bytes = b"") -> Lead:
    """Return what stands before the bracket at `position`.

    Args:
        text: The text.
        position: Where the object, or the list it is in, begins.
        before: What precedes the text.
    """
    lead = text[max(0, position - _REACH) : position]
    if position < _REACH:
        lead = before[position - _REACH :] + lead
    backwards = lead[::-1]
    found = _LEAD.match(backwards)
    kind = found.lastgroup if found else ""
    if found and kind == "word":
        name = found[kind][::-1].lower().rpartition(b".")[2]
        listed = bool(found["list"])
        directly = not listed and b"(" not in backwards[: found.start(kind)]
        updates = directly and (name in _UPDATES or (name not in _HOLDERS and bool(_PATCH_OF.match(backwards))))
        speaks = len(found[kind]) > 2 and backwards[found.end(kind) : found.end(kind) + 1] in _BETWEEN_WORDS
        return Lead(name, nested=False, listed=listed, follows=False, updates=updates, speaks=speaks)
    if found and kind == "key":
        # `"payload":"{…` puts the object into a string: as text it stands alone there.
        name, listed = found[kind][::-1].lower(), bool(found["list_of_key"])
        updates = not listed and name in _UPDATES
        return Lead(name, not found["quote"], listed, follows=False, updates=updates)
    # Where a line lies between, the line before is complete.
    listed = bool(found and kind == "list" and found[kind])
    return Lead(b"", nested=kind == "nameless", listed=listed, follows=kind == "next")


def is_record(record: bytes, *, held: bool) -> bool:
    """Return whether an object is a record, by its own fields.

    An `_id` and one more field make one, or a `session_id` and three more; an `id` and three more only where records
    are put. Conditions, projections, updates and keys alone are none, nor is what the server redacted.

    Args:
        record: The object, as BSON.
        held: Whether it stands where records are put.
    """
    if _is_plainly_one(record):
        return True
    identity: tuple[int, bytes] | None = None
    least, others, switches = 99, 0, True
    try:
        for kind, name, value in elements(record):
            if name.startswith(b"$") or (kind == 0x03 and _is_condition(value)):
                return False
            if name == b"_id":
                identity, least = (kind, value), 1
            elif name == b"session_id" or (name == b"id" and held):
                least = min(least, 3)
            if name in (b"_id", b"session_id", b"id") and kind in (0x04, 0x06, 0x0B):
                return False
            others += 1
            switches = switches and (kind == 0x08 or (kind == 0x10 and value in (b"\0\0\0\0", b"\1\0\0\0")))
    except InvalidRecordError:
        return False
    if identity and (identity == (0x02, _REDACTED) or (switches and not held)):
        return False
    return others - 1 >= least


def _is_plainly_one(record: bytes) -> bool:
    """Return whether no look at each field is needed: its `_id` is first, and no byte speaks against it."""
    found = _IDENTITY_FIRST.match(record)
    if not found or _REDACTED in record or _OPERATOR.search(record) or _NO_IDENTITY.search(record):
        return False
    end = found.end() + (int.from_bytes(found[1], "little") if found[1] else 0)
    return end < len(record) - 1


def _is_condition(value: bytes) -> bool:
    return value[5:6] == b"$" and not value.startswith((b"$ref\0", b"$id\0"), 5)


def collection_in_line(text: bytes, start: int, position: int, end: int, stop: int) -> str | None:
    """Return the collection that a line of text names, nearest before `position`, else first after it.

    Returns:
        The name, "" where the line names none; None for one of the server's own.
    """
    lead, tail = text[max(start, position - _LINE_REACH) : position], text[end : min(stop, end + _LINE_REACH)]
    if not _hints(lead + tail):
        return ""
    found = list(_IN_LINE.finditer(lead))
    match = found[-1] if found else _IN_LINE.search(tail)
    if not match:
        return ""
    database, of_namespace, *rest = (part.decode() if part else "" for part in match.groups())
    return _user(database, of_namespace or "".join(rest))


def _hints(text: bytes) -> bool:
    return b"ns" in text or b"coll" in text or b"db." in text or b"namespace" in text


def collection_in_object(text: bytes, start: int, end: int) -> str | None:
    """Return the collection that an object names for the records in it.

    Args:
        text: The text.
        start: Where the object, or a list, begins.
        end: Where it ends, or breaks off, at the latest.

    Returns:
        The name, "" where it names none, as a list does; None for one of the server's own.
    """
    if text[start : start + 1] != b"{":
        return ""
    fields = _scalars(text, start, end)
    database = next((fields[name] for name in _DATABASE_NAMES if name in fields), "")
    for name, value in fields.items():
        if name in _NAMESPACE_NAMES and not value.endswith(".$cmd") and "." in value:
            database, _, value = value.partition(".")  # noqa: PLW2901 - its database apart
            return _user(database, value)
        if name in _COLLECTION_NAMES or (_COMMAND.fullmatch(name) and name == next(iter(fields))):
            return _user(database, value)
    if space := _NAMESPACE_OBJECT.search(text, start, min(end, start + _NAMESPACE_REACH)):
        return _user(space[1].decode(), space[2].decode())
    return ""


_NAMESPACE_REACH = 4096
_NAMESPACE_OBJECT = re.compile(rb'"ns"\s*+:\s*+\{\s*+"db"\s*+:\s*+"([^"\\]+)"\s*+,\s*+"coll"\s*+:\s*+"([^"\\]+)"')
_SCALAR_FIELD = re.compile(rb'"([^"\\]{1,64})"\s*+:\s*+"([^"\\]{1,250})"(?=\s*+[,}])')


def _scalars(text: bytes, start: int, end: int) -> dict[str, str]:
    """Return the strings among an object's own fields."""
    fields: dict[str, str] = {}
    for name, value in _SCALAR_FIELD.findall(shallow(text, start, end)):
        fields.setdefault(name.decode(errors="replace"), value.decode(errors="replace"))
    return fields


def _user(database: str, collection: str) -> str | None:
    """Return a collection's name; None if it is the server's own."""
    return None if database in _SYSTEM or collection.startswith("system.") else collection


_TAIL = 64 * 1024
_TRUNCATED = re.compile(rb',"truncated":(\{.*?\}),"size":\{[^{}]*\}\}\Z', re.DOTALL)


def truncated(entry: bytes) -> list[str]:
    """Return where in `attr` MongoDB's log cut an entry short (`maxLogSizeKB`): the names that lead there; none if not.

    What is on that path looks whole, and is not. https://www.mongodb.com/docs/manual/reference/log-messages/
    """
    begins = entry.rfind(b',"truncated":{', -_TAIL)
    if begins < 0:
        return []
    match = _TRUNCATED.match(entry, begins)
    names: list[str] = []
    try:
        inner = json.loads(match[1]) if match else None
    except (ValueError, RecursionError):
        inner = None
    while isinstance(inner, dict) and inner and "type" not in inner:
        name, inner = next(iter(inner.items()))
        names.append(name.lower())
    return names
