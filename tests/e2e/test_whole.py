"""The whole way from scan to rollback through the shipped notebooks; the database is looked at after each step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bson import encode

from recovery_nb.case import Case
from recovery_nb.checks import verify_run

from .front import (
    CONTENT,
    errors,
    heading,
    laid_out,
    open_notebook,
    press,
    set_theme,
    shut_down,
    summary,
    tab_to,
    take_picture,
    told,
    wait_until_run,
)

NOTEBOOK_7 = "Cannot read properties of undefined (reading 'schema')"
"""What a plugin of Notebook 7.6 says of its own settings, before any cell is run."""


def by_mouse(page: Any) -> None:
    """Run all cells from the menu."""
    page.locator("#jp-MainMenu").get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    wait_until_run(page)


def records(case: Path) -> list[Path]:
    return sorted(one for one in (case / "runs").iterdir() if one.is_dir())


def record_of(case: Path, name: str) -> Path:
    """Return the newest record of a notebook's session: whole, and as one page."""
    newest = [one for one in records(case) if (one / f"{name}.html").exists()][-1]
    assert verify_run(newest).ok
    return newest / f"{name}.html"


def test_from_scan_to_rollback_by_mouse_in_jupyterlab(
    shop: Any, database: Any, tmp_path: Path, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    before, case = shop.now(), tmp_path / "work" / "case"
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page

        open_notebook(page, server, laid_out("1_scan", server.root, {"sources": "evidence"}))
        by_mouse(page)
        picker = page.locator(".rnb-picker")
        picker.get_by_role("checkbox", name="staging").click()
        picker.locator(".rnb-standing", has_text="2 of 3 sources take part").wait_for()
        take_picture(picker, "sources")
        assert page.locator('img[src="x"]').count() == 0
        assert page.title() != "owned"
        shut_down(page)
        assert shop.now() == before

        open_notebook(page, server, laid_out("3_compare", server.root))
        by_mouse(page)
        assert "12 records are missing and can be recovered; 4 records have changed." in told(page)
        shut_down(page)
        assert shop.now() == before

        open_notebook(page, server, laid_out("4_restore", server.root))
        by_mouse(page)
        desk = page.locator(".rnb-desk")
        summary(desk, "of 12, 0 selected")
        for place in range(3):
            desk.locator(".rnb-grid tbody tr").nth(place).get_by_role("checkbox").click()
        summary(desk, "3 selected")
        desk.get_by_role("button", name="changed").click()
        summary(desk, "of 16, 3 selected")
        desk.locator(".rnb-grid tbody tr", has_text="changed").first.click()
        record = desk.get_by_role("region", name="Record", exact=True)
        record.get_by_text("hidden", exact=True).first.wait_for()
        assert record.get_by_text("@example.org").count() == 0
        desk.get_by_role("button", name="Preview 3").click()
        heading(desk, "3 records would be written.")
        assert shop.now() == before
        desk.get_by_label("Type 3 to confirm").fill("4")
        assert desk.get_by_role("button", name="Restore 3").is_disabled()
        desk.get_by_label("Type 3 to confirm").fill("3")
        take_picture(desk, "desk-light")
        desk.get_by_role("button", name="Restore 3").click()
        heading(desk, "3 records restored, verified.")
        assert shop.now() == sorted([*before, *map(encode, shop.lost[:3])], key=lambda raw: raw[8:20])
        desk.get_by_role("button", name="Roll back").click()
        heading(desk, "3 records rolled back.")
        assert shop.now() == before
        page.evaluate(f"{CONTENT}.scrollToItem({CONTENT}.widgets.length - 1)")
        page.locator(".jp-CodeCell", has_text="case.record()").last.locator(".jp-InputPrompt").click()
        recorded = len(records(case))
        page.locator('[data-jp-item-name="run"]').get_by_role("button").click()
        page.wait_for_function(f"{CONTENT}.widgets.some(cell => cell.model.executionCount > 9)")
        shut_down(page)
        assert len(records(case)) > recorded
        assert "3 records put back as before" in record_of(case, "4_restore").read_text()

        open_notebook(page, server, laid_out("5_verify", server.root))
        by_mouse(page)
        assert "all as it should be" in told(page)
        shut_down(page)
        assert watch.calm(), (watch.outside, watch.errors)
    assert shop.now() == before
    record_of(case, "5_verify")


def by_keys(page: Any) -> None:
    """Run one cell after the other, the last one without going on to a new one."""
    count = page.evaluate(f"{CONTENT}.widgets.length")
    for _ in range(80):
        if page.evaluate("Boolean(document.activeElement.closest('.jp-Cell'))"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.evaluate(f"{CONTENT}.activeCellIndex") == 0
    for _ in range(count - 1):
        page.keyboard.press("Shift+Enter")
    page.keyboard.press("Control+Enter")
    wait_until_run(page)
    assert page.evaluate(f"{CONTENT}.widgets.length") == count


def test_from_scan_to_rollback_by_keys_alone_in_notebook_7(
    shop: Any, database: Any, tmp_path: Path, notebook7: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    before, case = shop.now(), tmp_path / "work" / "case"
    (tmp_path / "work").mkdir(exist_ok=True)
    with notebook7({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page

        open_notebook(page, server, laid_out("1_scan", server.root, {"sources": "evidence"}), below="notebooks")
        set_theme(page, "JupyterLab Dark")
        by_keys(page)
        tab_to(page, "staging", key="Shift+Tab")
        press(page, "Space")
        page.locator(".rnb-standing", has_text="2 of 3 sources take part").wait_for()
        assert page.locator('img[src="x"]').count() == 0
        assert page.title() != "owned"
        shut_down(page)
        assert shop.now() == before

        open_notebook(page, server, laid_out("3_compare", server.root), below="notebooks")
        by_keys(page)
        assert "12 records are missing and can be recovered; 4 records have changed." in told(page)
        shut_down(page)
        assert shop.now() == before

        open_notebook(page, server, laid_out("4_restore", server.root), below="notebooks")
        by_keys(page)
        desk = page.locator(".rnb-desk")
        focused, cells = desk.locator(":focus"), page.evaluate(f"{CONTENT}.widgets.length")
        tab_to(page, "Select all matching", key="Shift+Tab")
        press(page, "/")
        page.keyboard.type("69")
        summary(desk, "of 12, 0 selected")
        press(page, "Escape", "Space", "Shift+ArrowDown", "Shift+ArrowDown")
        summary(desk, "3 selected")
        press(page, "a", "b", "d", "d", "x", "Enter")
        desk.locator("h3:focus").wait_for()
        take_picture(desk, "desk-dark")
        press(page, "Escape")
        assert focused.get_attribute("aria-selected") == "true"
        assert page.evaluate(f"{CONTENT}.widgets.length") == cells, "no key has reached the notebook's shortcuts"
        tab_to(page, "Preview 3")
        press(page, "Enter")
        heading(desk, "3 records would be written.")
        assert shop.now() == before
        tab_to(page, "Type 3 to confirm")
        page.keyboard.type("3")
        press(page, "Enter")
        heading(desk, "3 records restored, verified.")
        assert shop.now() == sorted([*before, *map(encode, shop.lost[:3])], key=lambda raw: raw[8:20])
        tab_to(page, "Roll back")
        press(page, "Enter")
        heading(desk, "3 records rolled back.")
        assert shop.now() == before
        shut_down(page)

        open_notebook(page, server, laid_out("5_verify", server.root), below="notebooks")
        assert page.evaluate("document.body.dataset.jpThemeLight") == "false"
        by_keys(page)
        assert "all as it should be" in told(page)
        shut_down(page)
        assert watch.outside == []
        assert [error for error in watch.errors if error != NOTEBOOK_7] == []
    assert shop.now() == before
    record_of(case, "5_verify")
    with Case.open(case, database=database.uri) as opened:
        actions = [entry.action for entry in opened.audit.entries()]
    assert actions.count("rollback finished") == 1, actions


def show(page: Any, beginning: str) -> None:
    """Go to the cell that begins so."""
    page.evaluate(
        """async beginning => {
              const notebook = window.jupyterapp.shell.currentWidget.content;
              const place = notebook.widgets.findIndex(cell => cell.model.sharedModel.source.startsWith(beginning));
              notebook.activeCellIndex = place;
              await notebook.scrollToItem(place, 'start'); }""",
        beginning,
    )


def test_the_tutorial_runs_to_its_end_and_leaves_its_record_unsaved(
    lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    with lab({}) as server:
        watch = open_page(server.url)
        page = watch.page
        open_notebook(page, server, laid_out("tutorial", server.root))
        assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')") is True, errors(page)
        show(page, "## 3 ")
        page.locator(".jp-OutputArea img").first.wait_for()
        take_picture(page, "tutorial")
        shut_down(page)
        assert watch.calm(), (watch.outside, watch.errors)
    record_of(server.root / "tutorial" / "case", "tutorial")
