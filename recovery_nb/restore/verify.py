"""Proving a restore: what it wrote is there, byte for byte, and all else is as it was before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

from recovery_nb.errors import BadInputError
from recovery_nb.records.keys import canonical
from recovery_nb.restore.as_made import unlike
from recovery_nb.restore.baseline import load_baseline
from recovery_nb.restore.files import RestoreInfo, State, has_header, next_step, open_restore
from recovery_nb.restore.journal import UNSENT, Intent, JournalReader
from recovery_nb.restore.others import Others
from recovery_nb.restore.ours import is_another_database, read_journal, undone_by
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.structure import shown
from recovery_nb.restore.target import Target
from recovery_nb.sources.mongodb import explained
from recovery_nb.verification import Problem, Verification

__all__ = ["verify_restore"]

_SETTLED = (State.DONE, State.ROLLED_BACK)
_Wrong = tuple[int, str, str]
"""A record's place in the plan, what is wrong with it, and where it is."""


def verify_restore(restore_dir: Path, uri: str, *, plan: Plan | None = None) -> Verification:
    """Compare the database with what the journal says that a restore left there. Read-only.

    Restored records must have the planned fingerprint, failed ones and those that were rolled back must be as before.
    Records that others changed in the meantime are not the restore's and are not compared. The other records of its
    collections must be as they were when it began, unless the server's oplog tells that someone else wrote them.
    What it made must have the options and indexes that it made it with.

    Args:
        restore_dir: The restore's folder, `<case>/restores/<restore_id>`.
        uri: The database, `mongodb://host:port/NAME`.
        plan: Its plan, which tells the source of a record; None for the one in the case's own folder of plans.

    Raises:
        BadInputError: There is no such restore.
        ConnectionFailedError: The server does not answer.
    """
    info = open_restore(restore_dir)
    if info.state is State.ROLLED_BACK and not (restore_dir / "journal.bson").exists():
        return Verification(info.id, ok=True, checked=0, problems=(), notes=("it ended before it wrote anything",))
    journal = read_journal(restore_dir)
    problems = list(_of_the_files(restore_dir, info, journal))
    baseline, notes, checked = None, list[str](), 0
    try:
        baseline = load_baseline(restore_dir)
    except BadInputError as error:
        problems.append(Problem(str(error), restore_dir.name))
    wrong: list[_Wrong] = []
    with (
        next_step(Path(tempfile.gettempdir()), "run the command again"),
        explained(uri),
        Target(uri) as target,
        tempfile.TemporaryDirectory(prefix="recovery-nb-") as folder,
        Others(Path(folder), baseline) if baseline else nullcontext() as others,
    ):
        strangers = [name for name, uuid in journal.collections.items() if target.uuid(name) != uuid]
        wanting, needless = _of_strangers(journal, target, info, strangers)
        problems += wanting
        notes += needless
        problems += _of_what_it_made(journal, target, info, strangers)
        undone = undone_by(restore_dir) if info.state is not State.ROLLED_BACK else (set(), set())
        for batch, intents in journal.batches():
            if intents.collection in strangers:
                continue
            if others:
                others.planned(intents.collection, intents.ids)
            found = target.read(intents.collection, intents.ids)
            for intent in intents:
                left = journal.left.get(intent.seq)
                if left is not None and left.outcome in ("skipped", UNSENT):
                    continue
                checked += 1
                there = found.get(canonical(intent.id[0], intent.id[1:]))
                back = info.state is State.ROLLED_BACK or left is not None or intent.seq in undone[0]
                open_end = batch not in journal.settled or intent.seq in undone[1]
                if what := _wrong(intent, there, undone=back, open_end=open_end):
                    wrong.append((intent.seq, what, f"{intent.collection}/{intent.key}"))
        if wrong:
            problems += _with_sources(wrong, plan or _plan_of(restore_dir, info))
        if others and journal.torn and journal.damaged():
            notes.append("which other records the restore wrote is not known: its journal is damaged")
        elif others:
            others.compare(target, uri, sessions=frozenset(info.sessions), gone=strangers)
            problems += others.problems
            notes += others.notes
            checked += others.checked
        elif any(name not in journal.created for name in journal.collections):
            notes.append("of the other records it was not kept how they were before the restore")
    return Verification(info.id, not problems, checked, tuple(problems), tuple(notes))


def _of_the_files(restore_dir: Path, info: RestoreInfo, journal: JournalReader) -> Iterator[Problem]:
    """Yield what is wrong with the restore's own files, and that it did not end."""
    if (info.state is State.DONE and not journal.ended) or (journal.torn and (journal.ended or journal.damaged())):
        yield Problem(f"damaged from byte {journal.end:,} on", str(journal.path))
    if info.state not in _SETTLED:
        step = "" if info.state is State.ROLLING_BACK else f"go on with restore --resume {info.id}, or "
        yield Problem(f"it did not end: {info.state}; {step}undo it with rollback {info.id}", info.id)
    if not has_header(restore_dir):
        yield Problem("it cannot be read; the journal tells what it said", f"{restore_dir / 'restore.json'}")


def _of_strangers(
    journal: JournalReader, target: Target, info: RestoreInfo, strangers: Sequence[str]
) -> tuple[list[Problem], list[str]]:
    """Return what is wrong with collections that are not those that the restore wrote to, and notes on them.

    A restore that did not end, or was undone, may lack what it made; one that was undone wholly needs none of its
    collections any more, if this is the database that it wrote to.
    """
    gone = set() if info.state is State.DONE else set(journal.created)
    names = [shown(name) for name in strangers if shown(name) not in gone]
    whole = info.state is State.ROLLED_BACK and not info.counts.get("skipped")
    if whole and not is_another_database(target, info):
        return [], [f"{name} is not the collection that {info.id} wrote to, of which all is undone" for name in names]
    what = f"it is not the collection that the restore wrote to ({info.database})"
    return [Problem(what, f"{target.label}/{name}") for name in names], []


def _of_what_it_made(
    journal: JournalReader, target: Target, info: RestoreInfo, strangers: Sequence[str]
) -> Iterator[Problem]:
    """Yield what has become of options and indexes; of a restore that did not end, or was undone, they tell nothing."""
    for name in journal.created if info.state is State.DONE else ():
        if name in journal.collections and name not in strangers:
            for what in unlike(target, name, journal.structures[name]):
                yield Problem(what, f"{target.label}/{name}")


def _wrong(intent: Intent, there: bytes | None, *, undone: bool, open_end: bool) -> str:
    as_before = there == intent.before
    as_planned = there is not None and fingerprint(there) == intent.after
    if (as_before if undone else as_planned) or (open_end and (as_before or as_planned)):
        return ""
    state = "missing" if there is None else "changed"
    return f"{state}: not as it was before the restore" if undone else f"{state} since the restore"


def _plan_of(restore_dir: Path, info: RestoreInfo) -> Plan | None:
    try:
        return Plan.load(restore_dir.parent.parent / "plans" / info.plan_digest[:16])
    except BadInputError:
        return None


def _with_sources(wrong: Sequence[_Wrong], plan: Plan | None) -> list[Problem]:
    """Return the problems, each with the place of its record in its source."""
    sought = {seq for seq, _, _ in wrong}
    places: dict[int, str] = {}
    for rows in plan.groups() if plan else ():
        for place in [place for place, seq in enumerate(rows.seqs) if seq in sought]:
            source = plan.sources.get(rows.sources[place], rows.sources[place]) if plan else ""
            member = f"/{rows.members[place]}" if rows.members[place] else ""
            places[rows.seqs[place]] = f" (of {source}{member}, byte {rows.offsets[place]:,})"
    return [Problem(f"{what}{places.get(seq, '')}", where) for seq, what, where in wrong]
