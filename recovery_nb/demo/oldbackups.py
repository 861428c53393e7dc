"""The backups that the demo's shop took before its losses: a dump, a script's export, a nightly export."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import bson
import bsonjs
import orjson
from bson import json_util
from pymongo.database import Database

__all__ = ["Shop", "dump", "export", "nightly", "plain_json", "raw_records"]

Shop = Database[Any]


def dump(shop: Shop, folder: Path, when: datetime) -> Path:
    """Write a folder in mongodump's layout: one `.bson` and one `.metadata.json` a collection."""
    root = folder / "backups" / f"dump_{_stamp(when)}"
    inside = root / shop.name
    inside.mkdir(parents=True)
    prelude = {"ServerVersion": shop.client.server_info()["version"], "ToolVersion": "100.14.0"}
    (inside / "prelude.json").write_bytes(orjson.dumps(prelude))
    for described in shop.list_collections():
        name = described["name"]
        metadata = {
            "options": described["options"],
            "indexes": [dict(index) for index in shop[name].list_indexes()],
            "uuid": described["info"]["uuid"].hex(),
            "collectionName": name,
            "type": "collection",
        }
        text = json_util.dumps(metadata, json_options=json_util.CANONICAL_JSON_OPTIONS)
        (inside / f"{name}.metadata.json").write_text(text, encoding="utf-8")
        with (inside / f"{name}.bson").open("wb") as file:
            file.writelines(shop[name].find_raw_batches())
    for path in (*inside.iterdir(), inside, root):
        _date(path, when)
    return root


def export(shop: Shop, folder: Path, when: datetime) -> Path:
    """Write what a script with `json.dump(…, default=str, indent=2)` writes: the types are lost."""
    path = folder / "exports" / f"export_{_stamp(when)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "timestamp": when.replace(tzinfo=None).isoformat(),
        "source": "database",
        "collections": {
            name: [bson.decode(record) for record in raw_records(shop, name)]
            for name in sorted(shop.list_collection_names())
        },
    }
    path.write_bytes(plain_json(content, indent=orjson.OPT_INDENT_2))
    _date(path, when)
    return path


def nightly(shop: Shop, folder: Path, when: datetime) -> tuple[list[Path], set[Any]]:
    """Write canonical Extended JSON by the line, until "the disk was full".

    Sessions are whole, conversations end in the middle of a line at about 60 %, quotes were never begun.

    Returns:
        The files, and the `_id`s of the conversations that can be read.
    """
    root = folder / "exports" / f"nightly_{_stamp(when)}"
    root.mkdir(parents=True)
    sessions, conversations = root / "sessions.jsonl", root / "conversations.jsonl"
    with sessions.open("w", encoding="utf-8") as file:
        file.writelines(_line(record) for record in raw_records(shop, "sessions"))
    records = list(raw_records(shop, "conversations"))
    whole = len(records) * 6 // 10
    cut = _line(records[whole])
    with conversations.open("w", encoding="utf-8") as file:
        file.writelines(_line(record) for record in records[:whole])
        file.write(cut[: len(cut) // 2])
    for path in (sessions, conversations, root):
        _date(path, when)
    return [sessions, conversations], {bson.decode(record)["_id"] for record in records[:whole]}


def raw_records(shop: Shop, name: str) -> Iterator[bytes]:
    """Yield the BSON of each record of a collection, in the server's own order."""
    for batch in shop[name].find_raw_batches():
        at = 0
        while at < len(batch):
            size = int.from_bytes(batch[at : at + 4], "little")
            yield batch[at : at + size]
            at += size


def plain_json(value: object, *, indent: int = 0) -> bytes:
    """Return, spaces aside, what `json.dumps(value, default=str, ensure_ascii=False)` does, but faster."""
    return orjson.dumps(value, default=str, option=orjson.OPT_PASSTHROUGH_DATETIME | indent)


def _line(record: bytes) -> str:
    return str(bsonjs.dumps(record, mode=bsonjs.CANONICAL)) + "\n"


def _stamp(when: datetime) -> str:
    return f"{when:%Y%m%d_%H%M%S}"


def _date(path: Path, when: datetime) -> None:
    os.utime(path, (when.timestamp(), when.timestamp()))
