"""Compare against draining the same collection, both in one run, start-up apart.

    python benchmarks/run.py [--records 100000] [--rounds 5]

Draining is what any tool must at least do: `find_raw_batches` over the whole collection, nothing done with the
bytes. Each round drains and then compares; the ratio of their medians is what counts, seconds are this machine's.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.case import Case
from recovery_nb.demo.sampledata import conversations
from recovery_nb.embedded import EmbeddedMongod


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def batches(records: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for document in conversations(records):
        batch.append(bson.encode(document))
        if len(batch) == 1000:
            yield batch
            batch = []
    if batch:
        yield batch


def load(uri: str, records: int, dump: Path) -> int:
    dump.parent.mkdir(parents=True)
    size = 0
    with MongoClient(uri) as client, dump.open("wb") as file:
        collection = client.get_default_database()["conversations"]
        for batch in batches(records):
            collection.insert_many([RawBSONDocument(record) for record in batch])
            size += file.write(b"".join(batch))
    return size


def drain(uri: str) -> None:
    with MongoClient(uri) as client:
        for _ in client.get_default_database()["conversations"].find_raw_batches({}):
            pass


def row(name: str, seconds: list[float], base: list[float]) -> str:
    ratio = statistics.median(seconds) / statistics.median(base)
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    return f"{name:<44} {statistics.median(seconds):>7.2f} s  ({spread})  {ratio:>6.2f} x"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="recovery-nb-bench-"))
    try:
        with EmbeddedMongod(folder / "mongod") as server:
            uri = server.uri("bench")
            dump = folder / "dump" / "bench" / "conversations.bson"
            size = load(uri, options.records, dump)
            drained: list[float] = []
            first: list[float] = []
            again: list[float] = []
            backups: list[float] = []
            with Case.open(folder / "warm", database=uri) as case:
                case.compare(dump)  # imports, connections and caches are warm from here on
            for number in range(options.rounds):
                drained.append(timed(lambda: drain(uri)))
                with Case.open(folder / f"case-{number}", database=uri) as case:
                    assert case.database.name == "bench"
                    first.append(timed(lambda case=case: case.compare(dump)))
                    assert case.comparison is not None
                    assert case.comparison.total.identical == options.records
                    again.append(timed(lambda case=case: case.compare(dump)))
                    backups.append(timed(case.backup))
                shutil.rmtree(folder / f"case-{number}")
            print(f"{options.records:,} conversations, {size / 1e6:.0f} MB, median of {options.rounds} rounds")
            print(row("draining with find_raw_batches", drained, drained))
            print(row("compare with a .bson, never seen before", first, drained))
            print(row("compare with it again (already catalogued)", again, drained))
            print(row("backup, bson, read back", backups, drained))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
