"""Undoing a restore from its journal's before-images, newest first; what others wrote since is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from recovery_nb.events import Emit, Event, silent
from recovery_nb.records.keys import canonical
from recovery_nb.restore.exchange import Change, Outcome, Verdict, exchange
from recovery_nb.restore.files import State, dead_sessions, locked, next_step, open_restore
from recovery_nb.restore.journal import Intent, Intents, Journal, JournalReader, Left
from recovery_nb.restore.later import Place, written_later
from recovery_nb.restore.ours import drop_made, read_journal, strangers, undone_by
from recovery_nb.restore.result import LISTED, Problem, record_text
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.structure import shown
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
        skipped: How many were left alone because others have written them since, or because their collection is
            not the one that the restore wrote to.
        failed: How many could not be put back.
        unchanged: How many were already as they were before the restore, or were undone before.
        errors: The first thousand problems, skipped records included. Those that others have written since are
            shown both as they were before the restore (`planned`) and as they are (`found`).
        errors_total: How many problems there are.
        dropped: The collections, time-series and views that the restore had created and that hold nothing.
        notes: Which of those were left all the same, and why.
        later: The later restores of the case that wrote what was left alone, newest first: undo those first.
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
    notes: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
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
    `rollback.bson`. One that left records alone can be run again when what was in its way is gone.

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
        rolled_back = info.state is State.ROLLED_BACK
        if rolled_back and not force and not info.counts.get("skipped"):
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
            strange = strangers(journal, target, info)
            target.end_sessions(dead_sessions(restore_dir.parent))
            info = info.save(State.ROLLING_BACK, info.counts, sessions=[*info.sessions, *target.session_ids])
            _Undoing(journal, target, result, restore_dir, strange=strange, force=force, keys=keys).run(emit)
            if keys is None:
                result.dropped, result.notes = drop_made(journal, target, info)
        if keys is not None:
            before = State.DONE if journal.ended else State.INTERRUPTED
            info.save(State.ROLLED_BACK if rolled_back else before, info.counts)
            return result
        # What failed or was skipped may be cured and tried again; but only failures leave something half done.
        info.save(State.ROLLED_BACK if not result.failed else State.ROLLING_BACK, result.counts())
        return result


class _Undoing:
    """One pass over a journal, newest batch first."""

    def __init__(
        self,
        journal: JournalReader,
        target: Target,
        result: RollbackResult,
        restore_dir: Path,
        *,
        strange: Mapping[str, str],
        force: bool,
        keys: Keys | None,
    ) -> None:
        self._journal, self._target, self._result = journal, target, result
        self._folder, self._strange, self._force, self._keys = restore_dir, strange, force, keys
        self._undone = set[int]() if force else undone_by(restore_dir)[0]
        self._changed: dict[Place, tuple[int, bytes]] = {}

    def run(self, emit: Emit) -> None:
        """Undo what is chosen, under a journal of its own."""
        result = self._result
        header = {"restore": result.restore_id, "database": self._target.label}
        passed: Counter[str] = Counter()
        with Journal(self._folder / "rollback.bson", header) as own:
            for _, intents in self._journal.batches(newest_first=True):
                written = [intent for intent in reversed(list(intents)) if self._concerns(intent)]
                if not written:
                    continue
                collection = written[0].collection
                if collection in self._strange:
                    passed[collection] += len(written)
                    continue
                pairs = self._changes(written)
                if pairs:
                    number = own.intend(Intents.of([intent for intent, _ in pairs]))
                    verdicts = exchange(self._target, collection, [change for _, change in pairs])
                    own.settle(number, list(self._take(collection, pairs, verdicts)))
                emit(Event("rollback", collection, sum(result.counts().values())))
            own.end(result.counts())
        for name, count in passed.items():
            result.skipped += count
            reason = f"it {self._strange[name]}: its {count:,} records were left alone"
            result.problem(Problem(shown(name), "", reason))
        self._name_later()

    def _name_later(self) -> None:
        """Say of what was left alone which later restore wrote it."""
        found = {place: print_ for place, (_, print_) in self._changed.items()}
        told = written_later(self._folder, self._journal.collections, found)
        for place, later in told.items():
            number, _ = self._changed[place]
            errors = self._result.errors
            errors[number] = replace(errors[number], reason=f"changed since by the restore {later}: undo that first")
        self._result.later = sorted(set(told.values()), reverse=True)

    def _concerns(self, intent: Intent) -> bool:
        if intent.seq in self._journal.left:
            return False
        if self._keys is not None and not self._keys(intent.collection, intent.key):
            return False
        if intent.seq in self._undone:
            self._result.unchanged += 1
            return False
        return True

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
                if there is not None and len(self._result.errors) < LISTED:
                    place = intent.collection, canonical(intent.id[0], intent.id[1:])
                    self._changed[place] = len(self._result.errors), fingerprint(there)
                self._result.take(intent, Verdict(Outcome.SKIPPED, f"{gone} since the restore, by someone else"), there)
        return pairs
