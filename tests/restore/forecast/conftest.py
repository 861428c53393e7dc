"""A database in which what is foreseen can be carried out, and both be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import bson
import pytest
from bson import json_util
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database as PlainDatabase

from recovery_nb.records.elements import id_element
from recovery_nb.restore.exchange import Change, Verdict, exchange, exchange_whole
from recovery_nb.restore.forecast import Forecast, Transaction
from recovery_nb.restore.shape import fingerprint
from recovery_nb.restore.target import Target

Record = bytes | dict[str, Any]
NAME = "things"


class Server(Protocol):
    uri: str
    name: str
    client: MongoClient[dict[str, Any]]


def raw(record: Record) -> bytes:
    return record if isinstance(record, bytes) else bson.encode(record)


@dataclass
class Scene:
    """Changes to one collection: what is foreseen of them, and what comes of them."""

    server: Server
    target: Target
    folder: Path
    structure: str = ""
    notes: list[str] = field(default_factory=list)
    refused: str = ""

    @property
    def database(self) -> PlainDatabase[dict[str, Any]]:
        return self.server.client[self.server.name]

    def make(self, live: Sequence[Record] = (), *, indexes: Sequence[dict[str, Any]] = (), **options: Any) -> None:
        """Create the collection, put records into it, then set what checks them."""
        checks = {key: options.pop(key) for key in list(options) if key.startswith("validat")}
        self.database.create_collection(NAME, **options)
        for place, index in enumerate(indexes):
            self.database.command({"createIndexes": NAME, "indexes": [{"name": f"i{place}", **index}]})
        for record in live:
            self.database[NAME].insert_one(RawBSONDocument(raw(record)))
        if checks:
            self.database.command({"collMod": NAME, **checks})
        self.close()
        self.target = Target(self.server.uri)  # it knows the collections that were there when it connected

    def will_make(self, *, indexes: Sequence[dict[str, Any]] = (), **options: Any) -> None:
        """Have the plan make the collection."""
        told = {"options": options, "indexes": [{"name": f"i{place}", **one} for place, one in enumerate(indexes)]}
        self.structure = json_util.dumps(told, json_options=json_util.CANONICAL_JSON_OPTIONS)

    def close(self) -> None:
        with self.target:
            pass

    def insert(self, record: Record) -> Change:
        return Change(id_element(raw(record)) or b"", None, raw(record))

    def replace(self, old: Record, new: Record) -> Change:
        return Change(id_element(raw(old)) or b"", fingerprint(raw(old)), raw(new))

    def remove(self, old: Record) -> Change:
        return Change(id_element(raw(old)) or b"", fingerprint(raw(old)), None)

    def foresee(self, *batches: Sequence[Change], transaction: Transaction = "") -> list[list[Verdict]]:
        planned = {NAME: self.structure}
        with Forecast(self.target, planned, folder=self.folder, transaction=transaction) as forecast:
            verdicts = []
            for changes in batches:
                found = self.target.read(NAME, [change.id for change in changes])
                verdicts.append(forecast.send(NAME, changes, [found.get(change.place) for change in changes]))
            self.notes, self.refused = forecast.notes, forecast.refused
            return verdicts

    def carry_out(self, *batches: Sequence[Change], transaction: Transaction = "") -> list[list[Verdict]]:
        if not self.target.exists(NAME):
            self.target.create(NAME, self.structure)
            assert self.target.build_indexes(NAME, self.structure, unique=True) == []
        send = exchange_whole if transaction else exchange
        return [send(self.target, NAME, changes) for changes in batches]

    def agree(self, *batches: Sequence[Change], transaction: Transaction = "") -> list[str]:
        """Foresee, carry out, hold both against each other, and return what came, one line a record."""
        foreseen = self.foresee(*batches, transaction=transaction)
        came = self.carry_out(*batches, transaction=transaction)
        assert [list(map(shown, one)) for one in foreseen] == [list(map(shown, one)) for one in came]
        return [shown(verdict) for verdicts in came for verdict in verdicts]


def shown(verdict: Verdict) -> str:
    """Return a verdict without the server's own words."""
    reason, _, told = verdict.reason.partition("the server refuses it: ")
    reason = reason.partition(" collation: {")[0]
    return f"{verdict.outcome}: {reason}{'the server refuses it' if told else ''}".removesuffix(": ")


@pytest.fixture
def scene(database: Server, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(database, Target(database.uri), tmp_path)
    yield made
    made.close()
