"""Undoing a restore from its journal's before-images, newest first; what others wrote since is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from recovery_nb.events import Emit, Event, silent
from recovery_nb.records.keys import canonical
from recovery_nb.restore.exchange import Change, Outcome, Verdict, exchange
from recovery_nb.restore.files import State, dead_sessions, locked, next_step, open_restore
from recovery_nb.restore.journal import Intent, Intents, Journal, JournalReader, Left
from recovery_nb.restore.ours import made_by, read_journal, refuse_strangers
from recovery_nb.restore.result import LISTED, Problem, record_text
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.target import Target
from recovery_nb.sources.mongodb import explained

__all__ = ["Keys", "RollbackResult", "rollback"]

Keys = Callable[[str, str], bool]
"""Says whether a record is to be undone, by its collection and its key as a restore shows it."""


@dataclass(slots=True)
class RollbackResult:
    """What came of a rollback.

    Attributes:
        restore_id: The restore that was undone.
        reverted: How many records were put back or removed.
        skipped: How many were left alone because others have written them since.
        failed: How many could not be put back.
        unchanged: How many were already as they were before the restore.
        errors: The first thousand problems, skipped records included. Those that others have written since are
            shown both as they were before the restore (`planned`) and as they are (`found`).
        errors_total: How many problems there are.
        dropped: The collections, time-series and views that the restore had created and that hold nothing.
        already: Whether the restore had been rolled back before, so that there was nothing to do.
        partial: Whether only some records were to be undone.
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
    partial: bool = False

    def take(self, intent: Intent, verdict: Verdict, found: bytes | None = None) -> None:
        """Count one record; `found` is what others have made of it."""
        if verdict.outcome is Outcome.DONE:
            self.reverted += 1
        elif verdict.outcome is Outcome.SKIPPED:
            self.skipped += 1
        else:
            self.failed += 1
        if verdict.reason:
            skipped = verdict.outcome is Outcome.SKIPPED
            versions = (record_text(intent.before or b""), record_text(found or b"")) if skipped else ("", "")
            self.problem(Problem(intent.collection, intent.key, verdict.reason, *versions))

    def problem(self, problem: Problem) -> None:
        """Count a problem, and list it if there is room."""
        self.errors_total += 1
        if len(self.errors) < LISTED:
            self.errors.append(problem)

    def counts(self) -> dict[str, int]:
        """Return the numbers, for the restore's header."""
        return {name: getattr(self, name) for name in ("reverted", "skipped", "failed", "unchanged")}


def rollback(
    restore_dir: Path, uri: str, *, keys: Keys | None = None, emit: Emit = silent, force: bool = False
) -> RollbackResult:
    """Bring every record that a restore wrote back to what it was, byte for byte.

    Inserted records are removed and replaced ones put back only if they are still as the restore left them.
    It works on a journal that ends anywhere, may be killed and run again, and keeps what it removes in
    `rollback.bson`.

    Args:
        restore_dir: The restore's folder, `<case>/restores/<restore_id>`.
        uri: The database, `mongodb://host:port/NAME`.
        keys: Chooses what is undone; None for everything. The rest can be undone later.
        emit: Is told how far it is.
        force: Also undo records that others have written since, and restores that were rolled back before.

    Raises:
        BadInputError: There is no such restore; the known ones are named.
        ConflictError: A restore or another rollback is at work, or this is not the database it wrote to.
        ConnectionFailedError: The server went away or refuses the user; run it again.
    """
    open_restore(restore_dir)
    with locked(restore_dir.parent), next_step(restore_dir, f"run rollback {restore_dir.name} again"):
        info = open_restore(restore_dir)
        result = RollbackResult(info.id, partial=keys is not None)
        if info.state is State.ROLLED_BACK and not force:
            result.already = True
            return result
        finished = info.state is State.DONE
        if not (restore_dir / "journal.bson").exists() and not finished:
            info.save(State.ROLLED_BACK, result.counts())  # it was killed before it had begun
            return result
        journal = read_journal(restore_dir)
        if journal.torn and (finished or journal.ended or journal.damaged()):
            result.problem(Problem("", "", f"the journal is damaged from byte {journal.end:,} on"))
            result.failed += 1
        with explained(uri), Target(uri) as target:
            refuse_strangers(journal, target, info)
            target.end_sessions(dead_sessions(restore_dir.parent))
            info = info.save(State.ROLLING_BACK, info.counts, sessions=[*info.sessions, *target.session_ids])
            _Undoing(journal, target, result, force=force, keys=keys).run(restore_dir / "rollback.bson", emit)
            if keys is None:
                result.dropped = [name for name in reversed(made_by(journal, target)) if target.drop_if_empty(name)]
        if keys is not None:
            info.save(State.DONE if journal.ended else State.INTERRUPTED, info.counts)
            return result
        # Failures may be cured and tried again; what was skipped was skipped for good.
        info.save(State.ROLLED_BACK if not result.failed else State.ROLLING_BACK, result.counts())
        return result


class _Undoing:
    """One pass over a journal, newest batch first."""

    def __init__(
        self, journal: JournalReader, target: Target, result: RollbackResult, *, force: bool, keys: Keys | None
    ) -> None:
        self._journal, self._target, self._result = journal, target, result
        self._force, self._keys = force, keys

    def run(self, path: Path, emit: Emit) -> None:
        """Undo what is chosen, under a journal of its own."""
        result = self._result
        with Journal(path, {"restore": result.restore_id, "database": self._target.label}) as own:
            for _, intents in self._journal.batches(newest_first=True):
                written = [intent for intent in reversed(list(intents)) if self._concerns(intent)]
                if not written:
                    continue
                collection = written[0].collection
                pairs = self._changes(written)
                if pairs:
                    number = own.intend(Intents.of([intent for intent, _ in pairs]))
                    verdicts = exchange(self._target, collection, [change for _, change in pairs])
                    own.settle(number, list(self._take(collection, pairs, verdicts)))
                emit(Event("rollback", collection, sum(result.counts().values())))
            own.end(result.counts())

    def _concerns(self, intent: Intent) -> bool:
        if intent.seq in self._journal.left:
            return False
        return self._keys is None or self._keys(intent.collection, intent.key)

    def _take(self, collection: str, pairs: list[tuple[Intent, Change]], verdicts: list[Verdict]) -> list[Left]:
        """Count what came of a batch, and return what was left."""
        lost = [change.id for (_, change), one in zip(pairs, verdicts, strict=True) if one.outcome is Outcome.SKIPPED]
        found = self._target.read(collection, lost)
        left = []
        for (intent, change), verdict in zip(pairs, verdicts, strict=True):
            undone = Intent(
                intent.seq, intent.collection, intent.key, intent.action, intent.id, change.wanted, intent.after
            )
            self._result.take(undone, verdict, found.get(change.place))
            if verdict.outcome is not Outcome.DONE:
                left.append(Left(intent.seq, verdict.outcome, verdict.reason))
        return left

    def _changes(self, written: list[Intent]) -> list[tuple[Intent, Change]]:
        """Return what is to be exchanged, with what the rollback's own journal says of it."""
        found = self._target.read(written[0].collection, [intent.id for intent in written])
        pairs = []
        for intent in written:
            there = found.get(canonical(intent.id[0], intent.id[1:]))
            is_ours = there is not None and fingerprint(there) == intent.after
            if there == intent.before:
                self._result.unchanged += 1
            elif is_ours or self._force:
                after = b"" if intent.before is None else fingerprint(intent.before)
                action = "remove" if intent.before is None else "put back"
                undo = Intent(intent.seq, intent.collection, intent.key, action, intent.id, there, after)
                expected = None if there is None else fingerprint(there)
                pairs.append((undo, Change(intent.id, expected, intent.before)))
            else:
                gone = "deleted" if there is None else "changed"
                self._result.take(intent, Verdict(Outcome.SKIPPED, f"{gone} since the restore, by someone else"), there)
        return pairs
