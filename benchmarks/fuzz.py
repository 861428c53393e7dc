"""Mutate files of every format, and read each as a scan does: no crash, no traceback, no long wait, no flood of memory.

    python benchmarks/fuzz.py [--inputs 100000] [--seed 1] [--jobs 2] [--keep DIR]

What an input is follows from the seed and its number alone. Each is read in a process that is watched from outside.
Only `RecoveryError` may be raised; 5 seconds of processor time and 512 MiB are the limits. What exceeds them is kept.
Exits with 1 then.
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

import bson
from backports import zstd
from bson import Binary
from corpus import FORMATS

from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import RecoveryError
from recovery_nb.records.batch import Damage, Ref
from recovery_nb.sources.discover import find_sources
from recovery_nb.sources.dump.framing import is_whole
from recovery_nb.sources.tree import Tree

SAMPLES = Path(__file__).parents[1] / "tests" / "data" / "samples"
LIMIT_SECONDS = 5.0
LIMIT_BYTES = 512 * 1024 * 1024
_HANGS = 30.0
_ADDRESS_SPACE = 4 * 1024 * 1024 * 1024
_CHUNK = 50
_FETCHED = 50
_SCANNED = 0.05
_LARGE = 0.002
"""The share of inputs of full size."""
_RECORDS = 40
_PIECE = 24 * 1024
_ENDINGS = {
    "bson": "orders.bson", "archive": "shop.archive", "oplog": "oplog.bson", "json": "orders.json",
    "jsonl": "orders.jsonl", "csv": "orders.csv", "log": "app.log", "none": "unnamed",
}  # fmt: skip


class Input(NamedTuple):
    """A file to be read: its name and its bytes, and those of files beside it."""

    name: str
    data: bytes
    beside: tuple[tuple[str, bytes], ...] = ()


# Seeds


def hostile() -> dict[str, bytes]:
    """Return small files that were made to take time, memory or the stack of whoever reads them."""
    deep = bson.encode({})
    for _ in range(300):
        deep = (len(deep) + 8).to_bytes(4, "little") + b"\x03a\0" + deep + b"\0"
    nested = gzip.compress(b'{"_id":1}\n')
    for _ in range(30):
        nested = gzip.compress(nested, mtime=0)
    return {
        "deep.json": b"[" + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"]",
        "open.json": b'{"a":[' * 6_000,
        "lists.json": b"[" * 60_000,
        "digits.json": b'[{"_id":1,"a":' + b"9" * 60_000 + b"}]",
        "exponent.json": b'[{"_id":1,"a":1e999999999,"b":-0,"c":1E-400}]',
        "quotes.json": b"[" + b'"' * 60_001,
        "escapes.json": b'[{"_id":"' + b"\\" * 60_001,
        "colons.json": b"{" + b'"a":' * 15_000,
        "mapping.json": b'{"collections":{' + b'"a":[{"_id":1}],' * 1_000,
        "names.csv": b",".join(b"c%d" % n for n in range(5_000)) + b"\n" + b"," * 4_999 + b"\n",
        "dots.csv": b"_id," + b".".join([b"a"] * 5_000) + b"\n1,2\n",
        "quotes.csv": b'_id,a\n1,"' + b'""' * 30_000,
        "open.csv": b"_id,a\n" + b'1,"x\n' * 10_000,
        "widths.csv": b"".join(b",".join([b"x"] * (n % 50)) + b"\n" for n in range(1_000)),
        "open.log": b'2025-11-01T08:00:00Z INFO doc={"_id": 1, "a": [{\n' * 1_000,
        "layers.log": b'2025-11-01T08:00:00Z INFO "' + b"\\" * 40_000 + b'"{\\"_id\\":1}"\n',
        "braces.log": b'2025-11-01T08:00:00Z INFO {"_id":' + b'{"_id":' * 10_000 + b"\n",
        "deep.bson": deep * 20,
        "lengths.bson": b"\xff\xff\xff\x00\x02_id\x00" * 3_000,
        "empty.bson": b"\x05\x00\x00\x00\x00" * 10_000,
        "zeros.bson": bytes(60_000),
        "types.bson": b"".join(b"\x0d\x00\x00\x00%ca\x00\x01\x00\x00\x00\x00\x00" % kind for kind in range(256)),
        "fields.bson": b"\x00\x00\x10\x00" + b"\x0aa\x00" * 20_000,
        "swallow.bson": (b"\x10\x27\x00\x00\x10_id\x00" + b"\x0e\x00\x00\x00\x10_id\x00\x01\x00\x00\x00\x00") * 800,
        "bomb.gz": gzip.compress(bytes(8_000_000), mtime=0),
        "bomb.json.gz": gzip.compress(b"[" + b" " * 8_000_000 + b"]", mtime=0),
        "bomb.zst": zstd.compress(bytes(20_000_000)),
        "nested.gz": nested,
        "empty.gz": gzip.compress(b"", mtime=0) * 1_000,
        "members.gz": gzip.compress(b'{"_id":1}\n', mtime=0) * 500,
    }


@cache
def large() -> list[Input]:
    """Return hostile files of full size: they take long to read, so only a few inputs are made of them."""
    found = {
        "bomb.json.gz": gzip.compress(b'[{"_id":1},' + b" " * 400_000_000 + b'{"_id":2}]', mtime=0),
        "bomb.bson.zst": zstd.compress(bson.encode({"_id": 1, "in": Binary(bytes(1_000_000))}) * 400),
        "deep.json": b"[" + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]",
        "deep.jsonl": b'{"_id":1}\n' + b'{"_id":[' * 100_000 + b"\n" + b'{"_id":2}\n' * 100,
        "digits.json": b'[{"_id":1,"a":' + b"9" * 1_000_000 + b'},{"_id":2}]',
        "digits.log": b'2025-11-01T08:00:00Z INFO doc={"_id": ' + b"9" * 1_000_000 + b"}\n",
        "braces.json": b"{" * 1_000_000,
        "braces.log": b"2025-11-01T08:00:00Z INFO " + b"{" * 1_000_000 + b"\n",
        "empty.bson": bson.encode({}) * 200_000,
        "documents.bson": bson.encode({"_id": 1, "in": Binary(bson.encode({"_id": 1}) * 100_000)}) * 2,
    }
    return [Input(name, data) for name, data in found.items()]


@cache
def seeds() -> list[Input]:
    """Return the files that are mutated: of each format, of the real tools, and hostile ones."""
    found = [Input(name, data) for name, data in hostile().items()]
    for make in FORMATS.values():
        sample = make(_RECORDS)
        for name, data in sample.files.items():
            others = tuple((other, text) for other, text in sample.files.items() if other != name)
            found.append(Input(name, data, others))
    for path in sorted(SAMPLES.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            packed = path.suffix == ".gz"
            found.append(Input(path.name, data if packed and len(data) < 200_000 else data[:_PIECE]))
            if len(data) > _PIECE and not packed:
                found.append(Input(path.name, data[-_PIECE:]))
    return found


# Mutations

_NUMBERS = [
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\x05\x00\x00\x00",
    b"\x04\x00\x00\x00",
    b"\x00@\x00\x01",
    b"\x01@\x00\x01",
    b"\xff\xff\xff\x00",
]
_TOKENS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\\",
    b"\\u",
    b'\\"',
    b"'",
    b";",
    b"\t",
    b"\x1e",
    b"null",
    b'{"$oid":',
    b'{"$date":',
    b'"$numberLong"',
    b'"_id"',
    b"NaN",
    b"1e400",
    b"-",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x00",
    b"\x1f\x8b\x08\x00",
    b"(\xb5/\xfd",
    b"BZh9",
    b"\xfd7zXZ\x00",
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"ustar\x00",
    b"m\xe2\x99\x81",
    b"\xff\xff\xff\xff",
    b"age-encryption.org/v1\n",
    b"SQLite format 3\x00",
    b"ObjectId(",
    b"\x08EOF\x00",
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return data after one random change."""
    size = len(data)
    if not size:
        return chance.choice(_TOKENS)
    at = chance.randrange(size)
    span = min(size - at, chance.choice((1, 2, 4, 16, 100, 1_000, 10_000)))
    kind = chance.randrange(12)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + chance.randbytes(span) + data[at + span :]
    if kind == 2:
        return data[:at] + data[at + span :]
    if kind == 3:
        return data[:at] + data[at : at + span] * chance.choice((2, 2, 3, 20)) + data[at + span :]
    if kind == 4:
        other = chance.choice(seeds()).data
        begin = chance.randrange(len(other) or 1)
        return data[:at] + other[begin : begin + chance.choice((16, 500, 20_000))] + data[at + span :]
    if kind == 5:
        return data[:at]
    if kind == 6:
        return data[at:]
    if kind == 7:
        return data[:at] + chance.choice(_NUMBERS) + data[at + 4 :]
    if kind == 8:
        return data[:at] + bytes(span) + data[at + span :]
    token = chance.choice(_TOKENS)
    if kind == 9:
        return data[:at] + token + data[at:]
    if kind == 10:
        return data[:at] + token + data[at + len(token) :]
    gone = data.find(token, at)
    return data[:at] + data[at + 1 :] if gone < 0 else data[:gone] + data[gone + len(token) :]


def made(seed: int, number: int) -> Input:
    """Return the input of a number."""
    chance = random.Random(f"{seed} {number}")
    if random.Random(f"large {seed} {number}").random() < _LARGE:
        origin = chance.choice(large())
        whole = origin.name.startswith("bomb") or chance.random() < 0.5  # a changed bomb is none any more
        return Input(origin.name, origin.data if whole else mutated(origin.data, chance))
    origin = chance.choice(seeds())
    data = origin.data
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 6, 15))):
        data = mutated(data, chance)
    if chance.random() < 0.05:
        data = gzip.compress(data, 1, mtime=0)
    name = origin.name if chance.random() < 0.85 else chance.choice(list(_ENDINGS.values()))
    return Input(name, data[:300_000], origin.beside if name == origin.name else ())


# Reading


@dataclass(slots=True)
class Outcome:
    """What reading one input came to.

    Attributes:
        fault: What should not have happened; "" for nothing.
        seconds: How long it took.
        grown: By how much it raised the most memory that the process ever held, in bytes.
    """

    fault: str
    seconds: float
    grown: int


def read_all(path: Path, *, catalog: bool) -> None:
    """Read everything at a path to its end and fetch some of it again.

    Raises:
        AssertionError: What is yielded contradicts itself.
    """
    tree = Tree()
    for source in find_sources([path], tree=tree).sources:
        try:
            refs: list[tuple[Ref, bytes]] = []
            for item in source.read():
                if isinstance(item, Damage):
                    assert item.reason, item
                    assert "\n" not in item.reason, item
                    assert not item.partial or is_whole(item.partial), item
                    continue
                for place in zip(item.offsets, item.lengths, item.records, strict=True):
                    assert is_whole(place[2]), place
                    if len(refs) < _FETCHED:
                        refs.append((Ref(item.member, place[0], place[1]), place[2]))
            source.header()
            source.typing()
            assert list(source.fetch([ref for ref, _ in refs])) == [record for _, record in refs], (
                "fetched another record"
            )
            if catalog:
                with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                    Catalog(Path(folder), tree).scan(source)
        except RecoveryError as error:
            if "\n" in str(error):
                raise ValueError(f"more than one line: {error}") from error


def write(one: Input, folder: Path) -> Path:
    """Write an input, and what is beside it, and return the path to be read."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in ((one.name, one.data), *one.beside):
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "in" / one.name.partition("/")[0]


def attempt(one: Input, folder: Path, *, catalog: bool) -> Outcome:
    """Read one input and measure."""
    path = write(one, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fault = ""
    start = time.process_time()
    try:
        read_all(path, catalog=catalog)
    except RecoveryError:
        pass
    except BaseException:
        fault = traceback.format_exc()
    seconds = time.process_time() - start
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
    if not fault and seconds > LIMIT_SECONDS:
        fault = f"{seconds:.1f} seconds"
    if not fault and grown > LIMIT_BYTES:
        fault = f"{grown >> 20} MiB"
    return Outcome(fault, seconds, grown)


def _work(pipe: Connection, seed: int, folder: Path) -> None:
    """Read inputs by their numbers until none comes any more."""
    os.environ["TMPDIR"] = str(folder)
    seeds()
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    while (number := pipe.recv()) is not None:
        catalog = random.Random(f"catalog {seed} {number}").random() < _SCANNED
        outcome = attempt(made(seed, number), folder / "case", catalog=catalog)
        pipe.send((number, outcome))


# Watching


@dataclass(slots=True)
class Worker:
    """A process that reads inputs, and since when it has been at one."""

    process: multiprocessing.Process
    pipe: Connection
    number: int = -1
    since: float = 0.0


@dataclass(slots=True)
class Totals:
    """What all inputs came to."""

    inputs: int = 0
    slowest: float = 0.0
    slowest_number: int = -1
    largest: int = 0
    faults: dict[int, str] = field(default_factory=dict)


def campaign(
    *, seed: int, inputs: int, jobs: int, tell: Callable[[Totals], None], keep: Callable[[int, str], None]
) -> Totals:
    """Read all inputs, each in one of `jobs` processes; one that hangs or dies is replaced."""
    totals, folder = Totals(), Path(tempfile.mkdtemp(prefix="recovery-nb-fuzz-"))
    context = multiprocessing.get_context("spawn")
    numbers = iter(range(inputs))

    def hire(which: int) -> Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, seed, folder / str(which)), daemon=True)
        (folder / str(which)).mkdir(exist_ok=True)
        process.start()
        theirs.close()
        return Worker(process, ours)  # type: ignore[arg-type]  # a process of any context

    def give(worker: Worker) -> None:
        worker.number, worker.since = next(numbers, -1), time.monotonic()
        worker.pipe.send(worker.number if worker.number >= 0 else None)

    workers = {which: hire(which) for which in range(jobs)}
    try:
        for worker in workers.values():
            give(worker)
        while any(worker.number >= 0 for worker in workers.values()):
            wait([worker.pipe for worker in workers.values() if worker.number >= 0], timeout=1)
            for which, worker in workers.items():
                if worker.number < 0:
                    continue
                outcome = _reported(worker)
                if outcome is None:
                    continue
                if not worker.process.is_alive() or outcome.fault.startswith("hang"):
                    worker.process.kill()
                    workers[which] = replacement = hire(which)
                    replacement.number = worker.number
                _count(totals, worker.number, outcome)
                if outcome.fault:
                    keep(worker.number, outcome.fault)
                give(workers[which])
                if totals.inputs % 1000 == 0:
                    tell(totals)
    finally:
        for worker in workers.values():
            worker.process.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return totals


def _reported(worker: Worker) -> Outcome | None:
    """Return what a worker says of its input, or what it looks like if it says nothing any more; None to wait on."""
    waited = time.monotonic() - worker.since
    try:
        if worker.pipe.poll():
            outcome: Outcome = worker.pipe.recv()[1]
            return outcome
    except EOFError:
        worker.process.join(5)
        return Outcome(f"the process died with {worker.process.exitcode}", waited, 0)
    if waited > _HANGS:
        return Outcome(f"hangs for {_HANGS:.0f} seconds", waited, 0)
    return None


def _count(totals: Totals, number: int, outcome: Outcome) -> None:
    totals.inputs += 1
    if outcome.seconds > totals.slowest:
        totals.slowest, totals.slowest_number = outcome.seconds, number
    totals.largest = max(totals.largest, outcome.grown)
    if outcome.fault:
        totals.faults[number] = outcome.fault


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    options = parser.parse_args()

    def tell(totals: Totals) -> None:
        print(
            f"{totals.inputs:>8,} inputs, slowest {totals.slowest:.2f} s ({totals.slowest_number}), "
            f"largest +{totals.largest >> 20} MiB, {len(totals.faults)} faults", flush=True,
        )  # fmt: skip

    def keep(number: int, fault: str) -> None:
        folder = options.keep / f"{options.seed}-{number}"
        write(made(options.seed, number), folder)
        (folder / "fault.txt").write_text(fault)

    totals = campaign(seed=options.seed, inputs=options.inputs, jobs=options.jobs, tell=tell, keep=keep)
    tell(totals)
    kinds = Counter(fault.strip().splitlines()[-1][:150] for fault in totals.faults.values())
    for kind, count in kinds.most_common():
        print(f"{count:>8,}  {kind}")
    return int(bool(totals.faults))


if __name__ == "__main__":
    sys.exit(main())
