"""Exchanging records: each write only if exactly the expected bytes are there at the write itself.

Inserts lean on the unique index of `_id`. Where a record is replaced or removed, it is read, compared byte
for byte and written within one transaction, which the server aborts if anyone else wrote it meanwhile. A
server or a collection that takes no transactions gets the comparison as part of the write's own filter
instead. Where a reply is lost, the database is looked at: nothing is guessed.
"""

from __future__ import annotations

from recovery_nb.restore.exchange.change import Change, Outcome, Verdict
from recovery_nb.restore.exchange.each import exchange
from recovery_nb.restore.exchange.whole import MOST_BYTES, MOST_CHANGES, exchange_all, exchange_whole

__all__ = [
    "MOST_BYTES",
    "MOST_CHANGES",
    "Change",
    "Outcome",
    "Verdict",
    "exchange",
    "exchange_all",
    "exchange_whole",
]
