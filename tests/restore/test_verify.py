"""Proving a restore: each thing that is not as it should be is named, with where it is and where it came from."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from recovery_nb.errors import BadInputError, ConflictError, ConnectionFailedError, RecoveryError
from recovery_nb.restore import OnConflict, State, list_restores
from recovery_nb.restore.files import locked, next_step

from .ends import stop_after, things


@pytest.fixture
def restored(bench: Any) -> str:
    bench.put([{"_id": one, "v": "live"} for one in range(10)])
    plan = bench.plan(
        [{"_id": one, "v": "planned"} for one in range(20)], on_conflict=OnConflict.REPLACE,
        sources={"memory": "/backups/shop.bson"},
    )  # fmt: skip
    return str(bench.apply(plan).restore_id)


def test_what_it_wrote_and_what_it_left_are_checked(bench: Any, restored: str) -> None:
    found = bench.verify(restored)
    assert (found.ok, found.checked, found.problems, found.target) == (True, 20, (), restored)


def test_a_record_that_is_not_as_planned_is_named_with_its_place_in_the_source(bench: Any, restored: str) -> None:
    collection = bench.client[bench.name].things
    collection.update_one({"_id": 3}, {"$set": {"v": 1}})
    collection.delete_one({"_id": 14})
    assert [(one.where, one.what) for one in bench.verify(restored).problems] == [
        ("things/3", "changed since the restore (of /backups/shop.bson, byte 3)"),
        ("things/14", "missing since the restore (of /backups/shop.bson, byte 14)"),
    ]


def test_without_the_plan_the_record_is_named_all_the_same(bench: Any, restored: str) -> None:
    for path in bench.plans.rglob("*"):
        if path.is_file():
            path.unlink()
    bench.client[bench.name].things.delete_one({"_id": 14})
    assert [(one.where, one.what) for one in bench.verify(restored).problems] == [
        ("things/14", "missing since the restore")
    ]


def test_a_restore_that_did_not_end_says_how_to_go_on(bench: Any) -> None:
    _, planned = things(bench, 30)
    stopped = stop_after(bench, bench.plan(planned, on_conflict=OnConflict.REPLACE), 1)
    (problem,) = bench.verify(stopped).problems
    assert problem.what == (
        f"it did not end: interrupted; go on with restore --resume {stopped}, or undo it with rollback {stopped}"
    )


def test_a_changed_journal_is_a_problem_also_of_a_restore_that_did_not_end(bench: Any) -> None:
    _, planned = things(bench, 60)
    stopped = stop_after(bench, bench.plan(planned, on_conflict=OnConflict.REPLACE), 4)
    path = bench.restores / stopped / "journal.bson"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])  # torn, as by a kill
    assert len(bench.verify(stopped).problems) == 1
    path.write_bytes(whole[: len(whole) // 2] + b"!" + whole[len(whole) // 2 + 1 :])
    found = bench.verify(stopped)
    assert [one.where for one in found.problems] == [str(path), stopped]
    assert found.notes == ("which other records the restore wrote is not known: its journal is damaged",)


def test_a_collection_that_was_made_anew_is_named(bench: Any, restored: str) -> None:
    records = bench.raw()
    bench.client[bench.name].drop_collection("things")
    bench.put(records)
    (problem,) = bench.verify(restored).problems
    assert problem.where.endswith("/things")


class TestACollectionMadeAnewAfterTheRollback:
    @pytest.fixture
    def remade(self, bench: Any, restored: str) -> str:
        bench.rollback(restored)
        bench.client[bench.name].drop_collection("things")
        bench.put([{"_id": 1}])
        return restored

    def test_is_no_problem_and_is_noted(self, bench: Any, remade: str) -> None:
        found = bench.verify(remade)
        assert (found.ok, found.problems) == (True, ())
        assert found.notes == (f"things is not the collection that {remade} wrote to, of which all is undone",)

    def test_is_a_problem_if_it_was_not_wholly_rolled_back(self, bench: Any, restored: str) -> None:
        bench.client[bench.name].things.update_one({"_id": 1}, {"$set": {"v": "theirs"}})
        assert bench.rollback(restored).skipped == 1
        bench.client[bench.name].drop_collection("things")
        bench.put([{"_id": 1}])
        assert [one.where.rpartition("/")[2] for one in bench.verify(restored).problems] == ["things"]

    def test_does_not_vouch_for_another_database(self, bench: Any, remade: str) -> None:
        bench.uri = bench.uri.replace(bench.name, f"{bench.name}x")
        assert not bench.verify(remade).ok


class TestWhatItMade:
    """Collections that were missing: their options and indexes are the restore's, too."""

    MADE: ClassVar[dict[str, Any]] = {
        "options": {
            "collation": {"locale": "en", "strength": 2},
            "validator": {"n": {"$gte": 0}},
            "validationLevel": "moderate",
        },
        "indexes": [
            {"v": 2, "key": {"_id": 1}, "name": "_id_"},
            {"v": 2, "key": {"n": 1, "m": -1}, "name": "both", "unique": True, "sparse": False},
            {"v": 2, "key": {"t": 1}, "name": "ends", "expireAfterSeconds": 60, "background": True,
             "partialFilterExpression": {"t": {"$gt": 0}}},
            {"v": 2, "key": {"n": 1}, "name": "plain", "collation": {"locale": "simple"}},
            {"v": 2, "key": {"_fts": "text", "_ftsx": 1}, "name": "words", "weights": {"w": 1},
             "collation": {"locale": "simple"}},
        ],
    }  # fmt: skip
    SERIES: ClassVar[dict[str, Any]] = {
        "options": {"timeseries": {"timeField": "t", "metaField": "m"}, "expireAfterSeconds": 60},
        "indexes": [{"v": 2, "key": {"m": 1}, "name": "m_1"}],
    }

    @pytest.fixture
    def made(self, bench: Any) -> str:
        structures = {"things": json.dumps(self.MADE), "series": json.dumps(self.SERIES), "empty": ""}
        structures["ring"] = '{"options": {"capped": true, "size": 4000, "max": 100}, "indexes": []}'
        structures["seen"] = '{"options": {"viewOn": "things", "pipeline": []}, "indexes": []}'
        plan = bench.plan([{"_id": one, "n": one} for one in range(3)], structures=structures)
        result = bench.apply(plan)
        assert result.errors == []
        return str(result.restore_id)

    def problems(self, bench: Any, restore_id: str) -> list[tuple[str, str]]:
        return [(one.where.rpartition("/")[2], one.what) for one in bench.verify(restore_id).problems]

    def test_is_whole_as_it_was_made_and_with_what_others_add(self, bench: Any, made: str) -> None:
        assert self.problems(bench, made) == []
        bench.client[bench.name].things.create_index("more")
        bench.client[bench.name].command("collMod", "empty", validator={"n": 1})
        assert self.problems(bench, made) == []

    def test_has_lost_an_index_or_its_validator(self, bench: Any, made: str) -> None:
        database = bench.client[bench.name]
        database.things.drop_index("both")
        database.series.drop_index("m_1")
        database.command("collMod", "things", validator={})
        assert self.problems(bench, made) == [
            ("things", "its validator is gone that was restored"),
            ("things", "its index both is missing"),
            ("series", "its index m_1 is missing"),
        ]

    def test_has_others_in_their_place(self, bench: Any, made: str) -> None:
        database = bench.client[bench.name]
        database.things.drop_index("both")
        database.things.create_index([("m", -1), ("n", 1)], name="both", unique=True)
        database.command("collMod", "things", index={"name": "ends", "expireAfterSeconds": 61})
        database.command("collMod", "things", validator={"n": {"$gte": 1}}, validationLevel="strict")
        database.command("collMod", "series", expireAfterSeconds=61)
        database.command("collMod", "ring", cappedMax=99)
        assert self.problems(bench, made) == [
            ("things", "its validator is not as it was restored"),
            ("things", "its validationLevel is not as it was restored"),
            ("things", "its index both is not as it was restored"),
            ("things", "its index ends is not as it was restored"),
            ("series", "its expireAfterSeconds is not as it was restored"),
            ("ring", "its max is not as it was restored"),
        ]

    def test_had_defaults_that_are_as_much_a_part_of_it(self, bench: Any) -> None:
        """What was not told was in force all the same."""
        database = bench.client[bench.name]
        made = self.plain(bench)
        assert self.problems(bench, made) == []
        database.command("collMod", "off", validationLevel="off")
        database.command("collMod", "warned", validationAction="warn")
        database.command("collMod", "ring", cappedMax=3)
        database.command("collMod", "series", timeseries={"granularity": "hours"})
        database.command("collMod", "series", expireAfterSeconds=1)
        database.command("collMod", "images", changeStreamPreAndPostImages={"enabled": True})
        database.command("collMod", "things", index={"name": "hides", "hidden": True})
        database.command("collMod", "things", index={"name": "expires", "expireAfterSeconds": 1})
        database.command("collMod", "things", index={"name": "refuses", "prepareUnique": True})
        assert sorted(self.problems(bench, made)) == [
            ("images", "its changeStreamPreAndPostImages is not as it was restored"),
            ("off", "its validationLevel is not as it was restored"),
            ("ring", "its max is not as it was restored"),
            ("series", "its expireAfterSeconds is not as it was restored"),
            ("series", "its timeseries is not as it was restored"),
            ("things", "its index expires is not as it was restored"),
            ("things", "its index hides is not as it was restored"),
            ("things", "its index refuses is not as it was restored"),
            ("warned", "its validationAction is not as it was restored"),
        ]

    def test_has_its_defaults_told_or_not(self, bench: Any) -> None:
        """The server says of some that they are so by default, of others nothing: either is as it was."""
        database = bench.client[bench.name]
        made = self.plain(bench)
        database.command("collMod", "off", validationLevel="strict", validationAction="error")
        database.command("collMod", "images", changeStreamPreAndPostImages={"enabled": True})
        database.command("collMod", "images", changeStreamPreAndPostImages={"enabled": False})
        database.command("collMod", "ring", cappedMax=0)
        database.command("collMod", "things", index={"name": "hides", "hidden": True})
        database.command("collMod", "things", index={"name": "hides", "hidden": False})
        assert self.problems(bench, made) == []

    @pytest.mark.parametrize(
        "more",
        [
            {"unique": True},
            {"sparse": True},
            {"partialFilterExpression": {"n": {"$gt": 0}}},
            {"collation": {"locale": "en"}},
        ],
        ids=str,
    )
    def test_has_an_index_of_that_name_that_is_more(self, bench: Any, more: dict[str, Any]) -> None:
        made = self.plain(bench)
        things = bench.client[bench.name].things
        things.drop_index("hides")
        things.create_index("h", name="hides", **more)
        assert self.problems(bench, made) == [("things", "its index hides is not as it was restored")]

    def plain(self, bench: Any) -> str:
        """A restore that made collections of every kind with as little as there can be told."""
        indexes = [{"v": 2, "key": {name[0]: 1}, "name": name} for name in ("hides", "expires", "refuses")]
        indexes += [
            {"v": 2, "key": {"k": 1}, "name": "sparing", "sparse": False, "unique": False, "hidden": False},
            {"v": 2, "key": {"z": 1}, "name": "never", "expireAfterSeconds": {"$numberDouble": "NaN"}},
            {"v": 2, "key": {"y": 1}, "name": "seconds", "expireAfterSeconds": {"$numberDouble": "3.7"}},
            {"v": 2, "key": {"c": 1}, "name": "simple", "collation": {"locale": "simple"}},
        ]
        structures = {
            "things": json.dumps({"options": {}, "indexes": indexes}),
            "off": '{"options": {"validator": {"n": 1}}}',
            "warned": '{"options": {"validator": {"n": 1}, "validationLevel": "strict"}}',
            "ring": '{"options": {"capped": true, "size": 4000}}',
            "series": '{"options": {"timeseries": {"timeField": "t"}}}',
            "images": '{"options": {"changeStreamPreAndPostImages": {"enabled": false}}}',
        }
        result = bench.apply(bench.plan([{"_id": 1}], structures=structures))
        assert result.errors == []
        return str(result.restore_id)

    def test_goes_with_the_rollback(self, bench: Any, made: str) -> None:
        bench.client[bench.name].things.drop_index("both")
        bench.rollback(made)
        assert self.problems(bench, made) == []


def test_another_restore_at_work_is_named(bench: Any, restored: str) -> None:
    (info,) = list_restores(bench.restores)
    info.save(State.APPLYING, {})
    plan = bench.plan([{"_id": 50}])
    with locked(bench.restores), pytest.raises(ConflictError, match=rf"{restored} \(applying\).*verify {restored}"):
        bench.apply(plan)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (ConnectionFailedError("lost", hint="run the command again"), "lost; go on with it"),
        (ConnectionFailedError("no longer the primary", hint="wait for it"),
         "no longer the primary; wait for it, then go on with it"),
        (RecoveryError("the journal is full", hint="make room there"),
         "the journal is full; make room there, then go on with it"),
        (OSError(28, "No space left on device", "restore.json"),
         "restore.json cannot be written or read (No space left on device); make room there, then go on with it"),
        (BadInputError("not a plan", hint="make another"), "not a plan; make another"),
    ],
)  # fmt: skip
def test_what_stops_a_restore_on_its_way_says_how_to_go_on(bench: Any, raised: Exception, told: str) -> None:
    with pytest.raises(RecoveryError) as caught, next_step(bench.restores, "go on with it"):
        raise raised
    assert str(caught.value) == told
