"""Applying an update, as the oplog records it, to the bytes of a record: what comes out is what the server stored.

The form of a diff, `$v: 2`, is that of src/mongo/db/update/document_diff_serialization.h, and it is applied as in
document_diff_applier.cpp beside it (https://github.com/mongodb/mongo).
"""

from __future__ import annotations

from recovery_nb.records.batch import MAX_RECORD_BYTES
from recovery_nb.records.elements import elements, find_element
from recovery_nb.sources.oplog.modifiers import apply_modifiers
from recovery_nb.sources.oplog.shape import (
    ARRAY,
    DOCUMENT,
    INT32,
    NULL,
    Layout,
    UnfitUpdateError,
    Value,
    array_fields,
    array_index,
    deeper,
    element,
    layout,
    nulls,
    repeated,
    spliced,
)

__all__ = ["UnfitUpdateError", "apply_update", "is_replacement"]

_BINARY = 0x05
_VERSION_2 = b"\x10$v\x00\x02\x00\x00\x00\x03diff\x00"
_ARRAY_HEADER = b"\x08a\x00"
_SECTIONS = frozenset((b"d", b"u", b"i", b"b"))
_ABSENT = "an update of a field that the record does not have"
_ONE: Value = (0x10, b"\x01\x00\x00\x00")


def is_replacement(update: bytes) -> bool:
    """Say whether an update is the whole new record: its first name does not begin with `$`."""
    return update[5:6] != b"$"


def apply_update(record: bytes, update: bytes, *, replay: bool = False, by_command: bool = False) -> bytes:
    """Return the record as it was after an update that is no replacement.

    Args:
        record: The record before it.
        update: The oplog entry's `o`: `{$v: 2, diff}`, or `$set` and `$unset` with dotted paths.
        replay: Whether the record may have received it, and later ones, before. Then what does not fit is left as it
            is, for the later ones to bring right, as a server does in a replay.
        by_command: Whether a user's `applyOps` made it: then the server sorted the fields of a `$set`; what it
            writes into the oplog itself is in the order in which it was applied.

    Raises:
        UnfitUpdateError: The record cannot have been what was updated.
        InvalidRecordError: The structure of one of them is broken.
    """
    if update.startswith(_VERSION_2, 4):
        result = _changed_document(record, 0, len(record), update[4 + len(_VERSION_2) : -1], depth=1, replay=replay)
    else:
        result = apply_modifiers(record, _operators(update), replay=replay, by_command=by_command)
    if len(result) > MAX_RECORD_BYTES:
        raise UnfitUpdateError(f"an update to {len(result):,} bytes, which no record has")
    return result


def _operators(update: bytes) -> dict[bytes, bytes]:
    """Return what stands under `$set` and `$unset`."""
    parts = {name: (kind, value) for kind, name, value in elements(update)}
    version = _number(parts.pop(b"$v", _ONE))
    if version != 1 or not parts or not parts.keys() <= {b"$set", b"$unset"}:
        found = b", ".join(parts).decode("utf-8", "replace")
        raise UnfitUpdateError(f"an update of a form that is not known: version {version}, {found}")
    return {operator: value for operator, (_, value) in parts.items()}


def _number(value: Value) -> int:
    if value[0] not in (0x10, 0x12):
        raise UnfitUpdateError("an update with something else where a whole number belongs")
    return int.from_bytes(value[1], "little", signed=True)


# $v: 2: sections d (removed), u (in place), i (new: at the end), b (the end of a binary), sNAME (what is in NAME).


def _changed_document(  # noqa: PLR0912 - a table of sections, each with its case
    buffer: bytes, start: int, end: int, diff: bytes, *, depth: int, replay: bool
) -> bytes:
    """Return the document in `buffer[start:end]` after a diff."""
    fields, unique = layout(buffer, start, end)
    cuts: list[tuple[int, int, bytes]] = []
    tail: list[bytes] = []
    touched: list[bytes] = []
    for section, (kind, begin, stop) in _once(diff, 0, len(diff)).items():
        if kind != DOCUMENT:
            raise UnfitUpdateError("a diff of a form that is not known")
        if section.startswith(b"s"):
            name = section[1:]
            touched.append(name)
            if name in fields:
                place = fields[name]
                cuts.append((place[1], place[2], _deep(buffer, place, diff[begin:stop], depth=depth, replay=replay)))
            elif not replay:
                raise UnfitUpdateError(_ABSENT)
            continue
        if section not in _SECTIONS:
            raise UnfitUpdateError(f"a diff with an unknown section {section.decode('utf-8', 'replace')}")
        for name, (_, value, value_end) in _once(diff, begin, stop).items():
            touched.append(name)
            before = len(name) + 2  # the type, the name and its NUL stand before the value
            changed = b"" if section == b"d" else diff[value - before : value_end]
            if name not in fields:
                if section != b"i" and not replay:
                    raise UnfitUpdateError(_ABSENT)
                if section in (b"i", b"u"):
                    tail.append(changed)
                continue
            type_, where, where_end = fields[name]
            if section == b"b":
                cuts.append((where, where_end, _continued(type_, buffer[where:where_end], diff[value:value_end])))
                continue
            cuts.append((where - before, where_end, changed if section == b"u" else b""))
            if section == b"i":  # a field that is there already moves to the end
                tail.append(changed)
    if len(set(touched)) < len(touched):
        raise UnfitUpdateError("a diff that changes one field twice")
    if not unique and not repeated(buffer, start, end).isdisjoint(touched):
        raise UnfitUpdateError("an update of a field that the record has twice")
    return spliced(buffer, start, end, cuts=cuts, tail=tail)


def _once(diff: bytes, start: int, end: int) -> Layout:
    fields, unique = layout(diff, start, end)
    if not unique:
        raise UnfitUpdateError("a diff that changes one field twice")
    return fields


def _deep(buffer: bytes, place: tuple[int, int, int], diff: bytes, *, depth: int, replay: bool) -> bytes:
    """Return the value of a field after a change to what is in it."""
    kind, start, end = place
    array = diff[4:7] == _ARRAY_HEADER
    if kind == DOCUMENT and not array:
        return _changed_document(buffer, start, end, diff, depth=deeper(depth), replay=replay)
    if kind == ARRAY and array:
        return _changed_array(buffer, start, end, diff, depth=deeper(depth), replay=replay)
    if not replay:
        raise UnfitUpdateError("an update of the inside of a field that has another type")
    return buffer[start:end]


def _continued(kind: int, binary: bytes, change: bytes) -> bytes:
    """Return a binary that is other bytes from an offset on: how a time-series' compressed column grows."""
    offset, data = find_element(change, "o"), find_element(change, "d")
    if kind != _BINARY or offset is None or data is None or data[0] != _BINARY:
        raise UnfitUpdateError("a change of a binary of a form that is not known")
    at = _number(offset)
    if not 0 <= at <= len(binary) - 5:
        raise UnfitUpdateError("a change of a binary behind its end")
    content = binary[5 : 5 + at] + data[1][5:]
    return INT32.pack(len(content)) + binary[4:5] + content


def _changed_array(buffer: bytes, start: int, end: int, diff: bytes, *, depth: int, replay: bool) -> bytes:
    """Return the array in `buffer[start:end]` after a diff."""
    changes: dict[int, tuple[bytes, int, bytes]] = {}
    length = -1
    for kind, name, value in elements(diff):
        if name == b"l":
            length = array_index(b"%d" % _number((kind, value)))
        elif name[:1] in (b"u", b"s"):
            changes[array_index(name[1:])] = name[:1], kind, value
        elif name != b"a":
            raise UnfitUpdateError("a diff of an array of a form that is not known")
    fields = array_fields(buffer, start, end)
    kept = grown = len(fields) if length < 0 else min(length, len(fields))
    cuts: list[tuple[int, int, bytes]] = []
    tail: list[bytes] = []
    if kept < len(fields):
        cuts.append((fields[kept][1] - len(b"%d" % kept) - 2, end - 1, b""))
    for number, (section, kind, value) in sorted(changes.items()):
        name = b"%d" % number
        if number < kept:
            place = fields[number]
            if section == b"s":
                cuts.append((place[1], place[2], _deep(buffer, place, value, depth=depth, replay=replay)))
            else:
                cuts.append((place[1] - len(name) - 2, place[2], element(name, (kind, value))))
            continue
        if section == b"s" and not replay:
            raise UnfitUpdateError("an update of an element that the array does not have")
        tail += [*nulls(grown, number), element(name, (kind, value) if section == b"u" else NULL)]
        grown = number + 1
    if 0 <= length < grown:
        raise UnfitUpdateError("an update of an element behind the end of its array")
    return spliced(buffer, start, end, cuts=cuts, tail=tail + nulls(grown, length))
