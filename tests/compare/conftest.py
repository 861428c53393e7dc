"""What the tests of comparisons share: a shop loaded from the samples, sources made on the spot, and a case."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from recovery_nb import Case
from recovery_nb.records.elements import split

PLAIN = ("attachments.chunks", "attachments.files", "conversations", "events_capped", "quotes", "sessions", "types",
         "users")  # fmt: skip


def load(database: Any, folder: Path, names: Sequence[str] = PLAIN) -> None:
    for name in names:
        records = split((folder / f"{name}.bson").read_bytes())
        database.client[database.name][name].insert_many([RawBSONDocument(record) for record in records])


@pytest.fixture
def shop(database: Any, samples: Path) -> Any:
    load(database, samples / "mongodump" / "shop")
    return database


@pytest.fixture
def case(database: Any, tmp_path: Path) -> Iterator[Case]:
    with Case.open(tmp_path / "case", database=database.uri) as opened:
        yield opened


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a `.bson` file of documents (or raw records), taken on a day of December 2025."""

    def make(name: str, documents: Sequence[Any], *, day: int = 1, folder: str = "src") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(one if isinstance(one, bytes) else bson.encode(one) for one in documents))
        when = datetime(2025, 12, day, tzinfo=UTC).timestamp()
        os.utime(path, (when, when))
        return path

    return make
