"""Updates as the oplog had them up to MongoDB 4.4: `{$set: {"a.b": …}, $unset: {"a.c": …}}`, `$v: 1` or no version.

How paths are followed and created is as in src/mongo/db/update/update_object_node.cpp and path_support.cpp
(https://github.com/mongodb/mongo).
"""

from __future__ import annotations

from functools import cmp_to_key

from recovery_nb.records.elements import build, elements
from recovery_nb.sources.oplog.shape import (
    ARRAY,
    DOCUMENT,
    NULL,
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

__all__ = ["apply_modifiers"]

_Leaf = Value | None
"""What `$set` sets; None for what `$unset` removes."""
_Tree = dict[bytes, "_Leaf | _Tree"]


def apply_modifiers(record: bytes, operators: dict[bytes, bytes], *, replay: bool, by_command: bool) -> bytes:
    """Return the record as it was after an update by `$set` and `$unset`.

    Args:
        record: The record before it.
        operators: What stands under `$set` and under `$unset`.
        replay: Whether what does not fit is left as it is.
        by_command: Whether the server sorted the fields; else they are created in the order in which they stand.

    Raises:
        UnfitUpdateError: The record cannot have been what was updated.
        InvalidRecordError: The structure of one of them is broken.
    """
    return _document(record, _tree(operators, by_command=by_command), 1, replay=replay)


def _tree(operators: dict[bytes, bytes], *, by_command: bool) -> _Tree:
    """Return what is set and removed, by the steps of its path; fields that are created come in this order."""
    leaves: list[tuple[list[bytes], _Leaf]] = []
    for operator, fields in operators.items():
        for kind, name, value in elements(fields):
            leaves.append((name.split(b"."), None if operator == b"$unset" else (kind, value)))
    if by_command:
        leaves.sort(key=lambda leaf: [_IN_SERVER_ORDER(step) for step in leaf[0]])
    root: _Tree = {}
    for (*above, last), leaf in leaves:
        tree = root
        for depth, step in enumerate(above, 1):
            below = tree.setdefault(step, {})
            if not isinstance(below, dict):
                raise UnfitUpdateError("an update of a field and of what is in it")
            tree, _ = below, deeper(depth)
        if last in tree:
            raise UnfitUpdateError("an update that changes one field twice")
        tree[last] = leaf
    return root


def _compared(left: bytes, right: bytes) -> int:
    """Compare names as a server does since 5.0: numbers by their value, all else byte by byte."""
    if left.isdigit() and right.isdigit():
        left, right = left.lstrip(b"0"), right.lstrip(b"0")
        if len(left) != len(right):
            return len(left) - len(right)
    return (left > right) - (left < right)


_IN_SERVER_ORDER = cmp_to_key(_compared)


def _document(document: bytes, tree: _Tree, depth: int, *, replay: bool) -> bytes:
    fields, unique = layout(document, 0, len(document))
    if not unique and not repeated(document, 0, len(document)).isdisjoint(tree):
        raise UnfitUpdateError("an update of a field that the record has twice")
    cuts: list[tuple[int, int, bytes]] = []
    tail: list[bytes] = []
    for name, node in tree.items():
        if name in fields:
            kind, start, stop = fields[name]
            after = _changed((kind, document[start:stop]), node, depth, replay=replay)
            cuts.append((start - len(name) - 2, stop, b"" if after is None else element(name, after)))
        elif (created := _created(node)) is not None:
            tail.append(element(name, created))
    return spliced(document, 0, len(document), cuts=cuts, tail=tail)


def _changed(before: tuple[int, bytes], node: _Leaf | _Tree, depth: int, *, replay: bool) -> _Leaf:
    """Return a field's type and value after the update; None where it is removed."""
    if not isinstance(node, dict):
        return node
    kind, value = before
    if kind == DOCUMENT:
        return kind, _document(value, node, deeper(depth), replay=replay)
    if kind == ARRAY:
        return kind, _array(value, node, deeper(depth), replay=replay)
    if not replay:
        raise UnfitUpdateError("an update of the inside of a field that has another type")
    return before


def _array(array: bytes, tree: _Tree, depth: int, *, replay: bool) -> bytes:
    nodes = {array_index(name): node for name, node in tree.items() if name.isdigit()}
    if len(nodes) < len(tree) and not replay:
        raise UnfitUpdateError("an update of a named field in an array")
    fields = array_fields(array, 0, len(array))
    cuts: list[tuple[int, int, bytes]] = []
    tail: list[bytes] = []
    grown = len(fields)
    for number, node in sorted(nodes.items(), key=lambda item: item[0]):
        name = b"%d" % number
        if number < len(fields):
            kind, start, stop = fields[number]
            after = _changed((kind, array[start:stop]), node, depth, replay=replay)
            cuts.append((start - len(name) - 2, stop, element(name, after or NULL)))
        elif (created := _created(node)) is not None:
            tail += [*nulls(grown, number), element(name, created)]
            grown = number + 1
    return spliced(array, 0, len(array), cuts=cuts, tail=tail)


def _created(node: _Leaf | _Tree) -> _Leaf:
    """Return the field that a path makes where there is none: documents down to what is set."""
    if not isinstance(node, dict):
        return node
    inside = [(name, _created(below)) for name, below in node.items()]
    fields = [(field[0], name, field[1]) for name, field in inside if field is not None]
    return (DOCUMENT, build(fields)) if fields else None
