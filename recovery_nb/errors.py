"""What can go wrong, each with what to do about it and the exit code it ends a command with."""

from __future__ import annotations

__all__ = [
    "BadInputError",
    "ConflictError",
    "ConnectionFailedError",
    "DamagedSourceError",
    "MissingRequirementError",
    "RecoveryError",
]


class RecoveryError(Exception):
    """An error a user can act on: one line that says what, where and what to do.

    Args:
        message: What happened and where, without a final period and without any secret.
        hint: What to do about it, in the imperative.
        exit_code: What a command that ends with it returns (2: could not be done; 3: done in part).
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        message, hint = (text.encode("utf-8", "backslashreplace").decode() for text in (message, hint))  # file names
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        """Return the whole line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class BadInputError(RecoveryError, ValueError):
    """What the user gave cannot be used: a flag, a path, a file's content, a name."""


class DamagedSourceError(BadInputError):
    """A source holds nothing that can be read, or not what it held when it was catalogued."""


class ConnectionFailedError(RecoveryError, ConnectionError):
    """A server did not answer, refused us, or went away."""


class ConflictError(RecoveryError):
    """The database, or a target on disk, is not in the state that the work needs."""


class MissingRequirementError(RecoveryError):
    """A binary or a library that is needed is not on this machine."""
