"""The source picker, asked without a browser: what it tells of each source, and which of them take part then."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import encode

from recovery_nb.case import Case, Scan
from recovery_nb.compare.standing import age
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.reports import Report
from recovery_nb.verbs.choice import left_out
from recovery_nb.widgets.sources import SourcePicker

from .conftest import HOSTILE

USERS = [{"_id": number, "name": f"user {number}", "city": "Ghent"} for number in range(5)]


@dataclass(frozen=True)
class Found:
    """A case that has scanned a folder of evidence, and what came of it.

    Attributes:
        folder: The evidence: a dump of five users, a CSV file of them and a packed copy of that, a dump that is cut
            within its second record, a JSON file with a hostile name, and files that cannot be read or are no backup.
        records: The database: two of the users.
    """

    case: Case
    scan: Scan
    report: Report
    folder: Path
    records: Any


def dump(folder: Path, records: list[dict[str, Any]], name: str = "users") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.bson"
    path.write_bytes(b"".join(map(encode, records)))
    return path


@pytest.fixture
def found(database: Any, tmp_path: Path) -> Iterator[Found]:
    folder = tmp_path / "evidence"
    dump(folder / "dump", USERS)
    (folder / "dump" / "users.metadata.json").write_text('{"options": {}, "indexes": []}')
    rows = "_id,name,city\n" + "".join(f"{one['_id']},{one['name']},{one['city']}\n" for one in USERS)
    (folder / "people_2025-11-01.csv").write_text(rows)
    (folder / "people_again.csv.gz").write_bytes(gzip.compress(rows.encode()))
    cut = dump(folder / "old" / "apart", [{"_id": 1, "total": 7}, {"_id": 2, "total": 8}], "orders")
    os.truncate(cut, cut.stat().st_size - 3)
    (folder / "<img src=x onerror=alert(1)>.json").write_text(json.dumps({"collections": {HOSTILE: [{"_id": 1}]}}))
    (folder / "torn.bson").write_bytes(b"\x99\x00\x00\x00" + b"\xff" * 90)
    (folder / "notes.txt").write_text("nothing\n")
    records = database.client[database.name]
    records["users"].insert_many(USERS[:2])
    with Case.open(tmp_path / "case", database=database.uri) as case:
        scan = case.scan(folder)
        yield Found(case, scan, case.report(), folder, records)


@pytest.fixture
def picker(found: Found) -> SourcePicker:
    return SourcePicker(found.case, found.scan, found.report)


def ask(picker: SourcePicker, what: str, **values: Any) -> dict[str, Any]:
    answered = picker.answer({"do": what, "n": 1, "c": "here", **values})
    json.dumps(answered)
    assert (answered["n"], answered["c"]) == (1, "here")
    return {**answered["screen"], "said": answered["said"] or {"text": ""}}


def rows(screen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the lines by the last part of their path."""
    return {row["title"].rsplit("/", 1)[-1]: row for row in screen["rows"]}


def leave_out(picker: SourcePicker, *names: str) -> dict[str, Any]:
    shown = rows(ask(picker, "hello"))
    return ask(picker, "take", ids=[shown[name]["id"] for name in names], on=False)


def notes(case: Case, **asked: Any) -> list[str]:
    return list(case.compare(**asked).summary.notes)


def later(found: Found, database: Any) -> Case:
    """Open the case as another session does: nothing was scanned in it."""
    return Case.open(found.case.folder, database=database.uri)


# --- what is told ---------------------------------------------------------------------------------------------------


def test_it_begins_with_what_was_found_and_what_takes_part(picker: SourcePicker) -> None:
    screen = ask(picker, "hello")
    assert screen["headline"] == "4 sources with 12 records; 1 damaged; 1 cannot be read."
    assert screen["standing"] == "All 4 sources take part."
    assert [row["state"] for row in screen["rows"]] == ["taken"] * 4


def test_each_source_says_how_far_it_can_be_trusted_and_why(picker: SourcePicker) -> None:
    shown = rows(ask(picker, "hello"))
    assert {name: row["trust"] for name, row in shown.items()} == {
        "dump": "medium", "people_2025-11-01.csv": "medium", "apart": "medium",
        "<img src=x onerror=alert(1)>.json": "medium",
    }  # fmt: skip
    assert "it is of another database: dump" in shown["dump"]["reasons"]
    assert shown["people_2025-11-01.csv"]["reasons"] == ["types: all are text", "1 more copy of it"]
    harm, _ = shown["apart"]["reasons"]
    assert harm.startswith("1 place cannot be read: orders.bson at byte 25: ")


def test_a_source_against_which_nothing_speaks_is_trusted(database: Any, tmp_path: Path) -> None:
    path = dump(tmp_path / "evidence" / database.name, USERS)
    with Case.open(tmp_path / "case", database=database.uri) as case:
        screen = ask(SourcePicker(case, case.scan(path), case.report()), "hello")
    assert [(row["trust"], row["reasons"]) for row in screen["rows"]] == [
        ("high", ["all of it can be read, and types are kept"])
    ]


def test_a_backup_that_was_altered_does_not_agree_with_its_manifest(database: Any, tmp_path: Path) -> None:
    database.client[database.name]["users"].insert_many(USERS)
    with Case.open(tmp_path / "case", database=database.uri) as case:
        backup = case.backup(tmp_path / "backups", compression="none").path
        (stored,) = backup.rglob("users.bson")
        stored.write_bytes(stored.read_bytes().replace(b"Ghent", b"Genua", 1))
        screen = ask(SourcePicker(case, case.scan(backup), case.report()), "hello")
    (row,) = screen["rows"]
    assert row["trust"] == "low"
    assert row["reasons"][0].startswith("it does not agree with its manifest: ")
    assert row["says"] == "by its manifest"
    assert screen["aside"]["unread"] == [], "it can be read: it is in doubt, and counted once"


def test_what_says_when_a_source_was_taken_is_told_and_a_weak_word_is_marked(picker: SourcePicker) -> None:
    shown = rows(ask(picker, "hello"))
    csv = shown["people_2025-11-01.csv"]
    assert (csv["taken"][:10], csv["says"], csv["weak"]) == ("2025-11-01", "by its file name only", True)
    assert "modification time" in shown["apart"]["says"]


@pytest.mark.parametrize(
    ("ago", "told"),
    [
        (timedelta(seconds=5), "less than a minute old"),
        (timedelta(minutes=1), "1 minute old"),
        (timedelta(minutes=119), "119 minutes old"),
        (timedelta(hours=47), "47 hours old"),
        (timedelta(days=3), "3 days old"),
        (timedelta(days=100), "3 months old"),
        (timedelta(days=3_000), "8 years old"),
        (timedelta(days=-3), "3 days in the future"),
    ],
)
def test_an_age_is_told_in_words(ago: timedelta, told: str) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    assert age(now - ago, now) == told


def test_a_collection_that_the_source_does_not_name_says_what_it_is_taken_for_and_why(picker: SourcePicker) -> None:
    (part,) = rows(ask(picker, "hello"))["people_2025-11-01.csv"]["parts"]
    assert (part["name"], part["records"]) == ("users", 5)
    assert part["because"] == "its fields: 3 of 3 are those of users"


def test_what_cannot_be_read_is_told_with_its_reason_and_copies_beside_what_they_are_of(picker: SourcePicker) -> None:
    aside = ask(picker, "hello")["aside"]
    (line,) = aside["unread"]
    assert "torn.bson" in line
    assert "look for another copy of it" in line
    ((copy, of),) = aside["copies"]
    assert copy.endswith("people_again.csv.gz")
    assert of.endswith("people_2025-11-01.csv")
    assert aside["ignored"] == 1


def test_a_grid_tells_who_holds_what_and_where_that_is_more_than_the_database(picker: SourcePicker) -> None:
    grid = ask(picker, "hello")["grid"]
    held = {row["title"]: row for row in grid["rows"]}
    assert (held["users"]["database"], held["users"]["most"], held["users"]["lacking"]) == (2, 5, 3)
    assert sorted(map(str, held["users"]["counts"])) == ["5", "5", "None", "None"]
    assert grid["rows"][0]["title"] == "users", "what lacks most comes first"
    assert (grid["counted"], grid["short"]) == (True, 3)


def test_of_a_database_that_was_not_read_nothing_is_said_to_be_lacking(found: Found) -> None:
    for report in (None, found.report.model_copy(update={"database": type(found.report.database)()})):
        grid = ask(SourcePicker(found.case, found.scan, report), "hello")["grid"]
        assert (grid["counted"], grid["short"]) == (False, 0)
        assert {row["database"] for row in grid["rows"]} == {None}


def test_measurements_of_a_time_series_are_not_held_against_a_count_that_no_report_has(
    database: Any, tmp_path: Path
) -> None:
    series = database.client[database.name]
    series.create_collection("weather", timeseries={"timeField": "at"})
    series["weather"].insert_many([{"at": datetime(2026, 1, 1, tzinfo=UTC), "celsius": one} for one in range(3)])
    with Case.open(tmp_path / "case", database=database.uri) as case:
        scan = case.scan(case.backup(tmp_path / "backups").path)
        grid = ask(SourcePicker(case, scan, case.report()), "hello")["grid"]
    (row,) = grid["rows"]
    assert (row["title"], row["database"], row["most"], row["lacking"]) == ("weather", None, 3, 0)


def test_a_scan_that_found_nothing_says_so(found: Found) -> None:
    picker = SourcePicker(Case.open(found.folder / "another"), Scan(()))
    screen = ask(picker, "hello")
    assert (screen["headline"], screen["rows"]) == ("No backup, export or dump was found.", [])
    assert "No backup, export or dump was found." in picker.still()


def test_a_long_path_is_cut_within_its_folders_and_whole_in_its_title(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("f" * 120)
    dump(folder / "shop_of_the_year", USERS)
    with Case.open(tmp_path / "case") as case:
        scan = case.scan(folder)
        (row,) = ask(SourcePicker(case, scan), "hello")["rows"]
        monkeypatch.chdir(folder)
        (near,) = ask(SourcePicker(case, scan), "hello")["rows"]
    assert (len(row["path"]), row["title"]) == (72, str(folder / "shop_of_the_year"))
    assert row["path"].endswith("f/shop_of_the_year")
    assert (near["path"], near["title"]) == ("shop_of_the_year", row["title"])


# --- the choice -----------------------------------------------------------------------------------------------------


def test_what_is_left_out_takes_no_part_in_a_later_session_and_the_comparison_says_so(
    picker: SourcePicker, found: Found, database: Any
) -> None:
    screen = leave_out(picker, "people_2025-11-01.csv")
    assert screen["standing"] == "3 of 4 sources take part, with 7 records."
    with later(found, database) as case:
        compared = case.compare()
    assert "people_2025-11-01.csv" not in {entry.name for entry in compared.sources.values()}
    path = found.folder / "people_2025-11-01.csv"
    assert f"left out by choice: {path}" in compared.summary.notes


def test_what_is_left_out_takes_no_part_in_the_same_session_either(picker: SourcePicker, found: Found) -> None:
    leave_out(picker, "people_2025-11-01.csv")
    assert f"left out by choice: {found.folder / 'people_2025-11-01.csv'}" in notes(found.case)
    ask(picker, "take matching", on=False)
    with pytest.raises(BadInputError, match=r"^no source takes part: 4 of 4 are left"):
        found.case.compare()


def test_what_is_taken_again_takes_part_again(picker: SourcePicker, found: Found, database: Any) -> None:
    leave_out(picker, "people_2025-11-01.csv", "apart")
    screen = ask(picker, "take matching", on=True)
    assert screen["standing"] == "All 4 sources take part."
    assert left_out(found.case.folder) == frozenset()
    with later(found, database) as case:
        assert not [note for note in notes(case) if "by choice" in note]


def test_what_is_named_is_compared_whatever_was_chosen(picker: SourcePicker, found: Found, database: Any) -> None:
    leave_out(picker, "people_2025-11-01.csv")
    with later(found, database) as case:
        compared = case.compare(found.folder / "people_2025-11-01.csv")
    assert [entry.name for entry in compared.sources.values()] == ["people_2025-11-01.csv"]


def test_with_nothing_chosen_a_comparison_is_refused_in_one_line(
    picker: SourcePicker, found: Found, database: Any
) -> None:
    screen = ask(picker, "take matching", on=False)
    assert (screen["standing"], screen["tone"]) == (screen["said"]["text"], "failed")
    with later(found, database) as case, pytest.raises(BadInputError, match=r"^no source takes part: 4 of 4 are left"):
        case.compare()


def test_what_is_scanned_after_the_choice_takes_part(picker: SourcePicker, found: Found) -> None:
    leave_out(picker, "people_2025-11-01.csv")
    path = dump(found.folder / "dump", USERS[:1], "admins")
    again = SourcePicker(found.case, found.case.scan(found.folder))
    shown = rows(ask(again, "hello"))
    assert path.exists()
    assert (shown["dump"]["state"], shown["people_2025-11-01.csv"]["state"]) == ("taken", "left out")


def test_a_case_with_a_choice_is_whole(picker: SourcePicker, found: Found) -> None:
    leave_out(picker, "apart")
    assert found.case.verify().ok


def test_the_choice_is_logged_with_what_is_left_out(picker: SourcePicker, found: Found) -> None:
    leave_out(picker, "apart")
    (entry,) = [one for one in found.case.audit.entries() if one.action == "sources chosen"]
    (out,) = [one.id for one in found.scan.sources if one.name == "apart"]
    assert (entry.details["taken"], entry.details["left_out"]) == (3, [out])


def test_a_choice_of_what_is_not_known_is_ignored(found: Found) -> None:
    known = found.scan.sources[0].id
    found.case.choose_sources([known, "0" * 16, "../../etc"])
    assert left_out(found.case.folder) == {one.id for one in found.scan.sources} - {known}
    found.case.choose_sources(None)
    assert left_out(found.case.folder) == frozenset()


@pytest.mark.parametrize("ids", [[1], [None], 7, [""]])
def test_a_choice_of_what_is_no_id_is_refused(found: Found, ids: Any) -> None:
    with pytest.raises(BadInputError, match="is no name"):
        found.case.choose_sources(ids)


def test_a_choice_that_cannot_be_logged_is_not_made(found: Found) -> None:
    found.case.audit.path.unlink()
    found.case.audit.path.mkdir()
    with pytest.raises(RecoveryError):
        found.case.choose_sources([])
    assert left_out(found.case.folder) == frozenset()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"left_out": 1}', b'{"left_out": [1]}', b"\xff", b"[" * 9_999])
def test_a_choice_that_cannot_be_read_is_not_guessed(found: Found, database: Any, content: bytes) -> None:
    (found.case.folder / "sources.json").write_bytes(content)
    picker = SourcePicker(found.case, found.scan, found.report)
    assert any("which sources take part cannot be read" in note for note in ask(picker, "hello")["notes"])
    with later(found, database) as case, pytest.raises(BadInputError, match="which sources take part cannot be read"):
        case.compare()
    leave_out(picker, "apart")
    assert len(left_out(found.case.folder)) == 1, "a new choice takes its place"


def test_two_panels_of_one_case_show_the_same_choice(picker: SourcePicker, found: Found) -> None:
    other = SourcePicker(found.case, found.scan)
    leave_out(other, "apart")
    leave_out(picker, "people_2025-11-01.csv")
    states = [row["state"] for row in rows(ask(other, "hello")).values()]
    assert sorted(states) == ["left out", "left out", "taken", "taken"]


def test_a_source_that_was_deleted_is_shown_as_gone_and_cannot_be_chosen(picker: SourcePicker, found: Found) -> None:
    leave_out(picker, "apart")
    for name in ("old", "dump"):
        shutil.rmtree(found.folder / name)
    shown = rows(ask(picker, "hello"))
    assert (shown["apart"]["state"], shown["dump"]["state"]) == ("gone", "gone")
    screen = ask(picker, "take", ids=[shown["apart"]["id"]], on=True)
    assert screen["said"]["text"] == "1 source is not there any more, and cannot be chosen."
    assert len(left_out(found.case.folder)) == 1
    assert ask(picker, "hello")["standing"] == "2 of 4 sources take part, with 6 records."
    assert "gone since the scan" in picker.still()


def test_sources_of_earlier_scans_are_shown_for_they_take_part_in_later_sessions(found: Found, database: Any) -> None:
    scan = found.case.scan(found.folder / "people_2025-11-01.csv")
    picker = SourcePicker(found.case, scan)
    shown = ask(picker, "hello")
    assert [row["earlier"] for row in shown["rows"]] == [False, True, True, True]
    assert any("earlier scans" in note for note in shown["notes"])
    assert {row["reasons"][-1] for row in shown["rows"][1:]} == {"as it was when it was scanned"}
    leave_out(picker, "dump")
    with later(found, database) as case:
        assert f"left out by choice: {found.folder / 'dump'}" in notes(case)


# --- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("take", {}),
        ("take", {"ids": "abc", "on": True}),
        ("take", {"ids": [1], "on": True}),
        ("take", {"ids": [], "on": "yes"}),
        ("take matching", {"on": None}),
        ("look", {"order": 1}),
        ("look", {"order": {"sort": HOSTILE}}),
        ("look", {"order": {"text": 5}}),
        ("look", {"order": {"sort": []}}),
        ("look", {"page": -1}),
        ("look", {"page": True}),
        (HOSTILE, {}),
    ],
)
def test_what_no_browser_of_ours_sends_changes_nothing_and_is_told(
    picker: SourcePicker, found: Found, what: str, values: dict[str, Any]
) -> None:
    screen = ask(picker, what, **values)
    assert screen["said"]["tone"] == "failed"
    assert not (found.case.folder / "sources.json").exists()
    assert [one.action for one in found.case.audit.entries()][-1] == "panel failed"
    assert [row["state"] for row in screen["rows"]] == ["taken"] * 4


def test_ids_that_are_not_shown_are_ignored(picker: SourcePicker, found: Found) -> None:
    ask(picker, "take", ids=["0" * 16, HOSTILE], on=False)
    assert left_out(found.case.folder) == frozenset()


def test_sources_are_found_by_their_path_or_a_collection_and_sorted(picker: SourcePicker) -> None:
    assert list(rows(ask(picker, "look", order={"text": "PEOPLE"}))) == ["people_2025-11-01.csv"]
    assert sorted(rows(ask(picker, "look", order={"text": "users"}))) == ["dump", "people_2025-11-01.csv"]
    ask(picker, "take matching", on=False)
    by_records = ask(picker, "look", order={"text": "", "sort": "records", "descending": False})
    counts = [row["records"] for row in by_records["rows"]]
    assert counts == sorted(counts)
    assert [row["state"] for row in by_records["rows"]] == ["taken", "taken", "left out", "left out"]


def test_markup_in_names_is_text_in_the_static_view_and_in_the_record(picker: SourcePicker) -> None:
    leave_out(picker, "<img src=x onerror=alert(1)>.json")
    for shown in (picker.still(), picker.record.html()):
        assert "<img" not in shown
        assert "<script" not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;.json" in picker.record.html()


def test_each_change_is_in_the_record_below_with_how_it_stands_then(picker: SourcePicker) -> None:
    leave_out(picker, "apart")
    ask(picker, "take matching", on=True)
    told = picker.record.html()
    assert told.index("Left out") < told.index("3 of 4 sources take part") < told.index("Taken again")
    assert told.count("Sources chosen") == 2
    ask(picker, "take matching", on=True)
    assert picker.record.html().count("Sources chosen") == 2, "what changes nothing is no choice"


def test_without_anyone_to_click_the_static_view_has_all_of_it(found: Found, capsys: Any) -> None:
    found.case.choose_sources([one.id for one in found.scan.sources if one.name != "apart"])
    picker = SourcePicker(found.case, found.scan, found.report, interactive=False)
    shown = picker.still()
    for text in ("4 sources with 12 records", "torn.bson", "people_again.csv.gz", "▲ 5 (3 more)", "left out by choice"):
        assert text in shown
    picker._ipython_display_()
    assert "HTML" in capsys.readouterr().out


def test_five_hundred_sources_come_in_pages_and_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    for number in range(500):
        records = [{"_id": number, "n": number}] * (number % 3 + 1)
        dump(folder / f"day_{number:03}", records, f"collection_{number % 90}")
    with Case.open(tmp_path / "case") as case:
        scan = case.scan(*sorted(folder.glob("*/*.bson")))
        began = time.perf_counter()
        picker = SourcePicker(case, scan)
        screen = ask(picker, "hello")
        shown = time.perf_counter() - began
        began = time.perf_counter()
        last = ask(picker, "take matching", on=False)
        chosen = time.perf_counter() - began
    assert (len(scan.sources), screen["total"], screen["pages"], len(screen["rows"])) == (500, 500, 25, 20)
    assert len(json.dumps(screen)) < 200_000
    assert last["standing"].startswith("No source takes part")
    assert len(picker.record.html()) < 100_000
    assert (shown < 2, chosen < 1) == (True, True), (shown, chosen)
