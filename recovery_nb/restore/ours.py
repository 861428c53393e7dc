"""What a restore's journal says is its own: its collections, and what of it was undone."""

from __future__ import annotations

from pathlib import Path

from pymongo.errors import OperationFailure, WriteConcernError

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.restore.files import RestoreInfo, State
from recovery_nb.restore.intents import UNSENT
from recovery_nb.restore.journal import JournalReader
from recovery_nb.restore.structure import BUCKETS, Structure, listed, listed_indexes, shown
from recovery_nb.restore.target import Target
from recovery_nb.sources.address import name_in

__all__ = [
    "drop_made",
    "is_another_database",
    "made_by",
    "read_journal",
    "refuse_another_database",
    "refuse_strangers",
    "strangers",
    "undone_by",
    "wrote_nothing",
]


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
            hint=f"bring {restore_dir / 'journal.bson'} back from a copy of the case",
        ) from None


def is_another_database(target: Target, info: RestoreInfo) -> bool:
    """Return whether a database has another name than the one that the restore wrote to.

    Hosts are not compared: one server has many names.
    """
    wrote, named = (name_in(label).partition(".")[0] for label in (info.database, target.label))
    return wrote not in ("", named)


def refuse_another_database(target: Target, info: RestoreInfo) -> None:
    """Refuse a database of another name than the one that the restore wrote to.

    Raises:
        ConflictError: It is one.
    """
    if is_another_database(target, info):
        raise ConflictError(
            f"{info.id} wrote to {info.database}, and {target.label} is another database; nothing was changed",
            hint="name that database (--db)",
        )


def refuse_strangers(journal: JournalReader, target: Target, info: RestoreInfo) -> None:
    """Refuse a database of which a collection is not the one that the restore wrote to, whatever it is called.

    Raises:
        ConflictError: A collection is another one, or is gone; or it is another database.
    """
    for name, what in _strange(journal, target, info).items():
        raise _refused(name, what, target, info)
    refuse_another_database(target, info)


def strangers(journal: JournalReader, target: Target, info: RestoreInfo) -> dict[str, str]:
    """Return the collections that are not those that the restore wrote to, by name, and what became of each.

    Raises:
        ConflictError: None is: it is another database.
    """
    strange = _strange(journal, target, info)
    if strange and not any(_is(target, name, uuid) for name, uuid in journal.collections.items()):
        name = next(iter(strange))
        raise _refused(name, strange[name], target, info)
    refuse_another_database(target, info)
    return strange


def _is(target: Target, name: str, uuid: bytes) -> bool:
    return bool(uuid) and target.uuid(name) == uuid


def _strange(journal: JournalReader, target: Target, info: RestoreInfo) -> dict[str, str]:
    """What the restore itself has made may be gone, where it is rolled back again: dropped by the time before."""
    again = info.state in (State.ROLLING_BACK, State.ROLLED_BACK)
    strange = {}
    for name, uuid in journal.collections.items():
        there = target.uuid(name)
        dropped = not there and shown(name) in journal.created and again
        if there != uuid and not dropped:
            strange[name] = "is not that collection" if there else "is gone"
    return strange


def _refused(name: str, what: str, target: Target, info: RestoreInfo) -> ConflictError:
    return ConflictError(
        f"{info.id} wrote to {info.database}, and {shown(name)} in {target.label} {what}; nothing was changed",
        hint=f"name that database (--db); a {shown(name)} that was made anew holds nothing of this restore: "
        "compare again and make a new restore",
    )


def made_by(journal: JournalReader, target: Target) -> list[str]:
    """Return the collections, time-series and views that a restore has made, in that order.

    A process may have been killed between making one and writing down which it is. What stands under its name is
    then held for it if nothing tells it from what would have been made: no record, no index, and the same options.
    """
    return [
        name
        for name in journal.created
        if (
            _is(target, name, journal.collections[name])
            if name in journal.collections
            else _as_just_made(target, name, journal.structures[name])
        )
    ]


def drop_made(journal: JournalReader, target: Target, info: RestoreInfo) -> tuple[list[str], list[str]]:
    """Drop what a restore has made and what holds nothing, newest first.

    Returns:
        What was dropped, and of what could not be, or is not known to be the restore's, why it was left.

    Raises:
        PyMongoError: The server went away.
    """
    dropped, left = [], []
    for name in reversed(made_by(journal, target)):
        if name not in journal.collections and target.label != info.database:
            left.append(f"{name} was left: nothing tells whether it is the one that {info.id} made in {info.database}")
            continue
        try:
            if target.drop_if_empty(name):
                dropped.append(name)
        except WriteConcernError:  # it is dropped, and not yet on a majority of the members
            raise
        except OperationFailure as error:  # a user may not, or it is the server's own, as system.js
            reason = (error.details or {}).get("errmsg", error.code)
            left.append(f"{name}, which the restore had made, is empty and was left: {reason}")
    return dropped, left


def wrote_nothing(journal: JournalReader) -> bool:
    """Return whether no record that a restore intended to write can have reached the server."""
    outcomes = (journal.left.get(seq) for _, intents in journal.batches() for seq in intents.seqs)
    return all(left is not None and left.outcome == UNSENT for left in outcomes)


def _as_just_made(target: Target, name: str, structure: str) -> bool:
    told, entry = Structure.parse(structure), listed(target.database, name).get(name)
    if entry is None or entry["type"] != told.kind:
        return False
    wanted = {key: value for key, value in told.options.items() if key not in ("uuid", "autoIndexId")}
    if _unversioned({key: entry["options"].get(key) for key in wanted}) != _unversioned(wanted):
        return False
    if told.kind == "view":
        return True
    stored = target.collection(BUCKETS + name if told.kind == "timeseries" else name)
    return not stored.estimated_document_count() and len(listed_indexes(target.database, stored.name)) <= 1


def _unversioned(options: dict[str, object]) -> dict[str, object]:
    """Return options without the version of the server's collation tables."""
    collation = options.get("collation")
    return {**options, "collation": {**collation, "version": ""}} if isinstance(collation, dict) else options


def undone_by(restore_dir: Path) -> tuple[set[int], set[int]]:
    """Return the places in the plan of what rollbacks have undone, and of what they may have undone."""
    path = restore_dir / "rollback.bson"
    done, perhaps = set[int](), set[int]()
    if path.exists():
        journal = JournalReader(path)
        for number, intents in journal.batches():
            sent = {seq for seq in intents.seqs if seq not in journal.left}
            (done if number in journal.settled else perhaps).update(sent)
    return done, perhaps - done
