"""Going on with a restore that was interrupted or killed, as often as need be."""

from __future__ import annotations

from pathlib import Path

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.events import Emit, silent
from recovery_nb.records.keys import canonical
from recovery_nb.restore.apply import carry_out
from recovery_nb.restore.begun import Begun
from recovery_nb.restore.exchange import Outcome
from recovery_nb.restore.exchange.change import CHANGED
from recovery_nb.restore.files import RestoreInfo, State, dead_sessions, locked, next_step, open_restore
from recovery_nb.restore.intents import UNSENT, Intents, Left
from recovery_nb.restore.journal import Journal, JournalReader
from recovery_nb.restore.ours import made_by, read_journal, refuse_another_database, refuse_strangers, undone_by
from recovery_nb.restore.pipeline import SENDERS
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.prepare import Payload
from recovery_nb.restore.result import Count, RestoreResult
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.target import Target
from recovery_nb.restore.work import collections_written
from recovery_nb.sources.mongodb import explained

__all__ = ["resume"]


def resume(
    restore_dir: Path, uri: str, *, plan: Plan, payload: Payload, batch: int = 1_000, emit: Emit = silent
) -> RestoreResult:
    """Finish a restore: look at what was under way when it ended, then write what was not yet come to.

    Of what was under way, records that are as planned are done, those that are as before are written again, and
    the others were written by someone else and are left. A source that has changed since costs its records, each
    of which is reported. It may be killed and run again.

    Args:
        restore_dir: The restore's folder, `<case>/restores/<restore_id>`.
        uri: The database, `mongodb://host:port/NAME`.
        plan: The restore's plan.
        payload: Reads planned records again from their sources.
        batch: The most records of a batch.
        emit: Is told how far it is.

    Returns:
        What came of the whole restore, of what was done before too. Of a restore that had ended there is nothing to
        do, and a note says so.

    Raises:
        BadInputError: There is no such restore, or the plan is not the one that it applies.
        ConflictError: Another restore is at work, this one was rolled back, its journal is damaged, or this is not
            the database it wrote to.
        ConnectionFailedError: The server went away or refuses the user.
    """
    open_restore(restore_dir)
    with locked(restore_dir.parent):
        info = open_restore(restore_dir)
        if plan.digest != info.plan_digest:
            raise BadInputError(
                f"{info.id} applies the plan {info.plan_digest[:16]}, not {plan.digest[:16]}",
                hint=f"give its own plan, or undo it with rollback {info.id}",
            )
        if info.state in (State.ROLLING_BACK, State.ROLLED_BACK):
            raise ConflictError(
                f"{info.id} was rolled back", hint=f"finish that with rollback {info.id}, then make a new restore"
            )
        if info.state is State.DONE:
            return _nothing_to_do(read_journal(restore_dir), restore_dir, plan, info)
        with explained(uri), Target(uri) as target:
            again = f"run restore --resume {info.id} again, or undo it with rollback {info.id}"
            with next_step(restore_dir, again), explained(uri):
                begun = _look(restore_dir, target, info)
                target.check(collections_written(plan), plan.structures)
                if plan.transaction:
                    target.check_transactions(collections_written(plan), plan.structures)
                sessions = [target.session, *(target.new_session() for _ in range(SENDERS))]
                info = info.save(State.APPLYING, info.counts, sessions=[*info.sessions, *target.session_ids])
                target.adopt(begun.made)
            return carry_out(
                plan, uri, target, info, payload=payload, batch=batch, sessions=sessions, begun=begun, emit=emit
            )


def _nothing_to_do(journal: JournalReader, restore_dir: Path, plan: Plan, info: RestoreInfo) -> RestoreResult:
    undone, _ = undone_by(restore_dir)
    count = Count()
    Begun.of(journal, made=(), undone=undone).count(plan, count)
    return count.result(plan, restore_id=info.id, notes=["the restore had ended before: there was nothing to do"])


def _look(restore_dir: Path, target: Target, info: RestoreInfo) -> Begun:
    """Settle in the journal what was under way, and return how far the restore is."""
    path = restore_dir / "journal.bson"
    if not path.exists():  # it was killed before it had begun
        refuse_another_database(target, info)
        target.end_sessions(dead_sessions(restore_dir.parent))
        return Begun()
    journal = read_journal(restore_dir)
    if journal.torn and journal.damaged():
        raise ConflictError(
            f"the journal {path} is damaged from byte {journal.end:,} on: what was written since is not known",
            hint=f"bring it back from a copy of the case, or undo what it knows of with rollback {info.id}",
        )
    refuse_strangers(journal, target, info)
    target.end_sessions(dead_sessions(restore_dir.parent))
    target.ensure_primary()
    with Journal(path, {**journal.header, "restore": info.id}) as own:
        for number, intents in journal.batches():
            if number not in journal.settled:
                own.settle(number, _left(target, intents))
        own.sync()
    settled = read_journal(restore_dir)
    undone, perhaps = undone_by(restore_dir)
    return Begun.of(settled, made=made_by(settled, target), undone=undone | perhaps)


def _left(target: Target, intents: Intents) -> list[Left]:
    """Return what was not written of a batch of which that is not known, by looking."""
    found = target.read(intents.collection, intents.ids)
    left = []
    for intent in intents:
        there = found.get(canonical(intent.id[0], intent.id[1:]))
        if there == intent.before:
            left.append(Left(intent.seq, UNSENT, "the restore was stopped"))
        elif there is None or fingerprint(there) != intent.after:
            left.append(Left(intent.seq, Outcome.SKIPPED, CHANGED.reason))
    return left
