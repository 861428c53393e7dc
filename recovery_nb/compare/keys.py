"""Which fields identify the records of each collection, and whether they really do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.resolve import Placement
from recovery_nb.compare.screen import Screen
from recovery_nb.errors import BadInputError
from recovery_nb.records.keys import DEFAULT_KEY
from recovery_nb.sources.mongodb import Database

__all__ = ["choose_keys", "refuse_bad_key"]

_USUAL = ("session_id", "id")


def _keyless(placement: Placement) -> bool:
    """Whether no record of this source's collection has an `_id`."""
    records = placement.source.collections.get(placement.given, 0)
    return 0 < records == placement.source.keyless.get(placement.given, 0)


def _shared(placements: Sequence[Placement]) -> set[str]:
    """Return the fields that the first records of every source have, each of them."""
    shared: set[str] | None = None
    for placement in placements:
        fields = placement.source.fields.get(placement.given, {})
        if not fields:
            continue
        most = max(fields.values(), default=0)
        whole = {name for name, count in fields.items() if count == most}
        shared = whole if shared is None else shared & whole
    return shared or set()


def _unique_fields(database: Database, collection: str) -> list[str]:
    return [
        next(iter(index["key"]))
        for index in database.indexes(collection)
        if index.get("unique") and len(index["key"]) == 1
    ]


def choose_keys(
    wanted: tuple[str, ...],
    placements: Sequence[Placement],
    database: Database,
    *,
    existing: Collection[str],
) -> tuple[dict[str, tuple[str, ...]], list[Placement], list[str]]:
    """Return the key of each collection, the placements that can be compared by it, and notes for the analyst.

    `_id`, unless a source has records without any: then a field with a unique index in the database that every
    source has, else `session_id` or `id`. A source whose records nothing identifies is left out, and said.

    Raises:
        BadInputError: Nothing is left.
    """
    keys: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    out: list[Placement] = []
    for name in sorted({placement.collection for placement in placements}):
        mine = [placement for placement in placements if placement.collection == name]
        lacking = [] if wanted else [placement for placement in mine if _keyless(placement)]
        if not lacking:
            keys[name] = wanted or DEFAULT_KEY
            continue
        shared = _shared(mine)
        unique = _unique_fields(database, name) if name in existing else []
        field = next((one for one in (*unique, *_USUAL) if one in shared), "")
        if not field:
            out += lacking
            notes += [
                f"left out: the records of {name} in {one.source.path} have no _id, nor another field that identifies "
                "them everywhere; name one with --key FIELD,…"
                for one in lacking
            ]
            if len(lacking) < len(mine):
                keys[name] = DEFAULT_KEY
            continue
        keys[name] = (field,)
        notes.append(f"{name} is compared by {field}: {lacking[0].source.name} holds no _id")
    if placements and not keys:
        raise BadInputError(notes[0].removeprefix("left out: "))
    return keys, [placement for placement in placements if placement not in out], notes


def refuse_bad_key(screen: Screen, collection: str, key: Sequence[str], sources: Sequence[SourceEntry]) -> None:
    """Refuse a key that the user named and that does not identify records.

    Raises:
        BadInputError: Records lack it, or different records share it.
    """
    label = ",".join(key)
    lacking = screen.count("SELECT count(*) FROM live WHERE key IS NULL")
    if lacking:
        raise BadInputError(
            f"{lacking:,} records of {collection} in the database lack the key {label}",
            hint="name fields that every record has",
        )
    shared = screen.count("SELECT count(*) - count(DISTINCT key) FROM live")
    if shared:
        raise BadInputError(
            f"the key {label} is not unique: {shared:,} more records than keys in {collection} in the database",
            hint="name fields that together identify a record",
        )
    for ordinal, source in enumerate(sources):
        lacking = screen.count(f"SELECT count(*) FROM candidates WHERE source = {ordinal} AND key IS NULL")
        if lacking:
            raise BadInputError(
                f"{lacking:,} records of {collection} in {source.path} lack the key {label}",
                hint="name fields that every record has",
            )
        shared = screen.count(
            f"""SELECT count(*) FROM (SELECT key FROM candidates WHERE source = {ordinal}
                GROUP BY key HAVING count(DISTINCT id) > 1 OR (count(id) = 0 AND count(*) > 1))"""
        )
        if shared:
            raise BadInputError(
                f"the key {label} is not unique: {shared:,} keys stand for several records of {collection} "
                f"in {source.path}",
                hint="name fields that together identify a record",
            )
