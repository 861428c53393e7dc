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


def open_and_run(page: Any, lab: Any, name: str) -> None:
    page.goto(f"{lab.url}doc/tree/{name}?token={lab.token}")
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
    assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')") is True


def test_selected_records_are_restored_and_rolled_back_by_clicks(
    quotes: Any, database: Any, lab: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    with lab({"DATABASE_URI": database.uri}) as server:
        shutil.copy(NOTEBOOK, server.root / "restore.ipynb")
        watch = open_page(server.url)
        page = watch.page
        open_and_run(page, server, "restore.ipynb")
        panel = page.locator(".recovery-nb-restore")

        panel.locator("select[multiple]").select_option(index=[0, 2])
        panel.get_by_text("2 selected").wait_for()
        panel.get_by_role("button", name="Preview").click()
        panel.get_by_text("Previewed: 2 records would be written").wait_for()
        assert quotes.count_documents({}) == 5

        panel.get_by_placeholder("type 2 to confirm").fill("2")
        panel.get_by_role("button", name="Restore 2").click()
        panel.get_by_text("2 records restored, verified.").wait_for()
        assert quotes.count_documents({}) == 7

        panel.get_by_role("button", name="Roll back").click()
        panel.get_by_text("2 records rolled back.").wait_for()
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
