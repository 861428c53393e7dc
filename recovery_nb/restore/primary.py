"""Waiting for a server that takes writes."""

from __future__ import annotations

from typing import Any

import stamina
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure

from recovery_nb.errors import ConnectionFailedError

__all__ = ["await_primary"]


class _NotPrimaryError(Exception):
    """The server takes no writes."""


def await_primary(client: MongoClient[Any], label: str, patience: float) -> None:
    """Wait until the server takes writes, for so many seconds at most.

    One that has stepped down still answers: with what is behind, or with what will be taken back.

    Raises:
        ConnectionFailure: It does not answer.
        ConnectionFailedError: It stays a secondary.
    """
    attempts = stamina.retry_context(
        on=(ConnectionFailure, _NotPrimaryError), attempts=None, timeout=patience, wait_initial=0.2, wait_max=2.0
    )
    try:
        for attempt in attempts:
            with attempt:
                hello = client.admin.command("hello")
                if not hello.get("isWritablePrimary", hello.get("ismaster")):
                    raise _NotPrimaryError
    except _NotPrimaryError:
        raise ConnectionFailedError(
            f"{label} is no longer the primary, so nothing can be written there",
            hint="wait for it, or name the whole replica set (mongodb://HOST,HOST/NAME?replicaSet=SET)",
        ) from None
