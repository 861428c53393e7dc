"""Verification of whatever the user names: a backup, a restore, a run, or a whole case."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from recovery_nb.audit import AuditLog, redact_uri
from recovery_nb.audit.redact import MASK
from recovery_nb.backups import verify_backup
from recovery_nb.catalog.digest import sha256_of
from recovery_nb.commands import VARIABLE, command_line
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Emit, silent
from recovery_nb.restore.files import RestoreInfo, State, list_restores, open_restore
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.verify import verify_restore
from recovery_nb.sources.address import beside, name_in
from recovery_nb.sources.content import MANIFEST, FileContent
from recovery_nb.sources.detect import OPLOG
from recovery_nb.sources.oplog.source import FORMAT as OPLOG_FORMAT
from recovery_nb.sources.oplog.state import FORMAT as STATE_FORMAT
from recovery_nb.sources.tree import Tree
from recovery_nb.verification import Problem, Verification

__all__ = ["audit_gaps", "verify_run", "verify_target"]

_RUN = "run.json"
_CHECKPOINTS = ".ipynb_checkpoints"
"""What JupyterLab leaves beside a notebook that was only read in it."""


def verify_run(folder: Path) -> Verification:
    """Check a run's files against the SHA-256 that its `run.json` holds.

    Raises:
        BadInputError: It holds no run.
    """
    try:
        files = json.loads((folder / _RUN).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInputError(f"{folder} holds no run that can be read", hint="name a folder below runs") from None
    problems = []
    for name, facts in files.items():
        path = folder / name
        if not path.is_file():
            problems.append(Problem("the file is missing", str(path)))
        elif hashlib.sha256(path.read_bytes()).hexdigest() != facts["sha256"]:
            problems.append(Problem("the file is not as the run left it", str(path)))
    known = {*files, _RUN, _CHECKPOINTS}
    problems += [Problem("the run did not leave this file", str(path)) for path in sorted(folder.iterdir())
                 if path.name not in known]  # fmt: skip
    notes = ("run.json itself is not sealed: who can change it can change the rest",)
    return Verification(str(folder), not problems, len(files), tuple(problems), notes)


class _ElsewhereError(BadInputError):
    """A restore wrote to a server that is not the case's."""


def _restore(info: RestoreInfo, label: str, address: Callable[[], str]) -> Verification:
    """Check a restore in the database that it wrote to, which may be another one than the case's on its server.

    Raises:
        BadInputError: It is on another server.
    """
    uri, written = address(), _written_to(info)
    own, notes = name_in(written), _to_end_it(info, written)
    if own not in ("", name_in(uri)):
        if _server(label or redact_uri(uri)) != _server(written):
            raise _ElsewhereError(
                f"{info.id} wrote to {written}, on another server, and was not checked", hint="name it with --db"
            )
        uri, notes = beside(uri, own), (f"{info.id} was checked in {own}, which it wrote to", *notes)
    found = verify_restore(info.path, uri)
    return replace(found, notes=(*found.notes, *notes))


def _restore_of_case(info: RestoreInfo, label: str, address: Callable[[], str]) -> Verification:
    """Check one restore of several: each of its problems names it; that it is on another server is none."""
    try:
        found = _restore(info, label, address)
    except _ElsewhereError as error:
        return Verification(info.id, ok=True, checked=0, problems=(), notes=(str(error),))
    problems = [one if info.id in one.where else Problem(one.what, f"{info.id}: {one.where}") for one in found.problems]
    return replace(found, problems=tuple(problems))


def _written_to(info: RestoreInfo) -> str:
    """Return the database that a restore wrote to as its plan names it, which is how its user did, without secrets.

    The restore itself knows the address: that of a case's own server is another one each time that it is started.
    """
    plan = info.path.parent.parent / "plans" / str(info.plan_digest)[:16] / "plan.json"
    try:
        named = str(json.loads(plan.read_bytes())["database"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return info.database
    return named if name_in(named) == name_in(info.database) else info.database


def _to_end_it(info: RestoreInfo, database: str) -> tuple[str, ...]:
    """Return the commands that end a restore that did not: as they run, on the database that it writes to."""
    if info.state in (State.DONE, State.ROLLED_BACK):
        return ()
    run = partial(command_line, case=str(info.path.parent.parent), database=database)
    resume = f"to finish {info.id}: {run('restore', '--yes', '--resume', info.id)}"
    secret = f", where {VARIABLE} is {database} with its user and password" if MASK in database else ""
    undo = f"to undo {info.id}: {run('rollback', info.id)}{secret}"
    return (undo,) if info.state is State.ROLLING_BACK else (resume + secret, undo)


def _server(address: str) -> str:
    """Return what an address says but for the database and the options."""
    scheme, slashes, rest = address.partition("://")
    if not slashes:
        return scheme.partition(":")[0]  # a case has one server of its own
    return f"{scheme}://{rest.partition('?')[0].partition('/')[0]}"


def _joined(target: str, parts: list[Verification]) -> Verification:
    return Verification(
        target,
        all(part.ok for part in parts),
        sum(part.checked for part in parts),
        tuple(problem for part in parts for problem in part.problems),
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _guarded(target: str, check: Callable[[], Verification]) -> Verification:
    """In a case, what cannot be checked is a problem of the case, not an end of its check."""
    try:
        return check()
    except RecoveryError as error:
        return Verification(target, ok=False, checked=0, problems=(Problem(str(error), target),))


def _plan(folder: Path) -> Verification:
    return Verification(str(folder), ok=True, checked=len(Plan.load(folder)), problems=())


def _audit(log: AuditLog) -> Verification:
    found = log.verify()
    problems = tuple(Problem(one.what, one.where) for one in found.problems)
    return Verification(str(log.path), found.ok, found.entries, problems, tuple(found.notes))


def audit_gaps(folder: Path, log: AuditLog) -> Verification:
    """Hold what a case holds against its log: each verb is logged before it leaves anything.

    The chain shows what was changed within the log; an end that was cut off shows only in what it should tell.
    """
    begun: Counter[str] = Counter(entry.action for entry in log.entries()) if log.path.is_file() else Counter()
    problems = []
    for verb, place in (("restore", "restores"), ("compare", "comparisons")):
        held = len([path for path in _inside(folder / place) if path.is_dir()])
        if held > (told := begun[f"{verb} started"]):
            problems.append(Problem(f"it tells of {told:,} times {verb}, and the case holds {held:,}", str(log.path)))
    problems += _unlike_log(folder, log)
    notes = ("that entries were cut off the log's end shows only where the case holds more than the log tells",)
    return Verification(str(log.path), not problems, sum(begun.values()), tuple(problems), notes)


def _unlike_log(case: Path, log: AuditLog) -> list[Problem]:
    """Hold the records of sessions against the digests in the log: nothing else seals their `run.json`."""
    made = [entry.details for entry in log.entries() if entry.action == "record made"] if log.path.is_file() else []
    problems = []
    for details in made:
        place, files = Path(str(details.get("record"))), details.get("files")
        if place.is_absolute() or ".." in place.parts or not isinstance(files, dict):
            continue  # it was left elsewhere, and is not the case's to keep
        path = case / place / _RUN
        if not path.is_file():
            problems.append(Problem("the log tells of this record, and it is not there", str(path.parent)))
        elif hashlib.sha256(path.read_bytes()).hexdigest() != files.get(_RUN):
            problems.append(Problem("the record is not the one that the log tells of", str(path)))
    return problems


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*"))


def _copy(folder: Path, tree: Tree | None, emit: Emit) -> Verification:
    """Check what a case copied or put together: a database, an oplog, or a state at a time."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        kind = str(manifest["format"])
    except (OSError, ValueError, KeyError, TypeError):
        return verify_backup(folder, tree=tree, emit=emit)
    if kind == OPLOG_FORMAT:
        content = FileContent(folder / OPLOG)
        same = sha256_of(content).hex() == manifest.get("sha256")
        problems = () if same else (Problem("the oplog is not as it was copied", str(folder / OPLOG)),)
        return Verification(str(folder), same, 1, problems)
    if kind == STATE_FORMAT:
        return verify_backup(folder / str(manifest.get("database")), tree=tree, emit=emit)
    return verify_backup(folder, tree=tree, emit=emit)


def _case(
    folder: Path, restore: Callable[[RestoreInfo], Verification], audit: AuditLog, tree: Tree | None, emit: Emit
) -> Verification:
    checks: list[tuple[str, Callable[[], Verification]]] = [(str(audit.path), partial(_audit, audit))]
    checks.append((str(audit.path), partial(audit_gaps, folder, audit)))
    checks += [(str(path), partial(verify_backup, path, tree=tree, emit=emit)) for path in _inside(folder / "backups")]
    checks += [(str(path), partial(_copy, path, tree, emit)) for path in _inside(folder / "copies")]
    checks += [(str(path), partial(_plan, path)) for path in _inside(folder / "plans")]
    checks += [(info.id, partial(restore, info)) for info in list_restores(folder / "restores")]
    checks += [(str(path), partial(verify_run, path)) for path in _inside(folder / "runs")]
    parts = [_guarded(name, check) for name, check in checks]
    return _joined(str(folder), parts)


def _leads_into(path: Path) -> bool:
    """Return whether a path leads into a file: an archive; or names the many small files of a folder (`*.json`)."""
    return any(parent.is_file() for parent in path.parents) or (path.name.startswith("*") and path.parent.is_dir())


def verify_target(
    target: str,
    *,
    case: Path,
    address: Callable[[], str],
    audit: AuditLog,
    label: str = "",
    tree: Tree | None = None,
    live: bool = False,
    emit: Emit = silent,
) -> Verification:
    """Verify a restore by its id, or a case, a run, a backup or any source by its path. Read-only.

    Args:
        target: What to verify.
        case: The case's folder.
        address: Gives the database's URI; called only where the database must be looked at.
        audit: The case's audit log.
        label: The database's URI as the user gave it, without secrets; that of `address` if "".
        tree: What opens files, also compressed, encrypted or within archives.
        live: Compare a backup with the database as it is now, too.
        emit: Hears how far it is.

    Raises:
        BadInputError: There is no such thing, or a restore wrote to another server.
    """
    path = Path(target)
    if target in {info.id for info in list_restores(case / "restores")}:
        return _restore(open_restore(case / "restores" / target), label, address)
    if path.is_dir() and (path / "restore.json").is_file():
        return _restore(open_restore(path.absolute()), label, address)
    restore = partial(_restore_of_case, label=label, address=address)
    if path.absolute() == case:
        return _case(case, restore, audit, tree, emit)
    if path.is_dir() and (path / "audit.jsonl").is_file():
        return _case(path.absolute(), restore, AuditLog(path / "audit.jsonl"), tree, emit)
    if path.is_dir() and (path / _RUN).is_file():
        return verify_run(path)
    if not path.is_file() and not path.is_dir() and not _leads_into(path):
        known = ", ".join(info.id for info in list_restores(case / "restores")[-5:]) or "none"
        raise BadInputError(
            f"{target} is no backup, restore, run or case",
            hint=f"name a path, or a restore of this case ({known})",
        )
    return verify_backup(path, tree=tree, live=address() if live else "", emit=emit)
