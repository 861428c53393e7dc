"""The record of a session: what was run and shown, so that it can be read later by anybody, without a kernel."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recovery_nb.errors import BadInputError, ConflictError, RecoveryError
from recovery_nb.files import write_json
from recovery_nb.headless.printing import chromium
from recovery_nb.headless.scrub import Scrubber, has_credentials
from recovery_nb.reports.html import facts
from recovery_nb.reports.sentinel import RUN_DIR

__all__ = ["PACKAGES", "REQUEST", "Record", "make_record", "scrubber_for"]

PACKAGES = ("recovery-nb", "nbconvert", "ipykernel", "pymongo")
REQUEST = "record.json"
"""The file by which a notebook asks the headless run that it is in for more than a run leaves anyway."""


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record is.

    Attributes:
        folder: Its folder; None within a headless run, which makes it when the notebook has come to its end.
        notebook: The frozen notebook.
        html: The same as a page that needs no kernel, no script and no network.
        pdf: The page as printed; None if that was not asked for.
        digests: The SHA-256 of each file, by name.
        notes: What a reader must know of it.
    """

    folder: Path | None
    notebook: Path | None = None
    html: Path | None = None
    pdf: Path | None = None
    digests: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> dict[str, object]:
        """The facts at a glance."""
        if self.folder is None:
            return {"record": "the run leaves it when this notebook has come to its end"}
        files = {path.suffix[1:]: str(path) for path in (self.notebook, self.html, self.pdf) if path}
        return {"record": str(self.folder), **files, **{f"note {n}": note for n, note in enumerate(self.notes, 1)}}

    def _repr_html_(self) -> str:
        """Show them in a notebook, without a script."""
        return facts(self.summary)


@dataclass(frozen=True, slots=True)
class _Told:
    """A notebook as it is to be recorded, and what its page says of where it comes from."""

    notebook: Any
    kind: str
    notes: tuple[str, ...]
    began: datetime | None
    ran: int


def make_record(notebook: str | Path | None, *, case: Path, out: Path, scrubber: Scrubber, pdf: bool = False) -> Record:
    """Leave the record of the session of this kernel, or of a notebook's file.

    What was shown comes from the kernel's transcript, which `begin` begins; text and order from the notebook's file.
    A notebook that this kernel does not run is recorded as its file holds it.

    Args:
        notebook: The notebook's file; None for the one that this kernel runs.
        case: The case's folder.
        out: The folder of runs, where the record gets a folder of its own; it appears whole or not at all.
        scrubber: Takes the secrets out.
        pdf: Print the page, too.

    Raises:
        BadInputError: There is no such notebook, or it is not known which one this kernel runs.
        ConflictError: The notebook's file must be saved first.
        MissingRequirementError: There is no Chromium to print with.
        RecoveryError: The record cannot be written.
    """
    if pdf:
        chromium()
    if run := os.environ.get(RUN_DIR):
        write_json(Path(run) / REQUEST, {"pdf": pdf})
        return Record(None)
    from recovery_nb.headless import publish  # noqa: PLC0415 - nbconvert takes a second to import

    shell = _shell()
    path = _named(notebook, shell)
    node, content = publish.read_notebook(path)
    saved = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    told = _told(node, path, shell, saved=saved, named=notebook is not None)
    described = _described(told, path, scrubber, digest=hashlib.sha256(content).hexdigest(), saved=saved, case=case)
    return _publish(told, described, scrubber, stem=path.stem, out=out, pdf=pdf)


def scrubber_for(*uris: str) -> Scrubber:
    """Return what takes the secrets of these URIs, and of those in the environment, out of a record."""
    inherited = (value for name, value in os.environ.items() if name == "DATABASE_URI" or has_credentials(value))
    return Scrubber(*uris, *inherited)


def _shell() -> Any:
    """Return the shell of the kernel that runs us, None if none does."""
    from IPython import get_ipython  # noqa: PLC0415 - a command that makes no record need not pay for it

    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None


def _named(notebook: str | Path | None, shell: Any) -> Path:
    if notebook is not None:
        return Path(notebook).absolute()
    if shell is None:
        raise BadInputError("no notebook is running here", hint="name one: case.record('NAME.ipynb')")
    from recovery_nb.headless.running import find_running  # noqa: PLC0415 - only a kernel needs it

    return find_running(shell)


def _told(node: Any, path: Path, shell: Any, *, saved: datetime, named: bool) -> _Told:
    from recovery_nb.headless import assemble, transcript  # noqa: PLC0415 - nbformat, as above

    kept = transcript.kept(shell) if shell is not None else None
    if kept is None and not named:
        raise BadInputError("what this kernel showed was not kept", hint="open the case with `begin`, then run again")
    runs = kept.runs() if kept is not None else []
    if kept is None or (named and not assemble.matching(node, runs)):
        notes = ("It is shown as its file was saved, and was not compared with any kernel.",)
        ran = sum(cell.cell_type == "code" and bool(cell.execution_count) for cell in node.cells)
        return _Told(node, "file", notes, None, ran)
    if kept.missed:
        raise ConflictError(
            f"not all that this kernel showed was kept: {kept.missed}", hint="restart the kernel and run all cells"
        )
    earlier = list(enumerate(shell.history_manager.input_hist_raw))[1 : kept.first]
    session = assemble.assemble(node, runs, earlier, saved_since=saved >= kept.since, where=path.name)
    session.notebook.metadata["widgets"] = assemble.captured(_outputs(), runs)
    return _Told(session.notebook, "session", session.notes, kept.since, session.ran)


def _outputs() -> list[Any]:
    """Return the Output widgets of this kernel: what they captured is in no cell's outputs."""
    from ipywidgets.widgets.widget import _instances  # noqa: PLC0415 - it has no public name
    from ipywidgets.widgets.widget_output import Output  # noqa: PLC0415

    return [widget for widget in list(_instances.values()) if isinstance(widget, Output)]


def _described(
    told: _Told, path: Path, scrubber: Scrubber, *, digest: str, saved: datetime, case: Path
) -> dict[str, object]:
    from recovery_nb.headless import assemble  # noqa: PLC0415 - nbformat, as above

    now = datetime.now(UTC)
    code = [cell for cell in told.notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    errors = [f"{one.ename}: {one.evalue} (cell [{cell.execution_count}])"
              for cell in code for one in cell.outputs if one.output_type == "error"]  # fmt: skip
    order = assemble.out_of_order(told.notebook)
    return {
        "run": f"{path.stem}_{now:%Y%m%dT%H%M%SZ}",
        "kind": told.kind,
        "notebook": path.stem,
        "notebook_sha256": digest,
        "saved": saved.isoformat(timespec="seconds"),
        "status": "recorded",
        "exit_code": None,
        "error": scrubber.text("; ".join(errors)[:400]),
        "started": (told.began or saved).isoformat(timespec="seconds"),
        "finished": now.isoformat(timespec="seconds"),
        "seconds": round((now - told.began).total_seconds(), 1) if told.began else None,
        "case": scrubber.text(str(case)),
        "parameters": {},
        "cells": {"ran": told.ran, "code": len(code)},
        "notes": [*told.notes, *([order] if order else [])],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }


def _publish(
    told: _Told, described: dict[str, object], scrubber: Scrubber, *, stem: str, out: Path, pdf: bool
) -> Record:
    from recovery_nb.headless import freeze, publish  # noqa: PLC0415 - nbconvert, as above

    frozen = freeze.freeze(told.notebook, scrubber, facts=described)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{stem}.", dir=out, ignore_cleanup_errors=True) as private:
            folder = publish.publish(frozen, b"", described, stem=stem, private=Path(private), out=out, pdf=pdf)
    except OSError as error:
        raise RecoveryError(f"cannot write the record of {stem} to {out} ({error.strerror or error})",
                            hint="choose a folder you may write to, with space left") from error  # fmt: skip
    files = json.loads((folder / publish.RUN_FACTS).read_bytes())["files"]
    digests = {name: str(facts["sha256"]) for name, facts in files.items()}
    digests[publish.RUN_FACTS] = hashlib.sha256((folder / publish.RUN_FACTS).read_bytes()).hexdigest()
    notes = tuple(str(note) for note in frozen.metadata["recovery_nb"]["notes"])
    return Record(
        folder, folder / f"{stem}.ipynb", folder / f"{stem}.html", folder / f"{stem}.pdf" if pdf else None,
        tuple(digests.items()), notes,
    )  # fmt: skip
