"""Backups against draining the same collection, all in one run, start-up apart; and the memory that they take.

    python benchmarks/backup.py [--records 500000] [--rounds 5] [--folder DIR]

Draining is what any tool must at least do: `find_raw_batches` over the whole collection, nothing done with the bytes.
Each round drains, and then takes a backup in each way, from reading to the final name: synced, and read back. The
ratio of the medians is what counts, seconds are this machine's. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bson
import pyrage
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.backups import write_backup
from recovery_nb.backups.encryption import recipients
from recovery_nb.demo.sampledata import conversations
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.sources.mongodb import Database

WAYS = {
    "none": ("none", 0),
    "zstd": ("zstd", 0),
    "gzip": ("gzip", 0),
    "none, age": ("none", 1),
    "zstd, age": ("zstd", 2),
}

PEAK = """
import sys
from pathlib import Path
from recovery_nb.backups import write_backup
from recovery_nb.backups.encryption import recipients
from recovery_nb.sources.mongodb import Database
uri, folder, compression, *to = sys.argv[1:]
write_backup(Database(uri), Path(folder), compression=compression, recipients=recipients(to))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def load(uri: str, records: int) -> int:
    size, batch = 0, []
    with MongoClient(uri) as client:
        collection = client.get_default_database()["conversations"]
        for number, document in enumerate(conversations(records), 1):
            batch.append(RawBSONDocument(bson.encode(document)))
            if len(batch) == 1000 or number == records:
                collection.insert_many(batch)
                size += sum(len(one.raw) for one in batch)
                batch = []
    return size


def drain(uri: str) -> None:
    with MongoClient(uri) as client:
        for _ in client.get_default_database()["conversations"].find_raw_batches({}):
            pass


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def row(name: str, seconds: list[float], base: list[float], rest: str = "") -> str:
    ratio = statistics.median(seconds) / statistics.median(base)
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    return f"{name:<28} {statistics.median(seconds):>6.2f} s  ({spread})  {ratio:>5.2f} x  {rest}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the backups go; a temporary folder")
    options = parser.parse_args()
    keys = [str(pyrage.x25519.Identity.generate().to_public()) for _ in range(2)]
    folder = Path(tempfile.mkdtemp(prefix="recovery-nb-bench-", dir=options.folder))
    try:
        with EmbeddedMongod(folder / "mongod") as server:
            uri = server.uri("bench")
            size = load(uri, options.records)
            database = Database(uri)
            drained: list[float] = []
            taken: dict[str, list[float]] = {name: [] for name in WAYS}
            stored: dict[str, int] = {}
            drain(uri)
            for _ in range(options.rounds):
                drained.append(timed(lambda: drain(uri)))
                for name, (compression, count) in WAYS.items():
                    to = recipients(keys[:count])
                    start = time.perf_counter()
                    made = write_backup(database, folder / "out", compression=compression, recipients=to)
                    taken[name].append(time.perf_counter() - start)
                    assert made.records == options.records
                    stored[name] = sum(one.stat().st_size for one in made.path.rglob("*"))
                    shutil.rmtree(made.path)
            print(f"{options.records:,} conversations, {size / 1e6:.0f} MB, median of {options.rounds} rounds")
            print(row("draining, find_raw_batches", drained, drained))
            for name, (compression, count) in WAYS.items():
                command = [sys.executable, "-c", PEAK, uri, str(folder / "out"), compression, *keys[:count]]
                peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) // 1024
                rest = f"peak {peak} MiB, stored {stored[name] / size:.3f} of its size"
                print(row(f"backup, {name}", taken[name], drained, rest))
            database.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
