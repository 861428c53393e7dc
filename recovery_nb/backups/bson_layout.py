"""The default layout: a folder as `mongodump` writes it, which `mongorestore` can restore, and our manifest.

The layout and the escaping of names are those of mongo-tools
(https://github.com/mongodb/mongo-tools, mongodump/prepare.go and mongodump/metadata_dump.go). With gzip every file in
the database's folder is packed, as `mongodump --gzip` does; zstd and age are ours.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bson import json_util

from recovery_nb._version import __version__
from recovery_nb.backups.files import HashedFile, write_whole
from recovery_nb.backups.job import Job, Written
from recovery_nb.backups.manifest import MANIFEST, VERSION, CollectionEntry, FileEntry, Manifest, render
from recovery_nb.backups.sink import Sink
from recovery_nb.backups.structure import Structure, kind_of, stored_name
from recovery_nb.files import sync_folder
from recovery_nb.sources.dump.names import file_stem

__all__ = ["write"]


def write(job: Job, partial: Path) -> Written:
    """Write the backup into the folder `partial`, each file to the disk and read back from there."""
    folder = partial / job.database.name
    folder.mkdir(mode=0o700)
    written: list[HashedFile] = []
    contents: dict[str, CollectionEntry] = {}
    small = job.packing.for_small_files()
    structure = Structure(job.database)
    for name, entry in job.entries.items():
        if stored := stored_name(name, entry):
            sink, records = _write_records(job, stored, folder / f"{file_stem(stored)}.bson")
            contents[stored] = CollectionEntry(
                records=records,
                bytes=sink.bytes,
                file=str(sink.file.path.relative_to(partial)),
                consistent=job.consistent(stored),
                kind=kind_of(entry),
            )
            written.append(sink.file)
        written.append(small.write_whole(folder / f"{file_stem(name)}.metadata.json", structure.metadata(name)))
    server = {key: str(value) for key, value in job.database.hello().items()}
    prelude = {"ServerVersion": server["version"], "ToolVersion": f"recovery_nb {__version__}"}
    text = json_util.dumps(prelude, separators=(",", ":")).encode()
    written.append(small.write_whole(folder / "prelude.json", text))
    manifest = Manifest(
        version=VERSION,
        taken_at=job.taken_at.isoformat(),
        database=job.database.name,
        server=server,
        consistent=job.all_consistent,
        cluster_time=job.snapshot.cluster_time,
        compression=job.packing.compression,
        encryption="age" if job.packing.recipients else "",
        recipients=len(job.packing.recipients),
        collections=contents,
        files={
            str(file.path.relative_to(partial)): FileEntry(bytes=file.bytes, sha256=file.sha256) for file in written
        },
        records=sum(content.records for content in contents.values()),
        bytes=sum(content.bytes for content in contents.values()),
    )
    write_whole(partial / MANIFEST, render(manifest))
    sync_folder(folder)
    sync_folder(partial)
    return Written(partial, contents)


def _write_records(job: Job, collection: str, path: Path) -> tuple[Sink, int]:
    count = 0
    # Packing and writing leave the interpreter free: a thread does them while the next batch is on its way.
    with job.packing.create(path) as sink, ThreadPoolExecutor(1, "backup") as writer:
        pending = writer.submit(sink.write, ())
        for records in job.read(collection):
            pending.result()  # at most two batches are in memory
            pending = writer.submit(sink.write, records)
            count += len(records)
        pending.result()
    return sink, count
