from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from bson.raw_bson import RawBSONDocument

from recovery_nb import Case
from recovery_nb.records.elements import split
from recovery_nb.scanning import Scan

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def scan(tmp_path: Path, samples: Path) -> Scan:
    """A dump, a CSV file of one of its collections, a copy of that, and a list of what is in no collection known."""
    users = (samples / "mongoexport" / "users.csv").read_bytes()
    evidence = tmp_path / "evidence"
    (evidence / "shop").mkdir(parents=True)
    for name in ("users.bson", "users.metadata.json"):
        (evidence / "shop" / name).write_bytes((samples / "mongodump" / "shop" / name).read_bytes())
    (evidence / "people.csv").write_bytes(users)
    (evidence / "people_again.csv.gz").write_bytes(gzip.compress(users))
    (evidence / f"{HOSTILE}.jsonl").write_text(json.dumps({"_id": 1, "a": 1}) + "\n")
    with Case.open(tmp_path / "case") as case:
        return case.scan(evidence)


def test_it_says_whose_the_records_are_that_a_source_does_not_name(scan: Scan) -> None:
    told = scan.frame.set_index(scan.frame["path"].map(lambda path: path.name))[["collection", "reason"]]

    assert told.loc["people.csv"].tolist() == ["users", "its fields: 9 of 9 are those of users"]
    assert told.loc["shop"].tolist() == ["", ""], "it names them itself"


def test_a_copy_counts_once_and_is_named(scan: Scan) -> None:
    assert [(one.name, of.name) for one, of in scan.copies] == [("people_again.csv.gz", "people.csv")]
    assert scan.summary["copies"] == 1
    assert "people_again.csv.gz" in scan._repr_html_()


def test_a_report_tells_it_by_the_fields_of_the_database(database: Any, tmp_path: Path, samples: Path) -> None:
    records = split((samples / "mongodump" / "shop" / "users.bson").read_bytes())
    database.client[database.name]["clients"].insert_many([RawBSONDocument(record) for record in records])
    people = tmp_path / "people.csv"
    people.write_bytes((samples / "mongoexport" / "users.csv").read_bytes())
    with Case.open(tmp_path / "case", database=database.uri) as case:
        alone = case.scan(people)
        told = alone.explained_by(case.report())

    assert list(alone.inferred.values()) == [("people", "the file's name alone")]
    assert list(told.inferred.values()) == [("clients", "its fields: 9 of 9 are those of clients")]


def test_the_html_holds_no_markup_of_the_evidence(scan: Scan) -> None:
    html = scan._repr_html_()

    assert "<img" not in html
    assert "&lt;img" in html
    assert "because" in html


def test_a_scan_that_found_nothing_says_so() -> None:
    assert "No backup, export or dump was found." in Scan(())._repr_html_()
    assert Scan(()).frame.empty
