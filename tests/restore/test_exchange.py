"""Exchanging records on a real server: with transactions and without, in every kind of collection."""

from __future__ import annotations

import itertools
import random
import struct
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.errors import BadInputError
from recovery_nb.records.elements import build, elements, id_element, split
from recovery_nb.restore import OnConflict
from recovery_nb.restore import exchange as exchanging
from recovery_nb.restore.exchange import Change, Outcome, Verdict, exchange, exchange_all, exchange_whole
from recovery_nb.restore.exchange.change import UNSAFE
from recovery_nb.restore.shape import fingerprint, replaceable
from recovery_nb.restore.target import Target

from .servers import server

DONE = Verdict(Outcome.DONE)


def number(name: str, value: int) -> tuple[int, bytes, bytes]:
    return 0x10, name.encode(), struct.pack("<i", value)


def inner(kind: int, name: str, *parts: tuple[int, bytes, bytes]) -> tuple[int, bytes, bytes]:
    return kind, name.encode(), build(list(parts))


TRAPS = {
    "a name twice": [number("a", 1), number("a", 2)],
    "a name twice below": [inner(3, "s", number("a", 1), number("b", 2), number("a", 3))],
    "a name twice in a list": [inner(4, "l", inner(3, "0", number("a", 1), number("a", 2)))],
    "a dollar later": [number("z", 1), number("$set", 2)],
    "dots": [number("a.b", 1), number("", 2)],
    "an empty timestamp": [(0x11, b"t", bytes(8))],
    "two empty timestamps": [(0x11, b"t2", bytes(8)), (0x11, b"t2", bytes(8))],
}


def combined(own: int, names: Sequence[str], *, dollar_first: bool) -> bytes:
    """A record with several traps. Its `_id` comes first, so the server moves nothing."""
    first = [number("$first", 1)] if dollar_first else []
    return build([number("_id", own), *first, *(part for name in names for part in TRAPS[name])])


def all_traps() -> list[bytes]:
    chosen = [some for count in range(len(TRAPS) + 1) for some in itertools.combinations(TRAPS, count)]
    return [
        combined(own, names, dollar_first=first)
        for own, (names, first) in enumerate(itertools.product(chosen, (False, True)))
    ]


@dataclass
class Place:
    """A database, and what is in it."""

    target: Target
    client: MongoClient[Any]
    name: str

    def put(self, records: Sequence[bytes], collection: str = "things") -> None:
        self.client[self.name][collection].insert_many(list(map(RawBSONDocument, records)))

    def raw(self, collection: str = "things", sort: str = "_id") -> list[bytes]:
        cursor = self.client[self.name][collection].find_raw_batches({}).sort(sort, 1)
        return [record for buffer in cursor for record in split(buffer)]

    def make(self, collection: str, **options: Any) -> None:
        self.client[self.name].create_collection(collection, **options)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(tmp_path_factory.mktemp("alone")) as (port, _):
        yield f"mongodb://127.0.0.1:{port}/"


@pytest.fixture
def placed(database: Any) -> Iterator[Place]:
    with Target(database.uri) as target:
        yield Place(target, database.client, database.name)


@pytest.fixture
def standalone(alone: str) -> Iterator[Place]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with MongoClient(alone) as client, Target(alone + name) as target:
        yield Place(target, client, name)


@pytest.fixture(params=["placed", "standalone"])
def anywhere(request: pytest.FixtureRequest) -> Place:
    place: Place = request.getfixturevalue(request.param)
    return place


class Chance:
    """Random records: names twice, with dollars and dots, odd lists, empty timestamps; all of it nested."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int) -> tuple[int, bytes]:
        kind = self.random.choice([3, 4, 0x02, 0x10, 0x10, 0x11, 0x11] if depth < 3 else [0x10, 0x11])
        if kind in (3, 4):
            return kind, build([self.part(depth + 1) for _ in range(self.random.randrange(5))])
        if kind == 0x02:
            return kind, struct.pack("<i", 501) + b"x" * 500 + b"\0"
        return kind, struct.pack("<i", self.random.randrange(2)) if kind == 0x10 else bytes(8)

    def part(self, depth: int) -> tuple[int, bytes, bytes]:
        kind, value = self.value(depth)
        return kind, self.random.choice([b"a", b"b", b"c", b"0", b"1", b"$a", b"a.b", b""]), value

    def record(self, own: int) -> bytes:
        return build([number("_id", own), *(self.part(0) for _ in range(self.random.randrange(7)))])

    def changed(self, record: bytes) -> bytes:
        """The record with a field less or more, which is where a difference is taken of what is alike."""
        parts = list(elements(record))
        if self.random.random() < 0.5:
            del parts[self.random.randrange(1, len(parts) + 1) :]
        parts.insert(self.random.randrange(1, len(parts) + 1), self.part(0))
        return build(parts)


@pytest.mark.seeded(4)
def test_any_record_over_any_other(anywhere: Place, seed: int) -> None:
    chance = Chance(seed)
    here = [chance.record(own) for own in range(150)]
    assert exchange(anywhere.target, "things", list(map(inserting, here))) == [DONE] * 150
    for _ in range(4):
        wanted = [chance.changed(old) if own % 3 else chance.record(own) for own, old in enumerate(here)]
        verdicts = exchange(anywhere.target, "things", list(map(replacing, here, wanted)))
        safe = [anywhere.target.transactional or replaceable(*pair) for pair in zip(here, wanted, strict=True)]
        assert verdicts == [DONE if one else UNSAFE for one in safe]
        here = [new if one else old for old, new, one in zip(here, wanted, safe, strict=True)]
        assert anywhere.raw() == here
    assert exchange(anywhere.target, "things", list(map(removing, here))) == [DONE] * 150


def replacing(old: bytes, new: bytes) -> Change:
    return Change(id_element(new) or b"", fingerprint(old), new)


def inserting(new: bytes) -> Change:
    return Change(id_element(new) or b"", None, new)


def removing(old: bytes) -> Change:
    return Change(id_element(old) or b"", fingerprint(old), None)


def renumbered(record: bytes, own: int) -> bytes:
    return build([number("_id", own), *list(elements(record))[1:]])


class TestWhatAServerDoesNotTakeEasily:
    def test_it_is_inserted_and_removed_to_the_byte(self, anywhere: Place) -> None:
        records = all_traps()
        assert exchange(anywhere.target, "things", list(map(inserting, records))) == [DONE] * len(records)
        assert anywhere.raw() == records
        assert exchange(anywhere.target, "things", list(map(removing, records))) == [DONE] * len(records)
        assert anywhere.raw() == []

    @pytest.mark.parametrize("send", [exchange, exchange_whole])
    def test_it_replaces_a_plain_record_and_is_replaced_again(self, placed: Place, send: Any) -> None:
        wanted = all_traps()
        before = [
            bson.encode({"_id": own, "a": 0, "s": {"a": 5, "c": 1}, "l": [{"a": 1}]}) for own in range(len(wanted))
        ]
        placed.put(before)
        assert send(placed.target, "things", list(map(replacing, before, wanted))) == [DONE] * len(wanted)
        assert placed.raw() == wanted
        assert send(placed.target, "things", list(map(replacing, wanted, before))) == [DONE] * len(wanted)
        assert placed.raw() == before

    @pytest.mark.parametrize("distance", [1, 2, 7, 64, 129])
    def test_it_replaces_its_like(self, placed: Place, distance: int) -> None:
        before = all_traps()
        wanted = [renumbered(before[(own + distance) % len(before)], own) for own in range(len(before))]
        exchange(placed.target, "things", list(map(inserting, before)))
        assert exchange(placed.target, "things", list(map(replacing, before, wanted))) == [DONE] * len(wanted)
        assert placed.raw() == wanted

    def test_without_transactions_nothing_dangerous_is_tried(self, standalone: Place) -> None:
        wanted = all_traps()
        before = [bson.encode({"_id": own, "a": 0, "s": {"a": 5}}) for own in range(len(wanted))]
        standalone.put(before)
        verdicts = exchange(standalone.target, "things", list(map(replacing, before, wanted)))
        safe = [replaceable(*pair) for pair in zip(before, wanted, strict=True)]
        assert 0 < sum(safe) < len(safe)
        assert verdicts == [DONE if one else UNSAFE for one in safe]
        assert standalone.raw() == [new if one else old for old, new, one in zip(before, wanted, safe, strict=True)]

    def test_a_restore_of_it_and_its_rollback(self, bench: Any) -> None:
        wanted = all_traps()
        before = [bson.encode({"_id": own, "a": 0, "s": {"a": 5}}) for own in range(len(wanted))]
        bench.put(before)
        result = bench.apply(bench.plan(wanted, on_conflict=OnConflict.REPLACE))
        assert (result.restored, result.failed) == (len(wanted), 0)
        assert bench.raw() == wanted
        assert bench.rollback(result.restore_id).reverted == len(wanted)
        assert bench.raw() == before

    def test_a_rollback_puts_it_back(self, bench: Any, placed: Place) -> None:
        before = all_traps()
        exchange(placed.target, "things", list(map(inserting, before)))
        wanted = [bson.encode({"_id": own, "t": bson.Timestamp(0, 0), "new": 1}) for own in range(len(before))]
        result = bench.apply(bench.plan(wanted, on_conflict=OnConflict.REPLACE))
        assert result.restored == len(wanted)
        assert bench.rollback(result.restore_id).reverted == len(before)
        assert bench.raw() == before

    def test_the_deepest_and_the_largest(self, anywhere: Place) -> None:
        deep: dict[str, Any] = {}
        for _ in range(179):
            deep = {"d": deep}
        records = [
            bson.encode({"_id": 1, "d": deep, "t": bson.Timestamp(0, 0)}),
            bson.encode({"_id": 2, "d": deep}),
            bson.encode({"_id": 3, "b": bytes(2**24 - 22)}),
        ]
        assert len(records[2]) == 2**24
        assert exchange(anywhere.target, "things", list(map(inserting, records))) == [DONE] * 3
        assert anywhere.raw() == records

    def test_what_is_too_deep_harms_no_other(self, anywhere: Place) -> None:
        deep: dict[str, Any] = {}
        for _ in range(230):
            deep = {"d": deep}
        records = [bson.encode({"_id": own}) for own in range(20)]
        records[7] = bson.encode({"_id": 7, "d": deep})
        verdicts = exchange(anywhere.target, "things", list(map(inserting, records)))
        assert [place for place, verdict in enumerate(verdicts) if verdict != DONE] == [7]
        assert verdicts[7].outcome is Outcome.FAILED
        assert anywhere.raw() == records[:7] + records[8:]


class TestAnIdThatIsTaken:
    def test_in_every_kind_of_collection(self, anywhere: Place) -> None:
        anywhere.make("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "own"})
        anywhere.make("plain")
        for collection, stamp in itertools.product(("clustered", "plain"), (False, True)):
            theirs = bson.encode({"_id": int(stamp), "v": 1})
            anywhere.put([theirs], collection)
            ours = bson.encode({"_id": int(stamp), **({"t": bson.Timestamp(0, 0)} if stamp else {})})
            (other,) = exchange(anywhere.target, collection, [inserting(ours)])
            (same,) = exchange(anywhere.target, collection, [inserting(theirs)])
            assert other == Verdict(Outcome.SKIPPED, "another record took its _id while restoring")
            assert same == Verdict(Outcome.SKIPPED, "already there")

    def test_in_the_buckets_of_a_time_series(self, anywhere: Place) -> None:
        anywhere.make("series", timeseries={"timeField": "t", "metaField": "m"})
        anywhere.client[anywhere.name].series.insert_many(
            [{"t": bson.DatetimeMS(1_700_000_000_000 + 1000 * one).as_datetime(), "m": one % 3} for one in range(30)]
        )
        buckets = anywhere.raw("system.buckets.series")
        assert len(buckets) == 3
        again = exchange(anywhere.target, "system.buckets.series", list(map(inserting, buckets)))
        assert again == [Verdict(Outcome.SKIPPED, "already there")] * 3
        assert exchange(anywhere.target, "system.buckets.series", list(map(removing, buckets))) == [DONE] * 3
        assert exchange(anywhere.target, "system.buckets.series", list(map(inserting, buckets))) == [DONE] * 3
        assert anywhere.raw("system.buckets.series") == buckets
        assert anywhere.client[anywhere.name].series.count_documents({}) == 30

    def test_a_unique_index_is_something_else(self, anywhere: Place) -> None:
        anywhere.client[anywhere.name].things.create_index("email", unique=True, name="by email")
        anywhere.put([bson.encode({"_id": 0, "email": "a"})])
        verdicts = exchange(
            anywhere.target,
            "things",
            [inserting(bson.encode({"_id": one, "email": email})) for one, email in enumerate("bab", 1)],
        )
        reason = "another record has its key in the unique index by email"
        assert verdicts == [DONE, Verdict(Outcome.FAILED, reason), Verdict(Outcome.FAILED, reason)]

    @pytest.mark.parametrize("ahead", [0, 1, 2])
    def test_a_key_that_the_server_cuts_within_a_character_is_told_as_any_other(
        self, anywhere: Place, ahead: int
    ) -> None:
        anywhere.client[anywhere.name].things.create_index("email", unique=True, name="by email")
        for own, long in enumerate(("a" * ahead + "€" * 100, bson.Code("a" * ahead + "€" * 100))):
            anywhere.put([bson.encode({"_id": f"first {own}", "email": long})])
            verdicts = exchange(anywhere.target, "things", [inserting(bson.encode({"_id": own, "email": long}))])
            assert verdicts == [Verdict(Outcome.FAILED, "another record has its key in the unique index by email")]


@pytest.mark.parametrize("names", [["a name twice"], ["an empty timestamp"], ["dots"]])
def test_what_refuses_a_replacement_is_told_of_that_record_alone(placed: Place, names: list[str]) -> None:
    """A record that takes a delete and an insert is refused as one, and the old one is still there."""
    placed.client[placed.name].things.create_index("z", unique=True, name="by z", sparse=True)
    before = [bson.encode({"_id": own, "z": own}) for own in range(20)]
    placed.put(before)
    wanted = [build([*elements(combined(own, names, dollar_first=False)), number("z", own)]) for own in range(20)]
    wanted[7] = build([*elements(combined(7, names, dollar_first=False)), number("z", 12)])
    verdicts = exchange(placed.target, "things", list(map(replacing, before, wanted)))
    assert verdicts[7] == Verdict(Outcome.FAILED, "another record has its key in the unique index by z")
    assert verdicts[:7] + verdicts[8:] == [DONE] * 19
    assert placed.raw() == [*wanted[:7], before[7], *wanted[8:]]


def test_a_stored_function_is_written_though_it_takes_no_transaction(anywhere: Place) -> None:
    old, new = (bson.encode({"_id": "f", "value": bson.Code(f"return {one}")}) for one in (1, 2))
    anywhere.target.check(["system.js"], {})
    assert anywhere.target.create("system.js", "")
    assert exchange(anywhere.target, "system.js", [inserting(old)]) == [DONE]
    assert exchange(anywhere.target, "system.js", [replacing(old, new)]) == [DONE]
    assert anywhere.raw("system.js") == [new]
    with pytest.raises(BadInputError, match=r"transaction"):
        anywhere.target.check_transactions(["system.js"], {})


def test_threads_with_their_own_sessions(placed: Place) -> None:
    before = [bson.encode({"_id": own, "v": "old"}) for own in range(0, 4_000, 2)]
    wanted = [bson.encode({"_id": own, "v": "new"}) for own in range(4_000)]
    placed.put(before)
    old = {id_element(record): record for record in before}
    changes = [replacing(there, new) if (there := old.get(id_element(new))) else inserting(new) for new in wanted]
    batches = [changes[start : start + 250] for start in range(0, 4_000, 250)]
    sessions = [placed.target.new_session() for _ in range(4)]
    assert len(set(placed.target.session_ids)) == 5

    def work(place: int) -> list[Verdict]:
        return [
            verdict
            for batch in batches[place::4]
            for verdict in exchange(placed.target, "things", batch, session=sessions[place])
        ]

    with ThreadPoolExecutor(4) as pool:
        verdicts = [verdict for some in pool.map(work, range(4)) for verdict in some]
    assert verdicts == [DONE] * 4_000
    assert placed.raw() == wanted


def test_threads_that_want_the_same_records(placed: Place) -> None:
    """Each record is written by one of them; the other finds it changed, or held."""
    before = [bson.encode({"_id": own, "v": "old"}) for own in range(300)]
    placed.put(before)
    sessions = [placed.target.new_session() for _ in range(2)]

    def work(place: int) -> list[Verdict]:
        wanted = [bson.encode({"_id": own, "v": place}) for own in range(300)]
        return exchange(placed.target, "things", list(map(replacing, before, wanted)), session=sessions[place])

    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(work, range(2)))
    for own, record in enumerate(placed.raw()):
        winner = bson.decode(record)["v"]
        assert verdicts[winner][own] == DONE
        assert verdicts[1 - winner][own].outcome is Outcome.SKIPPED


class TestAWholePlan:
    def batches(self) -> list[tuple[str, list[Change]]]:
        return [
            (collection, [inserting(bson.encode({"_id": one, "in": collection})) for one in range(start, start + 50)])
            for collection in ("things", "others")
            for start in (0, 50)
        ]

    def test_is_one_transaction(self, placed: Place) -> None:
        for name in ("things", "others"):
            placed.make(name)
        verdicts = exchange_all(placed.target, iter(self.batches()))
        assert verdicts == [[DONE] * 50] * 4
        assert len(placed.raw()) == len(placed.raw("others")) == 100
        start = placed.client.local["oplog.rs"].count_documents({"o.applyOps.ns": f"{placed.name}.things"})
        assert start == 1

    def test_leaves_out_what_others_have_changed(self, placed: Place) -> None:
        for name in ("things", "others"):
            placed.make(name)
        placed.put([bson.encode({"_id": 7, "by": "someone else"})])
        verdicts = [one for some in exchange_all(placed.target, self.batches()) for one in some]
        assert verdicts[7] == Verdict(Outcome.SKIPPED, "changed while restoring")
        assert verdicts[:7] + verdicts[8:] == [DONE] * 199

    def test_is_taken_back_if_one_record_is_refused(self, placed: Place) -> None:
        placed.make("things")
        placed.make("others", validator={"_id": {"$ne": 60}})
        verdicts = [one for some in exchange_all(placed.target, self.batches()) for one in some]
        refused = "the collection's validator refuses it"
        assert verdicts[160] == Verdict(Outcome.FAILED, refused)
        others = Verdict(Outcome.SKIPPED, f"the whole plan was taken back: {refused}")
        assert verdicts[:160] + verdicts[161:] == [others] * 199
        assert placed.raw() == placed.raw("others") == []

    def test_with_every_trap(self, placed: Place) -> None:
        wanted = all_traps()
        before = [bson.encode({"_id": own, "a": 0, "s": {"a": 5}}) for own in range(len(wanted))]
        placed.put(before)
        placed.make("others")
        work = [("things", list(map(replacing, before, wanted))), ("others", list(map(inserting, wanted)))]
        assert exchange_all(placed.target, work) == [[DONE] * len(wanted)] * 2
        assert placed.raw() == placed.raw("others") == wanted

    @pytest.mark.parametrize("limit", ["MOST_CHANGES", "MOST_BYTES"])
    def test_that_is_too_much_writes_nothing(self, placed: Place, limit: str) -> None:
        placed.make("things")
        size, count = (0, exchanging.MOST_CHANGES + 1) if limit == "MOST_CHANGES" else (2**20, 33)
        changes = [inserting(bson.encode({"_id": one, "b": bytes(size)})) for one in range(count)]
        with pytest.raises(BadInputError, match="more than one transaction takes") as caught:
            exchange_all(placed.target, [("things", changes)])
        assert "--transaction" in caught.value.hint
        assert placed.raw() == []

    def test_up_to_the_limit_is_taken(self, placed: Place) -> None:
        placed.make("things")
        changes = [inserting(bson.encode({"_id": one, "b": bytes(3_300)})) for one in range(exchanging.MOST_CHANGES)]
        assert exchange_all(placed.target, [("things", changes)]) == [[DONE] * exchanging.MOST_CHANGES]


class TestACappedCollection:
    def test_keeps_the_order(self, anywhere: Place) -> None:
        anywhere.target.create("capped", '{"options": {"capped": true, "size": 1048576}}')
        records = [
            bson.encode({"_id": own, **({"t": bson.Timestamp(0, 0)} if own % 3 else {})}) for own in range(50, 0, -1)
        ]
        anywhere.put([bson.encode({"_id": 20})], "capped")
        verdicts = exchange(anywhere.target, "capped", list(map(inserting, records)))
        assert [place for place, verdict in enumerate(verdicts) if verdict != DONE] == [30]
        assert verdicts[30].outcome is Outcome.SKIPPED
        assert anywhere.raw("capped", "$natural")[1:] == records[:30] + records[31:]

    @pytest.mark.parametrize("options", [{"size": 4096, "max": 5}, {"size": 4096}])
    def test_of_others_loses_nothing_live(self, anywhere: Place, options: dict[str, int]) -> None:
        pad = bytes(450)
        live = [bson.encode({"_id": own, "pad": pad}) for own in range(3)]
        anywhere.make("capped", capped=True, **options)
        anywhere.put(live, "capped")
        uri = (
            f"mongodb://{anywhere.client.address[0]}:{anywhere.client.address[1]}/{anywhere.name}?directConnection=true"  # type: ignore[index]
        )
        with Target(uri) as target:
            new = [bson.encode({"_id": own, "pad": pad}) for own in range(10, 16)]
            verdicts = exchange(target, "capped", list(map(inserting, new)))
            assert {verdict.outcome for verdict in verdicts} == {Outcome.FAILED}
            assert "would push out live records" in verdicts[0].reason
            assert anywhere.raw("capped", "$natural") == live
            assert exchange(target, "capped", list(map(inserting, new[:2]))) == [DONE] * 2
            assert anywhere.raw("capped", "$natural") == live + new[:2]
            grown = bson.encode({"_id": 0, "pad": bytes(3_000)})
            (verdict,) = exchange(target, "capped", [replacing(live[0], grown)])
            assert "would push out live records" in verdict.reason
            (verdict,) = exchange(
                target, "capped", [replacing(live[0], combined(0, ["a name twice"], dollar_first=True))]
            )
            assert "only in a transaction" in verdict.reason
            assert exchange(target, "capped", [removing(live[1])]) == [DONE]
            assert anywhere.raw("capped", "$natural") == [live[0], live[2], *new[:2]]

    def test_of_our_own_is_filled_to_the_end(self, anywhere: Place) -> None:
        anywhere.target.create("capped", '{"options": {"capped": true, "size": 4096, "max": 7}}')
        records = [bson.encode({"_id": own, "pad": bytes(550)}) for own in range(8)]
        assert len(records[0]) * 7 > 4096 * 9 // 10
        assert exchange(anywhere.target, "capped", list(map(inserting, records[:7]))) == [DONE] * 7
        (verdict,) = exchange(anywhere.target, "capped", [inserting(records[7])])
        assert verdict.outcome is Outcome.FAILED
        assert anywhere.raw("capped", "$natural") == records[:7]

    def test_takes_no_transaction(self, placed: Place) -> None:
        placed.target.create("capped", '{"options": {"capped": true, "size": 4096}}')
        with pytest.raises(BadInputError, match="capped"):
            placed.target.check_transactions(["things", "capped"], {})

    def test_that_was_made_meanwhile_is_said_to_be_one(self, placed: Place) -> None:
        placed.client[placed.name].create_collection("late", capped=True, size=4096)
        for (verdict,) in (
            exchange_whole(placed.target, "late", [inserting(bson.encode({"_id": 1}))]),
            *exchange_all(placed.target, [("late", [inserting(bson.encode({"_id": 1}))])]),
        ):
            assert verdict.outcome is Outcome.FAILED
            assert "capped" in verdict.reason
