"""What a server's refusals mean for the records they are about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, PyMongoError

from recovery_nb.restore.exchange.change import INVALID, Outcome, Verdict, colliding

__all__ = [
    "LostReplyError",
    "blame",
    "failure_of",
    "id_taken",
    "raise_if_lost",
    "raise_if_refused",
    "too_much",
    "transient",
    "unconfirmed",
    "unreadable",
]

# Codes: https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml
_DUPLICATE_KEY, _VALIDATION, _WRITE_CONFLICT = 11000, 121, 112
_REFUSED_USER = frozenset({13, 18, 8000})
_STEPPED_DOWN = frozenset({91, 189, 10058, 10107, 11600, 11602, 13435, 13436})
_TOO_MUCH = frozenset({225, 257, 290, 388})
"""TransactionTooOld, TransactionTooLarge, TransactionExceededLifetimeLimitSeconds, TransactionTooLargeForCache."""
_NO_SUCH_TRANSACTION = 251
_SNAPSHOT_UNAVAILABLE = 246
_DUPLICATE_TEXT = re.compile(r"(?: index: (.+?))?(?: collation: \{.*?\})? dup key: \{")


class LostReplyError(Exception):
    """Whether the server wrote is not known."""


def _codes(error: Exception) -> set[int | None]:
    codes = {getattr(error, "code", None)}
    if isinstance(error, BulkWriteError):
        codes |= {failure["code"] for failure in error.details["writeErrors"]}
    return codes


def transient(error: Exception) -> bool:
    """Return whether a transaction was aborted for what may not happen again."""
    labelled = isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")
    return labelled or _WRITE_CONFLICT in _codes(error)


def too_much(error: Exception) -> bool:
    """Return whether a transaction was aborted because it did more, or took longer, than the server allows."""
    codes = _codes(error)
    return bool(codes & _TOO_MUCH) or _NO_SUCH_TRANSACTION in codes


def unreadable(error: Exception) -> bool:
    """Return whether a collection could not be read in a transaction: a capped one never can, and one in the making."""
    return _SNAPSHOT_UNAVAILABLE in _codes(error)


def raise_if_refused(error: Exception) -> None:
    """Raise what stops the whole restore: the user may not write.

    Raises:
        OperationFailure: The user may not.
    """
    if isinstance(error, BulkWriteError):
        for failure in error.details["writeErrors"]:
            if failure["code"] in _REFUSED_USER:
                raise OperationFailure(str(failure["errmsg"]), failure["code"]) from error
    elif isinstance(error, OperationFailure) and error.code in _REFUSED_USER:
        raise error


def raise_if_lost(error: Exception) -> None:
    """Raise if the server stepped down meanwhile: what it wrote may be taken back, so it must be looked at.

    Raises:
        LostReplyError: It did.
    """
    details = error.details if isinstance(error, BulkWriteError) else {}
    concerns = {concern.get("code") for concern in details.get("writeConcernErrors", [])}
    if (_codes(error) | concerns) & _STEPPED_DOWN:
        raise LostReplyError from error


def unconfirmed(error: BulkWriteError) -> bool:
    """Return whether no majority confirmed what was written."""
    return bool(error.details["writeConcernErrors"])


def id_taken(failure: Mapping[str, Any]) -> bool:
    """Return whether a write failed because another record has its `_id`."""
    if failure["code"] != _DUPLICATE_KEY:
        return False
    pattern = failure.get("keyPattern")
    if pattern is not None:
        return list(pattern) == ["_id"]
    # Servers before 4.4 tell it by the index's name alone; clustered collections came later.
    return _index_of(failure) == "_id_"


def _index_of(failure: Mapping[str, Any]) -> str:
    found = _DUPLICATE_TEXT.search(failure["errmsg"])
    return found[1] if found and found[1] else "of unknown name"


def failure_of(failure: Mapping[str, Any]) -> Verdict:
    """Return the verdict for one write error."""
    if failure["code"] == _DUPLICATE_KEY:
        return colliding(_index_of(failure))
    if failure["code"] == _VALIDATION:
        return INVALID
    return Verdict(Outcome.FAILED, f"the server refuses it: {failure['errmsg']}")


def blame(error: Exception) -> tuple[int | None, Verdict]:
    """Return which item an error is about (None: not said) and its verdict."""
    if isinstance(error, BulkWriteError) and error.details["writeErrors"]:
        failure: Mapping[str, Any] = error.details["writeErrors"][0]
        return failure["index"], failure_of(failure)
    if isinstance(error, DocumentTooLarge):
        return None, Verdict(Outcome.FAILED, "too large to be sent with what it must be compared with")
    text = (error.details or {}).get("errmsg", error.code) if isinstance(error, OperationFailure) else error
    return None, Verdict(Outcome.FAILED, f"the server refuses it: {text}")
