"""A workbench: a fresh database, a source in memory, and the plans and restores between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient

from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import id_element, split
from recovery_nb.records.keys import key_of, key_text
from recovery_nb.restore import (
    OnConflict,
    Plan,
    RestoreResult,
    RollbackResult,
    Selected,
    Write,
    apply,
    make_plan,
    rollback,
    verify_restore,
)
from recovery_nb.verification import Verification


class Database(Protocol):
    uri: str
    name: str
    client: MongoClient[dict[str, Any]]


@dataclass
class Workbench:
    uri: str
    name: str
    client: MongoClient[dict[str, Any]]
    folder: Path
    source: dict[tuple[str, int], bytes] = field(default_factory=dict)

    @property
    def plans(self) -> Path:
        return self.folder / "plans"

    @property
    def restores(self) -> Path:
        return self.folder / "restores"

    def put(self, records: Iterable[bytes | dict[str, Any]], collection: str = "things") -> None:
        documents = [RawBSONDocument(one if isinstance(one, bytes) else bson.encode(one)) for one in records]
        self.client[self.name][collection].insert_many(documents)

    def raw(self, collection: str = "things") -> list[bytes]:
        """Every record of the collection, raw, in the order of their `_id`s."""
        cursor = self.client[self.name][collection].find_raw_batches({}).sort("_id", 1)
        return [record for buffer in cursor for record in split(buffer)]

    def now(self, own: bytes, collection: str) -> bytes | None:
        for record in self.raw(collection):
            if id_element(record) == own:
                return record
        return None

    def select(
        self, records: Iterable[bytes | dict[str, Any]], collection: str = "things", **more: Any
    ) -> list[Selected]:
        here = {id_element(record): record for record in self.raw(collection)}
        chosen = []
        for place, one in enumerate(records):
            record = one if isinstance(one, bytes) else bson.encode(one)
            own = id_element(record) or b""
            self.source[collection, place] = record
            chosen.append(
                Selected(
                    collection,
                    key_text(key_of(record) or b"\x0a"),
                    own,
                    here.get(own),
                    record,
                    "memory",
                    Ref("", place, len(record)),
                    **more,
                )
            )
        return chosen

    def plan(self, records: Iterable[bytes | dict[str, Any]], collection: str = "things",
             on_conflict: OnConflict = OnConflict.SKIP, **more: Any) -> Plan:  # fmt: skip
        return make_plan(
            self.select(records, collection), self.plans, database=self.name, on_conflict=on_conflict, **more
        )

    def payload(self, rows: Sequence[Write]) -> list[bytes]:
        return [self.source[write.collection, write.ref.offset] for write in rows]

    def apply(self, plan: Plan, **more: Any) -> RestoreResult:
        return apply(plan, self.uri, **{"payload": self.payload, "folder": self.restores, **more})

    def rollback(self, restore_id: str, **more: Any) -> RollbackResult:
        return rollback(self.restores / restore_id, self.uri, **more)

    def verify(self, restore_id: str) -> Verification:
        return verify_restore(self.restores / restore_id, self.uri)


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Workbench:
    return Workbench(database.uri, database.name, database.client, tmp_path)
