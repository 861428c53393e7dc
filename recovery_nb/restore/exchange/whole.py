"""Making all changes of a batch, or of a whole plan, in one transaction: all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pymongo.client_session import ClientSession
from pymongo.errors import ConnectionFailure, DocumentTooLarge, OperationFailure

from recovery_nb.errors import BadInputError
from recovery_nb.restore.exchange.change import HELD, TRIES, Change, Item, Outcome, Verdict, Verdicts
from recovery_nb.restore.exchange.errors import LostReplyError, blame, raise_if_refused, too_much, transient, unreadable
from recovery_nb.restore.exchange.look import gave_up, look_after_loss
from recovery_nb.restore.exchange.swap import transact
from recovery_nb.restore.target import Target

__all__ = ["MOST_BYTES", "MOST_CHANGES", "exchange_all", "exchange_whole"]

MOST_CHANGES = 10_000
"""The most records of one transaction over a whole plan."""
MOST_BYTES = 32 * 1024 * 1024
"""The most bytes of them. A server with a cache of 0.5 GB refused 60 MB; a transaction may take 60 s."""

_IN_BATCHES = "restore in batches (--transaction)"
_Work = list[tuple[str, list[Item]]]


def exchange_whole(
    target: Target, collection: str, changes: Sequence[Change], *, session: ClientSession | None = None
) -> list[Verdict]:
    """Make all changes in one transaction, or none of them; records that others changed are left out.

    Args:
        target: The database.
        collection: The collection of all the changes; it exists, and takes transactions.
        changes: What is to be exchanged; no two of them for one `_id`.
        session: The driver's session; None for the target's own.

    Raises:
        ConnectionFailure: The server went away and did not come back; nothing is known of this batch.
        ConnectionFailedError: The server is no longer the primary; nothing is known of this batch.
        OperationFailure: The user may not write.
    """
    work = [(collection, list(enumerate(changes)))]
    verdicts, _ = _exchange(target, work, session or target.session, what="its batch")
    return [verdicts[place] for place in range(len(changes))]


def exchange_all(
    target: Target, batches: Iterable[tuple[str, Sequence[Change]]], *, session: ClientSession | None = None
) -> list[list[Verdict]]:
    """Make the changes of a whole plan in one transaction, or none of them; what others changed is left out.

    Args:
        target: The database.
        batches: Collections with their changes; every one of them exists, and takes transactions.
        session: The driver's session; None for the target's own.

    Returns:
        The verdicts of each batch.

    Raises:
        BadInputError: It is more than one transaction takes, by `MOST_CHANGES`, by `MOST_BYTES` or by the
            server's own limits; nothing was written.
        ConnectionFailure: The server went away and did not come back; nothing is known of the plan.
        ConnectionFailedError: The server is no longer the primary; nothing is known of the plan.
        OperationFailure: The user may not write.
    """
    work: _Work = []
    count = size = 0
    for collection, changes in batches:
        size += sum(len(change.wanted or b"") for change in changes)
        work.append((collection, list(enumerate(changes, count))))
        count += len(changes)
        if count > MOST_CHANGES or size > MOST_BYTES:
            raise BadInputError(
                f"the plan is more than one transaction takes ({MOST_CHANGES:,} records, {MOST_BYTES // 2**20} MiB); "
                "nothing was written",
                hint=_IN_BATCHES,
            )
    verdicts, error = _exchange(target, work, session or target.session, what="the whole plan")
    if error is not None and too_much(error):
        raise BadInputError(
            f"the plan is more than the server takes in one transaction ({blame(error)[1].reason}); "
            "nothing was written",
            hint=_IN_BATCHES,
        ) from None
    return [[verdicts[place] for place, _ in items] for _, items in work]


def _exchange(target: Target, work: _Work, session: ClientSession, *, what: str) -> tuple[Verdicts, Exception | None]:
    """Return a verdict for every item, and what made the server take all of it back."""
    verdicts: Verdicts = {}
    for attempt in range(TRIES):
        try:
            return verdicts | transact(target, work, session=session), None
        except (ConnectionFailure, LostReplyError) as error:
            if attempt == TRIES - 1:
                raise gave_up() from error
            # Committed or not, it was so as a whole: where anything is as it was, nothing was written.
            work = [(name, look_after_loss(target, name, items, verdicts)) for name, items in work]
        except (OperationFailure, DocumentTooLarge) as error:
            raise_if_refused(error)
            if transient(error) and attempt < TRIES - 1:
                continue
            return verdicts | _taken_back(work, error, what), error
    raise gave_up()


def _taken_back(work: _Work, error: Exception, what: str) -> Verdicts:
    held = transient(error) and not too_much(error) and not unreadable(error)
    place, verdict = (None, HELD) if held else blame(error)
    others = Verdict(Outcome.SKIPPED, f"{what} was taken back: {verdict.reason}")
    return {one: verdict if place in (None, one) else others for _, items in work for one, _ in items}
