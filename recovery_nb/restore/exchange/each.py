"""Making every change that can be made, each on its own."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.client_session import ClientSession
from pymongo.errors import ConnectionFailure

from recovery_nb.restore.exchange.change import TRIES, Change, Verdict, Verdicts
from recovery_nb.restore.exchange.errors import LostReplyError
from recovery_nb.restore.exchange.insert import insert
from recovery_nb.restore.exchange.look import gave_up, look_after_loss
from recovery_nb.restore.exchange.swap import swap, swap_guarded
from recovery_nb.restore.target import Target

__all__ = ["exchange"]


def exchange(
    target: Target, collection: str, changes: Sequence[Change], *, session: ClientSession | None = None
) -> list[Verdict]:
    """Make every change that can be made, and return a verdict for each. Inserts go first, the others follow.

    Several threads may do so at once, each with a session of its own (`Target.new_session`).

    Args:
        target: The database.
        collection: The collection of all the changes.
        changes: What is to be exchanged; no two of them for one `_id`.
        session: The driver's session; None for the target's own.

    Raises:
        ConnectionFailure: The server went away and did not come back; nothing is known of this batch.
        ConnectionFailedError: The server is no longer the primary; nothing is known of this batch.
        OperationFailure: The user may not write.
    """
    own = session or target.session
    verdicts: Verdicts = {}
    todo = list(enumerate(changes))
    send = swap if target.takes_transactions(collection) else swap_guarded
    for attempt in range(TRIES):
        try:
            inserts = [item for item in todo if item[1].expected is None]
            others = [item for item in todo if item[1].expected is not None]
            insert(target, collection, inserts, verdicts, session=own, again=attempt > 0)
            send(target, collection, others, verdicts, session=own)
            break
        except (ConnectionFailure, LostReplyError) as error:
            if attempt == TRIES - 1:
                raise gave_up() from error
            left = [item for item in todo if item[0] not in verdicts]
            todo = look_after_loss(target, collection, left, verdicts)
    return [verdicts[place] for place in range(len(changes))]
