"""Foresee random plans, then carry them out on a real server, and compare what came of every record.

    python benchmarks/forecast.py [--plans 200] [--seed 1] [--writers 0.25]

What a plan is follows from the seed and its number alone. Without anyone else at work every record must come to what
was foreseen, reason included. With others writing meanwhile, every record that comes to something else must be
explained by a record that they wrote: itself, or one that has or had a key of its. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson
from bson import Decimal128, Int64, ObjectId, json_util
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.records.elements import build, elements, id_element
from recovery_nb.records.keys import canonical
from recovery_nb.restore.exchange import Change, Outcome, Verdict, exchange, exchange_whole
from recovery_nb.restore.forecast import Forecast
from recovery_nb.restore.forecast.indexes import Index, keys_in, path_of
from recovery_nb.restore.shape import fingerprint, merged, refusal, settled
from recovery_nb.restore.target import Target

LARGEST = 16 * 1024 * 1024
_COLLATION = {"locale": "en", "strength": 2}
_INDEXES: list[dict[str, Any]] = [
    {"key": {"a": 1}, "unique": True},
    {"key": {"a": 1, "b": -1}, "unique": True},
    {"key": {"b": 1}, "unique": True, "sparse": True},
    {"key": {"a": 1, "c.d": 1}, "unique": True, "sparse": True},
    {"key": {"b": 1}, "unique": True, "partialFilterExpression": {"n": {"$gt": 4}}},
    {"key": {"t": 1}, "unique": True},
    {"key": {"t": 1, "a": 1}, "unique": True},
    {"key": {"c.d": 1}, "unique": True},
    {"key": {"c.d": 1, "c.e": 1}, "unique": True},
    {"key": {"c.0.d": 1}, "unique": True, "sparse": True},
    {"key": {"s": 1}, "unique": True, "collation": _COLLATION},
    {"key": {"s": 1, "a": 1}, "unique": True, "collation": {"locale": "de", "strength": 1}},
    {"key": {"s": 1}, "unique": True, "collation": _COLLATION, "partialFilterExpression": {"x": "YES"}},
    {"key": {"t": 1, "c.d": 1}},
    {"key": {"b": "hashed"}},
    {"key": {"n": 1}},
]
_VALIDATORS: list[dict[str, Any]] = [
    {"n": {"$gte": 1}},
    {"$jsonSchema": {"required": ["n"], "properties": {"a": {"bsonType": ["int", "null", "long", "double"]}}}},
    {"$expr": {"$ne": [{"$mod": [{"$ifNull": ["$n", 7]}, 7]}, 0]}},
    {"$or": [{"x": "yes"}, {"n": {"$lt": 7}}]},
    {"$expr": {"$gt": [{"$divide": [10, {"$ifNull": ["$n", 1]}]}, 0]}},
]


@dataclass(slots=True)
class Place:
    """A collection of a plan: how it is made, what is in it, and what is to be put into it."""

    name: str
    exists: bool
    options: dict[str, Any]
    indexes: list[dict[str, Any]]
    live: list[bytes]
    selected: list[bytes]


@dataclass(slots=True)
class Plan:
    """A random plan: its collections, and how it is carried out."""

    number: int
    places: list[Place]
    batch: int
    merges: bool
    whole: bool
    writers: bool


@dataclass(slots=True)
class Result:
    """What came of plans: records by what was foreseen and what came, and what could not be explained."""

    plans: int = 0
    records: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    collided: int = 0
    wrong: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)


def made(seed: int, number: int, *, writers: bool) -> Plan:
    """Return the plan of this number."""
    rng = random.Random(f"{seed} {number}")
    whole = not writers and rng.random() < 0.2
    places = [_place(rng, f"c{one}", writers=writers, whole=whole) for one in range(rng.choice([1, 1, 2]))]
    return Plan(number, places, rng.choice([5, 20, 60]), rng.random() < 0.4, whole, writers)


def _place(rng: random.Random, name: str, *, writers: bool, whole: bool) -> Place:
    exists = writers or rng.random() < 0.7
    options: dict[str, Any] = {}
    if rng.random() < 0.6:
        options["validator"] = rng.choice(_VALIDATORS)
        options["validationLevel"] = rng.choice(["strict", "strict", "moderate", "off"])
        options["validationAction"] = rng.choice(["error", "error", "error", "warn"])
    if rng.random() < 0.25:
        options["collation"] = _COLLATION
    elif rng.random() < 0.1:
        options["clusteredIndex"] = {"key": {"_id": 1}, "unique": True, "name": "cl"}
    indexes = [
        {**index, "name": f"i{place}", "v": 2} for place, index in enumerate(rng.sample(_INDEXES, rng.randrange(5)))
    ]
    pool = rng.choice([30, 120, 400])
    live = [_record(rng, pool) for _ in range(rng.randrange(80))] if exists else []
    selected = [_record(rng, pool) for _ in range(rng.randrange(10, 120))]
    for place, record in enumerate(selected):
        if live and rng.random() < 0.4:  # of a record that is there
            selected[place] = _with_id(record, id_element(rng.choice(live)) or b"")
        elif rng.random() < 0.05:  # twice in the selection
            selected[place] = _with_id(record, id_element(rng.choice(selected)) or b"")
        elif rng.random() < 0.04:
            selected[place] = _odd(rng, record)
        elif rng.random() < 0.1:  # an _id that some collations hold equal to another one
            own = id_element(rng.choice([*live, *selected])) or b""
            selected[place] = _with_id(record, own[:5] + own[5:].swapcase() if own[0] == 0x02 else own)
    if rng.random() < 0.06:
        selected.insert(rng.randrange(len(selected)), _sized(LARGEST + rng.choice([0, 1])))
    if rng.random() < 0.3 and not whole:
        selected.insert(rng.randrange(len(selected)), _nested(rng.choice([180, 181, 190])))
    return Place(name, exists, options, indexes, live, selected)


def _record(rng: random.Random, pool: int) -> bytes:
    def scalar() -> Any:
        number = rng.randrange(pool)
        if rng.random() < 0.05:
            return None
        return rng.choice([number, number, float(number), Int64(number), Decimal128(str(number))])

    def array(one: Any) -> Any:
        return [one() for _ in range(rng.choice([0, 1, 1, 2, 3]))]

    def text() -> str:
        word = rng.choice(["Straße", "STRASSE", "ñandú", "Nandu", "word", "WORD"])
        return f"{word}{rng.randrange(pool)}"

    def inner() -> dict[str, Any]:
        return {key: array(scalar) if rng.random() < 0.15 else scalar() for key in ("d", "e") if rng.random() < 0.8}

    own: Any = rng.choice([rng.randrange(10**9), float(rng.randrange(10**9)), text(), None])
    if own is None:
        own = rng.choice([ObjectId(rng.randbytes(12)), {"k": rng.randrange(10**9)}])
    fields: dict[str, Any] = {"n": rng.choice([*range(12), None]), "x": rng.choice(["yes", "YES", "no"])}
    if rng.random() < 0.9:
        fields["a"] = array(scalar) if rng.random() < 0.05 else scalar()
    if rng.random() < 0.6:
        fields["b"] = array(scalar) if rng.random() < 0.08 else scalar()
    if rng.random() < 0.7:
        fields["t"] = array(scalar) if rng.random() < 0.8 else rng.choice([scalar(), [[1], scalar()], [array(scalar)]])
    if rng.random() < 0.8:
        fields["c"] = rng.choice([inner, inner, scalar, lambda: array(inner)])()
    if rng.random() < 0.9:
        fields["s"] = rng.choice([text, text, text, lambda: {"in": text()}, lambda: array(text), scalar])()
    names = rng.sample(sorted(fields), len(fields))
    return bson.encode({"_id": own, **{name: fields[name] for name in names if rng.random() < 0.97}})


def _with_id(record: bytes, own: bytes) -> bytes:
    return build([(own[0], b"_id", own[1:]), *(part for part in elements(record) if part[1] != b"_id")])


def _odd(rng: random.Random, record: bytes) -> bytes:
    """Return the record with what no plain driver would write."""
    parts = list(elements(record))
    number = struct.pack("<i", rng.randrange(50))
    kind = rng.randrange(5)
    if kind == 0:
        parts.append(rng.choice(parts[1:] or [(0x10, b"z", number)]))  # a name twice
        parts.append((0x10, parts[-1][1], number))
    elif kind == 1:
        parts.insert(rng.choice([1, len(parts)]), (0x10, b"$z", number))
    elif kind == 2:
        parts.append((0x10, b"a.b", number))
    elif kind == 3:
        parts.append((0x11, b"ts", bytes(8)))
    else:
        parts.append((0x03, b"sub", build([(0x10, b"y", number), (0x11, b"y", bytes(8))])))
        parts.append((0x11, b"ts", bytes(8)))
    return build(parts)


def _sized(size: int) -> bytes:
    bare = len(bson.encode({"_id": size, "a": -size, "pad": "", "n": 3, "x": "yes"}))
    return bson.encode({"_id": size, "a": -size, "pad": "x" * (size - bare), "n": 3, "x": "yes"})


def _nested(levels: int) -> bytes:
    record = bson.encode({"x": 1})
    for _ in range(levels - 2):
        record = struct.pack("<i", len(record) + 8) + b"\x03x\0" + record + b"\0"
    head = bson.encode({"_id": f"nested{levels}", "n": 3})
    return struct.pack("<i", len(head) + len(record) + 3) + head[4:-1] + b"\x03x\0" + record + b"\0"


class Trial:
    """One plan on a database of its own."""

    def __init__(self, plan: Plan, server: EmbeddedMongod) -> None:
        self._plan = plan
        self._name = f"plan{plan.number}"
        self._uri = server.uri(self._name)
        self._client: MongoClient[dict[str, Any]] = MongoClient(self._uri)
        self._database = self._client[self._name]
        self._written: dict[str, list[bytes]] = {place.name: [] for place in plan.places}

    def run(self, folder: Path, result: Result) -> None:
        """Make the database, foresee, carry out, compare."""
        try:
            for place in self._plan.places:
                if place.exists:
                    self._fill(place)
            structures = {place.name: _structure(place) for place in self._plan.places if not place.exists}
            work = list(self._batches())
            began = time.perf_counter()
            foreseen, notes = self._foresee(work, structures, folder)
            halfway = time.perf_counter()
            came = self._carry_out(work, structures)
            result.seconds.update({"foreseen": halfway - began, "carried out": time.perf_counter() - halfway})
            result.notes.update(notes)
            self._compare(work, foreseen, came, result)
        finally:
            self._client.drop_database(self._name)
            self._client.close()
        result.plans += 1

    def _fill(self, place: Place) -> None:
        plain = {key: value for key, value in place.options.items() if key in ("collation", "clusteredIndex")}
        self._database.create_collection(place.name, **plain)
        collection = self._database[place.name]
        for index in place.indexes:
            self._database.command({"createIndexes": place.name, "indexes": [_spec(place, index)]})
        kept = []
        for record in place.live:
            try:
                collection.insert_one(RawBSONDocument(record))
                kept.append(record)
            except PyMongoError:
                continue
        place.live = kept
        checks = {key: value for key, value in place.options.items() if key not in plain}
        if checks:  # what is there may be invalid by it
            self._database.command({"collMod": place.name, **checks})

    def _batches(self) -> Iterator[tuple[str, list[Change]]]:
        """Yield the plan's changes: of several records of one `_id` the first is written."""
        for place in self._plan.places:
            there = {_own(record): record for record in place.live}
            seen: set[bytes] = set()
            changes = []
            for record in place.selected:
                own = _own(record)
                if own in seen:
                    continue
                seen.add(own)
                current = there.get(own)
                wanted = settled(record)
                if current is not None and self._plan.merges and not refusal(wanted):
                    wanted = merged(current, wanted)
                if wanted != current:
                    before = None if current is None else fingerprint(current)
                    changes.append(Change(id_element(current or wanted) or b"", before, wanted))
            for start in range(0, len(changes), self._plan.batch):
                yield place.name, changes[start : start + self._plan.batch]

    def _foresee(
        self, work: Sequence[tuple[str, list[Change]]], structures: dict[str, str], folder: Path
    ) -> tuple[list[list[Verdict]], list[str]]:
        way = "batch" if self._plan.whole else ""
        with Target(self._uri) as target, Forecast(target, structures, folder=folder, transaction=way) as forecast:
            verdicts = []
            for name, changes in work:
                found = target.read(name, [change.id for change in changes])
                verdicts.append(forecast.send(name, changes, [found.get(change.place) for change in changes]))
            return verdicts, forecast.notes

    def _carry_out(self, work: Sequence[tuple[str, list[Change]]], structures: dict[str, str]) -> list[list[Verdict]]:
        over = threading.Event()
        others = [threading.Thread(target=self._write, args=(over, seed)) for seed in range(2 * self._plan.writers)]
        for other in others:
            other.start()
        try:
            with Target(self._uri) as target:
                for name, structure in structures.items():
                    target.create(name, structure)
                    assert target.build_indexes(name, structure, unique=True) == []
                send = exchange_whole if self._plan.whole else exchange
                verdicts = []
                for name, changes in work:
                    verdicts.append(send(target, name, changes))
                    if others:
                        time.sleep(0.002)  # so that the others have their share of a short run
                return verdicts
        finally:
            over.set()
            for other in others:
                other.join()

    def _write(self, over: threading.Event, seed: int) -> None:
        """Be someone else: insert, change and remove records that the plan is about, until it is over."""
        rng = random.Random(f"{self._plan.number} {seed}")
        with MongoClient[dict[str, Any]](self._uri) as client:
            while not over.is_set():
                place = rng.choice(self._plan.places)
                collection = client[self._name][place.name]
                record = _with_id(_record(rng, 100), id_element(rng.choice([*place.live, *place.selected])) or b"")
                own = {"_id": RawBSONDocument(record)["_id"]}
                # Noted before it is sent: what we see of it later, we can explain.
                self._written[place.name].append(record)
                try:
                    if rng.random() < 0.3:
                        collection.delete_one(own)
                    else:
                        collection.replace_one(own, RawBSONDocument(record), upsert=True)
                except PyMongoError:
                    continue

    def _compare(
        self,
        work: Sequence[tuple[str, list[Change]]],
        foreseen: Sequence[Sequence[Verdict]],
        came: Sequence[Sequence[Verdict]],
        result: Result,
    ) -> None:
        odd: dict[str, list[tuple[Change, Verdict, Verdict]]] = {}
        for (name, changes), before, after in zip(work, foreseen, came, strict=True):
            for change, one, other in zip(changes, before, after, strict=True):
                result.records += 1
                result.outcomes[_kind(one)] += 1
                if _kind(one) != _kind(other):
                    odd.setdefault(name, []).append((change, one, other))
        for name, divergent in odd.items():
            self._explain(name, divergent, result)

    def _explain(self, name: str, divergent: Sequence[tuple[Change, Verdict, Verdict]], result: Result) -> None:
        """Count what others explain: they wrote the record itself, or one whose key it met or now no longer meets."""
        touched = {_own(record) for record in self._written[name]}
        place = next(one for one in self._plan.places if one.name == name)
        live = {_own(record): record for record in place.live}
        causes = [*self._written[name], *(live[own] for own in touched & live.keys())]
        causes += [change.wanted or b"" for one in self._plan.places if one is place
                   for _, changes in self._batches() for change in changes if change.place in touched]  # fmt: skip
        for change, _, _ in divergent:
            causes += [change.wanted or b"", *([live[change.place]] if change.place in live else [])]
        for change, before, after in divergent:
            if change.place in touched and Outcome.SKIPPED in (after.outcome, before.outcome):
                result.skipped += 1
            elif self._plan.writers and (change.place in touched or self._meets(place, change, causes)):
                result.collided += 1
            else:
                record = change.wanted or b""
                result.wrong.append(
                    f"plan {self._plan.number} {name}: foreseen {before}, came {after}: {record[:120]!r}"
                    f" options {place.options} indexes {place.indexes}"
                )

    def _meets(self, place: Place, change: Change, causes: Sequence[bytes]) -> bool:
        others = [record for record in causes if record and _own(record) != change.place and not refusal(record)]
        known = [index for spec in place.indexes if (index := Index.of(spec)) and index.unique]
        if "collation" in place.options:
            known.append(Index("_id_", (path_of("_id"),), unique=True, collation=place.options["collation"]))
        for index in known:
            own, *them = keys_in(index, [change.wanted or b"", *others], self._database)
            if not isinstance(own, str) and any(
                not isinstance(keys, str) and own.keys() & keys.keys() for keys in them
            ):
                return True
        return False


def _own(record: bytes) -> bytes:
    element = id_element(record) or b"\x0a"
    return canonical(element[0], element[1:])


def _kind(verdict: Verdict) -> str:
    """Return outcome and reason, without the server's own words."""
    reason, _, rest = verdict.reason.partition(" collation: {")[0].partition("the server refuses it: ")
    return f"{verdict.outcome}: {reason}{'the server refuses it' if rest else ''}"


def _spec(place: Place, index: dict[str, Any]) -> dict[str, Any]:
    return {"collation": {"locale": "simple"}, **index} if "collation" in place.options else index


def _structure(place: Place) -> str:
    told = {"options": place.options, "indexes": place.indexes}
    return json_util.dumps(told, json_options=json_util.CANONICAL_JSON_OPTIONS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--plans", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--writers", type=float, default=0.25, help="the share of plans with others at work")
    parser.add_argument("--only", type=int, default=-1, help="this plan alone")
    options = parser.parse_args()
    alone, together = Result(), Result()
    with tempfile.TemporaryDirectory() as folder, EmbeddedMongod(Path(folder, "mongod")) as server:
        for number in range(options.plans) if options.only < 0 else [options.only]:
            writers = (number * options.writers) % 1 < options.writers and options.writers > 0
            plan = made(options.seed, number, writers=writers)
            Trial(plan, server).run(Path(folder), together if plan.writers else alone)
    for title, result in (("nobody else at work", alone), ("others write meanwhile", together)):
        print(f"\n{title}: {result.plans} plans, {result.records:,} records")
        for kind, number in sorted(Counter(_general(result.outcomes)).items()):
            print(f"  foreseen {kind:<75} {number:>7,}")
        print(f"  otherwise, left to others who wrote the record: {result.skipped:,}")
        print(f"  otherwise, met or missed the key of a record that others wrote: {result.collided:,}")
        print(f"  not explained: {len(result.wrong):,}")
        for way, seconds in result.seconds.items():
            print(f"  {way}: {seconds:.1f} s")
        for line in result.wrong[:10]:
            print("   ", line)
        for note, number in result.notes.items():
            print(f"  not foreseen in {number} plans: {note}")
    return 1 if alone.wrong or together.wrong or alone.skipped or alone.collided else 0


def _general(outcomes: Counter[str]) -> Counter[str]:
    """Return the counts without the names of the indexes."""
    general: Counter[str] = Counter()
    for kind, number in outcomes.items():
        head, named, rest = kind.partition("unique index ")
        general[head + named + ("…" if rest else "")] += number
    return general


if __name__ == "__main__":
    sys.exit(main())
