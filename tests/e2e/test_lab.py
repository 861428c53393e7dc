"""4_restore in JupyterLab, by clicks: preview, restore, roll back; and the database is looked at each time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from recovery_nb.case import Case

from .test_desk import heading, summary, wait_for_kernel

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "4_restore.ipynb"


@pytest.fixture
def quotes(database: Any, tmp_path: Path) -> Any:
    """A collection that lost 5 of 10 quotes, one with a hostile key; the case has compared it with its backup."""
    backup = [{"_id": HOSTILE, "no": 0}, *({"_id": f"Q-{number}", "no": number} for number in range(1, 10))]
    path = tmp_path / "backup_quotes.json"
    path.write_text(json_util.dumps({"collections": {"quotes": backup}}))
    collection = database.client[database.name]["quotes"]
    collection.insert_many(backup[5:])
    with Case.open(tmp_path / "work" / "case", database=database.uri) as case:
        case.compare(path)
    return collection


def test_selected_records_are_restored_and_rolled_back_by_clicks(
    quotes: Any, database: Any, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    with lab({"DATABASE_URI": database.uri}) as server:
        shutil.copy(NOTEBOOK, server.root / "restore.ipynb")
        watch = open_page(server.url)
        page = watch.page
        page.goto(f"{server.url}doc/tree/restore.ipynb?token={server.token}")
        wait_for_kernel(page)
        assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')") is True
        desk = page.locator(".rnb-desk")

        summary(desk, "of 5, 0 selected")
        rows = desk.locator(".rnb-grid tbody tr")
        rows.nth(0).get_by_role("checkbox").click()
        summary(desk, "1 selected")
        rows.nth(2).get_by_role("checkbox").click()
        summary(desk, "2 selected")
        desk.get_by_role("button", name="Preview 2").click()
        heading(desk, "2 records would be written.")
        assert quotes.count_documents({}) == 5

        desk.get_by_label("Type 2 to confirm").fill("3")
        assert desk.get_by_role("button", name="Restore 2").is_disabled()
        desk.get_by_label("Type 2 to confirm").fill("2")
        desk.get_by_role("button", name="Restore 2").click()
        heading(desk, "2 records restored, verified.")
        assert quotes.count_documents({}) == 7

        desk.get_by_role("button", name="Roll back").click()
        heading(desk, "2 records rolled back.")
        assert quotes.count_documents({}) == 5

        assert page.locator('img[src="x"]').count() == 0
        assert page.title() != "owned"
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        page.evaluate("window.jupyterapp.commands.execute('kernelmenu:shutdown')")
        assert watch.calm(), (watch.outside, watch.errors)

        saved = json.dumps(
            [cell.get("outputs") for cell in json.loads((server.root / "restore.ipynb").read_text())["cells"]]
        )
        assert "2 records restored, 0 left as they are, 0 failed." in saved, "the file tells it without a kernel"
        assert "2 records put back as before the restore" in saved
