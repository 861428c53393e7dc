"""What a verb was asked for, checked before it begins: a wrong argument is an error of one line, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.restore import Plan
from recovery_nb.selection import Choice, Keys, read_keys

__all__ = ["keys_of", "one_of", "place", "some_comparison", "some_plan", "text", "texts"]


_Asked = TypeVar("_Asked", bound=str)


def _shown(value: object) -> str:
    """Return a value as a message can hold it."""
    return f"{value!r:.60}"


def text(value: object, what: str) -> str:
    """Return a text that was given.

    Args:
        value: What was given.
        what: What it is for, in a message: "the query".

    Raises:
        BadInputError: It is no text.
    """
    if not isinstance(value, str):
        raise BadInputError(f"{what} is {_shown(value)}, which is no text", hint="give it as text")
    return value


def texts(value: object, what: str) -> tuple[str, ...]:
    """Return the texts that were given; one text alone is one of them.

    Raises:
        BadInputError: There is something else among them, or an empty text.
    """
    given = [value] if isinstance(value, str) else value
    words = tuple(given) if isinstance(given, Iterable) else (given,)
    if wrong := [word for word in words if not isinstance(word, str) or not word]:
        raise BadInputError(f"{what}: {_shown(wrong[0])} is no name", hint="give a list of texts")
    return tuple(str(word) for word in words)


def one_of(value: _Asked, known: Sequence[str], what: str) -> _Asked:
    """Return what was chosen of a few.

    Raises:
        BadInputError: It is none of them.
    """
    given: object = value
    if not isinstance(given, str) or given not in known:
        names = ", ".join(name or '""' for name in known)
        raise BadInputError(f"{what} cannot be {_shown(value)}", hint=f"choose of {names}")
    return value


def place(value: object, what: str) -> Path:
    """Return the path that was given. An empty text is none: it would mean the working folder.

    Raises:
        BadInputError: It is no path.
    """
    if not isinstance(value, str | Path) or value == "":
        raise BadInputError(f"{what} is {_shown(value)}, which is no path", hint="name a file or a folder")
    return Path(value)


def some_comparison(value: object) -> Comparison | None:
    """Return the comparison that was given, if one was.

    Raises:
        BadInputError: It is something else.
    """
    if value is not None and not isinstance(value, Comparison):
        raise BadInputError(f"{_shown(value)} is no comparison", hint="give what compare returned")
    return value


def some_plan(value: object) -> Plan:
    """Return the plan that was given.

    Raises:
        BadInputError: It is something else.
    """
    if not isinstance(value, Plan):
        raise BadInputError(f"{_shown(value)} is no plan", hint="give what plan returned")
    return value


def keys_of(value: object) -> Keys | None:
    """Return the keys that were given: a file of them, choices, or keys as comparisons show them.

    Raises:
        BadInputError: They cannot be read, or something else is among them.
    """
    if value is None or isinstance(value, Keys):
        return value
    if isinstance(value, str | Path):
        return read_keys(place(value, "the keys file"))
    if not isinstance(value, Iterable):
        raise BadInputError(f"{_shown(value)} names no keys", hint="give a keys file, or a list of keys or choices")
    return Keys.of(_choice(one) for one in value)


def _choice(value: object) -> Choice:
    choice = Choice(value) if isinstance(value, str) else value
    if not isinstance(choice, Choice) or not all(
        isinstance(part, str) for part in (choice.key, choice.collection, choice.source)
    ):
        raise BadInputError(f"{_shown(value)} is no key", hint="give a key as comparisons show it, or a Choice")
    return choice
