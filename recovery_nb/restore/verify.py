"""Proving a restore: what it wrote is there, byte for byte, and what it could not write is untouched."""

from __future__ import annotations

from pathlib import Path

from recovery_nb.records.keys import canonical
from recovery_nb.restore.files import State, has_header, open_restore
from recovery_nb.restore.journal import Intent
from recovery_nb.restore.rollback import read_journal
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.target import Target
from recovery_nb.sources.mongodb import explained
from recovery_nb.verification import Problem, Verification

__all__ = ["verify_restore"]


def verify_restore(restore_dir: Path, uri: str) -> Verification:
    """Compare the database with what the journal says that a restore left there. Read-only.

    Restored records must have the planned fingerprint, failed ones must be as before; after a rollback all
    must be as before. Records that others changed in the meantime are not the restore's and are not compared.

    Raises:
        BadInputError: There is no such restore.
        ConnectionFailedError: The server does not answer.
    """
    info = open_restore(restore_dir)
    journal = read_journal(restore_dir)
    problems: list[Problem] = []
    checked = 0
    if info.state is State.DONE and not (journal.ended and not journal.torn):
        problems.append(Problem(f"damaged from byte {journal.end:,} on", str(journal.path)))
    if info.state not in (State.DONE, State.ROLLED_BACK):
        problems.append(Problem(f"it did not end: {info.state}", info.id))
    if not has_header(restore_dir):
        problems.append(Problem("it cannot be read; the journal tells what it said", f"{restore_dir / 'restore.json'}"))
    with explained(uri), Target(uri) as target:
        strangers = [name for name, uuid in journal.collections.items() if target.uuid(name) != uuid]
        gone = set() if info.state is State.DONE else set(journal.created)
        problems += [
            Problem(f"it is not the collection that the restore wrote to ({info.database})", f"{target.label}/{name}")
            for name in strangers
            if name not in gone
        ]
        for batch, intents in journal.batches():
            if intents[0].collection in strangers:
                continue
            found = target.read(intents[0].collection, [intent.id for intent in intents])
            for intent in intents:
                left = journal.left.get(intent.seq)
                if left is not None and left.outcome == "skipped":
                    continue
                checked += 1
                there = found.get(canonical(intent.id[0], intent.id[1:]))
                undone = info.state is State.ROLLED_BACK or left is not None
                what = _wrong(intent, there, undone=undone, open_end=batch not in journal.settled)
                if what:
                    problems.append(Problem(what, f"{intent.collection}/{intent.key}"))
    return Verification(info.id, not problems, checked, tuple(problems))


def _wrong(intent: Intent, there: bytes | None, *, undone: bool, open_end: bool) -> str:
    as_before = there == intent.before
    as_planned = there is not None and fingerprint(there) == intent.after
    if (as_before if undone else as_planned) or (open_end and as_before):
        return ""
    state = "missing" if there is None else "changed"
    return f"{state}: not as it was before the restore" if undone else f"{state} since the restore"
