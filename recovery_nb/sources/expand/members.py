"""What archives consist of: members, which are content, and what is in the way of reading some."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from recovery_nb.sources.content import Content

__all__ = ["Member", "Names", "Problem", "quoted", "safe_parts"]

_MOST_NAME = 1024
"""Characters of a name that are kept. A hundred thousand of them have to be held."""

_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes:
        name: What it is called there, with slashes; made safe, and unlike every other name in the archive.
        size: How many bytes it has, as the archive states; -1 where it does not say.
        stored: How many bytes it takes in the archive.
        modified: When it was last changed, in seconds since 1970; 0 where the archive does not say.
        content: Returns its bytes.
    """

    name: str
    size: int
    stored: int
    modified: float
    content: Callable[[], Content]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in an archive that is not read, or not as it stands.

    Attributes:
        reason: What, in one line.
        position: Where in the archive, in bytes; -1 where that says nothing.
        length: How many bytes it takes there, -1 where that is not known.
    """

    reason: str
    position: int = -1
    length: int = -1


def safe_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a member's name that it is shown with. A name is a label, and never a place to write to.

    Nothing of it leads anywhere: no "..", no root, no drive, no backslash, no control character.
    """
    parts = [_DRIVE.sub("", part, count=1) for part in re.split(r"[/\\]", name[:_MOST_NAME])]
    return tuple(quoted(part) for part in parts if part not in ("", ".", ".."))


def quoted(text: str) -> str:
    """Return text with what a terminal would obey, or could not show, escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


class Names:
    """Gives each member of an archive a name of its own."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def give(self, name: str) -> tuple[str, Problem | None]:
        """Return the name that a member is shown and found by, and what had to be altered, if it led elsewhere."""
        parts = safe_parts(name)
        shown = "/".join(parts)[:_MOST_NAME] or "unnamed"
        pieces = re.split(r"[/\\]", name)
        astray = len(name) > _MOST_NAME or pieces[0] == "" or ".." in pieces or any(map(_DRIVE.match, pieces))
        problem = None
        if astray:
            problem = Problem(
                f"the member name {quoted(name[:200])} leads out of the archive: it is read as {shown[:200]}"
            )
        count = self._seen.get(shown, 0) + 1
        self._seen[shown] = count
        unique = shown
        while count > 1 and (unique := f"{shown}#{count}") in self._seen:
            count += 1
        if unique != shown:
            self._seen[shown] = count
            self._seen[unique] = 1
        return unique, problem
