"""The specification's layout: one JSON file, streamed, canonical Extended JSON, one record a line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import orjson

from recovery_nb._version import __version__
from recovery_nb.backups.job import Job, Written
from recovery_nb.backups.manifest import CollectionEntry
from recovery_nb.backups.unkept import unkept, unkept_note, unkept_stated
from recovery_nb.files import sync_folder
from recovery_nb.records.extended_json import to_json

__all__ = ["sorted_compact", "write"]

_VERSION = "1.0"


def sorted_compact(text: str) -> bytes:
    """Return JSON text as compact JSON with sorted keys, in UTF-8: what the checksum is made of.

    The same as `json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)` for
    canonical Extended JSON, in which every fraction and every long integer is a string.
    """
    try:
        return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # nested deeper than it goes
        return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def write(job: Job, partial: Path) -> Written:
    """Write the backup as a file in the folder `partial`, to the disk and read back from there.

    A time-series is written by its measurements; views are left out. What else is lost is noted, and stated in the
    file's metadata.
    """
    checksum = hashlib.sha256(b"{")
    contents: dict[str, CollectionEntry] = {}
    with job.packing.create(partial / "backup.json") as file:
        head = {"timestamp": job.taken_at.isoformat(), "version": _VERSION, "source": job.database.name}
        file.write([_dumps(head)[:-1] + b', "collections": {'])
        # The checksum is over sorted names, so they are written in that order.
        for name in sorted(name for name, entry in job.entries.items() if entry.get("type") != "view"):
            separator = b"," if contents else b""
            file.write([separator + b"\n" + _dumps(name) + b": ["])
            checksum.update(separator + _dumps(name) + b":[")
            begin, count = file.bytes, 0
            for records in job.read(name):
                texts = [to_json(record) for record in records]
                comma = b"," if count else b""
                file.write([comma + b"\n" + ",\n".join(texts).encode()])
                checksum.update(comma + b",".join(map(sorted_compact, texts)))
                count += len(records)
            contents[name] = CollectionEntry(
                records=count, bytes=file.bytes - begin, file="", consistent=job.consistent(name)
            )
            file.write([b"\n]"])
            checksum.update(b"]")
        checksum.update(b"}")
        lost = unkept(job.database, job.entries, {name: content.records for name, content in contents.items()})
        # What vouches for the file comes last: there a reader looks for it.
        metadata = {
            "not_kept": unkept_stated(lost),
            "total_records": sum(content.records for content in contents.values()),
            "exported_by": f"recovery_nb {__version__}",
            "checksum": checksum.hexdigest(),
        }
        file.write([b'\n}, "metadata": ' + _dumps(metadata) + b"}\n"])
    sync_folder(partial)
    return Written(file.file.path, contents, unkept_note(lost))


def _dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
