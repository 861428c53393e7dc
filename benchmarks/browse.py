"""Browse a comparison of a million differences: open, filter, sort, pick, and what it takes of memory.

    python benchmarks/browse.py [--records 1000000] [--rounds 5] [--folder KEPT] [--out browse.json]

The comparison is made up, in the form in which comparisons are kept: four collections, three sources, forty paths of
changed fields. Each line is the median of the rounds, in a process that has done the same once before; seconds are
this machine's.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from recovery_nb.browse.browser import Browser
from recovery_nb.browse.view import View
from recovery_nb.compare.model import CANDIDATES, DIFFERENCES
from recovery_nb.compare.result import Comparison, Summary
from recovery_nb.compare.rows import RowWriter

COLLECTIONS = ("conversations", "quotes", "sessions", "users")
SOURCES = {f"s{number}": f"backup_2025120{number}.bson" for number in (1, 2, 3)}
STATUSES = ("changed", "missing", "extra", "equivalent", "duplicate", "corrupt")
WEIGHTS = (30, 60, 5, 3, 1, 1)
PATHS = [f"/field_{number}" for number in range(30)] + [f"/items/{number}/price" for number in range(10)]
MADE = datetime(2024, 1, 1, tzinfo=UTC)


def make(folder: Path, records: int) -> None:
    """Write the tables of a comparison with this many differences."""
    folder.mkdir(parents=True, exist_ok=True)
    luck = random.Random(5)
    with (
        RowWriter(folder / "differences.parquet", DIFFERENCES) as rows,
        RowWriter(folder / "candidates.parquet", CANDIDATES) as candidates,
    ):
        for number in range(records):
            row = difference(number, records, luck)
            rows.add(row)
            if row["status"] in ("changed", "missing", "equivalent"):
                names = ("collection", "key", "key_bytes", "source", "source_name", "source_collection", "member",
                         "offset", "length", "id", "fingerprint", "inferred", "confidence")  # fmt: skip
                candidates.add({**{name: row[name] for name in names}, "rank": 1, "taken_at": MADE, "at": 0})


def difference(number: int, records: int, luck: random.Random) -> dict[str, Any]:
    collection = COLLECTIONS[number * len(COLLECTIONS) // records]
    status = luck.choices(STATUSES, WEIGHTS)[0]
    source = luck.choice(list(SOURCES))
    oid = luck.randbytes(12)
    known = status not in ("extra", "corrupt")
    fields = luck.sample(PATHS, luck.randint(1, 4)) if status in ("changed", "equivalent") else []
    changes = [{"path": path, "kind": "value", "database": "1 (int)", "source": "2 (int)"} for path in fields]
    return {
        "collection": collection, "status": status, "key": oid.hex(), "key_bytes": b"\x07" + oid, "id": b"\x07" + oid,
        "current": luck.randbytes(32) if status in ("changed", "extra", "equivalent") else None,
        "source": source if status != "extra" else None,
        "source_name": SOURCES[source] if status != "extra" else None, "source_collection": collection, "member": "",
        "offset": number * 600, "length": 600, "fingerprint": luck.randbytes(32) if known else None, "inferred": "",
        "candidates": luck.randint(1, 3) if known else 0, "confidence": luck.choice(("high", "medium", "low")),
        "newer": "updated_at is later in the database" if status == "changed" and luck.random() < 0.05 else "",
        "note": "a false length of 7 bytes" if status == "corrupt" else "", "fields": fields,
        "changes": json.dumps(changes),
        "made": MADE + timedelta(seconds=luck.randint(0, 60_000_000)) if known else None,
    }  # fmt: skip


def opened(folder: Path) -> Comparison:
    """Return the comparison as far as a browser needs it: no record of it can be read."""
    summary = Summary("bench", "", "", "mongodb://127.0.0.1/bench", True, None, {}, {}, {}, list(SOURCES), {})
    sources = {one: SimpleNamespace(id=one, name=name) for one, name in SOURCES.items()}
    return Comparison(folder, summary, cast("Any", sources), cast("Any", None))


def resident() -> float:
    """Return how much memory the process has now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def first_view(folder: Path) -> None:
    with Browser(opened(folder)) as browser:
        browser.page(View())
        browser.facets(View())


def steps(browser: Browser, folder: Path) -> dict[str, Callable[[], object]]:
    """Return what is measured on an open browser; whatever the last step left is not what the next one needs."""

    texts = count(0xABC)

    def show(given: View | None, number: int = 0) -> Callable[[], object]:
        def work() -> object:
            browser.facets(View())
            view = given or View(text=f"{next(texts):03x}")  # each text for the first time
            start = time.perf_counter()
            browser.page(view, number)
            browser.facets(view)
            return time.perf_counter() - start

        return work

    def sort(name: str) -> Callable[[], object]:
        def work() -> object:
            start = time.perf_counter()
            browser.page(View(sort=name))
            seconds = time.perf_counter() - start
            for other in ("collection", "status", "source"):  # so that it is not known the next time
                browser.page(View(sort=other, descending=True))
            return seconds

        return work

    def pick_all() -> object:
        browser.clear()
        start = time.perf_counter()
        browser.pick_matching(View())
        return time.perf_counter() - start

    def pick_one() -> object:
        return timed(lambda: browser.pick([0], on=not browser.row(0).picked))

    filters: dict[str, View | None] = {
        "a status": View(statuses=("missing",)), "a collection": View(collections=("quotes",)),
        "a source": View(sources=("s2",)), "a changed field": View(field="/items/*/price"),
        "a time": View(since=MADE + timedelta(days=100), until=MADE + timedelta(days=200)),
        "a text": None, "what is in doubt": View(doubtful=True), "what is picked": View(picked=True),
        "all at once": View(("missing", "changed"), ("quotes", "users"), ("s1",), since=MADE, field="/field_7"),
    }  # fmt: skip
    found: dict[str, Callable[[], object]] = {
        "page and counts, no filter": show(View()), "page 10,000": show(View(), 10_000),
        "pick all that is shown": pick_all, "pick one": pick_one,
    }  # fmt: skip
    found |= {f"page and counts, {name}": show(view) for name, view in filters.items()}
    found |= {f"sort by {name}": sort(name) for name in ("key", "made", "status", "collection", "source", "confidence")}
    found["times"] = lambda: timed(lambda: browser.times(View()))
    found["keys file of all"] = lambda: timed(lambda: browser.keys_file(folder / "keys.jsonl"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the comparison is kept for the next run")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recovery-nb-bench-") as scratch:
        folder = options.folder or Path(scratch) / "comparison"
        if not (folder / "differences.parquet").is_file():
            make(folder, options.records)
        make(Path(scratch) / "small", 100)
        first_view(Path(scratch) / "small")  # imports are paid for from here on, as in a kernel that has compared
        before = resident()
        opening = [timed(lambda: first_view(folder)) for _ in range(options.rounds)]
        with Browser(opened(folder), kept=Path(scratch) / "picked.parquet") as browser:
            found = {"open, first page, counts": opening}
            for name, work in steps(browser, Path(scratch)).items():
                found[name] = [float(str(work())) for _ in range(options.rounds)]
        memory = {"before_mib": round(before), "after_mib": round(resident()), "most_mib": most()}
        seconds = {name: [round(one, 4) for one in each] for name, each in found.items()}
        report = {"records": options.records, "seconds": seconds, "memory": memory}
    for name, each in found.items():
        print(
            f"{name:<44} {statistics.median(each) * 1000:>8.1f} ms  ({min(each) * 1000:.1f} to {max(each) * 1000:.1f})"
        )
    print(memory)
    if options.out:
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def most() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
