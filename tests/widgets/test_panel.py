"""The restore panel, clicked without a browser, on a real database."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from recovery_nb.widgets import RestorePanel

from .conftest import HOSTILE, Lost


@pytest.fixture
def panel(lost: Lost) -> RestorePanel:
    return RestorePanel(lost.case, lost.comparison)


def click(panel: RestorePanel, name: str) -> None:
    panel.buttons[name].click()


def choose(panel: RestorePanel, *numbers: int) -> None:
    panel.list.value = tuple(panel.picking.shown[number] for number in numbers)


def confirm(panel: RestorePanel) -> None:
    panel.confirm.value = panel.confirm.placeholder.split()[1]


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


def test_selected_records_come_back_are_verified_and_can_be_rolled_back(panel: RestorePanel, lost: Lost) -> None:
    choose(panel, 1, 2)
    click(panel, "preview")
    confirm(panel)
    click(panel, "restore")
    assert lost.records["quotes"].count_documents({}) == 52
    assert "2 records restored, verified." in panel.message.value
    click(panel, "rollback")
    assert lost.records["quotes"].count_documents({}) == 50
    assert "2 records rolled back." in panel.message.value
    assert [one for one in actions(lost) if one.endswith("finished")][-3:] == [
        "restore finished", "verify finished", "rollback finished",
    ]  # fmt: skip


def test_nothing_can_be_restored_without_a_preview_and_a_confirmation(panel: RestorePanel) -> None:
    assert panel.buttons["preview"].disabled
    choose(panel, 0)
    assert not panel.buttons["preview"].disabled
    assert panel.buttons["restore"].disabled
    click(panel, "preview")
    assert panel.buttons["restore"].disabled
    panel.confirm.value = "2"
    assert panel.buttons["restore"].disabled
    panel.confirm.value = "1"
    assert not panel.buttons["restore"].disabled


@pytest.mark.parametrize("change", ["selection", "conflict"])
def test_a_click_that_comes_after_a_change_is_refused(panel: RestorePanel, lost: Lost, change: str) -> None:
    """A front end may send a click that was made before it heard of the change."""
    choose(panel, 0)
    click(panel, "preview")
    confirm(panel)
    if change == "selection":
        choose(panel, 0, 1)
    else:
        panel.conflict.value = "replace"
    assert panel.buttons["restore"].disabled
    click(panel, "restore")
    assert "the selection has changed since the preview; preview again" in panel.message.value
    assert lost.records["quotes"].count_documents({}) == 50


def test_after_each_click_the_buttons_that_make_sense_work_again(panel: RestorePanel) -> None:
    choose(panel, 0)
    click(panel, "preview")
    assert not panel.buttons["all"].disabled
    assert not panel.buttons["next"].disabled
    click(panel, "none")
    assert panel.buttons["preview"].disabled
    assert panel.list.value == ()


def test_a_plan_is_applied_once(panel: RestorePanel, lost: Lost) -> None:
    choose(panel, 0)
    click(panel, "preview")
    confirm(panel)
    click(panel, "restore")
    click(panel, "restore")
    assert "preview again" in panel.message.value
    assert len(lost.case.restores()) == 1


def test_a_plan_that_was_altered_on_disk_is_refused(panel: RestorePanel, lost: Lost) -> None:
    choose(panel, 0)
    click(panel, "preview")
    confirm(panel)
    assert panel.plan is not None
    header = panel.plan.path / "plan.json"
    header.write_text(header.read_text().replace('"skip"', '"replace"'))
    click(panel, "restore")
    assert "is not as it was made; make the plan again" in panel.message.value
    assert lost.case.restores() == []


def test_a_record_of_which_the_database_has_another_version_is_left_alone_by_default(
    panel: RestorePanel, lost: Lost
) -> None:
    panel.statuses["missing"].value = False
    panel.statuses["changed"].value = True
    click(panel, "all")
    assert "1 record left out" in panel.message.value
    click(panel, "preview")
    assert "0 records would be written; 2 records would be left as they are" in panel._record()
    panel.conflict.value = "replace"
    click(panel, "preview")
    confirm(panel)
    click(panel, "restore")
    assert lost.records["quotes"].count_documents({"no": HOSTILE}) == 0


def test_everything_that_matches_can_be_taken_whatever_page_is_shown(panel: RestorePanel, lost: Lost) -> None:
    click(panel, "all")
    click(panel, "next")
    click(panel, "preview")
    confirm(panel)
    click(panel, "restore")
    assert lost.records["quotes"].count_documents({}) == 301
    assert lost.records[HOSTILE].count_documents({}) == 1


def test_an_error_is_shown_kept_and_logged(panel: RestorePanel, lost: Lost) -> None:
    choose(panel, 0)
    for source in lost.comparison.sources.values():
        source.path.write_text("[]")
    click(panel, "preview")
    assert "backup_1.json" in panel.message.value
    assert "Traceback" not in panel._record()
    assert "panel failed" in actions(lost)


def test_the_data_never_become_markup(panel: RestorePanel) -> None:
    click(panel, "all")
    click(panel, "preview")
    confirm(panel)
    click(panel, "restore")
    still = RestorePanel(panel.case, panel.comparison, interactive=False)._still()
    for markup in (panel._record(), panel.message.value, panel.state.value, still):
        assert not tags(markup) & {"img", "script"}
    assert "&lt;/script&gt;&lt;img" in still


def test_what_was_done_is_told_in_order(panel: RestorePanel) -> None:
    choose(panel, 0)
    click(panel, "preview")
    confirm(panel)
    click(panel, "restore")
    click(panel, "rollback")
    record = panel._record()
    places = [record.index(f"<h4>{title}</h4>") for title in ("Preview", "Restore", "Verification", "Rollback")]
    assert places == sorted(places)
