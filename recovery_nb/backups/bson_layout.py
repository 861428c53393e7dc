"""The default layout: a folder as `mongodump` writes it, which `mongorestore` can restore, and our manifest.

The layout and the escaping of names are those of mongo-tools
(https://github.com/mongodb/mongo-tools, mongodump/prepare.go and mongodump/metadata_dump.go).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bson import json_util

from recovery_nb._version import __version__
from recovery_nb.backups.files import HashedFile, read_back, write_whole
from recovery_nb.backups.job import Job
from recovery_nb.backups.manifest import MANIFEST, CollectionEntry, FileEntry, Manifest, render
from recovery_nb.files import sync_folder
from recovery_nb.sources.dump.names import file_stem

__all__ = ["write"]


def write(job: Job, partial: Path) -> tuple[Path, dict[str, CollectionEntry]]:
    """Write the backup into the folder `partial` and check that it reads back.

    Returns:
        What is to get the final name, and what it holds by collection.
    """
    folder = partial / job.database.name
    folder.mkdir(mode=0o700)
    written: list[HashedFile] = []
    contents: dict[str, CollectionEntry] = {}
    for name, entry in job.entries.items():
        stored = _stored_name(name, entry)
        if stored:
            file, records = _write_records(job, stored, folder / f"{file_stem(stored)}.bson")
            relative = str(file.path.relative_to(partial))
            contents[stored] = CollectionEntry(
                records=records, bytes=file.bytes, file=relative, consistent=job.consistent(stored)
            )
            written.append(file)
        metadata = _metadata(job, name, entry)
        written.append(write_whole(folder / f"{file_stem(name)}.metadata.json", metadata))
    server = {key: str(value) for key, value in job.database.hello().items()}
    prelude = {"ServerVersion": server["version"], "ToolVersion": f"recovery_nb {__version__}"}
    written.append(write_whole(folder / "prelude.json", json_util.dumps(prelude, separators=(",", ":")).encode()))
    manifest = Manifest(
        taken_at=job.taken_at.isoformat(),
        database=job.database.name,
        server=server,
        consistent=job.all_consistent,
        cluster_time=job.snapshot.cluster_time,
        collections=contents,
        files={
            str(file.path.relative_to(partial)): FileEntry(bytes=file.bytes, sha256=file.sha256) for file in written
        },
        records=sum(content.records for content in contents.values()),
        bytes=sum(content.bytes for content in contents.values()),
    )
    written.append(write_whole(partial / MANIFEST, render(manifest)))
    for file in written:
        read_back(file)
    sync_folder(folder)
    sync_folder(partial)
    return partial, contents


def _stored_name(name: str, entry: Mapping[str, Any]) -> str:
    """Return the collection that holds the records: a time-series has its buckets, a view none."""
    kind = entry.get("type", "collection")
    return {"collection": name, "timeseries": f"system.buckets.{name}"}.get(kind, "")


def _write_records(job: Job, collection: str, path: Path) -> tuple[HashedFile, int]:
    count = 0
    # Writing and hashing leave the interpreter free: a thread does them while the next batch is on its way.
    with HashedFile(path) as file, ThreadPoolExecutor(1, "backup") as writer:
        pending = writer.submit(file.write, b"")
        for records in job.read(collection):
            pending.result()  # at most two batches are in memory
            pending = writer.submit(_append, file, records)
            count += len(records)
        pending.result()
    return file, count


def _append(file: HashedFile, records: list[bytes]) -> None:
    file.write(b"".join(records))


def _metadata(job: Job, name: str, entry: Mapping[str, Any]) -> bytes:
    kind = entry.get("type", "collection")
    options = entry.get("options") or {}
    uuid = (entry.get("info") or {}).get("uuid")
    value: dict[str, Any] = {"options": options} if options else {}
    value["indexes"] = job.database.indexes(name) if kind != "view" else []
    if uuid is not None:
        value["uuid"] = bytes(uuid).hex()
    value |= {"collectionName": name, "type": kind}
    return json_util.dumps(
        value, json_options=json_util.CANONICAL_JSON_OPTIONS, separators=(",", ":"), ensure_ascii=False
    ).encode()
