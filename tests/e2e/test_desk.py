"""The desk in JupyterLab: by keys alone, in both themes, over hostile data, and when its page is loaded anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId, encode, json_util

from recovery_nb.case import Case

from .front import heading, press, summary, tab_to, violations, writes_held

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
CELL = """
from recovery_nb import Case
from recovery_nb.widgets import Desk
case = Case.open("case")
Desk(case, case.last_comparison(), only=[])
"""


def write_notebook(root: Path) -> None:
    cell = {"cell_type": "code", "id": "desk", "metadata": {}, "source": CELL, "outputs": [], "execution_count": None}
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (root / "desk.ipynb").write_text(json.dumps(notebook))


def wait_for_kernel(page: Any) -> None:
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")


def run(page: Any, lab: Any) -> Any:
    """Open the notebook and run it; return the desk."""
    write_notebook(lab.root)
    page.goto(f"{lab.url}doc/tree/desk.ipynb?token={lab.token}")
    wait_for_kernel(page)
    assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')") is True
    desk = page.locator(".rnb-desk")
    desk.locator(".rnb-grid tbody tr").first.wait_for()
    return desk


def saved(page: Any, lab: Any) -> str:
    """Save the notebook, end its kernel, and return what its cells have put out, as the file has it."""
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("window.jupyterapp.commands.execute('kernelmenu:shutdown')")
    cells = json.loads((lab.root / "desk.ipynb").read_text())["cells"]
    return json.dumps([cell.get("outputs") for cell in cells])


@pytest.fixture
def quotes(database: Any, tmp_path: Path) -> Any:
    """A collection that lost 110 of 120 quotes, and 5 have changed; the case has compared it with its backup."""
    backup = [{"_id": f"Q-{number:03}", "no": number, "email": "ann@example.org"} for number in range(120)]
    path = tmp_path / "backup_quotes.json"
    path.write_text(json_util.dumps({"collections": {"quotes": backup}}))
    collection = database.client[database.name]["quotes"]
    collection.insert_many([{**one, "no": -1} if one["no"] < 115 else one for one in backup[110:]])
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        case.compare(path)
    return collection


def test_everything_can_be_done_by_keys_alone(
    quotes: Any, database: Any, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        desk = run(page, server)
        focused = desk.locator(":focus")

        desk.get_by_role("button", name="missing").focus()
        press(page, "/")
        page.keyboard.type("Q-0")
        summary(desk, "50 of 100, 0 selected")
        press(page, "Escape", "ArrowDown", "Space")
        summary(desk, "1 selected")
        press(page, "Shift+ArrowDown", "Shift+ArrowDown")
        summary(desk, "3 selected")
        press(page, "a", "b", "d", "d", "x")
        press(page, "PageDown")
        summary(desk, "100 of 100, 3 selected")
        press(page, "End", "Space")
        summary(desk, "4 selected")
        assert focused.get_attribute("aria-selected") == "true"
        press(page, "PageUp")
        summary(desk, "50 of 100, 4 selected")
        press(page, "Home", "Enter")
        desk.locator("h3:focus", has_text="Q-000").wait_for()
        press(page, "Escape")
        desk.get_by_text("Open a record to compare its versions").wait_for()
        assert focused.get_attribute("data-number") == desk.locator("tbody tr").first.get_attribute("data-number")

        tab_to(page, "Preview 4")
        press(page, "Enter")
        heading(desk, "4 records would be written.")
        assert quotes.count_documents({}) == 10
        tab_to(page, "Type 4 to confirm")
        page.keyboard.type("4")
        press(page, "Enter")
        heading(desk, "4 records restored, verified.")
        assert quotes.count_documents({}) == 14
        tab_to(page, "Roll back")
        press(page, "Enter")
        heading(desk, "4 records rolled back.")
        assert quotes.count_documents({}) == 10
        assert desk.get_by_role("status").inner_text().strip() == "4 records rolled back."

        assert page.locator(".jp-Notebook .jp-Cell").count() == 1, "no key has reached the notebook's shortcuts"
        told = saved(page, server)
        assert watch.calm(), (watch.outside, watch.errors)
        for sentence in ("4 records would be written.", "4 records restored, 0 left", "4 records put back as before"):
            assert sentence in told, "the file tells it without a kernel"


def test_another_version_is_compared_and_taken_by_mouse(
    quotes: Any, database: Any, tmp_path: Path, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    older = tmp_path / "older" / "quotes.bson"
    older.parent.mkdir()
    older.write_bytes(encode({"_id": "Q-000", "no": "zero", "email": "bea@example.org"}))
    os.utime(older, (0, 0))
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        case.compare(tmp_path / "backup_quotes.json", older)
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        desk = run(page, server)
        desk.get_by_role("button", name="Versions").click()
        desk.locator("th[aria-sort=ascending]").wait_for()
        desk.get_by_role("button", name="Versions").click()
        desk.locator("th[aria-sort=descending]").wait_for()
        desk.locator(".rnb-grid tbody tr", has_text="Q-000").click()
        record = desk.get_by_role("region", name="Record")
        record.get_by_text("2 · ").wait_for()
        assert record.get_by_text("@example.org").count() == 0
        record.get_by_role("button", name="Reveal email").click()
        record.get_by_text("bea@example.org").wait_for()
        record.get_by_role("button", name="Use version 2").click()
        record.get_by_text("✓ this version is selected").wait_for()
        desk.get_by_role("button", name="Preview 1").click()
        desk.get_by_label("Type 1 to confirm").fill("1")
        desk.get_by_role("button", name="Restore 1").click()
        heading(desk, "1 record restored, verified.")
        page.evaluate("window.jupyterapp.commands.execute('kernelmenu:shutdown')")
        assert watch.calm(), (watch.outside, watch.errors)
    assert quotes.find_one({"_id": "Q-000"}) == {"_id": "Q-000", "no": "zero", "email": "bea@example.org"}
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        actions = [entry.action for entry in case.audit.entries()]
    assert actions.count("values revealed") == 1


def test_a_restore_shows_how_far_it_is_can_be_cancelled_and_resumed(
    database: Any, tmp_path: Path, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    path = tmp_path / "lines.bson"
    path.write_bytes(b"".join(encode({"_id": number, "text": "x" * 1_000}) for number in range(20_000)))
    lines = database.client[database.name]["lines"]
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        case.compare(path)
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        desk = run(page, server)
        desk.get_by_role("button", name="Select all matching").click()
        desk.get_by_role("button", name="Preview 20,000").click()
        desk.get_by_label("Type 20,000 to confirm").fill("20000")
        with writes_held(database):
            desk.get_by_role("button", name="Restore 20,000").click()
            desk.get_by_role("button", name="Cancel").click()
            desk.locator("button:disabled", has_text="Cancel").wait_for()
        desk.locator(".rnb-said", has_text="The restore was cancelled.").wait_for()
        assert lines.count_documents({}) < 20_000
        desk.get_by_role("button", name="Resume").click()
        heading(desk, "20,000 records restored in all, verified.")
        told = saved(page, server)
        assert watch.calm(), (watch.outside, watch.errors)
    assert lines.count_documents({}) == 20_000
    assert "The restore was cancelled." in told
    assert "20,000 records restored, 0 left as they are, 0 failed." in told


@pytest.fixture
def hostile(database: Any, tmp_path: Path) -> str:
    """Markup in keys, values, names of fields, of a collection and of the file; and a name of 120 characters."""
    long = "a" * 60 + HOSTILE[:20] + "z" * 40
    keys = [HOSTILE, *(ObjectId() for _ in range(60))]
    records = [{"_id": key, HOSTILE: HOSTILE, "password": HOSTILE, "of": {HOSTILE: [HOSTILE, 1]}} for key in keys]
    path = tmp_path / "<img src=x onerror=document.title='owned'>.json"
    collections = {"quotes": records, HOSTILE: [{"_id": HOSTILE, "n": 1}], long: [{"_id": 1}]}
    path.write_text(json_util.dumps({"collections": collections}, json_options=json_util.CANONICAL_JSON_OPTIONS))
    quotes = database.client[database.name]["quotes"]
    quotes.insert_many([{**one, HOSTILE: 1, "of": HOSTILE} for one in records[:20]])
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        case.compare(path)
    return long


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_hostile_data_are_text_in_every_theme_and_width(
    hostile: str, database: Any, lab: Callable[..., Any], open_page: Callable[[str], Any], theme: str
) -> None:
    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        desk = run(page, server)
        page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        light = "true" if theme.endswith("Light") else "false"
        page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)
        assert violations(page, ".rnb-desk") == []

        desk.get_by_role("button", name="changed").click()
        summary(desk, "of 43")
        desk.get_by_role("button", name="changed").click()
        summary(desk, "of 63")
        desk.get_by_label("Find").fill("aaaaa")
        summary(desk, "of 1,")
        name = desk.locator(".rnb-grid tbody td").nth(2)
        assert (name.get_attribute("title"), len(name.inner_text())) == (hostile, 60), "cut in its middle"
        desk.get_by_label("Find").fill("")
        desk.get_by_role("button", name="Key", exact=True).click()
        desk.get_by_label("Collection").select_option("quotes")
        summary(desk, "of 61,")
        desk.locator("th[aria-sort=ascending]").wait_for()
        desk.get_by_role("button", name="Last").click()
        desk.locator(".rnb-grid tbody tr", has_text=HOSTILE).click()
        desk.get_by_role("button", name="Reveal password").click()
        desk.get_by_role("button", name="Hide again").wait_for()
        assert desk.locator(".rnb-value", has_text=HOSTILE).count() > 0, "shown as the text that it is"
        desk.get_by_role("button", name="Reset filters").click()
        summary(desk, "of 63,")
        desk.get_by_label("to (UTC)").fill("2000-01-01")
        summary(desk, "nothing matches,")
        desk.get_by_role("button", name="Reset filters").click()
        summary(desk, "of 63,")
        desk.locator(".rnb-bar").first.hover()
        page.mouse.down()
        desk.locator(".rnb-bar").last.hover()
        page.mouse.up()
        summary(desk, "of 60,")
        desk.get_by_role("button", name="Reset filters").click()
        summary(desk, "of 63,")
        desk.get_by_label("another version").select_option("replace")
        desk.get_by_role("button", name="Select all matching").click()
        desk.get_by_role("button", name="Preview 63").click()
        heading(desk, "63 records would be written.")
        desk.locator("summary").first.click()
        assert violations(page, ".rnb-desk") == []

        page.set_viewport_size({"width": 720, "height": 1200})
        page.wait_for_function("document.querySelector('.rnb-desk').clientWidth < 720")
        boxes = [desk.locator(place).bounding_box() for place in (".rnb-grid", ".rnb-record")]
        assert boxes[1]["y"] > boxes[0]["y"], "the record is below the table"
        widths = page.evaluate("(one => [one.scrollWidth, one.clientWidth])(document.querySelector('.rnb-desk'))")
        assert widths[0] <= widths[1], "nothing sticks out to the right"

        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.reload()
        wait_for_kernel(page)
        heading(desk, "63 records would be written.")
        desk.get_by_text("run the cell again to have it in the notebook, too").wait_for()
        assert desk.locator("th[aria-sort=ascending]").count() == 1
        assert desk.get_by_role("button", name="Hide again").count() == 1
        summary(desk, "63 selected")

        assert page.locator('img[src="x"], .rnb-desk img, .rnb-desk script').count() == 0
        assert page.title() != "owned"
        told = saved(page, server)
        assert watch.calm(), (watch.outside, watch.errors)
        assert "<img src=x" not in told.replace("\\u003c", "<").replace("&lt;", ""), "the file holds it as text"
        notebook = (server.root / "desk.ipynb").read_text()
        assert "onerror" not in json.dumps(json.loads(notebook)["metadata"]), "no record in the widget's state"
        assert len(notebook) < 500_000
