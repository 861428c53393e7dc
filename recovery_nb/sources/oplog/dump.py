"""A dump folder as `mongodump` writes it: its layout and names are those of mongo-tools.

(https://github.com/mongodb/mongo-tools, mongodump/prepare.go and mongodump/metadata_dump.go)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import bson
from bson import json_util

from recovery_nb.records.elements import CODEC, build
from recovery_nb.sources.base import BATCH_BYTES, BUCKETS
from recovery_nb.sources.dump.names import file_stem
from recovery_nb.sources.oplog.namespaces import Collection

__all__ = ["write_dump"]

_NO_OPTIONS = frozenset((b"idIndex", b"create"))


def write_dump(
    folder: Path,
    *,
    collections: Iterable[tuple[Collection, dict[str, object] | None, Iterator[bytes]]],
    others: Mapping[str, dict[str, object]],
) -> dict[str, int]:
    """Write records and metadata of collections; to bring them to the disk is left to the caller.

    Args:
        folder: Where to write; it is made.
        collections: Each with the metadata that a base had of it, and its records.
        others: The metadata of what holds no records itself: views, time-series.

    Returns:
        By name, how many records were written.
    """
    folder.mkdir(mode=0o700)
    described: dict[str, dict[str, object]] = dict(others)
    counts: dict[str, int] = {}
    for collection, before, records in collections:
        name = collection.name
        counts[name] = _write_records(folder / f"{file_stem(name)}.bson", records)
        shown, metadata = _metadata(collection, before)
        described.setdefault(shown, metadata)
    for name, metadata in described.items():
        text = json_util.dumps(
            metadata, json_options=json_util.CANONICAL_JSON_OPTIONS, separators=(",", ":"), ensure_ascii=False
        )
        (folder / f"{file_stem(name)}.metadata.json").write_bytes(text.encode("utf-8", "replace"))
    return counts


def _write_records(path: Path, records: Iterator[bytes]) -> int:
    count = 0
    with path.open("xb", buffering=BATCH_BYTES) as file:
        for count, record in enumerate(records, 1):  # noqa: B007 - the number of the last one
            file.write(record)
    return count


def _metadata(collection: Collection, before: dict[str, object] | None) -> tuple[str, dict[str, object]]:
    """Return the name under which a collection is described, and what is said of it.

    A time-series is described by its own name, though its records are those of its buckets.
    """
    name = collection.name
    if before:
        return name, {**before, "collectionName": name}
    options: dict[str, Any] = {}
    indexes: list[object] = []
    if (said := collection.created) is not None:
        kept = [(kind, field, value) for field, (kind, value) in said.fields.items() if field not in _NO_OPTIONS]
        try:
            options = bson.decode(build(kept), CODEC)
            if (index := said.fields.get(b"idIndex")) is not None:
                indexes = [bson.decode(index[1], CODEC)]
        except Exception:  # the entry is damaged: the records count, with or without their options
            options, indexes = {}, []
    kind = "collection"
    if name.startswith(BUCKETS) and "timeseries" in options:
        kind, name = "timeseries", name.removeprefix(BUCKETS)
        options = {option: options[option] for option in ("timeseries", "expireAfterSeconds") if option in options}
    metadata: dict[str, object] = {"options": options, "indexes": indexes}
    if collection.ui:
        metadata["uuid"] = collection.ui.hex()
    return name, {**metadata, "collectionName": name, "type": kind}
