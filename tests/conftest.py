"""What all tests share: a real MongoDB, a fresh database in it, and the sample files."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from recovery_nb.embedded import EmbeddedMongod

SOAK = int(os.environ.get("RECOVERY_NB_SOAK", "1"))
"""How many times more trials the campaigns of kills, damage and fuzz make; `make soak` sets it."""

# A busy machine is no failure: how long an example takes to make or to run proves nothing here.
settings.register_profile(
    "steady", max_examples=100 * SOAK, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test marked `seeded(n)` the seeds 0 to n-1, and as many times more when soaking."""
    if marker := metafunc.definition.get_closest_marker("seeded"):
        metafunc.parametrize("seed", range(marker.args[0] * SOAK))


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one test: a name that no other test has, dropped afterwards."""

    uri: str
    name: str
    client: MongoClient[dict[str, Any]]


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedMongod]:
    with EmbeddedMongod(tmp_path_factory.mktemp("mongod")) as server:
        yield server


@pytest.fixture(scope="session")
def mongod_uri(mongod: EmbeddedMongod) -> str:
    """A replica set of one, for the whole run of this worker; the URI names no database."""
    return mongod.uri()


@pytest.fixture(scope="session")
def _client(mongod_uri: str) -> Iterator[MongoClient[dict[str, Any]]]:
    with MongoClient(mongod_uri) as client:
        yield client


@pytest.fixture
def database(mongod: EmbeddedMongod, _client: MongoClient[dict[str, Any]]) -> Iterator[Database]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield Database(uri=mongod.uri(name), name=name, client=_client)
    _client.drop_database(name)


@pytest.fixture(scope="session")
def samples() -> Path:
    return Path(__file__).parent / "data" / "samples"
