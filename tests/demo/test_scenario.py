from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import bson
import pytest
from bson import ObjectId, json_util
from pymongo.database import Database as MongoDatabase

from recovery_nb.demo.scenario import Scenario, check, prepare
from recovery_nb.demo.truth import Fate, Key
from recovery_nb.errors import BadInputError, ConflictError

COUNT = 400
CANONICAL = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=False, tzinfo=None)


class Fresh(Protocol):
    uri: str
    name: str
    client: Any


@pytest.fixture
def shop(database: Fresh) -> MongoDatabase[Any]:
    found: MongoDatabase[Any] = database.client[database.name]
    return found


@pytest.fixture
def scenario(database: Fresh, tmp_path: Path) -> Scenario:
    return prepare(database.uri, tmp_path, count=COUNT)


def backups(scenario: Scenario, name: str) -> list[dict[str, Any]]:
    """The records of a collection in every backup, oldest first, read as simply as can be."""
    dump, export, sessions, conversations = scenario.sources
    found: list[dict[str, Any]] = bson.decode_all(next(dump.glob(f"*/{name}.bson")).read_bytes())
    lossy = json.loads(export.read_text(encoding="utf-8"))["collections"][name]
    found += [{**record, "_id": record["_id"] if name == "quotes" else ObjectId(record["_id"])} for record in lossy]
    nightly = {"sessions": sessions, "conversations": conversations}.get(name)
    if nightly:
        lines = nightly.read_text(encoding="utf-8").splitlines(keepends=True)
        found += [json_util.loads(line, json_options=CANONICAL) for line in lines if line.endswith("\n")]
    return found


def restore(shop: MongoDatabase[Any], scenario: Scenario) -> None:
    """Put back the newest of every lost or damaged record; where types were lost, without them."""
    for name in ("conversations", "sessions", "quotes"):
        newest: dict[Any, dict[str, Any]] = {}
        for record in backups(scenario, name):
            before = newest.get(record["_id"])
            lossy = isinstance(record.get("started_at", record.get("issued_at")), str)
            if not (before and lossy and json.dumps(before, default=str) == json.dumps(record, default=str)):
                newest[record["_id"]] = record
        for key, record in newest.items():
            if scenario.truth[Key(name, str(key))].fate is not Fate.INTACT:
                shop[name].replace_one({"_id": key}, record, upsert=True)


def test_the_backups_are_of_three_kinds_and_three_times(scenario: Scenario) -> None:
    dump, export, sessions, conversations = scenario.sources
    assert {path.name for path in next(dump.iterdir()).iterdir()} >= {"quotes.bson", "quotes.metadata.json"}
    assert export.suffix == ".json"
    assert sessions.parent == conversations.parent
    times = [path.stat().st_mtime for path in (dump, export, sessions, conversations)]
    assert times[0] < times[1] < times[2] == times[3]
    for time, path in zip(times, scenario.sources, strict=True):
        assert f"{datetime.fromtimestamp(time, UTC):%Y%m%d_%H%M%S}" in str(path)


def test_the_dump_tells_indexes_and_validator(scenario: Scenario) -> None:
    metadata = json.loads(next(scenario.sources[0].glob("*/quotes.metadata.json")).read_text())
    assert {index["name"] for index in metadata["indexes"]} == {"_id_", "quote_no_1"}
    assert "$jsonSchema" in metadata["options"]["validator"]
    assert metadata["indexes"][0]["key"] == {"_id": {"$numberInt": "1"}}


def test_the_export_is_what_a_script_writes_with_default_str(scenario: Scenario) -> None:
    text = scenario.sources[1].read_text(encoding="utf-8")
    content = json.loads(text)
    assert text == json.dumps(content, default=str, indent=2, ensure_ascii=False)
    assert sorted(content) == ["collections", "source", "timestamp"]
    assert isinstance(content["collections"]["quotes"][0]["amount"], str)


def test_the_newest_backup_is_cut_in_the_middle_of_a_line(scenario: Scenario) -> None:
    *whole, cut = scenario.sources[3].read_text(encoding="utf-8").splitlines(keepends=True)
    assert whole
    assert not cut.endswith("\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)


def test_every_kind_of_loss_has_happened(scenario: Scenario, shop: MongoDatabase[Any]) -> None:
    assert sorted(shop.list_collection_names()) == ["conversations", "sessions"]
    assert shop["conversations"].count_documents({}) < COUNT * 0.87
    assert shop["conversations"].count_documents({"phone": "REDACTED"})
    assert shop["conversations"].count_documents({"messages": []})
    assert shop["sessions"].count_documents({"ip": ""})
    assert {key.collection for key in scenario.unrecoverable} == {"conversations", "sessions", "quotes"}


def test_versions_differ_between_sources_and_some_have_only_lost_types(scenario: Scenario) -> None:
    lost = [truth for truth in scenario.truth.values() if truth.fate is not Fate.INTACT and truth.best]
    assert any(truth.projected for truth in lost)
    assert any(not truth.projected for truth in lost)
    assert any(truth.best != truth.before for truth in lost)
    assert any(t.best is None for t in scenario.truth.values() if t.fate is Fate.INTACT)


def test_the_same_seed_tells_the_same_story(
    scenario: Scenario, shop: MongoDatabase[Any], database: Fresh, tmp_path: Path
) -> None:
    database.client.drop_database(shop.name)
    assert prepare(database.uri, tmp_path / "again", count=COUNT).truth == scenario.truth


def test_the_truth_is_saved_beside_the_backups(scenario: Scenario) -> None:
    assert Scenario.load(scenario.folder) == scenario


def test_without_a_recovery_everything_lost_is_a_problem(scenario: Scenario, database: Fresh) -> None:
    result = check(scenario, database.uri)
    assert (result.recovered, result.ok) == (0, False)
    assert result.unrecoverable == scenario.unrecoverable
    assert len(result.problems) + len(result.unrecoverable) == result.lost
    assert result.lost + result.intact == 3 * COUNT


def test_a_recovery_from_what_the_sources_hold_is_found_right(
    scenario: Scenario, shop: MongoDatabase[Any], database: Fresh
) -> None:
    restore(shop, scenario)
    result = check(scenario, database.uri)
    assert result.problems == ()
    assert result.ok
    assert result.recovered + len(result.unrecoverable) == result.lost
    assert result.inferred == sum(
        t.projected is not None and t.fate is not Fate.INTACT for t in scenario.truth.values()
    )
    assert result.older > 0


@pytest.mark.parametrize("name", ["conversations", "sessions"])
def test_a_spared_record_that_a_recovery_altered_is_found(
    scenario: Scenario, shop: MongoDatabase[Any], database: Fresh, name: str
) -> None:
    key = next(k for k, t in scenario.truth.items() if k.collection == name and t.fate is Fate.INTACT)
    shop[name].update_one({"_id": ObjectId(key.id)}, {"$set": {"restored": True}})
    assert ("was spared by the losses and has been altered", str(key)) in check(scenario, database.uri).problems


def test_a_record_written_after_the_last_backup_and_reverted_is_found(
    scenario: Scenario, shop: MongoDatabase[Any], database: Fresh
) -> None:
    older = {str(r["_id"]): r for r in backups(scenario, "conversations")}
    key = next(
        k
        for k, t in scenario.truth.items()
        if t.fate is Fate.INTACT and t.best not in {None, t.before} and k.collection == "conversations"
    )
    shop["conversations"].replace_one({"_id": ObjectId(key.id)}, older[key.id])
    assert str(key) in {problem.where for problem in check(scenario, database.uri).problems}


def test_a_stale_version_is_not_a_recovery(scenario: Scenario, shop: MongoDatabase[Any], database: Fresh) -> None:
    restore(shop, scenario)
    quote = next(q for q in backups(scenario, "quotes") if (q.get("note") or "").startswith("revised"))
    first = next(q for q in backups(scenario, "quotes") if q["_id"] == quote["_id"])
    shop["quotes"].replace_one({"_id": quote["_id"]}, first)
    (problem,) = check(scenario, database.uri).problems
    assert problem.where == f"quotes/{quote['_id']}"


def test_whatever_a_recovery_leaves_behind_is_found(
    scenario: Scenario, shop: MongoDatabase[Any], database: Fresh
) -> None:
    restore(shop, scenario)
    shop["journal"].insert_one({})
    shop["quotes"].insert_one({"_id": -1})
    assert {problem.where for problem in check(scenario, database.uri).problems} == {"journal", "quotes/-1"}


def test_it_refuses_a_database_that_is_in_use(database: Fresh, shop: MongoDatabase[Any], tmp_path: Path) -> None:
    shop["orders"].insert_one({"_id": 1})
    with pytest.raises(ConflictError, match="not empty"):
        prepare(database.uri, tmp_path, count=COUNT)
    assert shop["orders"].count_documents({}) == 1


def test_it_refuses_a_folder_with_backups(database: Fresh, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    with pytest.raises(ConflictError, match="backups is there already"):
        prepare(database.uri, tmp_path, count=COUNT)


def test_it_refuses_too_small_a_shop(database: Fresh, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="too few"):
        prepare(database.uri, tmp_path, count=10)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but no more"])
def test_a_truth_that_cannot_be_read_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "truth.parquet").write_bytes(content)
    with pytest.raises(BadInputError, match="no readable truth") as raised:
        Scenario.load(tmp_path)
    assert "\n" not in str(raised.value)
