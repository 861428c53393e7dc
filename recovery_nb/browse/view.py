"""What of a comparison is looked at: filters and an order, in the words of the one who looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from recovery_nb.compare.model import Status
from recovery_nb.errors import BadInputError

__all__ = ["SORTS", "View"]

SORTS = ("", "collection", "key", "status", "source", "made", "confidence", "candidates")
"""What differences can be sorted by; "" is the order in which the comparison found them."""

_LONGEST = 1_000
"""How many characters a text to look for, or a field's path, may have."""
_MOST = 100_000
"""How many collections or sources can be named."""
_LISTS = ("statuses", "collections", "sources")
_TEXTS = ("field", "text", "sort")
_TIMES = ("since", "until")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class View:
    """Which differences are looked at, and in what order; nothing is left out by default.

    Attributes:
        statuses: Only these; () for all that a comparison lists.
        collections: Only these; () for all.
        sources: Only where the best version is from one of these sources, by id; () for all.
        field: Only where this field changed: a JSON Pointer with `*` for positions in lists, "/items/*/price".
        since: Only records made then or later, UTC. What says no time is left out.
        until: Only records made before, UTC. What says no time is left out.
        text: Only with this text in the key, the collection's name, the note or the reason of a doubt, in any case.
        picked: Only what is picked.
        doubtful: Only what is in doubt.
        sort: One of `SORTS`.
        descending: Whether the greatest comes first.
    """

    statuses: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    field: str = ""
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    picked: bool = False
    doubtful: bool = False
    sort: str = ""
    descending: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> View:
        """Return the view that JSON describes: the names of the attributes, times as ISO 8601 or milliseconds.

        What is null or not named is as by default.

        Raises:
            BadInputError: A name that is none, or a value that cannot be used.
        """
        if not isinstance(values, Mapping):
            raise BadInputError("a view is an object of filters", hint="send its filters by name")
        known = {field.name for field in fields(cls)}
        given: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                hint = f"name one of {', '.join(sorted(known))}"
                raise BadInputError(f"a view has no {str(name)[:100]!r}", hint=hint)
            if value is not None:
                given[name] = _value(name, value)
        return cls(**given)


def _value(name: str, value: Any) -> Any:
    if name in _LISTS:
        return _list(name, value)
    if name in _TIMES:
        return _time(name, value)
    if name in _TEXTS:
        return _text(name, value)
    if not isinstance(value, bool):
        raise BadInputError(f"{name} is neither true nor false", hint="send a JSON boolean")
    return value


def _list(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > _MOST or not all(isinstance(one, str) for one in value):
        raise BadInputError(f"{name} is no list of names", hint="send a JSON list of strings")
    if name == "statuses" and (unknown := [one for one in value if one not in {status.value for status in Status}]):
        raise BadInputError(f"{unknown[0][:100]!r} is no status", hint=f"name {', '.join(Status)}")
    return tuple(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST:
        raise BadInputError(f"{name} is no text of at most {_LONGEST:,} characters", hint="send a shorter one")
    if name == "sort" and value not in SORTS:
        raise BadInputError(f"nothing is sorted by {value[:100]!r}", hint=f"sort by {', '.join(filter(None, SORTS))}")
    return value.encode("utf-8", "replace").decode()  # a browser may send half of a surrogate pair


def _time(name: str, value: Any) -> datetime | None:
    if isinstance(value, datetime):
        moment = value
    elif value == "":
        return None
    else:
        try:
            moment = (
                _EPOCH + timedelta(milliseconds=value)
                if isinstance(value, int | float) and not isinstance(value, bool)
                else datetime.fromisoformat(value)
            )
        except (TypeError, ValueError, OverflowError):
            hint = "write it as 2025-12-01T10:30"
            raise BadInputError(f"{name} is no time: {str(value)[:100]!r}", hint=hint) from None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise BadInputError(f"{name} is outside of the calendar", hint="name a year from 1 to 9999") from None
