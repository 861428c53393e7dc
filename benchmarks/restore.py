"""Apply a plan, journal and all, against inserting the same raw documents bare, alternating in one run.

    python benchmarks/restore.py [--records 500000] [--rounds 5] [--present]

Bare is what any program must at least do: `insert_many` of the same raw documents, in batches of 1,000, on two
threads. Applying reads the records again from a dump, by their places. Both write to a collection that is missing;
with `--present`, to one that holds a record of its own, where the restore must look before it inserts. The ratio of
each round is what counts; seconds are this machine's. The peak of memory is that of a process of its own, which
does nothing but apply.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.demo.sampledata import conversations
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import id_element
from recovery_nb.restore import Plan, RestoreResult, Rows, Selected, apply, make_plan
from recovery_nb.sources.discover import open_source

BATCH = 1_000


def selection(dump: Path, records: int) -> Iterator[Selected]:
    offset = 0
    with dump.open("wb") as file:
        for document in conversations(records):
            record = bson.encode(document)
            ref = Ref("", offset, len(record))
            own = id_element(record) or b""
            offset += file.write(record)
            yield Selected("conversations", str(document["_id"]), own, None, record, "dump", ref)


def batches(dump: Path, plan: Plan) -> Iterator[list[bytes]]:
    with dump.open("rb") as file:
        for rows in plan.batches(BATCH, 1 << 30):
            yield [file.read(length) for length in rows.lengths]


def bare(uri: str, together: list[list[bytes]]) -> float:
    """Insert bare, and return the seconds."""
    with MongoClient(uri) as client, ThreadPoolExecutor(2) as threads:
        collection = client.get_default_database()["conversations"]

        def insert(records: list[bytes]) -> None:
            collection.insert_many([RawBSONDocument(record) for record in records], ordered=False)

        start = time.perf_counter()
        list(threads.map(insert, together))
        return time.perf_counter() - start


def applied(plan: Plan, uri: str, dump: Path, folder: Path) -> tuple[float, RestoreResult]:
    """Apply a plan, and return the seconds and the result."""
    source = open_source(dump)

    def payload(rows: Rows) -> list[bytes]:
        return list(source.fetch(rows.refs()))

    start = time.perf_counter()
    result = apply(plan, uri, payload=payload, folder=folder)
    return time.perf_counter() - start, result


def _peak(plan: Path, uri: str, dump: Path, folder: Path) -> None:
    _, result = applied(Plan.load(plan), uri, dump, folder)
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    (folder / "peak").write_text(peak)
    assert result.restored == result.planned


def peak(plan: Plan, uri: str, dump: Path, folder: Path) -> float:
    """Apply a plan in a process of its own, and return its peak of memory in MiB."""
    child = multiprocessing.get_context("spawn").Process(target=_peak, args=(plan.path, uri, dump, folder))
    child.start()
    child.join()
    return int((folder / "peak").read_text()) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--present", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="recovery-nb-bench-"))
    try:
        with EmbeddedMongod(folder / "mongod") as server, MongoClient(server.uri()) as client:
            dump = folder / "conversations.bson"
            start = time.perf_counter()
            plan = make_plan(selection(dump, options.records), folder / "plans", database="bench")
            print(f"{options.records:,} conversations, {dump.stat().st_size / 1e6:.0f} MB")
            print(f"making them and the plan     {time.perf_counter() - start:>7.2f} s")

            def fresh() -> None:
                client.drop_database("bench")
                if options.present:
                    client.bench.conversations.insert_one({"_id": "someone's"})

            together = list(batches(dump, plan))
            ratios = []
            for number in range(options.rounds + 1):
                fresh()
                insertion = bare(server.uri("bench"), together)
                fresh()
                application, result = applied(plan, server.uri("bench"), dump, folder / f"restores-{number}")
                assert result.restored == options.records
                if number:  # the first round warms up
                    ratios.append(application / insertion)
                    print(f"bare {insertion:>6.2f} s, applied {application:>6.2f} s: {ratios[-1]:>5.2f} x", flush=True)
            print(f"applied, median              {statistics.median(ratios):>7.2f} x")
            fresh()
            print(f"peak of memory               {peak(plan, server.uri('bench'), dump, folder):>7.0f} MiB")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
