"""Leaving the record of a session."""

from __future__ import annotations

from pathlib import Path

from recovery_nb.headless.record import Record, make_record, scrubber_for
from recovery_nb.verbs.context import Context

__all__ = ["leave_record"]


def leave_record(
    context: Context, notebook: str | Path | None = None, *, out: str | Path | None = None, pdf: bool = False
) -> Record:
    """Leave a record, as `Case.record` describes it, and write its digests to the audit log.

    Raises:
        RecoveryError: It cannot be made; the log says why.
    """
    named = str(notebook or "")
    try:
        record = make_record(
            notebook, case=context.folder, out=Path(out or context.folder / "runs"),
            scrubber=scrubber_for(context.origin), pdf=pdf,
        )  # fmt: skip
    except BaseException as error:
        context.audit.append("record failed", notebook=named, error=str(error) or type(error).__name__)
        raise
    if record.folder is not None:
        folder = record.folder.absolute()
        # Within the case by its place there: the case may be moved, and a verification must find the record again.
        place = folder.relative_to(context.folder) if folder.is_relative_to(context.folder) else folder
        context.audit.append("record made", record=str(place), files=dict(record.digests))
    return record
