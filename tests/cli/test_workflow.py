"""The whole way by command line on the sample shop, and what each command promises a program that calls it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from .conftest import Cli, half_written

COUNTS = {"identical", "equivalent", "changed", "missing", "extra", "duplicate", "corrupt"}


def types(document: dict[str, Any], **expected: type | tuple[type, ...]) -> None:
    for name, kind in expected.items():
        assert isinstance(document[name], kind), (name, document.get(name))


def lose(database: Any, count: int = 200) -> None:
    records = database.client[database.name]["conversations"]
    ids = random.Random(3).sample(sorted(one["_id"] for one in records.find({}, {"_id": 1})), count)
    assert records.delete_many({"_id": {"$in": ids}}).deleted_count == count


def test_an_embedded_database_from_a_dump_and_back(plain: Cli, samples: Path) -> None:
    dump = samples / "mongodump" / "shop"
    plain.db = "embedded:shop"
    restored = plain("restore", dump, "--yes", "--json")
    assert restored.code == 0, restored.err
    assert restored.json["restored"] == restored.json["planned"] > 1_900
    compared = plain("compare", dump, "--json")
    assert compared.code == 0, compared.text
    counts = compared.json["collections"]
    truth = json.loads((samples / "truth.json").read_text())["counts"]
    for name in ("conversations", "sessions", "quotes", "users", "types", "events_capped"):
        assert counts[name]["identical"] == truth[name]
    undone = plain("rollback", restored.json["restore_id"], "--json")
    assert undone.code == 0
    assert undone.json["reverted"] == restored.json["restored"]
    assert plain("backup", "--json").json["records"] == 0


@pytest.fixture
def lossy(cli: Cli, load: Callable[[], None], database: Any) -> Cli:
    """The shop without 200 of its conversations."""
    load()
    lose(database)
    return cli


def test_lost_records_come_back_and_can_be_taken_away_again(
    lossy: Cli, samples: Path, content: Callable[[], dict[str, str]]
) -> None:
    dump, cli, original = samples / "mongodump" / "shop" / "conversations.bson", lossy, content()

    found = cli("compare", dump, "--json")
    assert found.code == 1
    assert set(found.json["collections"]["conversations"]) == COUNTS
    assert found.json["collections"]["conversations"]["missing"] == 200
    types(found.json, sources=list, uncovered=list, notes=list, errors=list, consistent=bool)

    tried = cli("restore", dump, "--dry-run", "--json")
    assert tried.code == 0
    assert (tried.json["dry_run"], tried.json["planned"], tried.json["restored"]) == (True, 200, 0)
    assert content() == original

    done = cli("restore", dump, "--yes", "--json")
    assert done.code == 0
    document = done.json
    types(document, restore_id=str, plan_digest=str, success=bool, dry_run=bool, errors=list)
    types(document, planned=int, restored=int, skipped=int, failed=int)
    assert document["plan_digest"] == tried.json["plan_digest"]
    assert (document["success"], document["restored"], document["failed"]) == (True, 200, 0)
    assert cli("compare", dump).code == 0

    checked = cli("verify", document["restore_id"], "--json")
    assert checked.code == 0
    types(checked.json, ok=bool, checked=int, problems=list)

    undone = cli("rollback", document["restore_id"], "--json")
    assert undone.code == 0
    assert {name: undone.json[name] for name in ("reverted", "skipped", "failed")} == {
        "reverted": 200,
        "skipped": 0,
        "failed": 0,
    }
    assert content() == original
    again = cli("rollback", document["restore_id"], "--json")
    assert again.code == 0
    assert again.json["already"]
    assert content() == original
    assert cli("verify", document["restore_id"], "--json").code in (0, 1)

    audit = cli("audit", "verify", "--json")
    assert audit.code == 0
    types(audit.json, ok=bool, entries=int, verified_up_to=int, problems=list)
    shown = cli("audit", "show", "--json")
    assert shown.code == 0
    actions = [entry["action"] for entry in shown.json["entries"]]
    assert {"restore finished", "rollback finished", "verify finished"} <= set(actions)
    assert half_written(cli.folder) == []


def test_an_audit_log_that_was_edited_is_found(cli: Cli) -> None:
    assert cli("backup").code == 0
    log = cli.case / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"backup started", b"backup stopped"))
    for words in (["audit", "verify"], ["audit", "show"], ["verify", cli.case]):
        done = cli(*words, "--json")
        assert done.code == 1
        assert not done.json["ok"]


@pytest.mark.parametrize("layout", ["bson", "json"])
def test_backups_compare_and_verify(lossy: Cli, layout: str) -> None:
    taken = lossy("backup", "--format", layout, "--collections", "conversations,quotes", "--json")
    assert taken.code == 0
    types(taken.json, path=str, collections=dict, records=int, bytes=int)
    assert taken.json["collections"] == {"conversations": 400, "quotes": 300}
    assert lossy("compare", taken.json["path"], "--json").code == 0
    assert lossy("verify", taken.json["path"], "--json").json["ok"]
    path = Path(taken.json["path"])
    victim = path if path.is_file() else next(path.rglob("conversations.bson.zst"))
    damaged = bytearray(victim.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    victim.write_bytes(damaged)
    found = lossy("verify", path, "--json")
    assert found.code == 1
    assert not found.json["ok"]
    assert {"what", "where"} == set(found.json["problems"][0])


def report_of(done: Any) -> dict[str, Any]:
    document: dict[str, Any] = done.json
    types(document, timestamp=str, database=dict, filesystem=dict, summary=dict)
    types(document["database"], connected=bool, name=str, collections=dict, total_found=int)
    types(document["filesystem"], backups=list, exports=list, total_found=int)
    types(document["summary"], total_recovered=int, status=str, recommendations=list, errors=list)
    for one in document["filesystem"]["backups"]:
        types(one, path=str, name=str, size=int, record_count=int, modified=str)
    schema = Path(__file__).parents[2] / "docs" / "schemas" / "recovery-report.schema.json"
    if schema.is_file():
        jsonschema.validate(document, json.loads(schema.read_text()))
    return document


def test_recover_as_users_know_it(lossy: Cli, samples: Path, database: Any, content: Any) -> None:
    cli, dump = lossy, samples / "mongodump" / "shop" / "conversations.bson"
    original = content()
    (cli.folder / "backups").mkdir()
    (cli.folder / "backups" / "backup_20251201_103000.json").write_bytes(
        (samples / "backups" / "backup_20251201_103000.json").read_bytes()
    )
    found = cli("recover", "--no-backup", "--output", "report.json", "--json")
    assert found.code == 1
    report = report_of(found)
    assert report["comparison"]["conversations"]["missing"] == 200
    assert report["filesystem"]["backups"][0]["record_count"] == 1_500
    assert any("restore" in line for line in report["summary"]["recommendations"])
    assert json.loads((cli.folder / "report.json").read_text()) == report
    assert not (cli.case / "backups").exists()
    assert content() == original

    assert cli("recover").code == 1
    assert [path.name[:13] for path in (cli.case / "backups").iterdir()] == ["pre_recovery_"]
    assert content() == original

    elsewhere = cli("recover", "--restore", dump, "--target-collection", "found", "--no-backup", "--json")
    assert elsewhere.code == 0, elsewhere.text
    assert database.client[database.name]["found"].count_documents({}) == 600
    assert content()["conversations"] == original["conversations"]

    back = cli("recover", "--restore", dump, "--json")
    assert back.code == 0, back.text
    assert report_of(back)["summary"]["total_recovered"] >= 200
    assert database.client[database.name]["conversations"].count_documents({}) == 600
    scanned = cli("scan", dump, "--json")
    assert scanned.code == 0
    report_of(scanned)


def test_a_database_as_a_source_is_copied_into_the_case_first(lossy: Cli, database: Any) -> None:
    name = f"{database.name}_copy"
    database.client[name]["conversations"].insert_one({"_id": "kept elsewhere"})
    try:
        uri = lossy.db.replace(database.name, name)
        found = lossy("compare", uri, "--json")
        assert found.code == 1
        assert found.json["collections"]["conversations"]["missing"] == 1
        (copy,) = (lossy.case / "copies").iterdir()
        assert lossy("verify", copy).code == 0
    finally:
        database.client.drop_database(name)


def test_a_restore_that_fails_in_part_says_so(cli: Cli, database: Any) -> None:
    records = database.client[database.name]
    records.command("create", "users", validator={"age": {"$gte": 0}})
    (cli.folder / "users.json").write_text(json.dumps([{"_id": n, "age": n - 1} for n in range(5)]))
    done = cli("restore", "users.json", "--yes", "--json")
    assert done.code == 3, done.text
    types(done.json, errors=list)
    assert (done.json["restored"], done.json["failed"], done.json["success"]) == (4, 1, False)
    assert {"collection", "key", "reason"} <= set(done.json["errors"][0])
    assert [one["_id"] for one in records["users"].find()] == [1, 2, 3, 4]


def test_a_rollback_leaves_alone_what_others_have_changed(cli: Cli, database: Any) -> None:
    (cli.folder / "users.json").write_text(json.dumps([{"_id": n, "name": "old"} for n in range(5)]))
    identifier = cli("restore", "users.json", "--yes", "--json").json["restore_id"]
    database.client[database.name]["users"].update_one({"_id": 3}, {"$set": {"name": "new"}})
    undone = cli("rollback", identifier, "--json")
    assert undone.code == 1
    assert (undone.json["reverted"], undone.json["skipped"]) == (4, 1)
    assert list(database.client[database.name]["users"].find()) == [{"_id": 3, "name": "new"}]


def test_quiet_commands_say_nothing_on_stderr(lossy: Cli, samples: Path) -> None:
    dump = samples / "mongodump" / "shop"
    for words in (["scan", dump], ["backup"], ["compare", dump], ["restore", dump, "--dry-run"], ["recover"]):
        assert lossy("--quiet", *words).err == ""


def test_notebooks_are_copied_once_and_never_over_somebodys_work(plain: Cli) -> None:
    first = plain("notebooks", "mine", "--json")
    assert first.code == 0
    assert len(first.json["written"]) >= 6
    assert plain("notebooks", "mine", "--json").json["written"] == []
    (plain.folder / "mine" / "recover.ipynb").write_text("{}")
    plain.refused("notebooks", "mine", says="is there already and differs")


def test_a_run_leaves_one_whole_folder(lossy: Cli, samples: Path) -> None:
    dump = samples / "mongodump" / "shop" / "conversations.bson"
    done = lossy("run", "3_compare", "-p", "sources", str(dump), "--json", timeout=120)
    assert done.code == 1, done.text
    types(done.json, run=str, status=str, notebook=str, html=str)
    assert done.json["status"] == "success"
    assert all(Path(done.json[name]).exists() for name in ("run", "notebook", "html"))
    assert lossy("verify", done.json["run"], "--json").json["ok"]
    assert half_written(lossy.case) == []


def test_a_transaction_writes_a_batch_wholly_or_not_at_all(cli: Cli, database: Any) -> None:
    records = database.client[database.name]["s"]
    records.create_index("name", unique=True)
    records.insert_one({"_id": 0, "name": "z"})
    path = cli.folder / "s.json"
    path.write_text(json.dumps([{"_id": 1, "name": "a"}, {"_id": 2, "name": "a"}, {"_id": 3, "name": "c"}]))
    done = cli("restore", path, "--yes", "--json", "--transaction")
    assert (done.code, done.json["restored"]) == (3, 0)
    assert records.count_documents({}) == 1
    done = cli("restore", path, "--yes", "--json")
    assert (done.code, done.json["restored"], done.json["failed"]) == (3, 2, 1)


def test_keys_without_a_difference_are_named(cli: Cli, database: Any) -> None:
    database.client[database.name]["s"].insert_one({"_id": 0})
    (cli.folder / "s.json").write_text(json.dumps([{"_id": number} for number in range(4)]))
    (cli.folder / "keys.txt").write_text("1\n4242\n")
    done = cli("restore", "s.json", "--yes", "--json", "--keys", "keys.txt")
    assert (done.code, done.json["restored"], done.json["unmatched"]) == (1, 1, ["4242"])


def test_what_is_skipped_is_said_with_its_reason(cli: Cli, database: Any) -> None:
    database.client[database.name]["s"].insert_one({"_id": 0})
    (cli.folder / "s.json").write_text('[{"_id": 1, "v": 1}, {"_id": 1, "v": 2}]')
    done = cli("restore", "s.json", "--yes", "--json")
    assert (done.json["restored"], done.json["skipped"]) == (0, 1)
    assert "several versions" in done.json["conflicts"][0]["reason"]
