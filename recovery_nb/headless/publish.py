"""The two ends of a run's files: the notebook that is read, and the folder that is published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.files import sync_folder, write_whole
from recovery_nb.headless.export import to_html
from recovery_nb.headless.printing import to_pdf
from recovery_nb.headless.scrub import Scrubber
from recovery_nb.reports.sentinel import REPORT

__all__ = ["RUN_FACTS", "publish", "read_notebook", "read_report"]

RUN_FACTS = "run.json"
"""The file of a run's folder that says what the run was, and holds the SHA-256 of the other files."""


def read_notebook(path: Path) -> tuple[Any, bytes]:
    """Return a notebook as an nbformat node, and its file's bytes.

    Raises:
        BadInputError: It cannot be read, or is no notebook.
    """
    try:
        content = path.read_bytes()
        node = nbformat.reads(content.decode(), as_version=4)
        nbformat.validate(node)
    except OSError as error:
        raise BadInputError(f"cannot read {path} ({error.strerror})", hint="check the path") from error
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise BadInputError(f"{path} is no Jupyter notebook", hint="give a file that Jupyter opens") from error
    return node, content


def read_report(path: Path, scrubber: Scrubber) -> bytes:
    """Return the report that a notebook wrote, scrubbed; nothing if it wrote none that can be read."""
    try:
        return _json(scrubber.tree(json.loads(path.read_bytes())))
    except (OSError, ValueError):
        return b""


def publish(
    frozen: Any, report: bytes, facts: Mapping[str, object], *, stem: str, private: Path, out: Path, pdf: bool = False
) -> Path:
    """Lay a run's files out in a private folder, and give that folder its final name.

    Args:
        frozen: The notebook, frozen and scrubbed.
        report: The report's bytes, scrubbed; empty for none.
        facts: What `run.json` is to say; "run" is the name the folder gets, with a number if it is taken.
        stem: The name of the notebook's files.
        private: A folder on the same file system as `out`.
        out: The folder of runs.
        pdf: Print the page, too.

    Returns:
        The run's folder.

    Raises:
        MissingRequirementError: There is no Chromium to print with.
        RecoveryError: It did not print, or the folder's name cannot be had.
    """
    nbformat.validate(frozen)
    page = to_html(frozen, facts)
    files = {f"{stem}.ipynb": nbformat.writes(frozen).encode(), f"{stem}.html": page.encode()}
    if pdf:
        files[f"{stem}.pdf"] = to_pdf(page)
    if report:
        files[REPORT] = report
    staged = private / "run"
    staged.mkdir()
    described = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    for number in range(1, 1000):
        run = out / (str(facts["run"]) + (f"_{number}" if number > 1 else ""))
        if run.exists():
            continue
        files[RUN_FACTS] = _json({**facts, "run": run.name, "files": described})
        for name, content in files.items():
            write_whole(staged / name, content)
        try:
            staged.rename(run)
        except OSError:
            # Another run took the name in between; any other failure is told by the last one.
            if not run.exists():
                raise
            continue
        sync_folder(out)
        return run
    raise RecoveryError(f"{out} holds a thousand runs of this second", hint="choose another folder")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
