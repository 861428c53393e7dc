"""The address of another database beside one whose address is known."""

from __future__ import annotations

from urllib.parse import quote, unquote

from recovery_nb.errors import BadInputError

__all__ = ["beside", "name_in"]

_NOT_IN_NAMES = frozenset('/\\. "$*<>:|?\0')
_LONGEST = 63
"""Of a database's name, in bytes."""
_BY_DATABASE = ("scram", "mongodb-cr", "plain")
"""How the mechanisms begin that look for the user in a database."""


def name_in(address: str) -> str:
    """Return the name of the database that an address names, "" if it names none."""
    scheme, slashes, rest = address.partition("://")
    if not slashes:
        return scheme.partition(":")[2]
    return unquote(rest.partition("?")[0].partition("/")[2])


def beside(address: str, name: str) -> str:
    """Return the address of the database of another name on the same server, for the same user.

    A driver looks for the user in the database that the URI names, unless it says `authSource`; so the old name is
    added as that. Not for `mongodb+srv`, whose DNS record says where to look.

    Args:
        address: `mongodb://…/NAME?…`, `mongodb+srv://…` or `embedded:NAME`.
        name: The other database.

    Raises:
        BadInputError: No database can have this name.
    """
    if not name or set(name) & _NOT_IN_NAMES or len(name.encode("utf-8", "replace")) > _LONGEST:
        raise BadInputError(f"no database can be called {name!r}", hint="name another with --target-db")
    scheme, slashes, rest = address.partition("://")
    if not slashes:
        return f"{scheme.partition(':')[0]}:{name}"
    body, _, options = rest.partition("?")
    hosts, _, path = body.partition("/")
    given = dict(part.lower().partition("=")[::2] for part in options.split("&"))
    by_database = given.get("authmechanism", "scram").startswith(_BY_DATABASE) and "authsource" not in given
    if scheme == "mongodb" and "@" in hosts and path and by_database:
        own = unquote(path).partition(".")[0]
        options = "&".join(filter(None, [options, f"authSource={quote(own, safe='')}"]))
    return f"{scheme}://{hosts}/{quote(name, safe='')}" + (f"?{options}" if options else "")
