"""The source picker in JupyterLab: by mouse, by keys, in both themes, over hostile names, when its page is reloaded."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import encode, json_util

from recovery_nb.case import Case

from .front import violations

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
CELL = """
from recovery_nb import Case
from recovery_nb.widgets.sources import SourcePicker
case = Case.open("case")
scan = case.scan("evidence")
SourcePicker(case, scan, case.report())
"""
USERS = [{"_id": number, "name": f"user {number}", "city": "Ghent"} for number in range(5)]


@pytest.fixture
def evidence(database: Any, tmp_path: Path) -> Path:
    """A folder of sources: whole, cut, unreadable, with hostile names; the database has lost three of five users."""
    folder = tmp_path / "work" / "evidence"
    (folder / database.name).mkdir(parents=True)
    (folder / database.name / "users.bson").write_bytes(b"".join(map(encode, USERS)))
    (folder / "archive").mkdir()
    (folder / "archive" / "orders.bson").write_bytes(encode({"_id": 1}) + encode({"_id": 2, "total": 5})[:-3])
    rows = "_id,name,city\n" + "".join(f"{one['_id']},{one['name']},{one['city']}\n" for one in USERS)
    (folder / "people_2025-11-01.csv").write_text(rows)
    (folder / "people_again.csv.gz").write_bytes(gzip.compress(rows.encode()))
    collections = {HOSTILE: [{"_id": 1}], "a" * 120: [{"_id": 1}, {"_id": 2}], "orders": [{"_id": 1}]}
    (folder / "<img src=x onerror=document.title='owned'>.json").write_text(
        json_util.dumps({"collections": collections})
    )
    (folder / "torn<b>.bson").write_bytes(b"\x99\x00\x00\x00" + b"\xff" * 90)
    database.client[database.name]["users"].insert_many(USERS[:2])
    return folder


def run(page: Any, lab: Any) -> Any:
    """Open the notebook and run it; return the picker."""
    cell = {"cell_type": "code", "id": "scan", "metadata": {}, "source": CELL, "outputs": [], "execution_count": None}
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (lab.root / "scan.ipynb").write_text(json.dumps(notebook))
    page.goto(f"{lab.url}doc/tree/scan.ipynb?token={lab.token}")
    wait_for_kernel(page)
    assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')") is True
    picker = page.locator(".rnb-picker")
    picker.locator(".rnb-source").first.wait_for()
    return picker


def wait_for_kernel(page: Any) -> None:
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")


def end(page: Any, lab: Any) -> str:
    """Save the notebook, end its kernel, and return what its cell has put out, as the file has it."""
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("window.jupyterapp.commands.execute('kernelmenu:shutdown')")
    cells = json.loads((lab.root / "scan.ipynb").read_text())["cells"]
    return json.dumps([cell.get("outputs") for cell in cells], ensure_ascii=False)


def standing(picker: Any, text: str) -> None:
    picker.locator(".rnb-standing", has_text=text).wait_for()


def compared(tmp_path: Path, database: Any) -> tuple[set[str], list[str]]:
    """Compare in another session; return the names of what takes part, and the notes."""
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        found = case.compare()
    return {entry.name for entry in found.sources.values()}, list(found.summary.notes)


def test_what_is_left_out_by_mouse_takes_no_part_in_another_session(
    evidence: Path, database: Any, tmp_path: Path, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        picker = run(page, server)
        standing(picker, "All 4 sources take part.")
        picker.get_by_text("torn<b>.bson").wait_for()
        picker.locator(".rnb-held tr", has_text="users").get_by_text("3 more").wait_for()
        picker.get_by_role("checkbox", name="people_2025-11-01.csv").click()
        standing(picker, "3 of 4 sources take part")
        picker.locator(".rnb-is-left-out", has_text="people_2025-11-01.csv").wait_for()
        picker.get_by_label("Find").fill("archive")
        picker.get_by_role("button", name="Leave all matching out").click()
        standing(picker, "2 of 4 sources take part")
        told = end(page, server)
        assert watch.calm(), (watch.outside, watch.errors)
    names, notes = compared(tmp_path, database)
    assert names == {database.name, "<img src=x onerror=document.title='owned'>.json"}
    assert f"left out by choice: {evidence / 'people_2025-11-01.csv'}" in notes
    for sentence in ("4 sources with", "3 of 4 sources take part", "2 of 4 sources take part", "▲ 5 (3 more)"):
        assert sentence in told, "the file tells it without a kernel"


def test_the_choice_can_be_made_by_keys_alone(
    evidence: Path, database: Any, tmp_path: Path, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        picker = run(page, server)
        focused = picker.locator(":focus")
        picker.get_by_role("button", name="Leave all out").focus()
        for _ in range(20):
            page.keyboard.press("Tab")
            if focused.get_attribute("data-place") == "0":
                break
        first = focused.get_attribute("data-focus")
        page.keyboard.press("ArrowDown")
        second = focused.get_attribute("data-focus")
        assert first != second
        page.keyboard.press("Space")
        standing(picker, "3 of 4 sources take part")
        assert focused.get_attribute("data-focus") == second, "the focus stays where it was"
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Space")
        standing(picker, "2 of 4 sources take part")
        assert picker.get_by_role("status").inner_text().startswith("2 of 4 sources take part")
        page.keyboard.press("/")
        page.keyboard.type("torn")
        picker.locator(".rnb-summary", has_text="nothing matches").wait_for()
        assert page.locator(".jp-Notebook .jp-Cell").count() == 1, "no key has reached the notebook's shortcuts"
        page.evaluate("window.jupyterapp.commands.execute('kernelmenu:shutdown')")
        assert watch.calm(), (watch.outside, watch.errors)
    assert len(compared(tmp_path, database)[0]) == 2


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_hostile_names_are_text_in_every_theme_and_width(
    evidence: Path, database: Any, lab: Callable[..., Any], open_page: Callable[[str], Any], theme: str
) -> None:
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        picker = run(page, server)
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        light = "true" if theme.endswith("Light") else "false"
        page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)
        picker.get_by_role("checkbox", name="<img src=x").click()
        standing(picker, "3 of 4 sources take part")
        assert violations(page, ".rnb-picker") == []
        assert picker.locator(".rnb-held th", has_text=HOSTILE[:15]).get_attribute("title") == HOSTILE
        name = picker.locator(".rnb-part", has_text="aaaa")
        assert name.get_attribute("title") == "a" * 120

        (evidence / "people_2025-11-01.csv").unlink()
        picker.get_by_role("button", name="Take all").click()
        picker.locator(".rnb-said", has_text="1 source is not there any more, and cannot be chosen.").wait_for()
        assert picker.get_by_role("checkbox", name="Gone, cannot take part").is_disabled()
        assert violations(page, ".rnb-picker") == []

        page.set_viewport_size({"width": 720, "height": 1200})
        page.wait_for_function("document.querySelector('.rnb-picker').clientWidth < 720")
        widths = page.evaluate("(one => [one.scrollWidth, one.clientWidth])(document.querySelector('.rnb-picker'))")
        assert widths[0] <= widths[1], "nothing sticks out to the right"

        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.reload()
        wait_for_kernel(page)
        picker.get_by_text("run the cell again to have it in the notebook").wait_for()
        standing(picker, "3 of 4 sources take part")
        assert page.locator('img[src="x"], .rnb-picker img, .rnb-picker script').count() == 0
        assert page.title() != "owned"
        told = end(page, server)
        assert watch.calm(), (watch.outside, watch.errors)
        assert "<img src=x" not in told, "the file holds it as text"
        notebook = json.loads((server.root / "scan.ipynb").read_text())
        assert "onerror" not in json.dumps(notebook["metadata"]), "no name in the widget's state"
