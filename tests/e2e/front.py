"""What someone does in a front end: open a notebook, run its cells, move by keys; and what is then looked at."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import axe_playwright_python
import nbformat

from recovery_nb.headless import find_notebook

CONTENT = "window.jupyterapp?.shell.currentWidget?.content"
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
PICTURES = os.environ.get("RECOVERY_NB_PICTURES", "")
"""The folder in which the tests leave pictures for the docs; "" for none."""


def laid_out(name: str, folder: Path, parameters: Mapping[str, object] | None = None) -> Path:
    """Lay a shipped notebook out with some of its parameters filled in, as an analyst does."""
    node = nbformat.read(find_notebook(name), as_version=4)
    cell = next(cell for cell in node.cells if "parameters" in cell.metadata.get("tags", []))
    for one, value in (parameters or {}).items():
        cell.source, found = re.subn(
            rf"(?m)^{one} = \S+", lambda _, line=f"{one} = {value!r}": line, cell.source, count=1
        )
        assert found == 1, one
    path = folder / f"{name}.ipynb"
    nbformat.write(node, path)
    return path


def written(folder: Path, name: str, *sources: str) -> Path:
    """Write a notebook of a few cells."""
    node = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    node.cells = [nbformat.v4.new_code_cell(source, id=f"cell-{place}") for place, source in enumerate(sources)]
    path = folder / f"{name}.ipynb"
    nbformat.write(node, path)
    return path


def open_notebook(page: Any, server: Any, path: Path, *, below: str = "doc/tree") -> None:
    page.goto(f"{server.url}{below}/{path.name}?token={server.token}")
    page.wait_for_function(f"{KERNEL}?.status === 'idle' && {CONTENT}?.widgets.length > 0")


def set_theme(page: Any, theme: str) -> None:
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    light = "true" if theme.endswith("Light") else "false"
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)


def run_all(page: Any) -> None:
    done = page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    assert done is True, errors(page)


def wait_until_run(page: Any, *, beyond: int = 0) -> None:
    """Wait until every cell has been run after the given count, and see that none has failed."""
    page.wait_for_function(
        f"""beyond => {KERNEL}?.status === 'idle' && {CONTENT}.widgets.every(
              cell => cell.model.type !== 'code' || (cell.model.executionCount ?? 0) > beyond)""",
        arg=beyond,
    )
    assert errors(page) == []


def outputs(page: Any) -> list[list[dict[str, Any]]]:
    """Return what each cell of code has put out."""
    return json.loads(
        page.evaluate(
            f"""JSON.stringify({CONTENT}.widgets.filter(cell => cell.model.type === 'code')
                  .map(cell => cell.model.outputs.toJSON()))"""
        )
    )


def errors(page: Any) -> list[str]:
    """Return what the cells that failed say."""
    return [str(one.get("evalue")) for cell in outputs(page) for one in cell if one["output_type"] == "error"]


def told(page: Any) -> str:
    """Return all that the notebook's cells have put out."""
    return json.dumps(outputs(page), ensure_ascii=False)


def shut_down(page: Any) -> None:
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("window.jupyterapp.commands.execute('kernelmenu:shutdown')")


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


NAMED = """(() => { const one = document.activeElement; return one.getAttribute('aria-label')
  ?? one.closest('label')?.innerText ?? one.closest('button')?.innerText ?? ''; })()"""


def tab_to(page: Any, name: str, *, key: str = "Tab") -> None:
    """Press Tab until what is named has the focus."""
    for _ in range(80):
        page.keyboard.press(key)
        if name in page.evaluate(NAMED):
            return
    raise AssertionError(f"{key} does not reach {name}")


def summary(desk: Any, text: str) -> None:
    desk.locator(".rnb-summary", has_text=text).wait_for()


def heading(desk: Any, text: str) -> None:
    desk.get_by_role("heading", name=text).wait_for()


def said(desk: Any, text: str) -> str:
    """Wait for a line in the panel, and return the whole of it."""
    line = desk.locator(".rnb-said", has_text=text)
    line.wait_for()
    return str(line.inner_text())


def take_picture(of: Any, name: str) -> None:
    """Leave a picture for the docs, if they are asked for."""
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        of.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


@contextmanager
def writes_held(database: Any) -> Iterator[None]:
    """Let the server answer and write nothing, as one does that a snapshot of its disk is taken of."""
    database.client.admin.command("fsync", lock=True)
    try:
        yield
    finally:
        database.client.admin.command("fsyncUnlock")


def violations(page: Any, root: str) -> list[str]:
    """Return what axe-core finds of serious or critical faults of accessibility below an element."""
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text())
    found = page.evaluate("root => axe.run(root)", root)["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary')}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
