"""Entries of an oplog as a server writes them."""

from __future__ import annotations

from typing import Any

from bson import Binary, Int64, Timestamp

from recovery_nb.records.keys import canonical

A, B = Binary(b"a" * 16, 4), Binary(b"b" * 16, 4)
SESSION = {"id": Binary(b"s" * 16, 4), "uid": b"u" * 32}
NONE = {"ts": Timestamp(0, 0), "t": Int64(-1)}


def entry(time: int, op: str, o: Any, *, ns: str = "shop.a", ui: Binary | None = A, **more: Any) -> dict[str, Any]:
    found = {"op": op, "ns": ns, "ui": ui, "o": o, **more, "ts": Timestamp(1000, time), "v": Int64(2)}
    return {name: value for name, value in found.items() if value is not None}


def update(time: int, key: Any, diff: dict[str, Any], **more: Any) -> dict[str, Any]:
    return entry(time, "u", {"$v": 2, "diff": diff}, o2={"_id": key}, **more)


def part(time: int, previous: int, operations: list[Any], number: int = 1, **more: Any) -> dict[str, Any]:
    before = {"ts": Timestamp(1000, previous), "t": Int64(1)} if previous else NONE
    body = {"applyOps": operations, **more}
    return {
        "lsid": SESSION, "txnNumber": Int64(number), "op": "c", "ns": "admin.$cmd", "o": body,
        "ts": Timestamp(1000, time), "v": Int64(2), "prevOpTime": before,
    }  # fmt: skip


def inner(op: str, o: Any, **more: Any) -> dict[str, Any]:
    return {"op": op, "ns": "shop.a", "ui": A, "o": o, **more}


def inner_update(key: Any, diff: dict[str, Any]) -> dict[str, Any]:
    return inner("u", {"$v": 2, "diff": diff}, o2={"_id": key})


def key(number: int) -> bytes:
    return canonical(0x10, number.to_bytes(4, "little"))
