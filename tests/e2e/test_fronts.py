"""A shipped notebook in Voilà: it runs, and says what it says in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from .front import laid_out

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
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


def test_a_comparison_in_voila(
    database: Any, evidence: Path, voila: Callable[..., Any], open_page: Callable[[str], Any]
) -> None:
    path = laid_out("3_compare", evidence.parent, {"sources": str(evidence)})
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
