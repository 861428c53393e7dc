"""The views of copies say which backup is the newest before the loss, and how collections are built."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recovery_nb.case import Case
from recovery_nb.widgets import numbers, views

from .conftest import HOSTILE, Lost

FIRST = datetime(2026, 3, 1, 2, tzinfo=UTC)


def backup(folder: Path, day: int, count: int) -> Path:
    path = folder / f"backup_{day}.json"
    stated = {"timestamp": (FIRST + timedelta(days=day)).isoformat(), "version": "1.0", "source": "shop"}
    path.write_text(json.dumps({**stated, "collections": {"quotes": [{"_id": n, "no": n} for n in range(count)]}}))
    return path


def test_the_newest_backup_before_the_loss_is_named(database: Any, tmp_path: Path) -> None:
    database.client[database.name]["quotes"].insert_many([{"_id": n, "no": n} for n in range(60)])
    with Case.open(tmp_path / "case", database=database.uri) as case:
        found = case.compare(*(backup(tmp_path, day, count) for day, count in ((1, 100), (2, 100), (3, 60))))
        shown = views.backups(found)
        frame = numbers.backups(found)
    assert (
        "The newest backup before the loss is backup_2.json (taken 3 Mar 2026 02:00 UTC by its timestamp), and it "
        "holds 40 of the 40 missing records. They were lost after that, and before backup_3.json was taken "
        "(4 Mar 2026 02:00 UTC by its timestamp), which lacks them. Newer sources: backup_3.json holds none."
    ) in shown
    assert frame[["collection", "records", "holder", "witness"]].to_numpy().tolist() == [
        ["quotes", 40, "backup_2.json", "backup_3.json"]
    ]


def test_hostile_names_are_text_in_every_view_of_copies(lost: Lost) -> None:
    shown = [
        views.backups(lost.comparison),
        views.structure(lost.case, lost.comparison),
        views.compared(lost.comparison),
    ]
    assert all(HOSTILE not in one and "&lt;/script&gt;&lt;img" in one for one in shown)
    assert "dated by its modification time only" in shown[0]


def test_without_a_loss_no_backup_is_asked_for(database: Any, tmp_path: Path) -> None:
    database.client[database.name]["quotes"].insert_many([{"_id": n, "no": n} for n in range(5)])
    with Case.open(tmp_path / "case", database=database.uri) as case:
        found = case.compare(backup(tmp_path, 1, 5))
        assert "No record is missing." in views.backups(found)
        assert "No record differs in a field." in views.changes(found)
        assert numbers.backups(found).empty
        assert numbers.changes(found).empty
        assert "quotes is built as in backup_1.json." in views.structure(case, found)
        assert "all 5 records" in views.structure(case, found, collection="quotes")


def test_the_numbers_behind_the_pictures_are_dataframes(lost: Lost) -> None:
    fields = numbers.changes(lost.comparison).set_index("field")
    assert fields.loc["no", ["records", "percent"]].tolist() == [2, 200 / 3]
    held = numbers.holdings(lost.comparison).set_index("collection")
    assert held.loc["quotes", ["records", "intact", "changed", "missing"]].tolist() == [301, 47, 3, 251]
    built = numbers.structure(lost.case, lost.comparison, "quotes").set_index("field")
    assert built.loc["no", "database_types"] == "int, string"
    assert built.loc["no", "differs"] == "types"
