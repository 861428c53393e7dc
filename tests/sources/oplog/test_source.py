from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import bson
import pytest
from bson import SON, Binary, Int64, Timestamp

from recovery_nb.errors import BadInputError, DamagedSourceError
from recovery_nb.records.batch import Damage, Ref, moment
from recovery_nb.sources.base import Kind, Typing
from recovery_nb.sources.content import File, Memory
from recovery_nb.sources.oplog.entries import looks_like_oplog
from recovery_nb.sources.oplog.source import OplogSource
from recovery_nb.sources.oplog.survey import databases

from . import updates
from .conftest import Live, told
from .making import B, entry, inner, inner_update, key, part, update

Written = Callable[..., OplogSource]


def decoded(source: OplogSource, collection: str = "a") -> dict[Any, Any]:
    found = told(source)
    return {bson.decode(record)["_id"]: bson.decode(record) for record in found.records.get(collection, {}).values()}


def reasons(source: OplogSource) -> list[str]:
    return [item.reason for item in source.read() if isinstance(item, Damage)]


def test_each_write_gives_a_version_with_its_time_and_its_place(written: Written) -> None:
    source = written(
        entry(1, "i", {"_id": 1, "x": 1}), update(2, 1, {"u": {"x": 2}}),
        entry(3, "u", {"_id": 1, "y": 3}, o2={"_id": 1}), entry(4, "d", {"_id": 1}),
    )  # fmt: skip
    (batch,) = source.read()
    assert [bson.decode(record) for record in batch.records] == [
        {"_id": 1, "x": 1},
        {"_id": 1, "x": 2},
        {"_id": 1, "y": 3},
    ]
    assert batch.at == [moment(1000, 1), moment(1000, 2), moment(1000, 3)]
    assert batch.collection == "a"
    assert batch.offsets[0] == 0
    refs = [Ref("", *place) for place in zip(batch.offsets, batch.lengths, strict=True)]
    assert list(source.fetch(refs)) == batch.records


def test_what_the_source_says_of_itself(written: Written) -> None:
    source = written(entry(1, "i", {"_id": 1}), entry(7, "n", {"msg": "periodic noop"}, ns="", ui=None))
    assert (source.kind, source.typing(), source.database) == (Kind.OPLOG, Typing.FULL, "shop")
    assert source.window == (moment(1000, 1), moment(1000, 7))
    header = source.header()
    assert header.taken_at is not None
    assert (header.taken_at.timestamp(), header.taken_from, header.origin) == (1000, "last entry", "shop")


def test_only_one_database_is_read_and_the_others_are_named(written: Written) -> None:
    entries = [
        entry(1, "i", {"_id": 1}), entry(2, "i", {"_id": 2}, ns="bank.a", ui=B),
        entry(3, "i", {"_id": 3}, ns="config.x"),
        entry(4, "c", {"applyOps": [inner("i", {"_id": 4}), inner("i", {"_id": 5})]}, ns="admin.$cmd", ui=None),
    ]  # fmt: skip
    assert list(decoded(written(*entries))) == [1, 4, 5]
    assert databases(Memory(b"".join(map(bson.encode, entries)))) == {"shop": 3, "bank": 1}
    with pytest.raises(BadInputError, match="shop, bank"):
        list(written(*entries, database="").read())
    assert written(*entries[:1], database="", name="one.bson").database == "shop"


def test_a_transaction_counts_when_it_is_whole_and_tells_only_what_it_left(written: Written) -> None:
    source = written(
        entry(1, "i", {"_id": 0, "x": 1}),
        part(2, 0, [inner("i", {"_id": 1}), inner_update(0, {"u": {"x": 5}})], partialTxn=True),
        part(3, 0, [inner("i", {"_id": 9})], number=2, partialTxn=True),
        part(4, 2, [inner_update(1, {"i": {"a": 1}}), inner("i", {"_id": 2})], partialTxn=True),
        part(5, 4, [inner_update(1, {"i": {"b": 2}}), inner("d", {"_id": 2})], count=Int64(6)),
    )
    batches = [item for item in source.read() if not isinstance(item, Damage)]
    records = [bson.decode(record) for batch in batches for record in batch.records]
    assert records == [{"_id": 0, "x": 1}, {"_id": 0, "x": 5}, {"_id": 1, "a": 1, "b": 2}]
    assert batches[0].at == [moment(1000, 1), moment(1000, 5), moment(1000, 5)]
    assert reasons(source) == ["a transaction whose end this oplog does not hold"]


def test_a_prepared_transaction_counts_from_the_time_that_its_commit_states(written: Written) -> None:
    def finish(time: int, previous: int, number: int, **o: Any) -> dict[str, Any]:
        found = part(time, previous, [], number=number)
        return {**found, "o": o}

    source = written(
        part(1, 0, [inner("i", {"_id": 1})], number=1, prepare=True),
        part(2, 0, [inner("i", {"_id": 2})], number=2, prepare=True),
        entry(3, "i", {"_id": 3}),
        finish(5, 1, 1, commitTransaction=1, commitTimestamp=Timestamp(1000, 2)),
        finish(6, 2, 2, abortTransaction=1),
    )
    found = told(source)
    assert found.at == {("a", key(3)): moment(1000, 3), ("a", key(1)): moment(1000, 2)}
    assert found.damages == []


def test_inserts_of_one_batch_are_applied_one_by_one(written: Written) -> None:
    first = {**part(1, 0, [inner("i", {"_id": 1})]), "multiOpType": 1}
    second = {**part(2, 1, [inner("i", {"_id": 2})]), "multiOpType": 1}
    found = told(written(second, part(3, 0, [inner("i", {"_id": 3})], number=2)))
    assert (len(found.records["a"]), found.damages) == (2, [])
    assert len(told(written(first, second, name="both.bson")).records["a"]) == 2


def test_an_update_of_a_transaction_that_lost_a_part_is_not_believed(written: Written) -> None:
    source = written(
        entry(1, "i", {"_id": 0}),
        part(2, 0, [inner("i", {"_id": 1, "x": 1})], partialTxn=True),
        part(4, 3, [inner_update(1, {"u": {"x": 3}}), inner("i", {"_id": 2})], count=Int64(3)),
    )
    found = told(source)
    assert set(found.records["a"]) == {key(0), key(2)}
    assert [bson.decode(damage.partial) for damage in found.damages if damage.partial] == [{"_id": 1, "x": 3}]


def test_operations_within_operations_are_found_and_each_has_its_own_place(written: Written) -> None:
    nested = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [inner("i", {"_id": 2}), inner("i", {"_id": 3})]}}
    body = {"applyOps": [inner("i", {"_id": 1}), nested]}
    source = written(entry(1, "c", body, ns="admin.$cmd", ui=None))
    (batch,) = source.read()
    data = source.path.read_bytes()
    for record, offset, length in zip(batch.records, batch.offsets, batch.lengths, strict=True):
        assert record in data[offset : offset + length]
        assert bson.decode(data[offset : offset + length])["op"] == "i"
    assert len(set(batch.offsets)) == 3


def test_collections_of_one_name_are_told_apart_and_renames_are_followed(written: Written) -> None:
    source = written(
        entry(1, "i", {"_id": 1, "of": "first"}),
        entry(2, "c", {"renameCollection": "shop.a", "to": "shop.b", "stayTemp": False}, ns="shop.$cmd"),
        entry(3, "i", {"_id": 1, "of": "second"}, ui=B),
        update(4, 1, {"i": {"late": 1}}, ns="shop.b"),
        entry(5, "c", {"drop": "a"}, ns="shop.$cmd", ui=B),
        update(6, 1, {"i": {"never": 1}}, ui=Binary(b"c" * 16, 4)),
    )
    assert decoded(source, "b") == {1: {"_id": 1, "of": "first", "late": 1}}
    assert decoded(source, "a") == {1: {"_id": 1, "of": "second"}}
    assert [reason[:37] for reason in reasons(source)] == ["an update of a record that this oplog"]


def test_without_uuids_names_are_followed_as_far_as_they_go(written: Written) -> None:
    source = written(
        entry(1, "i", {"_id": 1, "of": "first"}, ui=None),
        entry(2, "c", {"drop": "a"}, ns="shop.$cmd", ui=None),
        update(3, 1, {"i": {"x": 1}}, ui=None),
        entry(4, "i", {"_id": 1, "of": "second"}, ui=None),
        entry(5, "c", {"renameCollection": "shop.a", "to": "shop.b"}, ns="shop.$cmd", ui=None),
        entry(6, "u", {"$set": {"s": 1}}, o2={"_id": 1}, ns="shop.b", ui=None),
    )
    assert decoded(source, "a") == {1: {"_id": 1, "of": "first"}}
    assert decoded(source, "b") == {1: {"_id": 1, "of": "second", "s": 1}}


def test_an_update_without_the_record_before_it_says_what_would_help(written: Written) -> None:
    source = written(
        update(1, 5, {"u": {"x": 1}}), entry(2, "u", {"_id": 5, "x": 2}, o2={"_id": 5}), update(3, 5, {"u": {"x": 3}})
    )
    assert decoded(source) == {5: {"_id": 5, "x": 3}}
    (damage,) = (item for item in source.read() if isinstance(item, Damage))
    assert "--as-of" in damage.reason
    assert (damage.collection, damage.offset, damage.partial) == ("a", 0, b"")


def test_a_replacement_whose_id_stands_only_in_the_key_gets_it(written: Written) -> None:
    source = written(entry(1, "u", {"x": 1}, o2={"_id": 5}), update(2, 5, {"u": {"x": 2}}))
    assert list(decoded(source)[5].items()) == [("_id", 5), ("x", 2)]
    (batch,) = source.read()
    assert list(source.fetch([Ref("", batch.offsets[0], batch.lengths[0])])) == [
        bson.encode(SON([("_id", 5), ("x", 1)]))
    ]


def test_what_is_no_record_is_none_and_what_is_not_understood_is_said(written: Written) -> None:
    source = written(
        entry(1, "n", {"_id": 1, "an": "image"}),
        entry(2, "i", {"_id": "shop.v", "viewOn": "a"}, ns="shop.system.views"),
        entry(3, "c", {"createIndexes": "a", "key": {"x": 1}}, ns="shop.$cmd"),
        entry(4, "c", {"collMod": "a"}, ns="shop.$cmd"),
        entry(5, "xi", {"k": 1}, ns="admin.$container", ui=None),
        entry(6, "c", {"truncateRange": "shop.a"}, ns="shop.$cmd"),
        entry(7, "c", {"importCollection": "shop.x"}, ns="shop.$cmd", ui=B),
        entry(8, "i", {"_id": 1}, ns="shop.system.buckets.t"),
    )
    assert list(told(source).records) == ["system.buckets.t"]
    assert [reason.partition(":")[0] for reason in reasons(source)] == [
        "an entry of a kind not known",
        "a command of a kind not known",
        "an import of a collection's files",
    ]


def test_an_emptied_collection_has_no_records_to_update(written: Written) -> None:
    source = written(
        entry(1, "i", {"_id": 1}), entry(2, "c", {"emptycapped": "a"}, ns="shop.$cmd"), update(3, 1, {"i": {"x": 1}})
    )
    assert decoded(source) == {1: {"_id": 1}}
    assert len(reasons(source)) == 1


def test_after_a_damaged_stretch_only_whole_records_are_sure(written: Written) -> None:
    first = [entry(1, "i", {"_id": 1, "x": 1}), entry(2, "i", {"_id": 2, "x": 1})]
    rest = [
        update(4, 1, {"u": {"x": 2}}),
        entry(5, "i", {"_id": 3, "x": 1}),
        update(6, 3, {"u": {"x": 2}}),
        update(7, 1, {"u": {"x": 3}}),
    ]
    source = written(*first, b"\xff" * 90, *rest)
    found = told(source)
    assert decoded(source) == {1: {"_id": 1, "x": 1}, 2: {"_id": 2, "x": 1}, 3: {"_id": 3, "x": 2}}
    unsure = [damage for damage in found.damages if damage.partial]
    assert [bson.decode(damage.partial)["x"] for damage in unsure] == [2, 3]
    refs = [Ref("", damage.offset, damage.length, partial=True) for damage in unsure]
    assert list(source.fetch(refs)) == [damage.partial for damage in unsure]
    with pytest.raises(DamagedSourceError):
        list(source.fetch([Ref("", unsure[0].offset, unsure[0].length)]))


def test_entries_out_of_order_are_said_and_make_updates_unsure(written: Written) -> None:
    source = written(entry(5, "i", {"_id": 1, "x": 1}), entry(2, "i", {"_id": 2}), update(6, 1, {"u": {"x": 2}}))
    found = told(source)
    assert len(found.records["a"]) == 2
    assert [bool(damage.partial) for damage in found.damages] == [False, True]


def test_an_insert_whose_entry_is_cut_behind_it_is_kept_for_the_eyes(written: Written) -> None:
    cut = bson.encode(entry(2, "i", {"_id": 2, "x": "whole"}))[:-20]
    source = written(entry(1, "i", {"_id": 1}), cut)
    (damage,) = (item for item in source.read() if isinstance(item, Damage))
    assert (bson.decode(damage.partial), damage.collection) == ({"_id": 2, "x": "whole"}, "a")
    assert list(source.fetch([Ref("", damage.offset, damage.length, partial=True)])) == [damage.partial]


def test_a_broken_operation_costs_only_itself(written: Written) -> None:
    operations = [inner("i", {"_id": number, "text": "xyz"}) for number in range(3)]
    whole = bson.encode(entry(1, "c", {"applyOps": operations}, ns="admin.$cmd", ui=None))
    broken = whole.replace(b"\x02op\x00\x02\x00\x00\x00i", b"\x02op\x00\x99\x00\x00\x00i", 2).replace(
        b"\x99", b"\x02", 1
    )
    source = written(broken)
    assert list(decoded(source)) == [0, 2]
    assert reasons(source) == ["an operation that cannot be read"]


@pytest.mark.parametrize("within", [False, True], ids=["an entry", "an applyOps"])
def test_an_insert_whose_document_does_not_end_as_one_gives_no_record(written: Written, within: bool) -> None:
    broken = bson.encode({"_id": 2, "flag": True})
    entries = [
        entry(2, "c", {"applyOps": [inner("i", {"_id": 2, "flag": True}), inner("i", {"_id": 3})]}, ns="shop.$cmd")
        if within else entry(2, "i", {"_id": 2, "flag": True}),
        entry(3, "i", {"_id": 4}),
    ]  # fmt: skip
    source = written(entry(1, "i", {"_id": 1}), *entries)
    data = source.path.read_bytes()
    source.path.write_bytes(data.replace(broken, broken[:-1] + b"\x10"))
    assert list(decoded(source)) == [1, 3, 4] if within else [1, 4]
    assert len(reasons(source)) == 1


def test_an_insert_whose_key_does_not_end_as_a_document_is_a_record_all_the_same(written: Written) -> None:
    source = written(entry(1, "i", {"_id": 1, "x": 1}, o2={"_id": 7}), entry(2, "i", {"_id": 2}))
    key = bson.encode({"_id": 7})
    source.path.write_bytes(source.path.read_bytes().replace(key, key[:-1] + b"\x10"))
    assert decoded(source) == {1: {"_id": 1, "x": 1}, 2: {"_id": 2}}


def test_nothing_is_fetched_where_no_record_is(written: Written) -> None:
    source = written(entry(1, "i", {"_id": 1}), entry(2, "d", {"_id": 1}))
    length = len(bson.encode(entry(1, "i", {"_id": 1})))
    for ref in (
        Ref("", length, 10),
        Ref("", -1, 50),
        Ref("", 0, length - 1),
        Ref("", length, len(source.path.read_bytes()) - length),
    ):
        with pytest.raises(DamagedSourceError, match="scan it again"):
            list(source.fetch([ref]))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "oplog.bson").touch()
    with pytest.raises(DamagedSourceError, match="is empty"):
        OplogSource(File.on_disk(tmp_path / "oplog.bson"))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (entry(1, "i", {"_id": 1}), True),
        ({"ts": Timestamp(1, 1), "h": Int64(5), "v": 2, "op": "n", "ns": "", "o": {"msg": "x"}}, True),
        ({"_id": 1, "ts": Timestamp(1, 1), "op": "i"}, False),
        ({"_id": 1, "ts": 5, "op": "i", "ns": "a.b", "o": {}}, False),
        ({"_id": 1, "ts": Timestamp(1, 1), "op": "buy", "ns": "a.b", "o": {}}, False),
    ],
)
def test_an_oplog_is_told_by_its_first_entry(document: dict[str, Any], expected: bool) -> None:
    assert looks_like_oplog(bson.encode(document)) is expected
    assert not looks_like_oplog(bson.encode(document)[:-3])


@pytest.fixture(scope="module")
def sample(mongod: Any, _client: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    random, name = Random(5), "test_oplog_sample"
    _client.drop_database(name)
    live = Live(mongod.uri(name), name, _client)
    live.db.a.insert_many({"_id": number, **updates.document(random)} for number in range(150))
    for number in range(150):
        live.db.a.update_one({"_id": number}, {"$set": {"n": number, "m.k": "v"}})
    with live.client.start_session() as session, session.start_transaction():
        live.db.b.insert_many([{"_id": number, "text": "t" * 20} for number in range(30)], session=session)
    live.db.b.update_many({}, {"$set": {"n": 1}})
    live.db.a.delete_many({"_id": {"$lt": 30}})
    data = live.copy(tmp_path_factory.mktemp("sample")).read_bytes()
    _client.drop_database(name)
    return data, name


@pytest.mark.seeded(6)
@pytest.mark.parametrize("kind", ["zeroed", "cut", "beheaded", "junk", "flipped"])
def test_damage_costs_only_what_it_touched(sample: tuple[bytes, str], written: Written, seed: int, kind: str) -> None:
    data, name = sample
    random = Random(f"{seed}{kind}")
    where, length = random.randrange(len(data)), random.randrange(64, 4000)
    if kind == "zeroed":
        damaged, touched, shift = data[:where] + bytes(length) + data[where + length :], (where, where + length), 0
    elif kind == "cut":
        damaged, touched, shift = data[:where], (where, len(data)), 0
    elif kind == "beheaded":
        damaged, touched, shift = data[where:], (0, where), -where
    elif kind == "junk":
        damaged, touched, shift = data[:where] + random.randbytes(length) + data[where:], (where, where), length
    else:
        flip = bytes([data[where] ^ 1 << random.randrange(8)])
        damaged, touched, shift = data[:where] + flip + data[where + 1 :], (where, where + 1), 0

    def place(offset: int) -> int:
        return offset if offset < touched[0] else offset + shift

    def clear(offset: int, size: int) -> bool:
        return offset + size <= touched[0] or offset >= touched[1]

    truth = versions(written(data, database=name, name="whole.bson"))
    found = versions(written(damaged[: len(data) + length], database=name))
    expected = {(place(offset), size, *rest) for offset, size, *rest in truth if clear(offset, size)}
    inserts = {
        (place(offset), size, *rest) for offset, size, *rest in truth if is_insert(data, offset) and clear(offset, size)
    }
    in_the_span = {
        version for version in found if not clear(version[0] - (shift if version[0] > touched[0] else 0), version[1])
    }
    if kind != "flipped":  # one bit of an insert that is still valid is carried on by its updates: no checksum tells
        assert found - in_the_span <= expected
    whole_entries = {version for version in inserts if entry_is_clear(data, version[0], touched, shift)}
    assert whole_entries <= found


def versions(source: OplogSource) -> set[tuple[int, int, str, bytes]]:
    return {
        (offset, length, item.collection, record)
        for item in source.read()
        if not isinstance(item, Damage)
        for record, offset, length in zip(item.records, item.offsets, item.lengths, strict=True)
    }


def is_insert(data: bytes, offset: int) -> bool:
    length = int.from_bytes(data[offset : offset + 4], "little")
    return bson.decode(data[offset : offset + length])["op"] == "i"


def entry_is_clear(data: bytes, offset: int, touched: tuple[int, int], shift: int) -> bool:
    """Say whether the entry that the operation is in was not touched."""
    original = offset if offset < touched[0] else offset - shift
    start = 0
    while True:
        length = int.from_bytes(data[start : start + 4], "little")
        if start <= original < start + length:
            return start + length <= touched[0] or start >= touched[1]
        start += length


@pytest.mark.seeded(2)
def test_hostile_bytes_raise_nothing(sample: tuple[bytes, str], written: Written, seed: int) -> None:
    data, name = sample
    random = Random(seed)
    for trial in range(12):
        mutated = bytearray(data[: random.randrange(2000, 30_000)])
        for _ in range(random.choice([1, 5, 50])):
            where = random.randrange(len(mutated))
            mutated[where : where + random.choice([1, 1, 8])] = random.randbytes(random.choice([0, 1, 1, 8]))
        source = written(bytes(mutated), database=name, name=f"{trial}.bson")
        for item in source.read():
            assert isinstance(item, Damage) or len(item.records) == len(item.offsets)
