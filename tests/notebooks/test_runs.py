"""The notebooks, run headless one after the other over one case, as an analyst goes through them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import nbformat
import pytest

from recovery_nb.headless import RunResult

from .conftest import HOSTILE, MISSING, PASSWORD, Shop

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "recovery_report.schema.json").read_bytes())

Step = Callable[[str], RunResult]


@pytest.fixture(scope="module")
def steps(shop: Shop) -> Step:
    """Return the run of a notebook; those before it are run first, once."""
    done: dict[str, RunResult] = {}
    given: dict[str, dict[str, object]] = {
        "1_scan": {"sources": str(shop.evidence)},
        "2_backup": {},
        "3_compare": {"out": str(shop.evidence.parent / "differences.csv")},
        "4_restore": {"only": "missing", "apply": True},
        "5_verify": {},
        "recover": {"sources": str(shop.evidence), "restore": True, "only": "changed", "on_conflict": "replace"},
    }

    def step(name: str) -> RunResult:
        for each, parameters in given.items():
            if each not in done:
                done[each] = shop.run(each, **parameters)
            if each == name:
                break
        return done[name]

    return step


def page(run: RunResult) -> str:
    return run.html.read_text()


def report(run: RunResult) -> dict[str, Any]:
    assert run.report is not None
    return dict(json.loads(run.report.read_bytes()))


def test_scan_lists_every_source_and_the_signs_of_loss(steps: Step) -> None:
    run = steps("1_scan")
    assert (run.status, run.exit_code, run.error) == ("success", 1, "")
    assert "backup_20251201_103000.json" in page(run)
    assert "export_cut.json" in page(run)
    assert "a source holds more records than the database" in page(run)


def test_scan_says_whose_records_they_are_and_counts_a_copy_once(steps: Step) -> None:
    shown = page(steps("1_scan"))
    assert "its records are taken for" in shown
    assert "the file's name, and fields it shares" in shown
    assert "Copies, which are not counted again" in shown
    assert "again/backup_20251201_103000.json.gz" in shown


def test_backup_takes_and_checks_a_copy(steps: Step, shop: Shop) -> None:
    run = steps("2_backup")
    assert (run.status, run.exit_code, run.error) == ("success", 0, "")
    assert "records are safe" in page(run)
    assert [path.name for path in (shop.case / "backups").iterdir()]
    assert report(run)["backup"]["records"] == 600 - MISSING + 600 + 250


def test_compare_counts_what_is_lost_and_draws_when(steps: Step, shop: Shop) -> None:
    run = steps("3_compare")
    assert (run.status, run.exit_code, run.error) == ("success", 1, "")
    counts = report(run)["comparison"]
    assert counts["conversations"]["missing"] == MISSING
    assert counts["quotes"]["missing"] == 300
    assert counts["sessions"]["changed"] == 3
    assert page(run).count("data:image/png") >= 4
    assert "Everything in quotes is missing" in page(run)
    assert ">readable<" in page(run), "what is left of the record at the cut"
    assert "differences.csv" in {path.name for path in shop.evidence.parent.iterdir()}


def test_restore_writes_what_the_parameters_choose(steps: Step, shop: Shop) -> None:
    run = steps("4_restore")
    assert (run.status, run.exit_code, run.error) == ("success", 0, "")
    assert report(run)["restore"]["restored"] == MISSING + 300
    assert "the parameters decide" in page(run)
    assert shop.records["conversations"].count_documents({}) == 600
    assert shop.records["quotes"].count_documents({}) == 300


def test_verify_holds_the_whole_case_against_itself(steps: Step) -> None:
    run = steps("5_verify")
    assert (run.status, run.exit_code, run.error) == ("success", 0, "")
    assert "the chain of hashes is whole" in page(run)
    assert report(run)["verification"]["ok"]


def test_recover_does_all_five_in_one(steps: Step, shop: Shop) -> None:
    run = steps("recover")
    assert (run.status, run.exit_code, run.error) == ("success", 1, ""), "the cut export stays a finding"
    found = report(run)
    assert found["restore"]["restored"] == 3
    assert found["verification"]["ok"]
    assert not list(shop.records["sessions"].find({"session_note": {"$exists": True}}))
    assert any(path.name.startswith("pre_recovery_") for path in (shop.case / "backups").iterdir())


def test_what_was_lost_after_a_time_is_found_and_put_back_from_the_oplog(
    steps: Step, shop: Shop, tmp_path: Path
) -> None:
    steps("recover")
    users = shop.records["users"]
    assert users.delete_many({"_id": {"$in": [one["_id"] for one in users.find().limit(2)]}}).deleted_count == 2
    other = replace(shop, case=tmp_path / "case")

    compared = other.run("3_compare", sources="oplog:", as_of=shop.before)
    assert (compared.status, compared.exit_code, compared.error) == ("success", 1, "")
    assert {name: one["missing"] for name, one in report(compared)["comparison"].items() if one["missing"]} == {
        "users": 2
    }
    restored = other.run("4_restore", sources="oplog:", as_of=shop.before, apply=True)
    assert (restored.status, restored.exit_code, restored.error) == ("success", 0, "")
    assert report(restored)["restore"]["restored"] == 2

    recovered = other.run("recover", sources="oplog:", as_of=shop.before, backup=False)
    assert (recovered.status, recovered.exit_code, recovered.error) == ("success", 0, "")


def test_a_time_that_is_none_is_refused_in_one_line(shop: Shop, tmp_path: Path) -> None:
    run = replace(shop, case=tmp_path / "case").run("3_compare", sources="oplog:", as_of="yesterday")
    assert (run.status, run.exit_code) == ("failed", 2)
    assert "not a point in time: 'yesterday'" in run.error


@pytest.mark.parametrize("name", ["1_scan", "2_backup", "3_compare", "4_restore", "5_verify", "recover"])
class TestEveryRun:
    """What holds for each of them."""

    def test_its_report_is_valid(self, name: str, steps: Step) -> None:
        jsonschema.validate(report(steps(name)), SCHEMA)

    def test_its_notebook_can_be_opened_and_holds_nothing_that_needs_a_kernel(self, name: str, steps: Step) -> None:
        node = nbformat.read(steps(name).notebook, as_version=4)
        nbformat.validate(node)
        kinds = {kind for cell in node.cells for one in cell.get("outputs", []) for kind in one.get("data", {})}
        assert kinds <= {"text/html", "text/plain", "image/png"}
        assert "an interactive view" not in steps(name).notebook.read_text()

    def test_the_password_is_in_no_file(self, name: str, steps: Step) -> None:
        assert not [path for path in steps(name).run.iterdir() if PASSWORD in path.read_text()]

    def test_nothing_in_the_data_becomes_markup(self, name: str, steps: Step) -> None:
        assert "<img src=x" not in page(steps(name))


def test_hostile_values_are_shown_as_what_they_are(steps: Step) -> None:
    shown = page(steps("3_compare"))
    assert "&lt;/script&gt;&lt;img src=x" in shown
    assert HOSTILE not in shown


def test_the_password_is_nowhere_in_the_case(steps: Step, shop: Shop) -> None:
    steps("recover")
    files = [path for path in shop.case.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_an_empty_case_is_one_clear_line(shop: Shop, tmp_path: Path) -> None:
    run = Shop("", shop.records, shop.evidence, tmp_path / "case").run("5_verify")
    assert (run.status, run.exit_code) == ("failed", 2)
    assert run.error == f"BadInputError: {tmp_path / 'case'} holds no case; name its folder with --case (cell [3])"


def test_a_private_database_serves_one_notebook_after_the_other(shop: Shop, tmp_path: Path) -> None:
    """The embedded server is started by a notebook and stopped at its end."""
    case = tmp_path / "case"
    run = Shop("", shop.records, shop.evidence, case).run("2_backup", database="embedded:shop")
    assert (run.status, run.exit_code, run.error) == ("success", 0, "")
    assert not (case / "embedded" / "holder.json").exists()


def test_a_wrong_order_is_one_clear_line(shop: Shop, tmp_path: Path) -> None:
    elsewhere = Shop(shop.uri, shop.records, shop.evidence, tmp_path / "case")
    run = elsewhere.run("4_restore")
    assert (run.status, run.exit_code) == ("failed", 2)
    assert run.error == "BadInputError: this case holds no comparison; compare first (cell [3])"
    assert "Traceback (most recent call last)" not in page(run)
    assert "recovery_nb/case.py" not in page(run), "an error that one can act on shows no stack"
