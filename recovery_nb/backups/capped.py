"""Reading a capped collection at one moment: no snapshot session may, but a transaction may.

A transaction reads from one view of the storage engine from its first read on, whatever its read concern. What the
collection evicts meanwhile is still seen, and what comes is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.client_session import ClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from recovery_nb.records.elements import split
from recovery_nb.sources.mongodb import Database, explained

__all__ = ["one_moment", "read_in"]

_MOST = 512 * 1024 * 1024
"""Bytes. A server ends a transaction after 60 seconds (transactionLifetimeLimitSeconds)."""


@contextmanager
def one_moment(database: Database, collection: str, *, size: int) -> Iterator[ClientSession | None]:
    """Give a session whose reads see the collection as it is now.

    Args:
        database: What is read.
        collection: What will be read, once.
        size: How many bytes it has.

    Returns:
        The session; None where the collection is too large for it, or there are no transactions.
    """
    if size > _MOST:
        yield None
        return
    with explained(database.label), database.client.start_session() as session:
        session.start_transaction(ReadConcern("majority"))
        try:
            database.client[database.name][collection].find_one({}, {"_id": 1}, session=session)
        except PyMongoError:  # no transactions, or a read preference that they do not go with
            yield None  # what else is wrong will be said by the plain read
            return
        yield session
        session.abort_transaction()


def read_in(session: ClientSession, database: Database, collection: str) -> Iterator[list[bytes]]:
    """Yield the records in the session's transaction, in the order of their insertion.

    Raises:
        ConnectionFailedError: The server went away, or ended the transaction.
    """
    with (
        explained(database.label),
        database.client[database.name][collection].find_raw_batches({}, session=session) as cursor,
    ):
        for buffer in cursor:
            yield split(buffer)
