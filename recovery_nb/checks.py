"""Verification of whatever the user names: a backup, a restore, a run, or a whole case."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from recovery_nb.audit import AuditLog, redact_uri
from recovery_nb.backups import verify_backup
from recovery_nb.catalog.digest import sha256_of
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Emit, silent
from recovery_nb.restore.files import RestoreInfo, list_restores
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
    known = {*files, _RUN}
    problems += [Problem("the run did not leave this file", str(path)) for path in sorted(folder.iterdir())
                 if path.name not in known]  # fmt: skip
    notes = ("run.json itself is not sealed: who can change it can change the rest",)
    return Verification(str(folder), not problems, len(files), tuple(problems), notes)


def _restore(folder: Path, address: Callable[[], str]) -> Verification:
    return verify_restore(folder, address())


def _restore_of_case(info: RestoreInfo, address: Callable[[], str]) -> Verification:
    """Check a restore in the database that it wrote to, which may be another one than the case's on its server."""
    uri, own = address(), name_in(info.database)
    if own in ("", name_in(uri)):
        return verify_restore(info.path, uri)
    if _server(redact_uri(uri)) == _server(info.database):
        return verify_restore(info.path, beside(uri, own))
    note = f"{info.id} wrote to {info.database}, on another server, and was not checked: name it with --db"
    return Verification(info.id, ok=True, checked=0, problems=(), notes=(note,))


def _server(address: str) -> str:
    """Return what an address says but for the database and the options."""
    scheme, _, rest = address.partition("://")
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
    notes = ("that entries were cut off the log's end shows only where the case holds more than the log tells",)
    return Verification(str(log.path), not problems, sum(begun.values()), tuple(problems), notes)


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


def _case(folder: Path, address: Callable[[], str], audit: AuditLog, tree: Tree | None, emit: Emit) -> Verification:
    checks: list[tuple[str, Callable[[], Verification]]] = [(str(audit.path), partial(_audit, audit))]
    checks.append((str(audit.path), partial(audit_gaps, folder, audit)))
    checks += [(str(path), partial(verify_backup, path, tree=tree, emit=emit)) for path in _inside(folder / "backups")]
    checks += [(str(path), partial(_copy, path, tree, emit)) for path in _inside(folder / "copies")]
    checks += [(str(path), partial(_plan, path)) for path in _inside(folder / "plans")]
    checks += [(info.id, partial(_restore_of_case, info, address)) for info in list_restores(folder / "restores")]
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
        tree: What opens files, also compressed, encrypted or within archives.
        live: Compare a backup with the database as it is now, too.
        emit: Hears how far it is.

    Raises:
        BadInputError: There is no such thing.
    """
    path = Path(target)
    if target in {info.id for info in list_restores(case / "restores")}:
        return _restore(case / "restores" / target, address)
    if path.is_dir() and (path / "restore.json").is_file():
        return _restore(path, address)
    if path.absolute() == case:
        return _case(case, address, audit, tree, emit)
    if path.is_dir() and (path / "audit.jsonl").is_file():
        return _case(path.absolute(), address, AuditLog(path / "audit.jsonl"), tree, emit)
    if path.is_dir() and (path / _RUN).is_file():
        return verify_run(path)
    if not path.is_file() and not path.is_dir() and not _leads_into(path):
        known = ", ".join(info.id for info in list_restores(case / "restores")[-5:]) or "none"
        raise BadInputError(
            f"{target} is no backup, restore, run or case",
            hint=f"name a path, or a restore of this case ({known})",
        )
    return verify_backup(path, tree=tree, live=address() if live else "", emit=emit)
