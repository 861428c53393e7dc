"""What a restore's journal says is its own: its collections, and what of it was undone."""

from __future__ import annotations

from pathlib import Path

from recovery_nb.errors import BadInputError, ConflictError
from recovery_nb.restore.files import RestoreInfo, State
from recovery_nb.restore.journal import JournalReader
from recovery_nb.restore.structure import BUCKETS, Structure, listed, listed_indexes, shown
from recovery_nb.restore.target import Target

__all__ = ["made_by", "read_journal", "refuse_strangers", "strangers", "undone_by"]


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


def refuse_strangers(journal: JournalReader, target: Target, info: RestoreInfo) -> None:
    """Refuse a database of which a collection is not the one that the restore wrote to, whatever it is called.

    Raises:
        ConflictError: A collection is another one, or is gone.
    """
    for name, what in _strange(journal, target, info).items():
        raise _refused(name, what, target, info)


def strangers(journal: JournalReader, target: Target, info: RestoreInfo) -> dict[str, str]:
    """Return the collections that are not those that the restore wrote to, by name, and what became of each.

    Raises:
        ConflictError: None is: it is another database.
    """
    strange = _strange(journal, target, info)
    views = {name for name in journal.created if Structure.parse(journal.structures[name]).kind == "view"}
    # Of two databases with the same view nothing tells which is which.
    telling = (journal.collections.keys() - views) or journal.collections.keys()
    if strange and not any(target.uuid(name) == journal.collections[name] for name in telling):
        name = next(iter(strange))
        raise _refused(name, strange[name], target, info)
    return strange


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
            target.uuid(name) == journal.collections[name]
            if name in journal.collections
            else _as_just_made(target, name, journal.structures[name])
        )
    ]


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
