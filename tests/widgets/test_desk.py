"""The desk, asked without a browser, on a real database: what it guards, writes, says and keeps."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from recovery_nb.widgets.desk import Desk

from .conftest import HOSTILE, Lost

LONG_ENOUGH = 60
"""Seconds after which a job hangs."""


@pytest.fixture
def desk(lost: Lost) -> Iterator[Desk]:
    made = Desk(lost.case, lost.comparison)
    yield made
    made.close()


def ask(desk: Desk, what: str, **values: Any) -> dict[str, Any]:
    """Ask, wait for the job where that begins one, and return where things stand then, with what was answered."""
    answered = desk.answer({"do": what, "n": 1, "c": "here", **values})
    assert desk.doing.worker.wait(LONG_ENOUGH)
    now = desk.answer({"do": "hello", "n": 2, "c": "here"})
    return {**now["patch"], **answered["patch"], "state": now["patch"]["state"], "said": now["said"] or {"text": ""}}


def choose(desk: Desk, *places: int, on: bool = True) -> dict[str, Any]:
    rows = ask(desk, "hello")["page"]["rows"]
    return ask(desk, "pick", numbers=[rows[place]["number"] for place in places], on=on)


def restore(desk: Desk, **changed: Any) -> dict[str, Any]:
    """Send the click that a browser would send after a preview."""
    state = ask(desk, "hello")["state"]
    shown = state["preview"] or {"digest": "", "to_write": 0}
    values = {"revision": state["revision"], "digest": shown["digest"], "confirmation": str(shown["to_write"])}
    return ask(desk, "restore", **{**values, **changed})


def actions(lost: Lost) -> list[str]:
    return [entry.action for entry in lost.case.audit.entries()]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)


def tags(markup: str) -> set[str]:
    parser = _Tags()
    parser.feed(markup)
    return parser.seen


def test_selected_records_come_back_are_verified_and_can_be_rolled_back(desk: Desk, lost: Lost) -> None:
    choose(desk, 1, 2)
    ask(desk, "preview")
    done = restore(desk)
    assert lost.records["quotes"].count_documents({}) == 52
    assert done["said"]["text"] == "2 records restored, verified."
    undone = ask(desk, "rollback", id=done["state"]["result"]["id"])
    assert lost.records["quotes"].count_documents({}) == 50
    assert undone["said"]["text"] == "2 records rolled back."
    assert [one for one in actions(lost) if one.endswith("finished")][-3:] == [
        "restore finished", "verify finished", "rollback finished",
    ]  # fmt: skip


def test_what_was_restored_is_in_the_report_of_a_later_cell(desk: Desk, lost: Lost) -> None:
    choose(desk, 1, 2)
    ask(desk, "preview")
    restore(desk)
    assert lost.case.report().summary.total_recovered == 2


def test_nothing_can_be_restored_without_a_preview(desk: Desk, lost: Lost) -> None:
    assert ask(desk, "preview")["said"]["text"] == "nothing is selected; select records first"
    choose(desk, 0)
    assert "preview again" in restore(desk)["said"]["text"]
    assert lost.case.restores() == []


@pytest.mark.parametrize("typed", ["", "2", "one", "1.5", None, 1, True])
def test_nothing_is_restored_that_is_not_confirmed(desk: Desk, lost: Lost, typed: Any) -> None:
    choose(desk, 0)
    ask(desk, "preview")
    assert restore(desk, confirmation=typed)["said"]["text"] == "the restore is not confirmed; type 1 into the field"
    assert lost.case.restores() == []
    assert "1 record restored" in restore(desk)["said"]["text"], "the preview still stands"


@pytest.mark.parametrize("typed", ["252", " 2 5 2 ", "2,52", "2.52", "2'52", "2\u202f52"])
def test_a_confirmation_may_be_written_with_separators(desk: Desk, lost: Lost, typed: str) -> None:
    ask(desk, "pick matching")
    ask(desk, "preview")
    assert restore(desk, confirmation=typed)["said"]["text"] == "252 records restored, verified."


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("pick", {"numbers": [1], "on": True}),
        ("clear", {}),
        ("options", {"on_conflict": "replace"}),
        ("options", {"transaction": True}),
        ("options", {"mark": "restored_at"}),
        ("choose", {"number": 1, "rank": 1}),
    ],
)
def test_a_click_that_comes_after_a_change_is_refused(
    desk: Desk, lost: Lost, what: str, values: dict[str, Any]
) -> None:
    """A browser may send a click that was made before it heard of the change."""
    choose(desk, 0)
    shown = ask(desk, "preview")["state"]
    assert shown["preview"]["fresh"] is True
    after = ask(desk, what, **values)["state"]
    assert after["preview"]["fresh"] is False
    for revision in (shown["revision"], after["revision"]):
        clicked = restore(desk, revision=revision, digest=shown["preview"]["digest"], confirmation="1")
        assert clicked["said"]["text"] == "the selection has changed since the preview; preview again"
    assert lost.records["quotes"].count_documents({}) == 50


def test_a_click_on_another_plan_than_the_last_is_refused(desk: Desk, lost: Lost) -> None:
    choose(desk, 0)
    first = ask(desk, "preview")["state"]["preview"]["digest"]
    choose(desk, 1)
    ask(desk, "preview")
    assert "preview again" in restore(desk, digest=first)["said"]["text"]
    assert lost.case.restores() == []


def test_a_plan_is_applied_once(desk: Desk, lost: Lost) -> None:
    choose(desk, 0)
    shown = ask(desk, "preview")["state"]
    values = {"revision": shown["revision"], "digest": shown["preview"]["digest"], "confirmation": "1"}
    ask(desk, "restore", **values)
    assert "preview again" in ask(desk, "restore", **values)["said"]["text"]
    assert len(lost.case.restores()) == 1


def test_a_plan_that_was_altered_on_disk_is_refused(desk: Desk, lost: Lost) -> None:
    choose(desk, 0)
    ask(desk, "preview")
    assert desk.doing.decision.previewed is not None
    header = desk.doing.decision.previewed.plan.path / "plan.json"
    header.write_text(header.read_text().replace('"skip"', '"replace"'))
    assert "is not as it was made; make the plan again" in restore(desk)["said"]["text"]
    assert lost.case.restores() == []


def test_a_record_of_which_the_database_has_another_version_is_left_alone_by_default(desk: Desk, lost: Lost) -> None:
    ask(desk, "look", view={"statuses": ["changed"]})
    assert "1 record left out" in ask(desk, "pick matching")["said"]["text"]
    preview = ask(desk, "preview")["state"]["preview"]
    assert preview["text"] == "0 records would be written; 2 would be left as they are."
    assert (preview["left"]["total"], preview["problems"]["total"]) == (2, 0)
    assert "nothing would be written" in restore(desk)["said"]["text"]
    ask(desk, "options", on_conflict="replace")
    ask(desk, "preview")
    restore(desk)
    assert lost.records["quotes"].count_documents({"no": HOSTILE}) == 0


def test_everything_that_matches_can_be_taken_whatever_page_is_shown(desk: Desk, lost: Lost) -> None:
    ask(desk, "turn", page=3)
    ask(desk, "pick matching")
    ask(desk, "preview")
    restore(desk)
    assert lost.records["quotes"].count_documents({}) == 301
    assert lost.records[HOSTILE].count_documents({}) == 1


def test_restored_records_can_be_marked(desk: Desk, lost: Lost) -> None:
    choose(desk, 0)
    ask(desk, "options", mark="restored_at", transaction=True)
    ask(desk, "preview")
    restore(desk)
    marked = lost.records["quotes"].count_documents({"restored_at": {"$type": "date"}})
    assert marked + lost.records[HOSTILE].count_documents({"restored_at": {"$type": "date"}}) == 1


def test_a_database_that_has_changed_since_the_preview_is_not_overwritten(desk: Desk, lost: Lost) -> None:
    ask(desk, "look", view={"statuses": ["missing"], "collections": ["quotes"], "sort": "key"})
    choose(desk, 0)
    ask(desk, "preview")
    lost.records["quotes"].insert_one({"_id": lost.comparison.missing["key"][0], "other": 1})
    before = list(lost.records["quotes"].find({"other": 1}))
    restore(desk)
    assert list(lost.records["quotes"].find({"other": 1})) == before


def test_what_the_browser_is_shown_outlives_a_reload(desk: Desk) -> None:
    ask(desk, "look", view={"statuses": ["missing"], "collections": ["quotes"], "sort": "key", "descending": True})
    ask(desk, "turn", page=2)
    row = ask(desk, "hello")["page"]["rows"][3]
    ask(desk, "open", number=row["number"])
    ask(desk, "pick", numbers=[row["number"]], on=True)
    ask(desk, "preview")
    anew = ask(desk, "hello")
    assert anew["view"]["descending"] is True
    assert (anew["page"]["number"], anew["page"]["first"], anew["page"]["last"]) == (2, 101, 150)
    assert anew["detail"]["number"] == row["number"]
    assert anew["state"]["picked"] == 1
    assert anew["state"]["preview"]["fresh"] is True


def test_a_selection_outlives_the_cell_that_is_run_again(desk: Desk, lost: Lost) -> None:
    choose(desk, 0, 1)
    again = Desk(lost.case, lost.comparison)
    assert ask(again, "hello")["state"]["picked"] == 2
    again.close()


def test_what_was_done_before_is_told_and_can_be_undone_after_a_restart(desk: Desk, lost: Lost) -> None:
    choose(desk, 0)
    ask(desk, "preview")
    done = restore(desk)["state"]["result"]["id"]
    again = Desk(lost.case, lost.comparison)
    assert done in again.record.html()
    assert [one["id"] for one in ask(again, "hello")["state"]["restores"]] == [done]
    assert ask(again, "rollback", id=done)["said"]["text"] == "1 record rolled back."
    assert ask(again, "hello")["state"]["restores"][0]["rollback"] is False
    again.close()


def test_a_hidden_value_is_shown_when_asked_for_and_that_is_logged(lost: Lost) -> None:
    lost.records["quotes"].update_one({"no": HOSTILE}, {"$set": {"password": "open sesame"}})
    with_password = lost.case.compare(*(entry.path for entry in lost.comparison.sources.values()))
    desk = Desk(lost.case, with_password, only=["changed"])
    row = next(one for one in ask(desk, "hello")["page"]["rows"] if one["fields"] == 2)
    hidden = ask(desk, "open", number=row["number"])["detail"]
    assert hidden["masked"] == [["password", "password"]]
    assert "sesame" not in str(hidden)
    assert "open sesame" in str(ask(desk, "reveal", names=["password"])["detail"]["lines"])
    assert "sesame" not in str(ask(desk, "hide")["detail"])
    entry = [one for one in lost.case.audit.entries() if one.action == "values revealed"][-1]
    assert entry.details["fields"] == ["password"]
    assert "sesame" not in str(entry)
    assert "is not masked here" in ask(desk, "reveal", names=["no"])["said"]["text"]
    lost.case.audit.path.rename(lost.case.audit.path.with_name("elsewhere"))
    lost.case.audit.path.mkdir()
    assert "Cannot write the audit log" in ask(desk, "reveal", names=["password"])["said"]["text"]
    assert "sesame" not in str(ask(desk, "hello")["detail"]), "what cannot be logged is not shown"
    desk.close()


def test_an_error_is_shown_kept_and_logged(desk: Desk, lost: Lost) -> None:
    choose(desk, 0)
    for source in lost.comparison.sources.values():
        source.path.write_text("[]")
    failed = ask(desk, "preview")
    assert "backup_1.json" in failed["said"]["text"]
    assert failed["said"]["tone"] == "failed"
    assert "backup_1.json" in desk.record.html()
    assert "Traceback" not in desk.record.html()
    assert "panel failed" in actions(lost)


@pytest.mark.parametrize(
    "message",
    [
        {}, {"do": "delete everything"}, {"do": ["look"]}, {"do": "look"}, {"do": "look", "view": {"statuses": 1}},
        {"do": "look", "view": {"since": "soon"}}, {"do": "turn", "page": -1}, {"do": "turn", "page": "2"},
        {"do": "open", "number": 10**9}, {"do": "open", "number": None}, {"do": "pick", "numbers": "all", "on": True},
        {"do": "pick", "numbers": [[1]], "on": True}, {"do": "pick", "numbers": [0]}, {"do": "choose", "number": 0},
        {"do": "choose", "number": 0, "rank": 99}, {"do": "reveal", "names": ["no"]}, {"do": "rollback"},
        {"do": "rollback", "id": "../.."}, {"do": "resume", "id": "r1"}, {"do": "options", "on_conflict": "delete"},
        {"do": "options", "mark": 1}, {"do": "options", "mark": "$where"}, {"do": "options", "transaction": "yes"},
    ],
)  # fmt: skip
def test_whatever_a_browser_sends_is_answered_with_a_line(desk: Desk, lost: Lost, message: dict[str, Any]) -> None:
    choose(desk, 0)
    desk.answer({**message, "n": 7, "c": "there"})
    assert desk.doing.worker.wait(LONG_ENOUGH)
    if message.get("mark") == "$where":
        desk.answer({"do": "preview"})
        assert desk.doing.worker.wait(LONG_ENOUGH)
    said = desk.answer({"do": "hello"})["said"]
    assert said["tone"] == "failed"
    assert "Traceback" not in said["text"]
    assert actions(lost)[-1] == "panel failed"
    assert lost.case.restores() == []


def test_the_data_never_become_markup(desk: Desk) -> None:
    ask(desk, "pick matching")
    ask(desk, "preview")
    restore(desk)
    for markup in (desk.record.html(), desk.still()):
        assert not tags(markup) & {"img", "script"}
    assert "&lt;/script&gt;&lt;img" in desk.still()


def test_a_record_is_shown_also_where_the_database_does_not_answer(lost: Lost) -> None:
    lost.case.uri = "mongodb://127.0.0.1:9/gone?serverSelectionTimeoutMS=100"
    desk = Desk(lost.case, lost.comparison)
    shown = ask(desk, "open", number=ask(desk, "hello")["page"]["rows"][0]["number"])["detail"]
    assert shown["note"].startswith("without the database: mongodb://127.0.0.1:9/gone")
    assert (shown["database"], len(shown["versions"])) == (None, 1)
    assert all(len(line["values"]) == 2 for line in shown["lines"])
    desk.close()


def test_what_was_done_is_told_in_order(desk: Desk) -> None:
    choose(desk, 0)
    ask(desk, "preview")
    done = restore(desk)
    ask(desk, "rollback", id=done["state"]["result"]["id"])
    record = desk.record.html()
    places = [record.index(f"<h4>{title}<") for title in ("Preview", "Restore", "Verification", "Rollback")]
    assert places == sorted(places)


def test_the_record_is_bounded(desk: Desk) -> None:
    choose(desk, 0)
    for _ in range(30):
        desk.answer({"do": "turn", "page": "none"})
    assert len(desk.record.html()) < 500_000
    assert "10 earlier entries are in the audit log of the case." in desk.record.html()


def test_without_someone_to_click_there_is_a_static_view_and_nothing_is_kept(lost: Lost) -> None:
    desk = Desk(lost.case, lost.comparison, interactive=False)
    assert "20 of 252 shown" in desk.still()
    desk.close()
    assert not (lost.case.folder / "selections").exists()
