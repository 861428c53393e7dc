"""Applying a plan: read what is there, journal it, write, and say what came of every record."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError

from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, silent
from recovery_nb.restore.baseline import take_baseline
from recovery_nb.restore.begun import Begun
from recovery_nb.restore.files import RestoreInfo, State, dead_sessions, locked, new_restore, next_step
from recovery_nb.restore.foresee import Limits, foresee
from recovery_nb.restore.ours import drop_made, read_journal, wrote_nothing
from recovery_nb.restore.pipeline import SENDERS
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.prepare import Payload
from recovery_nb.restore.result import Conflicts, Count, RestoreResult
from recovery_nb.restore.target import Target
from recovery_nb.restore.work import BATCH_BYTES, Work, collections_written
from recovery_nb.signals import ended_like_ctrl_c
from recovery_nb.sources.mongodb import explained

__all__ = ["RestoreResult", "apply", "carry_out"]


def apply(
    plan: Plan,
    uri: str,
    *,
    payload: Payload,
    folder: Path,
    dry_run: bool = False,
    batch: int = 1_000,
    comparison: str = "",
    emit: Emit = silent,
) -> RestoreResult:
    """Write what the plan says, and only where the database is as it was when the plan was made.

    SIGTERM and SIGHUP end it as Ctrl-C does: the batches that are with the server are waited for, those that are
    not are given up, and the journal says which.

    Args:
        plan: The plan. What is written as a whole or not at all is its `transaction`.
        uri: The database, `mongodb://host:port/NAME`.
        payload: Reads planned records again from their sources, in the caller's thread.
        folder: The case's folder of restores; one restore at a time works in it.
        dry_run: Foresee what would come of every record, write nothing.
        batch: The most records of a batch; 8 MiB of records end one too.
        comparison: The id of the comparison that the plan was made from, for a resumption.
        emit: Is told how far it is.

    Raises:
        BadInputError: A target is a view; or transactions are asked for and the server, a collection or the size
            of the plan does not allow them; or a missing collection cannot be made.
        ConflictError: Another restore is at work in this folder.
        ConnectionFailedError: The server went away or refuses the user. What was written is in the journal:
            resume the restore, or roll it back.
    """
    with explained(uri), Target(uri) as target:
        writing = collections_written(plan)
        target.check(writing, plan.structures)
        if plan.transaction:
            target.check_transactions(writing, plan.structures)
        if plan.transaction == "plan":
            Limits(plan)
        if dry_run:
            return foresee(plan, target, payload, most=batch, most_bytes=BATCH_BYTES, emit=emit)
        with locked(folder):
            target.end_sessions(dead_sessions(folder))
            sessions = [target.session, *(target.new_session() for _ in range(SENDERS))]
            with next_step(folder, "run the command again"):
                info = new_restore(
                    folder, plan_digest=plan.digest, database=target.label, sessions=target.session_ids,
                    comparison=comparison,
                )  # fmt: skip
            try:
                return carry_out(
                    plan, uri, target, info, payload=payload, batch=batch, sessions=sessions, begun=Begun(), emit=emit
                )
            except BadInputError:
                _take_back(target, info)
                raise


def _take_back(target: Target, info: RestoreInfo) -> None:
    """End a restore that the server refused before a record was written: what it made empty goes again.

    Where that fails it stays interrupted, and the first error is the one that counts.
    """
    with suppress(PyMongoError, OSError, BadInputError):
        if (info.path / "journal.bson").exists():
            journal = read_journal(info.path)
            if not wrote_nothing(journal) or drop_made(journal, target, info)[1]:
                return
        info.save(State.ROLLED_BACK, {})


def carry_out(
    plan: Plan,
    uri: str,
    target: Target,
    info: RestoreInfo,
    *,
    payload: Payload,
    batch: int,
    sessions: Sequence[ClientSession],
    begun: Begun,
    emit: Emit,
) -> RestoreResult:
    """Do what is left of a restore, and return what came of all of it. Hold the lock.

    Args:
        plan: The plan.
        uri: The database.
        target: The same, connected.
        info: The restore's header.
        payload: Reads planned records again.
        batch: The most records of a batch.
        sessions: A server session for what is sent in order, and one for each sender of the rest.
        begun: What is done already.
        emit: Is told how far it is.

    Raises:
        RecoveryError: What `apply` raises; or the restore's folder cannot be written.
    """
    with (
        next_step(info.path, f"go on with restore --resume {info.id}, or undo it with rollback {info.id}"),
        explained(uri),
    ):
        count = Count()
        try:
            with Conflicts(info.path / "conflicts.bson") as conflicts, ended_like_ctrl_c(), _rarely_collected():
                count = Count(conflicts)
                if begun.last_seq < 0:
                    take_baseline(info.path, uri, collections_written(plan), target)
                Work(plan, target, info, count, payload, emit, begun).run(batch, sessions)
        except BaseException:
            with suppress(OSError):  # the first error counts; a restore at work whose lock is free was interrupted
                info.save(State.INTERRUPTED, count.counts())
            raise
        info.save(State.DONE, count.counts())
    return count.result(plan, restore_id=info.id)


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Let cycles be looked for less often: records are in none, and the search took a fifth of the client's time."""
    usual = gc.get_threshold()
    gc.set_threshold(max(usual[0], 100_000), *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
