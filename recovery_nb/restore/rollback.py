"""Undoing a restore from its journal's before-images, newest first; what others wrote since is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.records.keys import canonical
from recovery_nb.restore.apply import LISTED, Problem
from recovery_nb.restore.files import RestoreInfo, State, dead_sessions, locked, open_restore
from recovery_nb.restore.journal import Intent, Journal, JournalReader, Left
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.target import Target
from recovery_nb.restore.writer import Change, Outcome, Verdict, exchange
from recovery_nb.sources.mongodb import explained

__all__ = ["RollbackResult", "read_journal", "rollback"]


@dataclass(slots=True)
class RollbackResult:
    """What came of a rollback.

    Attributes:
        restore_id: The restore that was undone.
        reverted: How many records were put back or removed.
        skipped: How many were left alone because others have written them since.
        failed: How many could not be put back.
        unchanged: How many were already as they were before the restore.
        errors: The first thousand problems, skipped records included.
        errors_total: How many problems there are.
        dropped: The collections that the restore had created and that were empty again.
        already: Whether the restore had been rolled back before, so that there was nothing to do.
    """

    restore_id: str
    reverted: int = 0
    skipped: int = 0
    failed: int = 0
    unchanged: int = 0
    errors: list[Problem] = field(default_factory=list)
    errors_total: int = 0
    dropped: list[str] = field(default_factory=list)
    already: bool = False

    def take(self, intent: Intent, verdict: Verdict) -> None:
        """Count one record."""
        if verdict.outcome is Outcome.DONE:
            self.reverted += 1
        elif verdict.outcome is Outcome.SKIPPED:
            self.skipped += 1
        else:
            self.failed += 1
        if verdict.reason:
            self.problem(Problem(intent.collection, intent.key, verdict.reason))

    def problem(self, problem: Problem) -> None:
        """Count a problem, and list it if there is room."""
        self.errors_total += 1
        if len(self.errors) < LISTED:
            self.errors.append(problem)

    def counts(self) -> dict[str, int]:
        """Return the numbers, for the restore's header."""
        return {name: getattr(self, name) for name in ("reverted", "skipped", "failed", "unchanged")}


def read_journal(restore_dir: Path) -> JournalReader:
    """Read a restore's journal.

    Raises:
        BadInputError: It has none.
    """
    try:
        return JournalReader(restore_dir / "journal.bson")
    except OSError as error:
        raise BadInputError(
            f"the journal of {restore_dir.name} cannot be read ({error.strerror})",
            hint=f"restore {restore_dir / 'journal.bson'} from a copy of the case",
        ) from None


def rollback(restore_dir: Path, uri: str, *, emit: Emit = silent, force: bool = False) -> RollbackResult:
    """Bring every record that a restore wrote back to what it was, byte for byte.

    Inserted records are removed and replaced ones put back only if they are still as the restore left them.
    It works on a journal that ends anywhere, may be killed and run again, and keeps what it removes in
    `rollback.bson`.

    Args:
        restore_dir: The restore's folder, `<case>/restores/<restore_id>`.
        uri: The database, `mongodb://host:port/NAME`.
        emit: Is told how far it is.
        force: Also undo records that others have written since, and restores that were rolled back before.

    Raises:
        BadInputError: There is no such restore; the known ones are named.
        ConflictError: A restore or another rollback is at work, or this is not the database it wrote to.
        ConnectionFailedError: The server went away or refuses the user; run it again.
    """
    open_restore(restore_dir)
    with locked(restore_dir.parent):
        info = open_restore(restore_dir)
        result = RollbackResult(info.id)
        if info.state is State.ROLLED_BACK and not force:
            result.already = True
            return result
        finished = info.state is State.DONE
        if not (restore_dir / "journal.bson").exists() and not finished:
            info.save(State.ROLLED_BACK, result.counts())  # it was killed before it had begun
            return result
        journal = read_journal(restore_dir)
        if journal.torn and (finished or journal.ended):
            result.problem(Problem("", "", f"the journal is damaged from byte {journal.end:,} on"))
            result.failed += 1
        with explained(uri), Target(uri) as target:
            _refuse_strangers(journal, target, info)
            target.end_sessions(dead_sessions(restore_dir.parent))
            info.save(State.ROLLING_BACK, info.counts, session=target.session_id)
            _undo(journal, target, result, path=restore_dir / "rollback.bson", emit=emit, force=force)
            ours = [name for name in journal.created if target.uuid(name) == journal.collections.get(name)]
            result.dropped = [name for name in ours if target.drop_if_empty(name)]
        # Failures may be cured and tried again; what was skipped was skipped for good.
        info.save(State.ROLLED_BACK if not result.failed else State.ROLLING_BACK, result.counts())
        return result


def _refuse_strangers(journal: JournalReader, target: Target, info: RestoreInfo) -> None:
    """Refuse a database whose collections are not those that the restore wrote to, whatever they are called.

    Raises:
        ConflictError: A collection is another one, or is gone.
    """
    for name, uuid in journal.collections.items():
        there = target.uuid(name)
        dropped = not there and name in journal.created and info.state is not State.DONE
        if there != uuid and not dropped:
            raise ConflictError(
                f"{info.id} wrote to {info.database}, and {name} in {target.label} is not that collection; "
                "nothing was changed",
                hint="name the database of the restore; a collection that was made anew holds nothing of it",
            )


def _undo(
    journal: JournalReader, target: Target, result: RollbackResult, *, path: Path, emit: Emit, force: bool
) -> None:
    header = {"version": 1, "restore": result.restore_id, "database": target.label}
    with Journal(path, header) as own:
        for _, intents in journal.batches(newest_first=True):
            written = [intent for intent in reversed(intents) if intent.seq not in journal.left]
            if not written:
                continue
            collection = written[0].collection
            pairs = _changes(target, written, result, force=force)
            if pairs:
                number = own.intend(intent for intent, _ in pairs)
                verdicts = exchange(target, collection, [change for _, change in pairs])
                left = []
                for (intent, _), verdict in zip(pairs, verdicts, strict=True):
                    result.take(intent, verdict)
                    if verdict.outcome is not Outcome.DONE:
                        left.append(Left(intent.seq, verdict.outcome, verdict.reason))
                own.settle(number, left)
            emit(Event("rollback", collection, sum(result.counts().values())))
        own.end(result.counts())


def _changes(
    target: Target, written: list[Intent], result: RollbackResult, *, force: bool
) -> list[tuple[Intent, Change]]:
    """Return what is to be exchanged, with what the rollback's own journal says of it."""
    found = target.read(written[0].collection, [intent.id for intent in written])
    pairs = []
    for intent in written:
        there = found.get(canonical(intent.id[0], intent.id[1:]))
        is_ours = there is not None and fingerprint(there) == intent.after
        if there == intent.before:
            result.unchanged += 1
        elif is_ours or force:
            after = b"" if intent.before is None else fingerprint(intent.before)
            action = "remove" if intent.before is None else "put back"
            undo = Intent(intent.seq, intent.collection, intent.key, action, intent.id, there, after)
            expected = None if there is None else fingerprint(there)
            pairs.append((undo, Change(intent.id, expected, intent.before)))
        else:
            gone = "deleted" if there is None else "changed"
            result.take(intent, Verdict(Outcome.SKIPPED, f"{gone} since the restore, by someone else"))
    return pairs
