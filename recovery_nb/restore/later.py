"""Whether it was a later restore of the same case that wrote what a rollback finds changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recovery_nb.errors import BadInputError
from recovery_nb.records.keys import canonical
from recovery_nb.restore.files import list_restores
from recovery_nb.restore.journal import JournalReader

__all__ = ["Place", "written_later"]

Place = tuple[str, bytes]
"""A record's collection, and the canonical form of its `_id`."""


def written_later(
    restore_dir: Path, collections: Mapping[str, bytes], found: Mapping[Place, bytes]
) -> dict[Place, str]:
    """Return the ids of the restores that left records as they are now, the newest of them for each record.

    A record is a restore's if it is, to the bit, what the restore's journal says of it, in the very same collection.
    Each later journal is read once; one that cannot be read tells nothing.

    Args:
        restore_dir: The folder of the restore that is undone; those that began before it are not looked at.
        collections: The UUIDs of its collections, by name.
        found: SHA-256 of each record as it is now.
    """
    told: dict[Place, str] = {}
    begun, _, _ = restore_dir.name.partition("-")
    for info in reversed(list_restores(restore_dir.parent)) if found else ():
        if info.id == restore_dir.name or info.id < begun:
            continue
        try:
            journal = JournalReader(info.path / "journal.bson")
        except (OSError, BadInputError):
            continue
        same = {name for name, uuid in journal.collections.items() if uuid and uuid == collections.get(name)}
        for _, intents in journal.batches() if same else ():
            if intents.collection not in same:
                continue
            for seq, own, after in zip(intents.seqs, intents.ids, intents.afters, strict=True):
                place = intents.collection, canonical(own[0], own[1:])
                if seq not in journal.left and found.get(place) == after:
                    told.setdefault(place, info.id)
    return told
