"""What an entry of the oplog says: one operation, or a command that holds several.

The fields are those of src/mongo/db/repl/oplog_entry.idl (https://github.com/mongodb/mongo).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from recovery_nb.records.elements import MAX_DEPTH, InvalidRecordError, elements
from recovery_nb.sources.oplog.shape import ARRAY, DOCUMENT, Layout, layout

__all__ = [
    "BROKEN",
    "Command",
    "Entry",
    "Operation",
    "command",
    "flatten",
    "is_record_namespace",
    "looks_like_oplog",
    "parse",
    "parse_operation",
]

BROKEN = b""
"""What `flatten` gives as the `op` of an operation that cannot be read."""

_STRING, _TIMESTAMP = 0x02, 0x11
_SMALLEST = 5
_LATEST = (1 << 63) - 1


class Operation(NamedTuple):
    """One operation: an entry by itself, or one of those in an `applyOps`.

    Attributes:
        op: "i", "u", "d", "c" or "n", or what a newer server knows.
        ns: The namespace, `database.collection`; of a command `database.$cmd`.
        ui: The collection's UUID, 16 bytes; b"" where it is not given.
        o: The document, the update, the key of what was deleted, or the command.
        o2: The key of what was updated; b"" where it is not given.
        offset: Where the operation's own document begins in the file, in bytes.
        length: How long it is, in bytes.
        body: Where `o` begins in the file, in bytes.
        by_command: Whether it is part of an `applyOps` that is no transaction.
    """

    op: bytes
    ns: bytes
    ui: bytes
    o: bytes
    o2: bytes
    offset: int
    length: int
    body: int
    by_command: bool


class Entry(NamedTuple):
    """An entry of the oplog.

    Attributes:
        at: Its time, as `moment` gives it; this is also its place in the order of all.
        operation: What was done.
        transaction: Of a command, what tells its session's transaction from all others; b"" where it has none.
        previous: The time of the transaction's entry before it; 0 where there is none.
        separate: Whether it is applied by itself though it has a transaction number: inserts of one batch.
    """

    at: int
    operation: Operation
    transaction: bytes
    previous: int
    separate: bool


class Command(NamedTuple):
    """What a command says.

    Attributes:
        name: What is done: "create", "drop", "applyOps" …
        target: The type and bytes of the value behind the name.
        fields: Type and bytes of the others.
    """

    name: bytes
    target: tuple[int, bytes]
    fields: dict[bytes, tuple[int, bytes]]

    def text(self, name: bytes = b"") -> bytes:
        """Return a string among the fields, or the target; b"" where it is none."""
        kind, value = self.fields.get(name, (0, b"")) if name else self.target
        return value[4:-1] if kind == _STRING else b""

    def says(self, name: bytes) -> bool:
        """Say whether a field is there and true."""
        return self.fields.get(name, (0, b"\x00")) != (0x08, b"\x00") and name in self.fields


def _operation(buffer: bytes, fields: Layout, start: int, end: int, *, at: int, by_command: bool) -> Operation:
    """Return the operation in `buffer[start:end]`, of which `at` is where the buffer begins in the file."""
    try:
        op_kind, op_start, op_end = fields[b"op"]
        ns_kind, ns_start, ns_end = fields[b"ns"]
        kind, body, body_end = fields[b"o"]
    except KeyError as error:
        raise InvalidRecordError(f"an operation without {error.args[0].decode()}") from None
    if op_kind != _STRING or ns_kind != _STRING or kind != DOCUMENT:
        raise InvalidRecordError("an operation whose op, ns or o has another type")
    if not _is_document(buffer, body, body_end):
        raise InvalidRecordError("an operation whose o is no whole document")
    ui_kind, ui_start, ui_end = fields.get(b"ui", (0, 0, 0))
    key_kind, key_start, key_end = fields.get(b"o2", (0, 0, 0))
    key = buffer[key_start:key_end] if key_kind == DOCUMENT and _is_document(buffer, key_start, key_end) else b""
    return Operation(
        buffer[op_start + 4 : op_end - 1],
        buffer[ns_start + 4 : ns_end - 1],
        buffer[ui_start + 5 : ui_end] if ui_kind == 0x05 else b"",
        buffer[body:body_end],
        key,
        at + start, end - start, at + body, by_command,
    )  # fmt: skip


def _is_document(buffer: bytes, start: int, end: int) -> bool:
    """Say whether a value, whose length was followed to its end, is as long as a document and ends as one."""
    return end - start >= _SMALLEST and not buffer[end - 1]


def parse(record: bytes, offset: int) -> Entry:
    """Return what an entry says.

    Args:
        record: Its bytes.
        offset: Where it begins in its file, in bytes.

    Raises:
        InvalidRecordError: It is no entry of an oplog, or its structure is broken.
    """
    fields, _ = layout(record, 0, len(record))
    kind, start, stop = fields.get(b"ts", (0, 0, 0))
    if kind != _TIMESTAMP:
        raise InvalidRecordError("an entry without a timestamp")
    at = min(int.from_bytes(record[start:stop], "little"), _LATEST)
    operation = _operation(record, fields, 0, len(record), at=offset, by_command=False)
    if operation.op != b"c" or b"txnNumber" not in fields or b"lsid" not in fields:
        return Entry(at, operation, b"", 0, False)
    transaction = b"".join(record[fields[name][1] : fields[name][2]] for name in (b"lsid", b"txnNumber"))
    _, value, end = fields.get(b"multiOpType", (0, 0, 0))
    separate = int.from_bytes(record[value:end], "little") == 1
    previous = _optime(record, *fields.get(b"prevOpTime", (0, 0, 0)))
    return Entry(at, operation, transaction, previous, separate)


def parse_operation(document: bytes, offset: int) -> Operation:
    """Return the operation in an entry, or in one of the documents of an `applyOps`.

    Args:
        document: Its bytes.
        offset: Where it begins in its file, in bytes.

    Raises:
        InvalidRecordError: It is none, or its structure is broken.
    """
    fields, _ = layout(document, 0, len(document))
    return _operation(document, fields, 0, len(document), at=offset, by_command=False)


def _optime(record: bytes, kind: int, start: int, stop: int) -> int:
    """Return the time in an optime `{ts, t}`, or in the bare timestamp that it was before."""
    if kind == DOCUMENT:
        kind, start, stop = layout(record, start, stop)[0].get(b"ts", (0, 0, 0))
    return min(int.from_bytes(record[start:stop], "little"), _LATEST) if kind == _TIMESTAMP else 0


def looks_like_oplog(record: bytes) -> bool:
    """Say whether a document is an entry of an oplog: a timestamp `ts`, strings `op` and `ns`, a document `o`."""
    try:
        entry = parse(record, 0)
    except InvalidRecordError:
        return False
    return 0 < len(entry.operation.op) <= 2


def command(operation: Operation) -> Command:
    """Return what a command says; its name is b"" if it is empty.

    Raises:
        InvalidRecordError: Its structure is broken.
    """
    name, target, fields = b"", (0, b""), {}
    for kind, field, value in elements(operation.o):
        if name:
            fields[field] = kind, value
        else:
            name, target = field, (kind, value)
    return Command(name, target, fields)


def flatten(operation: Operation, *, transaction: bool) -> Iterator[Operation]:
    """Yield the operations of an `applyOps`, and of those within it, in order; another operation as it is.

    Args:
        operation: An entry's operation.
        transaction: Whether the entry is part of a transaction.

    Raises:
        InvalidRecordError: The structure of one of them is broken, or they are nested deeper than servers allow.
    """
    waiting = [iter([operation])]
    while waiting:
        inner = next(waiting[-1], None)
        if inner is None:
            waiting.pop()
        elif inner.op == b"c" and inner.o[5:14] == b"applyOps\x00":
            if len(waiting) > MAX_DEPTH:
                raise InvalidRecordError("operations nested too deeply")
            waiting.append(_inside(inner, by_command=not transaction))
        else:
            yield inner


def _inside(operation: Operation, *, by_command: bool) -> Iterator[Operation]:
    buffer = operation.o
    kind, start, stop = layout(buffer, 0, len(buffer))[0][b"applyOps"]
    if kind != ARRAY:
        raise InvalidRecordError("an applyOps without operations")
    for kind, begin, end in layout(buffer, start, stop)[0].values():
        if kind != DOCUMENT:
            raise InvalidRecordError("an applyOps that holds something else than operations")
        try:
            fields, _ = layout(buffer, begin, end)
            yield _operation(buffer, fields, begin, end, at=operation.body, by_command=by_command)
        except InvalidRecordError:
            yield Operation(BROKEN, b"", b"", b"", b"", operation.body + begin, end - begin, operation.body, by_command)


def is_record_namespace(collection: bytes) -> bool:
    """Say whether a collection holds records: of the server's own, only the buckets of time-series and `system.js`."""
    return not collection.startswith(b"system.") or collection.startswith((b"system.buckets.", b"system.js"))
