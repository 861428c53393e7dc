"""The page that a headless run leaves, opened in a browser: no request, no script, and the counts are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from recovery_nb.headless import run_notebook

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


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
