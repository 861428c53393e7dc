"""Commands as people can run them next: on the same case and the same database, quoted for a shell."""

from __future__ import annotations

import shlex

from recovery_nb.audit.redact import MASK, redact_uri

__all__ = ["VARIABLE", "command_line"]

VARIABLE = "DATABASE_URI"
"""Stands in a command for a URI whose secrets are not shown; it is also what the command line reads."""


def command_line(*words: str, case: str = "", database: str = "") -> str:
    """Return a command of `recovery-nb`.

    Args:
        *words: Its name and what it takes.
        case: The case's folder; "" for the usual one.
        database: The database's URI, "" for none. If it holds secrets, or they are masked already, a variable stands
            for it.
    """
    shown = redact_uri(database)
    secret = shown != database or MASK in database
    named = [] if not database else ["--db", f'"${VARIABLE}"' if secret else shlex.quote(database)]
    return " ".join([shlex.join(["recovery-nb", *(["--case", case] if case else [])]), *named, shlex.join(words)])
