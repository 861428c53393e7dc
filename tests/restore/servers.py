"""Servers of a test's own, besides the one that all tests share."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from recovery_nb.embedded import find_mongod


@contextmanager
def server(folder: Path, *more: str) -> Iterator[tuple[int, MongoClient[Any]]]:
    """A standalone mongod with these options; its port, and a client of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(find_mongod()), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1",
               "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", *more]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with MongoClient(port=port, directConnection=True) as client:
            client.admin.command("ping")
            yield port, client
    finally:
        process.kill()
        process.wait()


@contextmanager
def replica_set(folder: Path, *more: str) -> Iterator[tuple[int, MongoClient[Any]]]:
    """A replica set of one."""
    with server(folder, "--replSet", "rs", *more) as (port, client):
        client.admin.command("replSetInitiate", {"_id": "rs", "members": [{"_id": 0, "host": f"127.0.0.1:{port}"}]})
        until_primary(client)
        with MongoClient(f"mongodb://127.0.0.1:{port}/?directConnection=true") as fresh:
            yield port, fresh


def until_primary(client: MongoClient[Any]) -> None:
    """Wait until the server takes writes."""
    deadline = time.monotonic() + 30
    while not client.admin.command("hello").get("isWritablePrimary") and time.monotonic() < deadline:
        pass
