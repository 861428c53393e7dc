"""The two ends of a notebook: opening its case, and concluding with a report that a headless run can read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from IPython import get_ipython

from recovery_nb.case import Case
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.headless.transcript import keep
from recovery_nb.reports import Report
from recovery_nb.reports.sentinel import RUN_DIR, finish
from recovery_nb.widgets.progress import progress

__all__ = ["begin", "conclude", "differences", "is_interactive", "one_of", "words"]

_URIS = ("mongodb://", "mongodb+srv://", "oplog:mongodb")


def begin(case: str | Path | Case, *, database: str = "") -> Case:
    """Open a notebook's case: progress is shown below the cell at work, an error is one line.

    From here on the kernel keeps what its cells show, for `Case.record`.

    Args:
        case: The case's folder; or the case itself, when the cell is run again.
        database: A URI without a password, or `embedded:NAME`; "" for `DATABASE_URI` or the profile.

    Raises:
        BadInputError: The URI holds a password, which would stay in the notebook; or the folder is a file.
    """
    _one_line_errors()
    if RUN_DIR not in os.environ:  # a headless run has all that was shown anyway
        keep(get_ipython())
    if isinstance(case, Case):
        case.close()
        case = case.folder
    if "@" in database:
        raise BadInputError(
            "the parameter `database` holds credentials, which would stay in the notebook",
            hint="set DATABASE_URI instead",
        )
    return Case.open(case, database=database, emit=progress())


def conclude(case: Case, report: Report, *, exit_code: int) -> Path:
    """Save the report in the case and, in a headless run, say that the notebook came to its end; close the case.

    A case that is used again, by a button that is still there, opens itself again.

    Args:
        case: The case.
        report: Its report.
        exit_code: What the run ends with: 0 nothing lost, 1 findings, 3 done in part.

    Returns:
        The report's file in the case.
    """
    path = case.save_report(report)
    finish(report.model_dump(mode="json"), exit_code=exit_code, fallback=case.folder / "reports")
    case.close()
    return path


def differences(case: Case, *sources: str, collection: str = "", target: str = "", as_of: str = "") -> Comparison:
    """Return the case's newest comparison, or a new one where sources, collections or a time are named.

    Raises:
        BadInputError: Nothing is named and nothing was compared yet; or what is named cannot be used.
        ConnectionFailedError: The database does not answer.
    """
    if sources or collection or target or as_of:
        return case.compare(*sources, collection=collection, target=target, as_of=as_of or None)
    case.comparison = case.last_comparison()
    return case.comparison


def is_interactive(parameter: bool | None = None) -> bool:
    """Return whether someone is there to click.

    Args:
        parameter: The notebook's parameter `interactive`; None finds out.
    """
    if parameter is not None:
        return parameter
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None or RUN_DIR in os.environ:
        return False
    # Environment variables leak from a front end's kernel into what is run within it. Whether the front end can
    # put a question to its user is said anew with each cell; papermill and nbconvert say that they cannot.
    return bool(kernel.get_parent().get("content", {}).get("allow_stdin", False))


def words(text: str | Sequence[str]) -> list[str]:
    """Return the parts of a parameter: of a list, of the JSON text of one, or of text with commas.

    Text that is a URI or the path of something that exists is one part, whatever commas it holds.
    """
    if not isinstance(text, str):
        return [str(part) for part in text]
    if text.startswith(_URIS) or (text and Path(text).exists()):
        return [text]
    if text.lstrip().startswith("["):
        try:
            return [str(part) for part in json.loads(text)]
        except ValueError:
            raise BadInputError(f"{text} is no list", hint="write names with commas, or a JSON list") from None
    return [part.strip() for part in text.split(",") if part.strip()]


def one_of(value: str, *known: str) -> str:
    """Return a parameter that can only be one of a few words.

    Raises:
        BadInputError: It is another one.
    """
    if value not in known:
        raise BadInputError(f"{value!r} is not known here", hint=f"choose {' or '.join(known)}")
    return value


def _one_line_errors() -> None:
    """In a notebook, show an error that the user can act on without its traceback."""
    shell = get_ipython()
    if shell is not None and hasattr(shell, "set_custom_exc"):
        shell.set_custom_exc((RecoveryError,), _show)


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType, tb_offset: int | None = None
) -> list[str]:
    lines = [f"{kind.__name__}: {error}"]
    shell._showtraceback(kind, error, lines)  # what IPython's own handlers end with; it has no public name
    return lines
