"""Scan files of each format, each against what any reader must at least do, in one run.

    python benchmarks/scan.py [--records 500000] [--rounds 3]

A scan is everything that brings a file into a catalog: hash, framing or parsing, fingerprints, the Parquet table.
`.bson` is set against reading and hashing the file, gzip against decompressing it with `isal` alone, and JSON
against nothing: what counts there is documents a second. Ratios count; seconds are this machine's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bson
from isal import igzip

from recovery_nb.catalog.store import Catalog
from recovery_nb.demo.sampledata import conversations
from recovery_nb.records.extended_json import to_json
from recovery_nb.sources.discover import open_source

PIECE = 4 * 1024 * 1024


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def make(folder: Path, records: int) -> None:
    with (folder / "chats.bson").open("wb") as raw, (folder / "chats.jsonl").open("wb") as lines:
        for document in conversations(records):
            record = bson.encode(document)
            raw.write(record)
            lines.write(to_json(record).encode() + b"\n")
    with (
        (folder / "chats.bson").open("rb") as raw,
        gzip.open(folder / "chats.bson.gz", "wb", compresslevel=6) as packed,
    ):
        shutil.copyfileobj(raw, packed, PIECE)


def read_and_hash(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            digest.update(piece)


def decompress(path: Path) -> None:
    with igzip.open(path, "rb") as file:
        while file.read(PIECE):
            pass


def scan(path: Path, folder: Path, records: int) -> None:
    entry = Catalog(folder).scan(open_source(path))
    assert entry.records == records, (entry.records, entry.damage[:3])
    assert entry.whole


def row(name: str, seconds: list[float], *, size: int, records: int, base: list[float] | None = None) -> str:
    median = statistics.median(seconds)
    ratio = f"{median / statistics.median(base):>6.2f} x" if base else " " * 8
    spread = f"({min(seconds):.2f} to {max(seconds):.2f})"
    pace = f"{size / median / 1e6:>7.0f} MB/s {records / median:>9,.0f} /s"
    return f"{name:<36} {median:>6.2f} s {spread:<16} {pace} {ratio}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="recovery-nb-bench-"))
    records = options.records
    try:
        make(folder, records)
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        raw, lines, packed = (folder / name for name in ("chats.bson", "chats.jsonl", "chats.bson.gz"))
        times: dict[str, list[float]] = {}
        for number in range(options.rounds + 1):
            works: dict[str, Callable[[], object]] = {
                "read and hash .bson": lambda: read_and_hash(raw),
                "scan .bson": lambda number=number: scan(raw, folder / f"a{number}", records),
                "isal alone, .bson.gz": lambda: decompress(packed),
                "scan .bson.gz": lambda number=number: scan(packed, folder / f"b{number}", records),
                "scan Extended JSON lines": lambda number=number: scan(lines, folder / f"c{number}", records),
            }
            for name, work in works.items():
                taken = timed(work)
                if number:  # the first round warms caches up
                    times.setdefault(name, []).append(taken)
        size = sizes["chats.bson"]
        print(f"{records:,} conversations, {size / 1e6:.0f} MB of BSON, {sizes['chats.bson.gz'] / 1e6:.0f} MB gzipped")
        for name, base in (
            ("read and hash .bson", None),
            ("scan .bson", "read and hash .bson"),
            ("isal alone, .bson.gz", None),
            ("scan .bson.gz", "isal alone, .bson.gz"),
            ("scan Extended JSON lines", None),
        ):
            bytes_read = sizes["chats.jsonl"] if "JSON" in name else size
            print(row(name, times[name], size=bytes_read, records=records, base=times[base] if base else None))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
