"""Running a notebook headless: checked before, judged after, frozen, and published as one folder."""

from __future__ import annotations

import hashlib
import json
import platform
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recovery_nb.errors import RecoveryError
from recovery_nb.events import Emit, silent
from recovery_nb.headless.library import find_notebook
from recovery_nb.headless.parameters import check_parameters, notebook_parameters
from recovery_nb.headless.record import REQUEST, scrubber_for
from recovery_nb.reports.sentinel import REPORT, RUN_DIR, RUN_TOKEN

__all__ = ["RunResult", "run_notebook"]

_DATABASE = "DATABASE_URI"
_PACKAGES = ("recovery-nb", "papermill", "nbclient", "nbconvert", "ipykernel", "pymongo")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to.

    Attributes:
        run: The run's folder.
        status: "success", "failed" or "interrupted".
        notebook: The executed, frozen notebook.
        html: The same as a page that needs no kernel, no script and no network.
        report: The notebook's report; None if it did not come so far.
        pdf: The page as printed; None if that was not asked for, or failed.
        exit_code: 0, 1 or 3 as the notebook says, 2 for a failed run, 130 for an interrupted one.
        error: One line that says what went wrong and where; "" for a success.
    """

    run: Path
    status: str
    notebook: Path
    html: Path
    report: Path | None
    exit_code: int
    error: str = ""
    pdf: Path | None = None


def run_notebook(
    notebook: str | Path,
    parameters: Mapping[str, object],
    *,
    out: Path,
    database: str = "",
    case: Path | None = None,
    cell_timeout: int | None = None,
    emit: Emit = silent,
) -> RunResult:
    """Execute a notebook in the caller's working directory and publish what it left.

    The folder `out/<notebook>_<UTC time>[_n]/` appears whole or not at all, with `<notebook>.ipynb`,
    `<notebook>.html`, `run.json` and, if the notebook came to its end, `report.json`; and `<notebook>.pdf`, if it
    called `Case.record` with `pdf`. A failed or interrupted run is published too. Until then nothing of it is on
    disk but in a private folder beside it.

    Args:
        notebook: A path, or the name of a notebook that comes with the package.
        parameters: By name, as Python values or as text.
        out: The folder of runs; it is made if need be.
        database: The database's URI. It reaches the kernel as DATABASE_URI and is in no file.
        case: The case folder, handed to a notebook that has a parameter `case`.
        cell_timeout: Seconds that one cell may take; None for no limit.
        emit: Called with an event after each cell.

    Raises:
        BadInputError: There is no such notebook, or a parameter is unknown, of the wrong type or secret; no
            kernel was started and nothing written.
        RecoveryError: The folder of runs cannot be written to.
    """
    # Papermill and nbconvert take a second to import: whoever only imports this module must not pay it.
    from recovery_nb.headless import publish  # noqa: PLC0415 (see above)

    path = find_notebook(notebook)
    source, content = publish.read_notebook(path)
    values = check_parameters(notebook_parameters(source), parameters, case=case)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}.", dir=out, ignore_cleanup_errors=True) as private:
            return _run(
                source,
                values,
                path=path,
                digest=hashlib.sha256(content).hexdigest(),
                private=Path(private),
                out=out,
                database=database,
                case=case,
                cell_timeout=cell_timeout,
                emit=emit,
            )
    except OSError as error:
        raise RecoveryError(
            f"cannot write the run of {path.stem} to {out} ({error.strerror or error})",
            hint="choose a folder you may write to, with space left",
        ) from error


def _run(
    source: Any,
    values: dict[str, object],
    *,
    path: Path,
    digest: str,
    private: Path,
    out: Path,
    database: str,
    case: Path | None,
    cell_timeout: int | None,
    emit: Emit,
) -> RunResult:
    from recovery_nb.headless import freeze, kernel, publish, verdict  # noqa: PLC0415 (as above)

    token = secrets.token_hex(16)
    environment = {RUN_DIR: str(private.absolute()), RUN_TOKEN: token}
    if database:
        environment[_DATABASE] = database
    started = datetime.now(UTC)
    execution = kernel.execute(
        source, values, environment=environment, cell_timeout=cell_timeout, name=path.stem, emit=emit
    )
    finished = datetime.now(UTC)
    judged = verdict.decide(execution, private=private, token=token, cell_timeout=cell_timeout)
    # The kernel inherits the caller's environment: a URI there is as secret as one that was given.
    scrubber = scrubber_for(database)
    facts: dict[str, object] = {
        "run": f"{path.stem}_{started:%Y%m%dT%H%M%SZ}",
        "notebook": path.stem,
        "notebook_sha256": digest,
        "status": judged.status,
        "exit_code": judged.exit_code,
        "error": scrubber.text(judged.error),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds(), 1),
        "case": scrubber.text(str(case.absolute())) if case else None,
        "parameters": scrubber.tree({**{known.name: known.default for known in notebook_parameters(source)}, **values}),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }
    report = publish.read_report(private / REPORT, scrubber)
    pdf = _wants_pdf(private)
    while True:
        frozen = freeze.freeze(execution.notebook, scrubber, facts=facts)
        try:
            run = publish.publish(frozen, report, facts, stem=path.stem, private=private, out=out, pdf=pdf)
        except RecoveryError as problem:
            if not pdf:
                raise
            # A run is published whatever becomes of its PDF.
            pdf, facts["notes"] = False, [f"There is no PDF: {problem}"]
        else:
            break
    return RunResult(
        run=run,
        status=judged.status,
        notebook=run / f"{path.stem}.ipynb",
        html=run / f"{path.stem}.html",
        report=run / REPORT if report else None,
        exit_code=judged.exit_code,
        error=str(facts["error"]),
        pdf=run / f"{path.stem}.pdf" if pdf else None,
    )


def _wants_pdf(private: Path) -> bool:
    """Return whether the notebook asked for one by `Case.record`."""
    try:
        return bool(json.loads((private / REQUEST).read_bytes())["pdf"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
