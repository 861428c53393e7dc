"""Who wrote a record since a time: the server's oplog names the session of a write, where it still reaches back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bson import Timestamp
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from recovery_nb.records.elements import InvalidRecordError, id_element
from recovery_nb.records.keys import canonical
from recovery_nb.restore.target import Target
from recovery_nb.sources.oplog.entries import flatten, parse_operation

__all__ = ["Written", "written_since"]

Written = tuple[str, bytes, bool | None]
"""A collection, the canonical `_id` of a record that was written, and whether by one of ours; None: not told."""


def written_since(
    target: Target, collections: Sequence[str], optime: tuple[int, int] | None, sessions: Collection[str]
) -> Iterator[Written] | None:
    """Yield every write of a record since a time, as the oplog tells; None where it does not reach back so far.

    An insert need not name its session, and ours do not. All our other writes do, so those that name none are not ours.

    Args:
        target: The database.
        collections: Which collections count.
        optime: The time, as the server counts; None where it is not known.
        sessions: Our server sessions, in hexadecimal.
    """
    oplog = target.client["local"]["oplog.rs"]
    try:
        first = next(iter(oplog.find({}, {"ts": 1}).sort("$natural", 1).limit(1)), None)
    except OperationFailure:  # a standalone, or a user who may not
        return None
    if first is None or optime is None or first["ts"] > Timestamp(*optime):
        return None
    names = {f"{target.database.name}.{name}".encode(): name for name in collections}
    of_several = {"ns": "admin.$cmd", "o.applyOps": {"$exists": True}}
    query = {"ts": {"$gt": Timestamp(*optime)}, "$or": [{"ns": {"$in": [*map(bytes.decode, names)]}}, of_several]}
    cursor = oplog.find(query, {"ts": 1, "op": 1, "ns": 1, "o": 1, "o2": 1, "lsid": 1})
    return _writes(cursor, names, sessions, named=target.client.options.retry_writes)


def _writes(
    entries: Iterable[RawBSONDocument], names: Mapping[bytes, str], sessions: Collection[str], *, named: bool
) -> Iterator[Written]:
    anonymous = False if named else None
    for entry in entries:
        lsid = entry.get("lsid")
        by = bytes(lsid["id"]).hex() in sessions if lsid else None
        try:
            for one in flatten(parse_operation(bytes(entry.raw), 0), transaction=True):
                name = names.get(one.ns)
                own = id_element(one.o2 if one.op == b"u" else one.o) if one.op in (b"i", b"u", b"d") else None
                if name is None or not own:
                    continue
                yield name, canonical(own[0], own[1:]), by if lsid or one.op == b"i" else anonymous
        except InvalidRecordError:
            continue  # what cannot be read tells nothing of who wrote
