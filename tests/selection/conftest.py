"""What the tests of choosing share: a case, sources made on the spot, and restores of what was chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util
from pymongo import MongoClient

from recovery_nb import Case
from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.records.elements import split
from recovery_nb.restore import OnConflict, RestoreResult, Selected, apply, make_plan
from recovery_nb.selection import Choice, Keys, planned_bytes, select, structures

LOST = (Status.MISSING, Status.CHANGED)


@dataclass
class Bench:
    """A database, a case about it, and dumps of it."""

    case: Case
    uri: str
    name: str
    client: MongoClient[dict[str, Any]]
    folder: Path

    @property
    def db(self) -> Any:
        return self.client[self.name]

    def raw(self, collection: str) -> list[bytes]:
        """Every record of the collection in natural order."""
        return [record for buffer in self.db[collection].find_raw_batches({}) for record in split(buffer)]

    def dump(self, name: str = "dump", *collections: str, day: int = 1) -> Path:
        """Write a dump of the database as it is, taken on a day of December 2025."""
        folder = self.folder / name
        folder.mkdir()
        for info in self.db.list_collections():
            own, kind = info["name"], info["type"]
            if own.startswith("system.") or (collections and own not in collections):
                continue
            indexes = [] if kind == "view" else [dict(one) for one in self.db[own].list_indexes()]
            about = {"options": info["options"], "indexes": indexes, "type": kind, "collectionName": own}
            text = json_util.dumps(about, json_options=json_util.CANONICAL_JSON_OPTIONS)
            (folder / f"{own}.metadata.json").write_text(text)
            if kind != "view":
                stored = f"system.buckets.{own}" if kind == "timeseries" else own
                (folder / f"{stored}.bson").write_bytes(b"".join(self.raw(stored)))
        when = datetime(2025, 12, day, tzinfo=UTC).timestamp()
        for file in folder.iterdir():
            os.utime(file, (when, when))
        return folder

    def select(
        self,
        comparison: Comparison,
        *,
        keys: Sequence[Choice] | None = None,
        query: Mapping[str, Any] | None = None,
        statuses: Sequence[Status] = LOST,
    ) -> list[Selected]:
        named = None if keys is None else Keys.of(keys)
        return list(select(comparison, self.case.database, statuses=statuses, keys=named, query=query))

    def restore(self, comparison: Comparison, chosen: Sequence[Selected], **more: Any) -> RestoreResult:
        """Write what was chosen into the database."""
        plan = make_plan(
            chosen, self.folder / "plans", database=self.name, on_conflict=OnConflict.REPLACE,
            structures=structures(comparison, self.case.database), **more,
        )  # fmt: skip
        payload = partial(planned_bytes, comparison)
        return apply(plan, self.uri, payload=payload, folder=self.folder / "restores")


@pytest.fixture
def bench(database: Any, tmp_path: Path) -> Iterator[Bench]:
    with Case.open(tmp_path / "case", database=database.uri) as case:
        yield Bench(case, database.uri, database.name, database.client, tmp_path)


@pytest.fixture
def bson_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a `.bson` file of documents."""

    def write(name: str, documents: Sequence[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(map(bson.encode, documents)))
        return path

    return write
