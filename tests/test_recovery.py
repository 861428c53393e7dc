from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import jsonschema
import pytest

from recovery_nb import Case
from recovery_nb.errors import BadInputError, ConnectionFailedError
from recovery_nb.recovery import recover

SCHEMA = Path(__file__).parents[1] / "docs" / "schemas" / "recovery_report.schema.json"


@pytest.fixture
def case(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with Case.open("case", database=database.uri) as opened:
        yield opened


def dump(path: Path, *documents: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(one if isinstance(one, bytes) else bson.encode(one) for one in documents))
    return path


def valid(report: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(report.model_dump_json())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    return document


def test_the_usual_places_are_searched_and_the_loss_is_reported(case: Case, database: Any, samples: Path) -> None:
    backup = samples / "backups" / "backup_20251201_103000.json"
    Path("backups").mkdir()
    Path("backups", backup.name).write_bytes(backup.read_bytes())
    outcome = recover(case)
    document = valid(outcome.report)

    assert outcome.exit_code == 1
    assert outcome.restored is None
    assert document["filesystem"]["backups"][0]["path"] == f"backups/{backup.name}"
    assert document["filesystem"]["backups"][0]["record_count"] == 1_500
    assert document["candidates"]["conversations"] == {"recoverable": 600, "sources": {f"backups/{backup.name}": 600}}
    assert document["comparison"]["quotes"]["missing"] == 300
    assert document["summary"]["recommendations"]
    assert list(Path("case", "backups").glob("pre_recovery_*"))
    assert database.client[database.name].list_collection_names() == []


def test_a_named_source_is_restored_and_verified(case: Case, database: Any, samples: Path) -> None:
    outcome = recover(case, source=samples / "backups" / "backup_20251201_103000.json", backup=False)
    document = valid(outcome.report)

    assert outcome.exit_code == 0
    assert outcome.restored is not None
    assert outcome.restored.restored == 1_500
    assert document["summary"]["status"] == "success"
    assert document["verification"]["ok"] is True
    assert document["restore"]["restored"] == 1_500
    assert case.counts() == {"conversations": 600, "quotes": 300, "sessions": 600}
    assert not Path("case", "backups").exists()


def test_a_restore_goes_to_the_collection_that_is_named(case: Case, database: Any, tmp_path: Path) -> None:
    outcome = recover(case, source=dump(tmp_path / "c.bson", {"_id": 1}), target="elsewhere")

    assert outcome.restored is not None
    assert outcome.restored.restored == 1
    assert list(database.client[database.name].elsewhere.find()) == [{"_id": 1}]


def test_what_no_one_can_read_is_said_to_be_unrecoverable(case: Case, database: Any, tmp_path: Path) -> None:
    source = dump(tmp_path / "c.bson", {"_id": 1}, b"\xff" * 30, {"_id": 2})
    document = valid(recover(case, sources=[source]).report)

    assert [(one["collection"], one["offset"]) for one in document["unrecoverable"]] == [("c", 14)]
    assert document["comparison"]["c"]["corrupt"] == 1
    assert document["candidates"]["c"]["recoverable"] == 2


def test_nothing_lost_ends_well(case: Case, database: Any, tmp_path: Path) -> None:
    database.client[database.name].c.insert_one({"_id": 1})
    outcome = recover(case, sources=[dump(tmp_path / "c.bson", {"_id": 1})])

    assert outcome.exit_code == 0
    assert valid(outcome.report)["comparison"]["c"]["identical"] == 1


def test_where_nothing_is_found_nothing_is_compared(case: Case, database: Any) -> None:
    outcome = recover(case)

    assert outcome.comparison is None
    assert valid(outcome.report)["database"]["connected"] is True


def test_a_restore_from_nothing_is_refused(case: Case, database: Any) -> None:
    with pytest.raises(BadInputError, match="nothing to restore from"):
        recover(case, restore=True)


def test_a_database_that_does_not_answer_stops_before_any_work(tmp_path: Path) -> None:
    uri = "mongodb://127.0.0.1:1/shop?serverSelectionTimeoutMS=50"
    with (
        Case.open(tmp_path / "case", database=uri) as case,
        pytest.raises(ConnectionFailedError, match="does not answer"),
    ):
        recover(case)
    assert not (tmp_path / "case" / "backups").exists()


def test_a_report_of_a_case_without_a_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    with Case.open("case") as case:
        case.scan(dump(tmp_path / "c.bson", {"_id": 1}))
        document = valid(case.report())

    assert document["database"]["connected"] is False
    assert document["filesystem"]["total_found"] == 1
