"""What a sharded collection refuses because of its shard key.

https://www.mongodb.com/docs/manual/core/sharding-shard-key/: no field of it may be an array or hold a regular
expression, none may be missing before MongoDB 4.4, and a replacement that is found by `_id` cannot change it.
"""

from __future__ import annotations

from collections.abc import Sequence

from recovery_nb.records.keys import canonical
from recovery_nb.restore.forecast.keys import ARRAY, NULL, Path, value_at

__all__ = ["shard_refusal"]

_REGEX = 0x0B
_MAY_BE_MISSING = (4, 4)


def shard_refusal(record: bytes, current: bytes | None, key: Sequence[Path], *, version: Sequence[int]) -> str:
    """Return why a sharded collection refuses a record, or "".

    Args:
        record: What is to be written, raw.
        current: What it replaces; None for an insert.
        key: The fields of the shard key; none where the collection is not sharded.
        version: The server's version, as `buildInfo` gives it.

    Raises:
        InvalidRecordError: The structure of one of them is broken.
    """
    for path in key:
        name = b".".join(path).decode("utf-8", "replace")
        found, _ = value_at(record, path)
        if found is None and tuple(version[:2]) < _MAY_BE_MISSING:
            return f"it lacks {name}, a field of the shard key"
        if found is not None and found[0] == ARRAY:
            return f"{name}, a field of the shard key, leads to an array"
        if found is not None and found[0] == _REGEX:
            return f"{name}, a field of the shard key, is a regular expression"
        if current is not None:
            there, _ = value_at(current, path)
            if canonical(*(found or NULL)) != canonical(*(there or NULL)):
                return f"it would change {name}, a field of the shard key"
    return ""
