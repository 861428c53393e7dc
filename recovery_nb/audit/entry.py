"""One line of the audit log: its canonical bytes, its hash, and how it is told from anything else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import rfc8785

__all__ = ["GENESIS", "MAX_ENTRY_BYTES", "Entry", "canonical", "encode", "parse", "seal"]

GENESIS = "0" * 64
"""What the first entry names as its predecessor."""

MAX_ENTRY_BYTES = 1024 * 1024
"""The longest line that is an entry: it bounds what a reader of a damaged log holds in memory."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded action.

    Attributes:
        seq: Its number, from 1.
        time: When it was written, UTC, ISO 8601 with milliseconds.
        actor: Who did it, `user@host`.
        pid: The process that wrote it.
        action: What was done: "restore.applied", …
        details: The facts of it, without secrets.
        previous: The hash of the entry before; 64 zeros for the first.
        hash: SHA-256 (hex) of the canonical JSON (RFC 8785) of all of the above.
    """

    seq: int
    time: str
    actor: str
    pid: int
    action: str
    details: dict[str, Any]
    previous: str
    hash: str


_TYPES = {
    "seq": int,
    "time": str,
    "actor": str,
    "pid": int,
    "action": str,
    "details": dict,
    "previous": str,
    "hash": str,
}


def seal(fields: dict[str, Any]) -> Entry:
    """Return the entry of `fields` (all but the hash) with its hash."""
    return Entry(**fields, hash=hashlib.sha256(canonical(fields)).hexdigest())


def encode(entry: Entry) -> bytes:
    """Return the line of `entry`, with its newline."""
    return canonical(asdict(entry)) + b"\n"


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of `value` (RFC 8785)."""
    return rfc8785.dumps(value)


def parse(line: bytes) -> Entry | str:
    """Return the entry that `line` is, or, in words, why it is none.

    Only the very bytes that `encode` writes are an entry: the same JSON in another notation is not.
    """
    if not line.endswith(b"\n"):
        return "the line does not end"
    try:
        fields = json.loads(line)
        whole = canonical(fields) + b"\n" == line
    except (ValueError, RecursionError):
        return "the line is not canonical JSON"
    if not isinstance(fields, dict) or {key: type(item) for key, item in fields.items()} != _TYPES:
        return "the line is not an audit entry"
    if not whole:
        return "the line is not canonical JSON"
    claimed = fields.pop("hash")
    entry = seal(fields)
    return entry if entry.hash == claimed else "its hash does not fit its content"
