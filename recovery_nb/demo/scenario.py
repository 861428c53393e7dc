"""The demo's story: a shop grows, takes backups of three kinds at three times, and then loses data.

The only module besides `restore` that writes to a database: it makes what the others must cope with.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import bson
from bson import Decimal128, Int64
from bson.raw_bson import RawBSONDocument
from pymongo import DESCENDING, MongoClient, ReplaceOne

from recovery_nb.demo.oldbackups import Shop, dump, export, nightly
from recovery_nb.demo.sampledata import COLLECTIONS, SEED, Document, moment
from recovery_nb.demo.truth import DemoResult, Fate, Key, Scenario, Truth, check, fingerprint, projection
from recovery_nb.errors import BadInputError, ConflictError

__all__ = ["DemoResult", "Scenario", "check", "prepare"]

Held = dict[str, dict[Any, bytes]]
"""Records by collection and `_id`."""

_GROWTH = (0.03, 0.01, 0.005)
"""Of all records, how many are new after the first, second and third backup."""

_REVISED = {
    "conversations": (0.04, 0.035, 0.01),
    # Nothing in a session tells a later change from damage, so none changes after the last backup.
    "sessions": (0.025, 0.02, 0.0),
    "quotes": (0.02, 0.002, 0.0),
}
"""Likewise, how many are changed in the course of business."""

_DELETED = 0.15
_DAMAGED = 0.01
_SMALLEST = 200


def prepare(uri: str, folder: Path, *, count: int = 20_000, seed: int = SEED) -> Scenario:
    """Fill an empty database, write three generations of backups into `folder`, and then inflict losses.

    Backups: a dump (oldest), a script's JSON export without types, and a nightly export in canonical Extended
    JSON (newest) that a full disk cut short. Losses: 15 % of the conversations deleted, `quotes` dropped,
    fields of conversations and sessions overwritten; among the lost are records that no backup holds.

    Args:
        uri: The database, which must be empty.
        folder: Where `backups`, `exports` and the truth go.
        count: How many records each of the three collections has just before the losses.
        seed: The same seed makes the same records and the same losses.

    Raises:
        ConflictError: The database or the folder is not empty of such things.
        BadInputError: `count` is too small for every kind of loss to occur.
    """
    if count < _SMALLEST:
        raise BadInputError(f"{count} records are too few for a demo", hint=f"ask for {_SMALLEST} or more")
    for name in ("backups", "exports"):
        if (folder / name).exists():
            raise ConflictError(f"{folder / name} is there already", hint="give another folder")
    with MongoClient[Any](uri) as client:
        shop = client.get_default_database()
        if shop.list_collection_names():
            raise ConflictError(f"the database {shop.name} is not empty", hint="give the demo one of its own")
        return _tell(_Business(shop, seed), folder, count)


def _tell(business: _Business, folder: Path, count: int) -> Scenario:
    shop = business.shop
    after_dump, after_export, after_nightly = (round(share * count) for share in _GROWTH)

    business.open(count - after_dump - after_export - after_nightly)
    dumped = dump(shop, folder, business.clock)
    in_dump = business.held()

    business.go_on(0, after_dump)
    exported = export(shop, folder, business.clock)
    in_export = business.held()

    business.go_on(1, after_export)
    nightlies, readable = nightly(shop, folder, business.clock)
    in_nightly = business.held()
    del in_nightly["quotes"]
    in_nightly["conversations"] = {k: r for k, r in in_nightly["conversations"].items() if k in readable}

    business.go_on(2, after_nightly)
    before = business.held()
    best = _newest(before, [in_nightly, in_export, in_dump])
    fates = _lose(business, best, new=after_nightly)

    truth = {
        Key(name, str(key)): Truth(
            fate=fates[name].get(key, Fate.INTACT),
            before=fingerprint(record),
            best=fingerprint(best[name][key]) if key in best[name] else None,
            projected=_projected(best[name].get(key), in_nightly.get(name, {}).get(key), in_dump[name].get(key)),
        )
        for name, records in before.items()
        for key, record in records.items()
    }
    scenario = Scenario(folder, (dumped, exported, *nightlies), truth)
    scenario.save()
    return scenario


def _newest(before: Held, sources: list[Held]) -> Held:
    """Return each record as the first of `sources`, newest first, holds it; without those that none holds."""
    return {
        name: {
            key: next(held[name][key] for held in sources if key in held.get(name, {}))
            for key in records
            if any(key in held.get(name, {}) for held in sources)
        }
        for name, records in before.items()
    }


def _projected(best: bytes | None, *typed: bytes | None) -> bytes | None:
    """Return the projection of `best` where no source that kept the types holds the same."""
    return None if best is None or best in typed else projection(best)


class _Business:
    """A shop's database, and a copy of what is in it, to know the truth by.

    Attributes:
        shop: The database.
        clock: How late it is in the story.
        now: What the database holds.
        chance: Decides, the same way each time.
    """

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop = shop
        self.seed = seed
        self.chance = random.Random(seed)  # noqa: S311 - a story, to be the same each time
        self.now: Held = {name: {} for name in COLLECTIONS}
        self.clock = moment(0)
        self._number = 0

    def held(self) -> Held:
        """Return what the database holds now; later events do not change it."""
        return {name: dict(records) for name, records in self.now.items()}

    def open(self, count: int) -> None:
        """Make the collections and fill them."""
        shop = self.shop
        shop.create_collection("quotes", validator={"$jsonSchema": _QUOTE_SCHEMA})
        shop["quotes"].create_index("quote_no", unique=True)
        shop["sessions"].create_index("session_id", unique=True)
        shop["conversations"].create_index("session_id", unique=True)
        shop["conversations"].create_index([("started_at", DESCENDING)])
        self._grow(count)

    def go_on(self, stage: int, count: int) -> None:
        """Change some records in the course of business, then add `count` to each collection."""
        now = self.clock
        for name, shares in _REVISED.items():
            chosen = self.pick(self.now[name], shares[stage])
            revised = {}
            for nth, key in enumerate(chosen):
                record: Document = bson.decode(self.now[name][key])
                _REVISE[name](record, now + timedelta(seconds=nth))
                revised[key] = bson.encode(record)
            if revised:
                self.shop[name].bulk_write([ReplaceOne({"_id": k}, RawBSONDocument(r)) for k, r in revised.items()])
            self.now[name].update(revised)
        self._grow(count)

    def pick(self, keys: Iterable[Any], share: float) -> list[Any]:
        """Return that share of `keys`: none for a share of 0, else one at least."""
        among = list(keys)
        return self.chance.sample(among, max(1, round(share * len(among)))) if share else []

    def _grow(self, count: int) -> None:
        for name, make in COLLECTIONS.items():
            records = {r["_id"]: bson.encode(r) for r in make(count, start=self._number, seed=self.seed)}
            self.shop[name].insert_many(map(RawBSONDocument, records.values()), ordered=False)
            self.now[name].update(records)
        self._number += count
        # Backups are taken, and changes made, after the last of these have gone quiet.
        self.clock = moment(self._number) + timedelta(minutes=10)


def _revise_conversation(record: Document, when: datetime) -> None:
    record["messages"].append({**record["messages"][-1], "timestamp": when, "user_message": "¿Hay novedades? 📦"})
    record["message_count"] += 1
    record["updated_at"] = when


def _revise_session(record: Document, when: datetime) -> None:
    record["closed"] = True
    record["duration_s"] = Int64(record["duration_s"] + 60)


def _revise_quote(record: Document, when: datetime) -> None:
    record["amount"] = Decimal128(record["amount"].to_decimal() + 1)
    record["note"] = f"revised {when:%d.%m.%Y}"


_REVISE: dict[str, Callable[[Document, datetime], None]] = {
    "conversations": _revise_conversation,
    "sessions": _revise_session,
    "quotes": _revise_quote,
}

_QUOTE_SCHEMA = {
    "bsonType": "object",
    "required": ["quote_no", "amount"],
    "properties": {"amount": {"bsonType": "decimal"}},
}


def _lose(business: _Business, best: Held, *, new: int) -> dict[str, dict[Any, Fate]]:
    """Delete, drop and damage; return what became of the records that this befell."""
    shop, now = business.shop, business.now
    fates: dict[str, dict[Any, Fate]] = {"quotes": dict.fromkeys(now["quotes"], Fate.LOST)}
    shop.drop_collection("quotes")

    # Some that no backup holds are always among them; new records come last.
    unseen = {name: list(now[name])[-new:] for name in ("conversations", "sessions")}
    deleted = {
        "conversations": {
            *business.pick(now["conversations"], _DELETED),
            *business.pick(unseen["conversations"], _DELETED),
        },
        "sessions": set(business.pick(unseen["sessions"], _DELETED)),
    }
    for name, keys in deleted.items():
        shop[name].delete_many({"_id": {"$in": list(keys)}})
        fates[name] = dict.fromkeys(keys, Fate.LOST)
        # Only what a source still holds as it was: elsewhere damage and a later change cannot be told apart.
        whole = [key for key, record in now[name].items() if key not in keys and best[name].get(key) == record]
        damaged = business.pick(whole, _DAMAGED)
        half = len(damaged) // 2
        for hit, change in zip((damaged[:half], damaged[half:]), _DAMAGE[name], strict=True):
            shop[name].update_many({"_id": {"$in": hit}}, {"$set": change})
            fates[name].update(dict.fromkeys(hit, Fate.DAMAGED))
    return fates


_DAMAGE: dict[str, tuple[Document, Document]] = {
    "conversations": ({"phone": "REDACTED"}, {"messages": []}),
    "sessions": ({"ip": ""}, {"agent": "unknown", "duration_s": Int64(0)}),
}
