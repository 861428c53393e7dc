"""Choosing records by a query over their fields, which means exactly what it means to the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bson.raw_bson import RawBSONDocument

from recovery_nb.compare.series import Series
from recovery_nb.errors import BadInputError, MissingRequirementError
from recovery_nb.records.elements import InvalidRecordError
from recovery_nb.records.extended_json import NotARecordError, to_bson
from recovery_nb.restore.shape import refusal
from recovery_nb.sources.mongodb import Database, explained
from recovery_nb.sources.oracle import can_match, matching

__all__ = ["Query", "read_query"]

_EXAMPLE = (
    """write Extended JSON, as in --query '{"status": "open", "at": {"$gte": {"$date": "2025-12-01T00:00:00Z"}}}'"""
)


def read_query(text: str) -> Mapping[str, Any]:
    """Return a query that is given as Extended JSON, or as `@FILE` that holds it.

    Raises:
        BadInputError: The file cannot be read, or it is no JSON object.
    """
    where = "the query"
    if text.startswith("@"):
        where = f"the query in {text[1:]}"
        try:
            text = Path(text[1:]).read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise BadInputError(f"cannot read {where}: {reason}", hint=_EXAMPLE) from None
    try:
        return RawBSONDocument(to_bson(text.strip().encode()))
    except (NotARecordError, UnicodeEncodeError) as error:
        raise BadInputError(f"{where} cannot be read: {error}", hint=_EXAMPLE) from None


class Query:
    """A query that the database's server evaluates on records of the sources; nothing is written.

    Args:
        database: The database whose server is asked.
        query: What `find` takes.

    Raises:
        BadInputError: The server does not take the query.
        MissingRequirementError: The server is older than MongoDB 5.1.
        ConnectionFailedError: The server does not answer.
    """

    def __init__(self, database: Database, query: Mapping[str, Any]) -> None:
        self._database, self._query = database, query
        with explained(database.label):
            if not can_match(database.client[database.name]):
                raise MissingRequirementError(
                    f"records cannot be chosen by a query: the server of {database.label} is older than MongoDB 5.1",
                    hint="name them in a keys file (--keys), or use a newer server",
                )
        self._matching([])

    def _matching(self, records: Sequence[bytes]) -> list[bool]:
        with explained(self._database.label):
            return matching(self._database.client[self._database.name], records, self._query)

    def matches(self, records: Sequence[bytes]) -> list[bool]:
        """Return for each record whether the query matches it.

        A record that no server takes is not asked about: it counts as one that matches, for a plan says why it is
        not written.

        Raises:
            BadInputError: The server cannot evaluate the query for one of them.
            ConnectionFailedError: The server does not answer.
        """
        asked = [number for number, record in enumerate(records) if not refusal(record)]
        verdicts = [True] * len(records)
        for number, verdict in zip(asked, self._matching([records[n] for n in asked]), strict=True):
            verdicts[number] = verdict
        return verdicts

    def matches_buckets(self, buckets: Sequence[bytes], *, series: Series) -> list[bool]:
        """Return for each bucket of a time-series whether any of its measurements matches: it is restored whole."""
        verdicts = []
        for bucket in buckets:
            try:
                measured = series.measurements(bucket)
            except InvalidRecordError:  # what cannot be read is not asked about either
                verdicts.append(True)
                continue
            verdicts.append(any(self.matches(measured)))
        return verdicts
