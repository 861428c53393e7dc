"""Restore what a keys file names: read it, plan, foresee and apply, with the peak of memory of each step.

    python benchmarks/plan.py [--records 100000 1000000] [--out plan.json]

Every record of a dump is missing in the database and is picked in the difference browser, which writes the keys file.
Each step runs in a process of its own; its peak is what it takes above what the process held when the case was open.
Planning without keys is the base: it reads and decides the same records. Seconds are this machine's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import bson
from pymongo import MongoClient

from recovery_nb import Case
from recovery_nb.browse.browser import Browser
from recovery_nb.browse.view import View
from recovery_nb.demo.sampledata import conversations
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.restore import Plan
from recovery_nb.selection import read_keys


def memory(name: str) -> float:
    """Return a figure of this process's memory, in MiB: `VmRSS` for what it holds, `VmHWM` for its peak."""
    (kib,) = re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kib) / 1024


def pick_all(case: Case, keys: Path) -> None:
    with Browser(case.last_comparison()) as browser:
        browser.pick_matching(View())
        browser.keys_file(keys)


def plan_of(case: Case) -> Plan:
    (folder,) = (case.folder / "plans").iterdir()
    return Plan.load(folder)


def plan_with(case: Case, keys: Path) -> None:
    plan = case.plan(keys=keys)
    assert not case.unmatched
    assert plan.to_write == case.last_comparison().total.missing


def restore(case: Case, *, dry_run: bool) -> None:
    plan = plan_of(case)
    result = case.restore(plan, dry_run=dry_run)
    assert dry_run or result.restored == plan.to_write


STEPS: dict[str, Callable[[Case, Path], object]] = {
    "pick all, write the keys file": pick_all,
    "read the keys file": lambda _, keys: read_keys(keys),
    "plan without keys": lambda case, _: case.plan(),
    "plan with the keys file": plan_with,
    "dry run": lambda case, _: restore(case, dry_run=True),
    "restore": lambda case, _: restore(case, dry_run=False),
}


def run(step: str, folder: Path, uri: str) -> None:
    """Take one step and leave its figures in the folder."""
    with Case.open(folder / "case", database=uri) as case:
        case.last_comparison()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        held, start = memory("VmRSS"), time.perf_counter()
        result = STEPS[step](case, folder / "keys.jsonl")
        seconds = time.perf_counter() - start
        del result
    figures = {"seconds": round(seconds, 2), "peak_mib": round(memory("VmHWM") - held)}
    (folder / "figures.json").write_text(json.dumps(figures))


def measured(records: int, uri: str, folder: Path) -> dict[str, dict[str, float]]:
    """Return the figures of every step for a dump of so many records."""
    dump = folder / "conversations.bson"
    with dump.open("wb") as file:
        file.writelines(bson.encode(document) for document in conversations(records))
    with Case.open(folder / "case", database=uri) as case:
        case.compare(dump)
    found = {}
    for step in STEPS:
        child = multiprocessing.get_context("spawn").Process(target=run, args=(step, folder, uri))
        child.start()
        child.join()
        if child.exitcode:
            raise SystemExit(f"{step}: failed")
        figures = found[step] = json.loads((folder / "figures.json").read_text())
        print(f"{records:>9,}  {step:<32} {figures['seconds']:>7.2f} s {figures['peak_mib']:>6} MiB", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report = {}
    for records in options.records:
        with tempfile.TemporaryDirectory(prefix="recovery-nb-bench-") as scratch:
            folder = Path(scratch)
            with EmbeddedMongod(folder / "mongod") as server, MongoClient(server.uri("bench")) as client:
                client.get_default_database()["conversations"].insert_one({"_id": "someone's"})
                report[str(records)] = measured(records, server.uri("bench"), folder)
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
