"""The shipped notebooks in Notebook 7 and in Voilà: they run, and say what they say in JupyterLab."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bson import json_util

from recovery_nb.headless import find_notebook

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
NOTEBOOK_7 = "Cannot read properties of undefined (reading 'schema')"
"""What a plugin of Notebook 7.6 says of its own settings, before any cell is run."""
VOILA = "https://cdn.jsdelivr.net/npm/@fortawesome/fontawesome-free@"
"""What Voilà's own template asks for; it is not answered here."""


@pytest.fixture
def evidence(database: Any, tmp_path: Path) -> Path:
    """A backup of ten quotes, of which the database has lost five."""
    folder = tmp_path / "work" / "evidence"
    folder.mkdir(parents=True)
    quotes = [{"_id": HOSTILE, "no": 0}, *({"_id": f"Q-{number}", "no": number} for number in range(1, 10))]
    (folder / "backup_1.json").write_text(json_util.dumps({"collections": {"quotes": quotes}}))
    database.client[database.name]["quotes"].insert_many(quotes[5:])
    return folder


def laid_out(name: str, folder: Path, evidence: Path) -> Path:
    """Lay a shipped notebook out with its sources filled in, as an analyst does."""
    node = nbformat.read(shutil.copy(find_notebook(name), folder), as_version=4)
    cell = next(cell for cell in node.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = re.sub(r'(?m)^sources = ""', f"sources = {json.dumps(str(evidence))}", cell.source)
    path = folder / f"{name}.ipynb"
    nbformat.write(node, path)
    return path


def test_a_scan_in_notebook_7(
    database: Any, evidence: Path, notebook7: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    path = laid_out("1_scan", evidence.parent, evidence)
    with notebook7({"DATABASE_URI": database.uri}) as server:
        watch = open_page(server.url)
        page = watch.page
        page.goto(f"{server.url}notebooks/{path.name}?token={server.token}")
        page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        )
        assert page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')") is True
        outputs = page.locator(".jp-OutputArea")
        outputs.get_by_text("backup_1.json").first.wait_for()
        assert page.evaluate(
            "JSON.stringify(window.jupyterapp.shell.currentWidget.content.model.toJSON()).includes('quotes')"
        )
        page.evaluate("window.jupyterapp.commands.execute('kernelmenu:shutdown')")
        assert watch.outside == []
        assert [error for error in watch.errors if error != NOTEBOOK_7] == []


def test_a_comparison_in_voila(
    database: Any, evidence: Path, voila: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    path = laid_out("3_compare", evidence.parent, evidence)
    with voila({"DATABASE_URI": database.uri}, path) as server:
        watch = open_page(server.url)
        page = watch.page
        page.goto(server.url)
        page.get_by_text("5 records are missing and can be recovered").first.wait_for()
        page.get_by_text("What next?").wait_for()
        assert page.locator('img[src="x"]').count() == 0
        assert page.title() != "owned"
        assert watch.errors == []
        assert [url for url in watch.outside if not url.startswith(VOILA)] == []
