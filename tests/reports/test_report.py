"""The recovery report: the specification's shape, its status, its advice, and how it is written."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery_nb import reports
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.reports import (
    BackupFacts,
    Candidates,
    Counts,
    DatabaseFacts,
    Findings,
    RestoreFacts,
    SourceFacts,
    Status,
    Unrecoverable,
    VerificationFacts,
    build_report,
    decide_status,
    filesystem,
    recommend,
    write_json,
    write_report,
)
from recovery_nb.reports.schema import FILE_NAME, main, report_schema

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / FILE_NAME
DATABASE = DatabaseFacts(connected=True, name="shop", collections={"quotes": 7}, total_found=7)
RESTORED = RestoreFacts(restore_id="r1", success=True, planned=3, restored=3)
LOST = {"quotes": Counts(identical=7, missing=3)}


def source(path: str = "backups/dump", **more) -> SourceFacts:
    facts = {
        "name": Path(path).name,
        "size": 1,
        "record_count": 10,
        "modified": NOW,
        "collections": {"quotes": 10},
    }
    return SourceFacts(path=path, **(facts | more))


def findings(**more) -> Findings:
    facts = {"timestamp": NOW, "database": DATABASE, "filesystem": filesystem([source()])}
    return Findings(**(facts | more))


def lost(**more) -> Findings:
    candidates = {"quotes": Candidates(recoverable=3, sources={"backups/dump": 3})}
    return findings(**({"comparison": LOST, "candidates": candidates} | more))


def commands(sentences: list[str]) -> list[list[str]]:
    return [shlex.split(sentence.split("`")[1]) for sentence in sentences]


def test_the_report_has_the_keys_of_the_specification():
    sample = source("exports/export_a.json", sample=[{"_id": n} for n in range(5)])
    report = json.loads(build_report(lost(filesystem=filesystem([source(), sample]))).model_dump_json())
    assert report.keys() >= {
        "timestamp",
        "database",
        "filesystem",
        "summary",
        "version",
        "case",
        "comparison",
    }
    assert report["database"] == {
        "connected": True,
        "name": "shop",
        "collections": {"quotes": 7},
        "total_found": 7,
    }
    assert report["filesystem"]["total_found"] == 20
    backup, export = report["filesystem"]["backups"][0], report["filesystem"]["exports"][0]
    assert backup.keys() >= {"path", "name", "size", "record_count", "modified"}
    assert "sample" not in backup
    assert export["sample"] == [{"_id": 0}, {"_id": 1}, {"_id": 2}]
    assert report["summary"].keys() == {"total_recovered", "status", "recommendations", "errors"}
    assert report["summary"]["total_recovered"] == 3
    assert (report["restore"], report["verification"], report["backup"]) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("export_1.json", "json", True),
        ("Export", "mongodump", True),
        ("quotes.csv", "csv", True),
        ("users.jsonl", "jsonl", True),
        ("backup_1.json", "json", False),
        ("dump", "mongodump", False),
    ],
)
def test_backups_and_exports_are_told_apart(name, kind, expected):
    assert reports.is_export(name, kind) is expected


@pytest.mark.parametrize(
    ("facts", "errors", "expected"),
    [
        (findings(), [], Status.PENDING),
        (findings(comparison={"quotes": Counts(identical=7, changed=1)}), [], Status.SUCCESS),
        (lost(), [], Status.PENDING),
        (lost(restore=RESTORED.model_copy(update={"dry_run": True})), [], Status.PENDING),
        (lost(restore=RESTORED), [], Status.PARTIAL),
        (lost(restore=RESTORED, verification=VerificationFacts(ok=True)), [], Status.SUCCESS),
        (lost(restore=RESTORED, verification=VerificationFacts(ok=False)), [], Status.PARTIAL),
        (lost(restore=RESTORED.model_copy(update={"restored": 2, "failed": 1})), [], Status.PARTIAL),
        (lost(restore=RESTORED.model_copy(update={"restored": 0, "failed": 3})), [], Status.FAILED),
        (lost(unrecoverable_total=1), [], Status.PARTIAL),
        (findings(comparison={"quotes": Counts(corrupt=1)}), [], Status.PARTIAL),
        (findings(), ["a.json cannot be read"], Status.PARTIAL),
        (Findings(timestamp=NOW), ["no connection"], Status.FAILED),
        (Findings(timestamp=NOW), [], Status.PENDING),
    ],
)
def test_status(facts, errors, expected):
    assert decide_status(facts, errors) is expected


def test_lost_records_lead_to_a_backup_and_then_to_a_preview_of_their_restore():
    assert commands(recommend(lost())) == [
        ["recovery-nb", "backup"],
        [
            "recovery-nb",
            "restore",
            "backups/dump",
            "--collection",
            "quotes",
            "--only",
            "missing",
            "--dry-run",
        ],
    ]
    assert len(recommend(lost(backup=BackupFacts(path="b")))) == 1


def test_more_records_in_a_backup_than_in_the_database_lead_to_a_restore_before_any_comparison():
    assert any(
        "3 records more than the database" in each and "restore backups/dump" in each for each in recommend(findings())
    )


def test_several_sources_are_named_when_no_single_one_is_enough():
    candidates = {"quotes": Candidates(recoverable=3, sources={"a": 1, "b": 2, "c": 0})}
    assert commands(recommend(lost(candidates=candidates)))[1][1:4] == ["restore", "b", "a"]


def test_a_command_names_the_database_that_the_report_is_of():
    assert commands(recommend(lost(database_uri="mongodb://h:1/n")))[0] == [
        "recovery-nb",
        "--db",
        "mongodb://h:1/n",
        "backup",
    ]
    hidden = recommend(lost(database_uri="mongodb://***@h:1/n"))[0]
    assert '`recovery-nb --db "$DATABASE_URI" backup`' in hidden


def test_what_was_left_out_of_the_comparison_is_an_error_of_the_report():
    report = build_report(lost(apart=["a is a view in the database"]))
    assert report.summary.errors == ["a is a view in the database"]
    assert report.summary.status is Status.PARTIAL
    assert not any("could not be read" in each for each in report.summary.recommendations)


def test_what_holds_no_record_can_be_lost_too():
    facts = findings(comparison={"quotes": Counts(identical=1)}, structures={"by day": "view"})
    report = build_report(facts)
    assert report.summary.status is Status.PENDING
    assert any("lacks by day" in each and "--dry-run" in each for each in report.summary.recommendations)


def test_each_kind_of_finding_has_its_command():
    counts = {"quotes": Counts(changed=1, duplicate=2, corrupt=3, missing=1)}
    damaged = source(damage=[{"offset": 1, "length": 2, "reason": "x"}], typing="plain")
    sentences = recommend(
        lost(comparison=counts, filesystem=filesystem([damaged]), unrecoverable_total=4, case="/cases/a b"),
        ["x"],
    )
    for word in (
        "changed",
        "share a key",
        "cannot be read",
        "damaged in 1 place",
        "no BSON types",
        "cannot be recovered",
    ):
        assert any(word in sentence for sentence in sentences), word
    assert all(command[:3] == ["recovery-nb", "--case", "/cases/a b"] for command in commands(sentences))


def test_after_a_restore_comes_its_verification_and_if_need_be_its_rollback():
    assert commands(recommend(lost(restore=RESTORED, backup=BackupFacts(path="b"))))[0] == [
        "recovery-nb",
        "verify",
        "r1",
    ]
    bad = recommend(lost(restore=RESTORED, verification=VerificationFacts(ok=False)))
    assert "`recovery-nb rollback r1`" in bad[0]
    assert commands(recommend(findings(comparison={"quotes": Counts(identical=1)}))) == [["recovery-nb", "backup"]]


def test_a_thousand_collections_do_not_make_a_thousand_sentences():
    names = [f"c{n}" for n in range(1000)]
    many = {name: Candidates(recoverable=1, sources={"backups/dump": 1}) for name in names}
    assert len(recommend(lost(candidates=many, comparison={name: Counts(missing=1, changed=1) for name in names}))) < 30


@given(st.text(st.characters(exclude_characters="`", codec="utf-8"), min_size=1))
def test_hostile_names_are_quoted_for_a_shell(name):
    facts = lost(candidates={name: Candidates(recoverable=1, sources={"a b;rm": 1})}, backup=BackupFacts(path="b"))
    words = shlex.split(recommend(facts)[0].split("`")[1])
    assert words[2] == "a b;rm"
    assert words[3:5] == ["--collection", name] or words[3] == f"--collection={name}"


def test_a_collection_named_like_a_secret_keeps_its_numbers():
    report = build_report(lost(candidates={"tokens": Candidates(recoverable=3, sources={"a": 3})}))
    assert "3 records missing" in " ".join(report.summary.recommendations)
    assert report.candidates["tokens"].recoverable == 3


def test_no_password_reaches_a_report(tmp_path):
    uri = "mongodb://u:hunter2@h/shop"
    facts = lost(
        database=DatabaseFacts(connected=True, name=uri),
        filesystem=filesystem([source(uri, sample=[{"password": "hunter2"}])]),
        candidates={"quotes": Candidates(recoverable=1, sources={uri: 1})},
        unrecoverable=[Unrecoverable(reason=uri, key=uri)],
    )
    path = write_report(build_report(facts, [f"cannot reach {uri}"]), tmp_path)
    assert b"hunter2" not in path.read_bytes()


def test_unrecoverable_records_are_capped_and_counted():
    facts = findings(unrecoverable=[Unrecoverable(reason="x", offset=n) for n in range(5000)], unrecoverable_total=5000)
    assert (len(facts.unrecoverable), facts.unrecoverable_total) == (1000, 5000)


def test_reports_are_written_under_their_time_and_never_over_each_other(tmp_path):
    report = build_report(lost())
    paths = [write_report(report, tmp_path) for _ in range(2)]
    assert [path.name for path in paths] == [
        "recovery_report_20260102_030405.json",
        "recovery_report_20260102_030405_2.json",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(paths), "nothing else is left behind"
    assert reports.Report.model_validate_json(paths[0].read_bytes()) == report


def test_what_cannot_be_written_is_one_clear_line_and_harms_nothing(tmp_path):
    path = write_json(tmp_path / "a.json", {"n": float("nan")})
    assert json.loads(path.read_bytes()) == {"n": None}
    with pytest.raises(BadInputError, match="as JSON"):
        write_json(path, {"n": object()})
    with pytest.raises(RecoveryError, match="Cannot write"):
        write_json(path / "below.json", {})
    assert json.loads(path.read_bytes()) == {"n": None}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


def test_the_published_schema_is_up_to_date(tmp_path):
    assert SCHEMA.read_bytes() == main(tmp_path).read_bytes(), "run: python -m recovery_nb.reports.schema docs/schemas"


def test_reports_fit_the_schema(tmp_path):
    validator = jsonschema.Draft202012Validator(report_schema())
    full = lost(
        run="run-1",
        restore=RESTORED,
        verification=VerificationFacts(ok=True),
        backup=BackupFacts(path="b"),
        filesystem=filesystem([source(sample=[{"a": 1}], taken_at=NOW)]),
        unrecoverable=[Unrecoverable(reason="x")],
    )
    for facts in (Findings(timestamp=NOW), full):
        validator.validate(json.loads(write_report(build_report(facts, ["x"]), tmp_path).read_bytes()))
