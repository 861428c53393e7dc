"""Planning: what a restore would do, decided once, on disk, never changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bson import DatetimeMS, Int64, ObjectId, Regex
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import build, id_element, split
from recovery_nb.restore import Action, OnConflict, Plan, Selected, Write, make_plan
from recovery_nb.restore.rows import canonical_bytes
from recovery_nb.restore.shape import fingerprint, has_empty_timestamp, merged, refusal, settled


def chosen(planned: Any, current: Any = None, **more: Any) -> Selected:
    new = planned if isinstance(planned, bytes) else bson.encode(planned)
    old = current if isinstance(current, bytes | None) else bson.encode(current)
    own = id_element(old or new) if old or new[:4] != b"\0\0\0\0" else None
    return Selected("things", "key", own or b"", old, new, "s1", Ref("m", 0, len(new)), **more)


def decide(folder: Path, one: Selected, on_conflict: OnConflict = OnConflict.SKIP, **more: Any) -> Write | None:
    plan = make_plan([one], folder, database="db", on_conflict=on_conflict, **more)
    return next(iter(plan.writes()), None)


class TestDecisions:
    def test_what_is_absent_is_inserted(self, tmp_path: Path) -> None:
        write = decide(tmp_path, chosen({"_id": 1}))
        assert write is not None
        assert (write.action, write.before, write.after) == (
            Action.INSERT,
            None,
            fingerprint(bson.encode({"_id": 1})),
        )

    def test_what_is_identical_is_not_in_the_plan(self, tmp_path: Path) -> None:
        assert decide(tmp_path, chosen({"_id": 1, "v": 2}, {"_id": 1, "v": 2})) is None

    @pytest.mark.parametrize(
        ("on_conflict", "action"),
        [
            (OnConflict.SKIP, Action.SKIP),
            (OnConflict.REPLACE, Action.REPLACE),
            (OnConflict.MERGE, Action.MERGE),
        ],
    )
    def test_another_version(self, tmp_path: Path, on_conflict: OnConflict, action: Action) -> None:
        current = {"_id": 1, "v": 1}
        write = decide(tmp_path, chosen({"_id": 1, "v": 2, "w": 3}, current), on_conflict)
        assert write is not None
        assert (write.action, write.before) == (action, fingerprint(bson.encode(current)))

    def test_a_newer_version_stays(self, tmp_path: Path) -> None:
        one = chosen({"_id": 1, "v": 1}, {"_id": 1, "v": 2}, newer="updated_at is later")
        write = decide(tmp_path, one, OnConflict.REPLACE)
        assert write is not None
        assert (write.action, write.reason) == (
            Action.SKIP,
            "the database's version is newer: updated_at is later",
        )

    def test_a_record_of_several_versions_waits_until_one_is_named(self, tmp_path: Path) -> None:
        for current in (None, {"_id": 1, "v": 2}):
            write = decide(
                tmp_path,
                chosen({"_id": 1, "v": 1}, current, hold="s holds several versions; name one"),
                OnConflict.REPLACE,
            )
            assert write is not None
            assert (write.action, write.reason) == (
                Action.SKIP,
                "s holds several versions; name one",
            )

    def test_a_merge_that_adds_nothing_is_skipped(self, tmp_path: Path) -> None:
        write = decide(tmp_path, chosen({"_id": 1, "v": 1}, {"_id": 1, "v": 2}), OnConflict.MERGE)
        assert write is not None
        assert (write.action, write.reason) == (Action.SKIP, "it adds nothing")

    def test_another_id_is_refused(self, tmp_path: Path) -> None:
        write = decide(tmp_path, chosen({"_id": 1, "k": 7}, {"_id": 2, "k": 7}), OnConflict.REPLACE)
        assert write is not None
        assert write.action is Action.REFUSE

    def test_the_same_id_in_another_width_is_the_same(self, tmp_path: Path) -> None:
        write = decide(tmp_path, chosen({"_id": Int64(1)}, {"_id": 1}), OnConflict.REPLACE)
        assert write is not None
        assert write.action is Action.REPLACE

    @pytest.mark.parametrize(
        "record",
        [
            b"\x08\0\0\0\x03a\0\0",
            build([(0x02, b"_id", b"\2\0\0\0\xff\0")]),
            bson.encode({"_id": Regex("a")}),
            build([(0x10, b"_id", b"\1\0\0\0"), (0x10, b"_id", b"\2\0\0\0")]),
            bson.encode({"_id": 1, "v": b"x" * (16 * 1024 * 1024)}),
        ],
        ids=["broken", "not UTF-8", "regex as _id", "_id twice", "too large"],
    )
    def test_what_no_server_takes_is_refused(self, tmp_path: Path, record: bytes) -> None:
        own = b"\x10\1\0\0\0"
        one = Selected("things", "key", own, None, record, "s1", Ref("", 0, len(record)))
        plan = make_plan([one, chosen({"_id": 5})], tmp_path, database="db")
        assert [write.action for write in plan.writes()] == [Action.REFUSE, Action.INSERT]
        assert next(plan.writes()).reason

    def test_fail_names_the_conflicts_and_leaves_nothing(self, tmp_path: Path) -> None:
        selection = [chosen({"_id": one, "v": 1}, {"_id": one, "v": 2}) for one in range(7)]
        with pytest.raises(ConflictError, match=r"7 records \(things/key, .*…\)"):
            make_plan(selection, tmp_path, database="db", on_conflict=OnConflict.FAIL)
        assert list(tmp_path.iterdir()) == []


class TestAPlanOnDisk:
    def selection(self, count: int) -> Iterator[Selected]:
        for one in range(count):
            yield chosen({"_id": one, "v": one}, {"_id": one, "v": 0} if one % 3 == 1 else None)

    def test_comes_back_as_it_was_made(self, tmp_path: Path) -> None:
        made = make_plan(self.selection(25_000), tmp_path, database="db", sources={"s1": "a dump"})
        loaded = Plan.load(made.path)
        assert loaded == made
        assert made.path == tmp_path / made.digest[:16]
        assert (len(made), made.to_write) == (25_000, 16_667)
        assert [write.seq for write in loaded.writes()] == list(range(25_000))

    def test_the_same_selection_gives_the_same_plan(self, tmp_path: Path) -> None:
        one = make_plan(self.selection(10), tmp_path, database="db")
        assert make_plan(self.selection(10), tmp_path, database="db") == one
        assert make_plan(self.selection(9), tmp_path, database="db").digest != one.digest
        assert make_plan(self.selection(10), tmp_path, database="other").digest != one.digest
        assert len(list(tmp_path.iterdir())) == 3

    def test_an_altered_plan_is_not_loaded(self, tmp_path: Path) -> None:
        plan = make_plan(self.selection(10), tmp_path, database="db")
        other = make_plan(self.selection(11), tmp_path, database="db")
        header = json.loads((plan.path / "plan.json").read_text())
        (plan.path / "plan.json").write_text(json.dumps(header | {"database": "another"}))
        with pytest.raises(BadInputError, match="not as it was made"):
            Plan.load(plan.path)
        (plan.path / "plan.json").write_text(json.dumps(header))
        (plan.path / "plan.parquet").write_bytes((other.path / "plan.parquet").read_bytes())
        with pytest.raises(BadInputError, match="not as it was made"):
            Plan.load(plan.path)
        (plan.path / "plan.parquet").write_bytes(b"PAR1")
        with pytest.raises(BadInputError, match="no plan can be read"):
            Plan.load(plan.path)

    def test_all_that_a_restore_is_told_is_under_the_digest(self, tmp_path: Path) -> None:
        told: dict[str, Any] = {
            "structures": {"things": '{"options": {}}'}, "mark": "restored_at", "marked_at": 7, "transaction": "batch",
        }  # fmt: skip
        plan = make_plan(self.selection(10), tmp_path, database="db", **told)
        loaded = Plan.load(plan.path)
        assert {name: getattr(loaded, name) for name in told} == told
        digests = {plan.digest}
        for name, other in {"structures": {}, "mark": "at", "marked_at": 8, "transaction": "plan"}.items():
            digests.add(make_plan(self.selection(10), tmp_path, database="db", **{**told, name: other}).digest)
        assert len(digests) == 5

    def test_of_an_earlier_version_is_to_be_made_again(self, tmp_path: Path) -> None:
        plan = make_plan(self.selection(10), tmp_path, database="db")
        header = json.loads((plan.path / "plan.json").read_text())
        (plan.path / "plan.json").write_text(json.dumps(header | {"version": 1}))
        with pytest.raises(BadInputError, match=r"is of version 1.*make the plan again"):
            Plan.load(plan.path)

    @pytest.mark.parametrize("name", ["after", "id", "before"])
    def test_whose_rows_no_plan_has_is_not_loaded_though_its_digest_be_right(self, tmp_path: Path, name: str) -> None:
        plan = make_plan(self.selection(10), tmp_path, database="db")
        table = pq.read_table(plan.path / "plan.parquet")
        forged = table.set_column(table.schema.get_field_index(name), name, pa.array([b""] * 10))
        pq.write_table(forged, plan.path / "plan.parquet")
        with pytest.raises(BadInputError, match="no plan can be read"):
            Plan.load(plan.path)
        with pytest.raises(BadInputError, match="no plan can be read"):
            list(plan.writes())

    def test_that_goes_away_while_it_is_read_is_said_in_one_line(self, tmp_path: Path) -> None:
        plan = make_plan(self.selection(10), tmp_path, database="db")
        (plan.path / "plan.parquet").unlink()
        with pytest.raises(BadInputError, match="no plan can be read"):
            list(plan.writes())


class TestSelectedTwice:
    def test_the_first_is_written(self, tmp_path: Path) -> None:
        values = [*range(10_005), 3, Int64(10_004), 10_006]
        plan = make_plan((chosen({"_id": one}) for one in values), tmp_path, database="db")
        assert Plan.load(plan.path) == plan
        skipped = [(write.seq, write.reason) for write in plan.writes() if not write.writes]
        reason = "selected twice: the plan writes this _id already"
        assert skipped == [(10_005, reason), (10_006, reason)]
        assert plan.counts == {Action.INSERT: 10_006, Action.SKIP: 2}

    def test_in_two_collections_is_two_records(self, tmp_path: Path) -> None:
        both = [chosen({"_id": 1}), replace(chosen({"_id": 1}), collection="others")]
        assert make_plan(both, tmp_path, database="db").to_write == 2

    def test_what_is_only_skipped_stands_in_nobodys_way(self, tmp_path: Path) -> None:
        plan = make_plan([chosen({"_id": 1}, hold="several"), chosen({"_id": 1})], tmp_path, database="db")
        assert [write.action for write in plan.writes()] == [Action.SKIP, Action.INSERT]


class TestMarking:
    def test_what_will_be_there_is_known_to_the_bit(self, tmp_path: Path) -> None:
        write = decide(tmp_path, chosen({"_id": 1, "v": 1}), mark="at", marked_at=5)
        assert write is not None
        stamped = bson.encode({"_id": 1, "v": 1, "at": DatetimeMS(5)})
        assert (write.after, write.size) == (fingerprint(stamped), len(stamped))

    def test_what_is_there_already_needs_none(self, tmp_path: Path) -> None:
        assert decide(tmp_path, chosen({"_id": 1}, {"_id": 1}), mark="at", marked_at=5) is None
        merge = chosen({"_id": 1}, {"_id": 1, "v": 2})
        skipped = decide(tmp_path, merge, OnConflict.MERGE, mark="at", marked_at=5)
        assert skipped is not None
        assert skipped.reason == "it adds nothing"

    @pytest.mark.parametrize(
        ("planned", "current", "how"),
        [
            ({"_id": 1, "at": "a1"}, None, OnConflict.SKIP),
            ({"_id": 1, "at": "a1"}, {"_id": 1}, OnConflict.REPLACE),
            ({"_id": 1, "v": 1, "at": "a1"}, {"_id": 1}, OnConflict.MERGE),
            ({"_id": 1, "v": 1}, {"_id": 1, "at": "a1"}, OnConflict.MERGE),
        ],
    )
    def test_replaces_no_field_of_the_record_s_own(
        self, tmp_path: Path, planned: dict[str, Any], current: dict[str, Any] | None, how: OnConflict
    ) -> None:
        write = decide(tmp_path, chosen(planned, current), how, mark="at", marked_at=5)
        assert write is not None
        assert (write.action, write.reason) == (
            Action.REFUSE, "it has a field at of its own, which the mark would replace",
        )  # fmt: skip

    def test_may_have_the_name_of_a_field_below_or_of_one_that_goes(self, tmp_path: Path) -> None:
        below = decide(tmp_path, chosen({"_id": 1, "v": {"at": "at"}, "sat": 1}), mark="at", marked_at=5)
        gone = chosen({"_id": 1, "v": 1}, {"_id": 1, "at": 1})
        replaced = decide(tmp_path, gone, OnConflict.REPLACE, mark="at", marked_at=5)
        assert [write and write.action for write in (below, replaced)] == [Action.INSERT, Action.REPLACE]

    def test_a_name_that_no_field_may_have_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match="cannot be the name"):
            make_plan(iter([]), tmp_path, database="db", mark="_id")
        assert list(tmp_path.iterdir()) == []


class TestBatches:
    @given(
        actions=st.lists(st.tuples(st.sampled_from("wws"), st.sampled_from("ab"), st.integers(1, 60)), max_size=40),
        most=st.integers(1, 6),
    )
    def test_write_to_one_collection_each_and_are_bounded(
        self, tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, str, int]], most: int
    ) -> None:
        selection = [
            replace(chosen({"_id": one, "v": "x" * size}, hold="" if kind == "w" else "several"), collection=name)
            for one, (kind, name, size) in enumerate(actions)
        ]
        plan = make_plan(selection, tmp_path_factory.mktemp("plans"), database="db")
        batches = list(plan.batches(most, 100))
        assert [write for batch in batches for write in batch] == list(plan.writes())
        for batch in batches:
            written = [write for write in batch if write.writes]
            assert len({write.collection for write in written}) <= 1
            assert len(written) <= most
            assert len(written) <= 1 or sum(write.size for write in written) <= 100
        for one, next_one in pairwise([batch for batch in batches if any(write.writes for write in batch)]):
            last, first = [w for w in one if w.writes], next(w for w in next_one if w.writes)
            full = len(last) == most or sum(write.size for write in last) + first.size > 100
            assert full or first.collection != last[0].collection  # nothing is cut without a need


COLUMNS = st.lists(st.text()) | st.lists(st.binary() | st.none()) | st.lists(st.integers(-(2**63), 2**63 - 1))


@given(one=COLUMNS, other=COLUMNS)
def test_columns_of_other_values_have_other_bytes(one: list[Any], other: list[Any]) -> None:
    same_kind = {type(value) for value in [*one, *other]} in ({str}, {int}, {bytes}, {bytes, type(None)})
    if same_kind and len(one) == len(other):
        assert (canonical_bytes(one) == canonical_bytes(other)) == (one == other)


VALUES = st.recursive(
    st.none() | st.integers(-(2**31), 2**31 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
RECORDS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def joined(mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    result = {**mine, **{name: value for name, value in theirs.items() if name not in mine}}
    for name in mine.keys() & theirs.keys():
        if isinstance(mine[name], dict) and isinstance(theirs[name], dict):
            result[name] = joined(mine[name], theirs[name])
    return result


class TestShape:
    @given(mine=RECORDS, theirs=RECORDS)
    def test_a_merge_adds_what_is_absent(self, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
        current = bson.encode({"_id": 1, **mine})
        result = merged(current, bson.encode({"_id": 1, **theirs}))
        assert bson.decode(result) == {"_id": 1, **joined(mine, theirs)}
        assert merged(current, current) == current
        assert merged(result, result) == result

    def test_a_merge_keeps_names_that_stand_twice(self) -> None:
        current = build([(0x10, b"a", b"\1\0\0\0"), (0x10, b"a", b"\2\0\0\0")])
        assert merged(current, bson.encode({"a": 3})) == current

    def test_an_id_goes_first_and_a_missing_one_is_always_the_same(self) -> None:
        assert settled(bson.encode({"a": 1, "b": 2}), b"\x10\7\0\0\0") == bson.encode({"_id": 7, "a": 1, "b": 2})
        moved = build([(0x10, b"a", b"\1\0\0\0"), (0x10, b"_id", b"\2\0\0\0")])
        assert settled(moved) == bson.encode({"_id": 2, "a": 1})
        first, again = settled(bson.encode({"a": 1})), settled(bson.encode({"a": 1}))
        assert first == again
        assert isinstance(bson.decode(first)["_id"], ObjectId)

    def test_every_sample_may_be_written_as_it_is(self, samples: Path) -> None:
        for record in split((samples / "mongodump/shop/types.bson").read_bytes()):
            assert refusal(record) == ""
            assert settled(record) == record

    def test_an_empty_timestamp_is_seen_at_the_top_only(self) -> None:
        stamp = bson.Timestamp(0, 0)
        assert has_empty_timestamp(bson.encode({"_id": 1, "t": stamp}))
        assert not has_empty_timestamp(bson.encode({"_id": stamp, "t": {"inner": stamp}, "n": 0.0}))
