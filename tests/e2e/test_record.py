"""The records of headless runs and of sessions, opened in a browser: no request, no script, and the facts are there."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bson import json_util

from recovery_nb.case import Case
from recovery_nb.checks import verify_run
from recovery_nb.headless import find_notebook, run_notebook

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
FACTS = (
    "42 records are missing and can be recovered",
    "42 records restored, 0 left as they are, 0 failed.",
    "checked: all as it should be.",
)
"""What was missing, what came back, and the line of the verification."""
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"


@pytest.fixture
def record(browser: Any, database: Any, tmp_path: Path) -> Path:
    """The page of a run of `recover` over data that hold markup in keys, values and the name of a collection."""
    missing = [{"_id": HOSTILE, "no": 1}, *({"_id": number, "no": HOSTILE} for number in range(41))]
    backup = {"collections": {"quotes": missing, HOSTILE: [{"_id": 1, HOSTILE: HOSTILE}]}}
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    (evidence / "backup_1.json").write_text(json_util.dumps(backup))
    database.client[database.name]["quotes"].insert_one({"_id": 0, "no": 0})
    run = run_notebook(
        "recover", {"sources": str(evidence)}, out=tmp_path / "runs", database=database.uri, case=tmp_path / "case"
    )
    assert (run.status, run.error) == ("success", "")
    return run.html


def test_the_page_needs_nothing_and_runs_nothing(record: Path, open_page: Callable[[str], Any]) -> None:
    watch = open_page(record.as_uri())
    page = watch.page
    page.goto(record.as_uri())
    assert watch.calm(), (watch.outside, watch.errors)
    assert page.locator("script").count() == 0
    assert page.locator('img:not([src^="data:image/png"])').count() == 0
    assert "owned" not in page.title()
    page.get_by_text("42 records are missing and can be recovered; 1 record has changed.").wait_for()
    assert page.get_by_text(HOSTILE).count() > 0, "shown as the text that it is"
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1], "nothing sticks out to the right"


def pdf_text(content: bytes) -> str:
    spec = importlib.util.spec_from_file_location("pdf", Path(__file__).with_name("pdf.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.pdf_text(content))


def test_a_session_in_jupyterlab_is_recorded_and_read_again_without_a_kernel(
    database: Any, lab: Callable[..., Any], open_page: Callable[[str], Any], tmp_path: Path
) -> None:
    """The notebook is run and never saved; its record is then read in JupyterLab, as a page, and as a PDF."""
    work, case = tmp_path / "work", tmp_path / "work" / "case"
    (work / "evidence").mkdir(parents=True)
    lost = [{"_id": HOSTILE, "no": 1}, *({"_id": number, "no": HOSTILE} for number in range(1, 42))]
    (work / "evidence" / "backup_1.json").write_text(json_util.dumps({"collections": {"quotes": lost}}))
    database.client[database.name]["quotes"].insert_one({"_id": 0, "no": 0})
    node = nbformat.read(find_notebook("recover"), as_version=4)
    parameters = next(cell for cell in node.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source = re.sub(r"(?m)^restore = False", "restore = True", parameters.source)
    parameters.source = re.sub(r'(?m)^sources = ""', 'sources = "evidence"', parameters.source)
    node.cells[-1].source = "case.record(pdf=True)"
    nbformat.write(node, work / "story.ipynb")
    before = (work / "story.ipynb").read_bytes()

    with lab({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        page.goto(f"{server.url}doc/tree/story.ipynb?token={server.token}")
        page.wait_for_function(f"{KERNEL}?.status === 'idle'")
        assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')") is True
        assert (work / "story.ipynb").read_bytes() == before, "it was never saved"
        (record,) = [run for run in (case / "runs").iterdir() if run.is_dir()]

        reading = open_page(server.url)
        page = reading.page
        page.goto(f"{server.url}doc/tree/case/runs/{record.name}/story.ipynb?token={server.token}")
        page.wait_for_function(f"{KERNEL}?.status === 'idle'")
        page.evaluate("window.jupyterapp.commands.execute('kernelmenu:shutdown')")
        page.wait_for_function(f"!{KERNEL}")
        # JupyterLab renders the cells that are in the window: all of them are in its model.
        page.evaluate("window.jupyterapp.shell.currentWidget.content.scrollToItem(0)")
        for fact in FACTS:
            found = page.evaluate(
                """fact => {
                  const notebook = window.jupyterapp.shell.currentWidget.content;
                  const place = notebook.widgets.findIndex(cell => cell.model.type === 'code'
                    && JSON.stringify(cell.model.outputs.toJSON()).includes(fact));
                  if (place >= 0) { notebook.activeCellIndex = place; notebook.scrollToItem(place, 'center'); }
                  return place;
                }""",
                fact,
            )
            assert found >= 0, fact
            page.locator(".jp-OutputArea").get_by_text(fact).first.wait_for()
        assert page.get_by_text("model not found").count() == 0
        assert watch.calm(), (watch.outside, watch.errors)
        assert reading.calm(), (reading.outside, reading.errors)

    html = record / "story.html"
    offline = open_page(html.as_uri())
    offline.page.goto(html.as_uri())
    for fact in FACTS:
        offline.page.get_by_text(fact).first.wait_for()
    offline.page.get_by_text("Record of a session").wait_for()
    assert "cells of code were run" in offline.page.content()
    assert offline.page.locator(".note").count() == 0, "nothing is in doubt"
    assert offline.calm(), (offline.outside, offline.errors)

    printed = pdf_text((record / "story.pdf").read_bytes())
    assert [fact for fact in FACTS if fact not in printed] == []
    assert verify_run(record).ok
    with Case.open(case, database=database.uri) as opened:
        assert opened.verify().ok
