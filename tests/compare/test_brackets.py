"""A loss lies between the newest copy that holds the records and the next one that lacks them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recovery_nb import Case
from recovery_nb.compare.brackets import Bracket, brackets
from recovery_nb.compare.result import Comparison

from .losses import FIRST, backup, records


def day(number: int) -> datetime:
    return FIRST + timedelta(days=number)


def named(found: Comparison, one: Bracket) -> tuple[str, str]:
    names = {"": "", **{identifier: entry.name for identifier, entry in found.sources.items()}}
    return names[one.holder], names[one.witness]


def compared(case: Case, database: Any, live: list[dict[str, Any]], *sources: Path) -> Comparison:
    if live:
        database.client[database.name]["quotes"].insert_many(live)
    return case.compare(*sources)


def test_a_loss_lies_between_two_backups(database: Any, case: Case, tmp_path: Path) -> None:
    made = [
        backup(tmp_path, 1, {"quotes": records(range(100))}),
        backup(tmp_path, 2, {"quotes": records(range(100))}),
        backup(tmp_path, 3, {"quotes": records(range(70))}),
        backup(tmp_path, 4, {"quotes": records(range(70))}),
    ]
    found = compared(case, database, records(range(70)), *made)
    (only,) = brackets(found)
    assert (only.collection, only.records) == ("quotes", 30)
    assert (only.after, only.before) == (day(2), day(3))
    assert named(found, only) == ("backup_2.json", "backup_3.json")
    assert not only.doubt


def test_what_every_backup_holds_was_lost_after_the_newest_and_before_the_reading(
    database: Any, case: Case, tmp_path: Path
) -> None:
    made = [backup(tmp_path, number, {"quotes": records(range(10))}) for number in (1, 2)]
    found = compared(case, database, records(range(8)), *made)
    (only,) = brackets(found)
    assert (only.after, only.before) == (day(2), datetime.fromisoformat(found.summary.started))
    assert named(found, only) == ("backup_2.json", "")


def test_two_losses_have_two_brackets_and_the_larger_comes_first(database: Any, case: Case, tmp_path: Path) -> None:
    made = [
        backup(tmp_path, 1, {"quotes": records(range(100))}),
        backup(tmp_path, 2, {"quotes": records(range(10, 100))}),
        backup(tmp_path, 3, {"quotes": records(range(60, 100))}),
    ]
    found = compared(case, database, records(range(60, 100)), *made)
    assert [(one.records, one.after, one.before) for one in brackets(found)] == [
        (50, day(2), day(3)),
        (10, day(1), day(2)),
    ]


def test_a_copy_of_other_collections_is_no_witness(database: Any, case: Case, tmp_path: Path) -> None:
    made = [
        backup(tmp_path, 1, {"quotes": records(range(10))}),
        backup(tmp_path, 2, {"users": records(range(10))}),
    ]
    found = compared(case, database, records(range(5)), *made)
    quotes = next(one for one in brackets(found) if one.collection == "quotes")
    assert named(found, quotes) == ("backup_1.json", "")


def test_a_damaged_copy_is_no_witness_of_what_it_lacks(database: Any, case: Case, tmp_path: Path) -> None:
    whole = backup(tmp_path, 1, {"quotes": records(range(10))})
    cut = backup(tmp_path, 2, {"quotes": records(range(10))})
    cut.write_text(cut.read_text()[:-60])
    found = compared(case, database, records(range(3)), whole, cut)
    assert found.total.missing == 7
    assert all(one.witness == "" for one in brackets(found))


def test_a_log_tells_when_a_record_was_last_written_and_no_more(database: Any, case: Case, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    lines = [
        f"{day(number):%Y-%m-%dT%H:%M:%SZ} INFO inserted quotes {json.dumps(record)}"
        for number, record in enumerate(records(range(10, 15)))
    ]
    log.write_text("\n".join(lines) + "\n")
    later = backup(tmp_path, 9, {"quotes": records(range(100, 110))})
    found = compared(case, database, records(range(100, 110)), log, later)
    (only,) = brackets(found)
    assert (only.records, only.written, only.after, only.before) == (5, True, day(0), day(9))


def test_a_time_that_is_hearsay_is_said_to_be(database: Any, case: Case, tmp_path: Path) -> None:
    path = tmp_path / "quotes.json"
    path.write_text(json.dumps({"collections": {"quotes": records(range(10))}}))
    (only,) = brackets(compared(case, database, records(range(5)), path))
    assert only.doubt == "quotes.json is dated by its modification time only"


def test_a_time_of_its_own_counts_more_than_when_a_file_was_copied(database: Any, case: Case, tmp_path: Path) -> None:
    made = [backup(tmp_path, number, {"quotes": records(range(count))}) for number, count in ((1, 10), (3, 5))]
    for name, count in (("holds", 10), ("lacks", 5)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"collections": {"quotes": records(range(count))}}))
        made.append(path)
    found = compared(case, database, records(range(5)), *made)
    (only,) = brackets(found)
    assert (only.after, only.before, only.doubt) == (day(1), day(3), "")


def test_an_export_as_a_witness_is_said_to_be_one(database: Any, case: Case, tmp_path: Path) -> None:
    made = [
        backup(tmp_path, 1, {"quotes": records(range(10))}),
        backup(tmp_path, 2, {"quotes": records(range(5))}, version=""),
    ]
    (only,) = brackets(compared(case, database, records(range(5)), *made))
    assert only.doubt == "backup_2.json is an export, which may be of a part only"


def test_a_copy_from_the_future_is_no_witness_and_its_time_is_doubted(
    database: Any, case: Case, tmp_path: Path
) -> None:
    far = (datetime.now(UTC) - FIRST).days + 1000
    found = compared(case, database, records(range(5)), backup(tmp_path, far, {"quotes": records(range(10))}))
    (only,) = brackets(found)
    assert only.after > only.before
    assert "is said to be taken after the database was read" in only.doubt


def test_without_a_loss_there_is_no_bracket(database: Any, case: Case, tmp_path: Path) -> None:
    found = compared(case, database, records(range(5)), backup(tmp_path, 1, {"quotes": records(range(5))}))
    assert brackets(found) == []
