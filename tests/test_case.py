from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bson
import psutil
import pyrage
import pytest

from recovery_nb import Case
from recovery_nb.errors import BadInputError, ConnectionFailedError, RecoveryError
from recovery_nb.selection import Choice


@pytest.fixture
def case(database: Any, tmp_path: Path) -> Iterator[Case]:
    with Case.open(tmp_path / "case", database=database.uri) as opened:
        yield opened


def dump(path: Path, *documents: dict[str, Any]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(map(bson.encode, documents)))
    return path


def log(case: Case) -> list[tuple[str, dict[str, Any]]]:
    lines = (case.folder / "audit.jsonl").read_text().splitlines()
    return [(entry["action"], entry["details"]) for entry in map(json.loads, lines)]


def actions(case: Case) -> list[str]:
    return [action for action, _ in log(case)]


def db_hash(database: Any) -> dict[str, str]:
    hashes: dict[str, str] = database.client[database.name].command("dbHash")["collections"]
    return hashes


def test_opening_a_case_writes_nothing(tmp_path: Path, database: Any) -> None:
    with Case.open(tmp_path / "case", database=database.uri):
        pass

    assert not (tmp_path / "case").exists()


def test_each_verb_is_in_the_audit_log_with_what_came_of_it(case: Case, database: Any, tmp_path: Path) -> None:
    database.client[database.name].c.insert_one({"_id": 1})
    source = dump(tmp_path / "c.bson", {"_id": 1}, {"_id": 2})
    case.scan(source)
    case.backup()
    comparison = case.compare()
    plan = case.plan(comparison)
    case.restore(plan, dry_run=True)
    result = case.restore(plan)
    case.verify(result.restore_id)
    case.rollback(result.restore_id)
    path = case.save_report(case.report())

    verbs = ("scan", "backup", "compare", "plan", "restore preview", "restore", "verify", "rollback")
    told = [f"{verb} {part}" for verb in verbs for part in ("started", "finished")] + ["report saved"]
    told.remove("verify started")  # an entry before it would hide a torn end of the log
    assert actions(case) == told
    details = dict(log(case))
    assert details["scan finished"]["sources"][0]["records"] == 2
    assert details["compare finished"]["collections"]["c"]["missing"] == 1
    assert details["plan finished"]["digest"] == plan.digest
    assert details["restore finished"]["restored"] == 1
    assert details["verify finished"]["ok"] is True
    assert details["rollback finished"]["reverted"] == 1
    assert Path(details["report saved"]["path"]) == path
    assert case.audit.verify().ok


FAILURES: dict[str, Callable[[Case, Path], object]] = {
    "scan": lambda case, _: case.scan("nowhere.json"),
    "backup": lambda case, _: case.backup(collections=["nowhere"]),
    "compare": lambda case, source: case.compare(source, collection="nowhere"),
    "plan": lambda case, source: (source.write_bytes(b""), case.plan()),
    "rollback": lambda case, _: case.rollback("r-none"),
    "verify": lambda case, _: case.verify("nothing"),
}


@pytest.mark.parametrize("verb", FAILURES)
def test_a_verb_that_fails_is_in_the_audit_log_with_its_reason(case: Case, tmp_path: Path, verb: str) -> None:
    source = dump(tmp_path / "c.bson", {"_id": 1})
    case.compare(source)

    with pytest.raises(RecoveryError) as caught:
        FAILURES[verb](case, source)
    action, details = log(case)[-1]
    assert action == f"{verb} failed"
    assert details["error"] == str(caught.value)
    assert case.audit.verify().ok


def test_a_password_is_in_no_file_of_the_case(database: Any, tmp_path: Path) -> None:
    uri = database.uri.replace("mongodb://", "mongodb://someone:s3cr3t-word@")
    with Case.open(tmp_path / "case", database=uri) as case:
        with pytest.raises(ConnectionFailedError) as caught:
            case.backup()
        report = case.report()
        case.save_report(report)

    assert "s3cr3t-word" not in str(caught.value)
    assert report.database.connected is False
    for path in (tmp_path / "case").rglob("*"):
        assert path.is_dir() or b"s3cr3t-word" not in path.read_bytes(), path


def test_without_a_database_the_way_to_name_one_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with (
        Case.open(tmp_path / "case") as case,
        pytest.raises(BadInputError, match=r"no database was given.*DATABASE_URI"),
    ):
        case.backup()


def test_the_database_comes_from_the_environment_if_none_is_named(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URI", database.uri)
    with Case.open(tmp_path / "case") as case:
        assert case.database.name == database.name


def test_a_file_is_no_case(tmp_path: Path) -> None:
    (tmp_path / "case").write_text("")

    with pytest.raises(BadInputError, match="is a file"):
        Case.open(tmp_path / "case")


@pytest.mark.parametrize("uri", ["embedded:", "embedded:a/b", "embedded:a b"])
def test_an_embedded_database_needs_a_name(tmp_path: Path, uri: str) -> None:
    with Case.open(tmp_path / "case", database=uri) as case, pytest.raises(BadInputError, match="embedded:NAME"):
        case.backup()


def servers(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in part for part in process.info["cmdline"] or ())
    ]


def test_an_embedded_database_lives_as_long_as_the_case_is_open(tmp_path: Path) -> None:
    source = dump(tmp_path / "c.bson", {"_id": 1})
    with Case.open(tmp_path / "case", database="embedded:shop") as case:
        assert case.database.name == "shop"
        case.restore(case.plan(case.compare(source)))
        assert servers(tmp_path / "case")
        copy = case.scan("embedded:shop")
        assert [entry.collections for entry in copy.sources] == [{"c": 1}]
    assert not servers(tmp_path / "case")

    with Case.open(tmp_path / "case", database="embedded:shop") as case:
        assert case.counts() == {"c": 1}
    assert not servers(tmp_path / "case")


def test_the_same_content_twice_counts_once(case: Case, tmp_path: Path) -> None:
    for name in ("one", "two"):
        dump(tmp_path / name / "c.bson", {"_id": 1})
    scan = case.scan(tmp_path / "one" / "c.bson", tmp_path / "two" / "c.bson")

    assert len(scan.sources) == 1
    assert case.compare().total.missing == 1


def test_what_cannot_be_read_is_an_error_of_the_scan_and_no_stop(case: Case, tmp_path: Path) -> None:
    dump(tmp_path / "in" / "c.bson", {"_id": 1})
    (tmp_path / "in" / "broken.json").write_text("{")
    (tmp_path / "in" / "notes.txt").write_text("nothing of interest")
    scan = case.scan(tmp_path / "in", tmp_path / "nowhere")

    assert len(scan.sources) == 1
    assert len(scan.errors) == 2
    assert scan.damaged
    assert any("nowhere" in error for error in scan.errors)


@pytest.mark.parametrize("only", [["extra"], ["missing", "duplicate"], ["nonsense"]])
def test_what_cannot_be_restored_is_refused(case: Case, tmp_path: Path, only: list[str]) -> None:
    comparison = case.compare(dump(tmp_path / "c.bson", {"_id": 1}))

    with pytest.raises(BadInputError, match=r"cannot be restored.*choose of missing, changed, equivalent"):
        case.plan(comparison, only=only)


def test_a_rollback_leaves_the_database_as_it_was(case: Case, database: Any, tmp_path: Path) -> None:
    collection = database.client[database.name].c
    collection.insert_many([{"_id": n, "v": "now"} for n in range(0, 5_000, 2)])
    source = dump(tmp_path / "c.bson", *({"_id": n, "v": "then", "w": n / 3} for n in range(5_000)))
    before = db_hash(database)

    result = case.restore(case.plan(case.compare(source), on_conflict="replace"))
    assert (result.restored, result.failed) == (5_000, 0)
    assert db_hash(database) != before
    assert case.verify(result.restore_id).ok
    undone = case.rollback(result.restore_id)

    assert (undone.reverted, undone.skipped, undone.failed) == (5_000, 0, 0)
    assert db_hash(database) == before


def test_the_whole_case_is_verified_without_a_target(case: Case, database: Any, tmp_path: Path) -> None:
    case.restore(case.plan(case.compare(dump(tmp_path / "c.bson", {"_id": 1}))))
    case.backup()
    assert case.verify().ok

    for path in (case.folder / "backups").rglob("c.bson.zst"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    found = case.verify()
    assert not found.ok
    assert any("c.bson" in problem.where for problem in found.problems)


@pytest.fixture
def restored(case: Case, database: Any, tmp_path: Path) -> str:
    comparison = case.compare(dump(tmp_path / "c.bson", {"_id": 1}, {"_id": 2}))
    return case.restore(case.plan(comparison)).restore_id


def test_a_rollback_touches_no_other_database_than_the_restore_s(
    case: Case, database: Any, tmp_path: Path, restored: str
) -> None:
    other = f"{database.name}_other"
    database.client[other].c.insert_many([{"_id": 1}, {"_id": 2}])
    try:
        stranger = Case.open(case.folder, database=database.uri.replace(database.name, other))
        with stranger, pytest.raises(RecoveryError, match="is not that collection"):
            stranger.rollback(restored)
        assert database.client[other].c.count_documents({}) == 2
        assert case.rollback(restored).reverted == 2
    finally:
        database.client.drop_database(other)


def test_a_collection_made_anew_is_not_rolled_back(case: Case, database: Any, restored: str) -> None:
    database.client[database.name].c.drop()
    database.client[database.name].c.insert_many([{"_id": 1}, {"_id": 2}])
    with pytest.raises(RecoveryError, match="is not that collection"):
        case.rollback(restored)
    assert database.client[database.name].c.count_documents({}) == 2


def test_a_plan_is_applied_to_its_own_database_only(case: Case, database: Any, tmp_path: Path) -> None:
    comparison = case.compare(dump(tmp_path / "c.bson", {"_id": 1}))
    plan = case.plan(comparison)
    other = Case.open(case.folder, database=database.uri.replace(database.name, f"{database.name}_other"))
    with other, pytest.raises(BadInputError, match="was made for"):
        other.restore(plan, comparison)


@pytest.mark.parametrize("content", [b"", b'{"id": "r', b"\x00" * 40])
def test_a_restore_without_a_readable_header_is_a_problem_and_can_be_undone(
    case: Case, database: Any, restored: str, content: bytes
) -> None:
    (case.folder / "restores" / restored / "restore.json").write_bytes(content)
    found = case.verify()
    assert not found.ok
    assert any("restore.json" in problem.where for problem in found.problems)
    assert case.rollback(restored).reverted == 2
    assert database.client[database.name].c.count_documents({}) == 0


@pytest.mark.parametrize("keep", [0, 300])
def test_a_log_that_tells_less_than_the_case_holds_is_a_problem(case: Case, restored: str, keep: int) -> None:
    log_file = case.folder / "audit.jsonl"
    log_file.write_bytes(log_file.read_bytes()[:keep])
    found = case.verify()
    assert not found.ok
    assert any("the case holds 1" in problem.what for problem in found.problems)


def test_a_whole_case_is_found_whole(case: Case, restored: str) -> None:
    case.backup()
    assert case.verify().ok


def test_a_restore_is_verified_where_it_wrote_whatever_database_is_named(
    case: Case, database: Any, restored: str
) -> None:
    other = Case.open(case.folder, database=database.uri.replace(database.name, f"{database.name}_other"))
    with other:
        found = other.verify(restored)
        assert (found.ok, found.checked) == (True, 2)
        assert f"{restored} was checked in {database.name}, which it wrote to" in found.notes
        assert other.verify(case.folder / "restores" / restored).checked == 2
        database.client[database.name].c.delete_one({"_id": 2})
        assert [one.where for one in other.verify(restored).problems] == ["c/2"]


def test_the_commands_that_end_a_restore_show_no_secret(case: Case, restored: str) -> None:
    header = case.folder / "restores" / restored / "restore.json"
    (plan,) = (case.folder / "plans").glob("*/plan.json")
    facts = json.loads(plan.read_text())
    masked = facts["database"].replace("mongodb://", "mongodb://***@")
    plan.write_text(json.dumps({**facts, "database": masked}))
    for state, purposes in (("interrupted", ("finish", "undo")), ("rolling back", ("undo",)), ("done", ())):
        header.write_text(json.dumps({**json.loads(header.read_text()), "state": state}))
        told = [note for note in case.verify(restored).notes if note.startswith("to ")]
        words = {"finish": f"restore --yes --resume {restored}", "undo": f"rollback {restored}"}
        assert told == [
            f'to {purpose} {restored}: recovery-nb --case {case.folder} --db "$DATABASE_URI" {words[purpose]}, '
            f"where DATABASE_URI is {masked} with its user and password"
            for purpose in purposes
        ]


def test_a_restore_into_another_database_of_the_case_s_own_server_is_verified(tmp_path: Path) -> None:
    source = dump(tmp_path / "c.bson", {"_id": 1}, {"_id": 2})
    with Case.open(tmp_path / "case", database="embedded:shop") as case:
        case.restore_into("other")
        restore_id = case.restore(case.plan(case.compare(source))).restore_id
    with Case.open(tmp_path / "case", database="embedded:shop") as case:  # at another address than before
        for target in (restore_id, None):
            found = case.verify(target)
            assert found.problems == ()
            assert f"{restore_id} was checked in other, which it wrote to" in found.notes
            assert not any("another server" in note for note in found.notes)


class TestRestoresIntoOtherDatabases:
    @pytest.fixture
    def other(self, case: Case, database: Any, tmp_path: Path, restored: str) -> Iterator[Any]:
        name = f"{database.name}_other"
        with Case.open(case.folder, database=database.uri) as opened:
            opened.restore_into(name)
            comparison = opened.compare(dump(tmp_path / "c.bson", {"_id": 1}, {"_id": 2}))
            assert opened.restore(opened.plan(comparison)).restored == 2
        yield database.client[name]
        database.client.drop_database(name)

    @pytest.mark.parametrize("into", [True, False])
    def test_are_verified_there_with_the_whole_case(
        self, case: Case, database: Any, other: Any, restored: str, into: bool
    ) -> None:
        with Case.open(case.folder, database=database.uri) as opened:
            opened.restore_into(other.name if into else "")
            found = opened.verify()
            assert found.problems == ()
            other.c.delete_one({"_id": 2})
            (there,) = set(opened.restores()) - {restored}
            assert [problem.where for problem in opened.verify().problems] == [f"{there}: c/2"]
            database.client[database.name].c.delete_many({})
            database.client[database.name].c.insert_one({"_id": 1})
            wrong = [problem.where for problem in opened.verify().problems]
            assert sorted(wrong) == sorted([f"{restored}: c/2", f"{there}: c/2"]), "one loss in each, told apart"

    def test_of_another_server_are_said_not_to_have_been_checked(self, case: Case, database: Any, other: Any) -> None:
        other.c.drop()
        headers = (case.folder / "restores").glob("*/restore.json")
        header = next(path for path in headers if other.name in path.read_text())
        header.write_text(json.dumps({**json.loads(header.read_text()), "database": "mongodb://elsewhere/far"}))
        with Case.open(case.folder, database=database.uri) as opened:
            found = opened.verify()
            with pytest.raises(BadInputError, match=r"wrote to mongodb://elsewhere/far, on another server.*--db"):
                opened.verify(header.parent.name)
        assert found.problems == ()
        assert any("wrote to mongodb://elsewhere/far, on another server, and was not" in note for note in found.notes)


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, str]:
    """A file with a secret key, and its public key."""
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "identity").write_text(f"{key}\n")
    return tmp_path / "identity", str(key.to_public())


def test_a_case_with_an_encrypted_backup_is_verified_by_who_has_its_key(
    case: Case, database: Any, restored: str, identity: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, public = identity
    taken = case.backup(age_recipients=[public])
    closed = case.verify()
    assert not closed.ok
    assert {problem.where for problem in closed.problems} == {str(taken.path)}
    assert "RECOVERY_NB_AGE_IDENTITIES" in closed.problems[0].what

    monkeypatch.setenv("RECOVERY_NB_AGE_IDENTITIES", str(path))
    with Case.open(case.folder, database=database.uri) as opened:
        assert opened.verify().ok
        assert opened.verify(taken.path, live=True).ok
        victim = next(taken.path.rglob("c.bson.zst.age"))
        victim.write_bytes(victim.read_bytes()[:-1] + b"\x01")
        assert any("c.bson" in problem.where for problem in opened.verify().problems)


def test_a_restore_is_resumed_and_undone_in_parts_and_the_log_tells_of_it(
    case: Case, database: Any, restored: str
) -> None:
    assert any("nothing to do" in note for note in case.resume(restored).notes)
    assert case.rollback(restored, keys=[Choice("2", "c"), Choice("9")]).reverted == 1
    assert case.unmatched == [Choice("9")]
    assert [one["_id"] for one in database.client[database.name].c.find()] == [1]
    assert case.rollback(restored, force=True).reverted == 1

    told = [action for action in actions(case) if action.split()[0] in ("resume", "rollback")]
    assert told == [f"{verb} {part}" for verb in ("resume", "rollback", "rollback") for part in ("started", "finished")]
    begun = [details for action, details in log(case) if action == "rollback started"]
    assert [(details["force"], details.get("keys")) for details in begun] == [(False, 2), (True, None)]
    assert case.audit.verify().ok


@pytest.mark.parametrize("restore_id", ["../c", "", "a/b"])
def test_what_is_no_restore_s_id_is_neither_resumed_nor_undone(case: Case, restored: str, restore_id: str) -> None:
    for verb in (case.resume, case.rollback):
        with pytest.raises(BadInputError):
            verb(restore_id)


def test_a_plan_knows_what_was_asked_of_it(case: Case, tmp_path: Path) -> None:
    comparison = case.compare(dump(tmp_path / "c.bson", *({"_id": n, "v": n % 2} for n in range(6))))
    plan = case.plan(comparison, query='{"v": 1}', mark="back_at", transaction="plan")
    assert (plan.to_write, plan.mark, plan.transaction) == (3, "back_at", "plan")
    details = dict(log(case))["plan started"]
    assert (details["query"], details["mark"], details["transaction"]) == ('{"v": 1}', "back_at", "plan")
    assert case.plan(comparison, query='{"v": 7}').to_write == 0


STRANGE: dict[str, tuple[Callable[[Case, Any], object], str]] = {
    "a case of a number": (lambda *_: Case.open(5), "the case is 5, which is no path"),  # type: ignore[arg-type]
    "a case of nothing": (lambda *_: Case.open(""), "the case is '', which is no path"),
    "a database of a number": (lambda *_: Case.open("x", database=5), "the database is 5"),  # type: ignore[arg-type]
    "into a number": (lambda case, _: case.restore_into(5), "the other database is 5, which is no text"),
    "scan nothing": (lambda case, _: case.scan(""), "a source is '', which is no path"),
    "compare nothing": (lambda case, _: case.compare(""), "a source is '', which is no path"),
    "compare None": (lambda case, _: case.compare(None), "a source is None, which is no path"),
    "a collection of a number": (lambda case, _: case.compare(collection=5), "the collection is 5, which is no text"),
    "a key of numbers": (lambda case, _: case.compare(key=[5]), "key: 5 is no name"),
    "a time of a number": (lambda case, _: case.compare(as_of=5), "the time is 5, which is no text"),
    "a backup of no collection": (lambda case, _: case.backup(collections=[]), "collections names nothing"),
    "a backup of numbers": (lambda case, _: case.backup(collections=[5]), "collections: 5 is no name"),
    "a backup of an empty name": (lambda case, _: case.backup(collections=[""]), "collections: '' is no name"),
    "a backup into nothing": (lambda case, _: case.backup(""), "the backup's folder is '', which is no path"),
    "an unknown layout": (lambda case, _: case.backup(layout="tar"), "layout cannot be 'tar'; choose of bson, json"),
    "no compression": (lambda case, _: case.backup(compression=""), "cannot be ''; choose of none, zstd, gzip"),
    "a plan of a text": (lambda case, _: case.plan("c1"), "'c1' is no comparison; give what compare returned"),
    "an unknown conflict": (
        lambda case, found: case.plan(found, on_conflict="zzz"),
        "on_conflict cannot be 'zzz'; choose of skip, replace, merge, fail",
    ),
    "a query that is no text": (
        lambda case, found: case.plan(found, query={"$a": 1}), "the query is {'$a': 1}, which is no text"
    ),
    "a mark that is no text": (lambda case, found: case.plan(found, mark=5), "the mark is 5, which is no text"),
    "an unknown transaction": (
        lambda case, found: case.plan(found, transaction="zz"), "transaction cannot be 'zz'; choose of"
    ),
    "only a number": (lambda case, found: case.plan(found, only=5), "only: 5 is no name"),
    "keys of a number": (lambda case, found: case.plan(found, keys=5), "5 names no keys"),
    "keys of numbers": (lambda case, found: case.plan(found, keys=[1]), "1 is no key; give a key as comparisons"),
    "keys of a strange choice": (lambda case, found: case.plan(found, keys=[Choice(["1"])]), "is no key"),  # type: ignore[arg-type]
    "keys of an empty path": (lambda case, found: case.plan(found, keys=""), "the keys file is '', which is no path"),
    "a restore of a text": (lambda case, _: case.restore("p"), "'p' is no plan; give what plan returned"),
    "resume None": (lambda case, _: case.resume(None), "None is no restore's id"),
    "rollback nothing": (lambda case, _: case.rollback(""), "'' is no restore's id"),
    "rollback the folder above": (lambda case, _: case.rollback(".."), "'..' is no restore's id"),
    "rollback a number": (lambda case, _: case.rollback(5), "5 is no restore's id"),
    "verify a number": (lambda case, _: case.verify(5), "what to verify is 5, which is no path"),
    "verify nothing": (lambda case, _: case.verify(""), "what to verify is '', which is no path"),
    "verify a name too long": (lambda case, _: case.verify("x" * 5_000), "cannot be looked at: File name too long"),
}  # fmt: skip


@pytest.mark.parametrize("what", STRANGE)
def test_a_strange_argument_is_refused_in_one_line_and_nothing_is_written(
    case: Case, database: Any, tmp_path: Path, what: str
) -> None:
    found = case.compare(dump(tmp_path / "c.bson", {"_id": 1}))
    call, says = STRANGE[what]

    with pytest.raises(BadInputError) as caught:
        call(case, found)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert db_hash(database) == {}
    assert not (case.folder / "backups").exists()
    assert case.audit.verify().ok


def test_keys_are_named_by_their_texts(case: Case, database: Any, tmp_path: Path) -> None:
    comparison = case.compare(dump(tmp_path / "c.bson", *({"_id": n} for n in range(6))))
    collection = database.client[database.name].c

    result = case.restore(case.plan(comparison, keys=["1", Choice("4", "c"), "77"]), comparison)
    assert sorted(one["_id"] for one in collection.find()) == [1, 4]
    assert case.unmatched == [Choice("77")]
    assert case.rollback(result.restore_id, keys=("4",)).reverted == 1
    assert [one["_id"] for one in collection.find()] == [1]


def test_one_text_is_one_name_and_not_its_letters(case: Case, database: Any, tmp_path: Path) -> None:
    source = dump(tmp_path / "c.bson", {"_id": 1, "name": "a"}, {"_id": 2, "name": "b"})
    database.client[database.name].c.insert_one({"_id": 9, "name": "b"})
    comparison = case.compare(source, key="name")
    assert (comparison.total.missing, comparison.total.changed) == (1, 1)
    assert case.plan(comparison, only="missing").to_write == 1
    assert case.backup(collections="c").collections == {"c": 1}


def test_what_was_verified_is_told_where_it_cannot_be_logged(case: Case, database: Any) -> None:
    database.client[database.name].c.insert_one({"_id": 1})
    taken = case.backup()
    (case.folder / "audit.jsonl").unlink()
    (case.folder / "audit.jsonl").mkdir()

    found = case.verify(taken.path)
    assert (found.ok, found.checked > 0) == (True, True)
    assert any(note.startswith("that this was verified is not in the log: ") for note in found.notes)
    with pytest.raises(BadInputError, match="is no backup, restore, run or case"):
        case.verify("nothing")
