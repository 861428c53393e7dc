"""Which collection of the database a source's records belong to, and by what evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.errors import BadInputError
from recovery_nb.sources.base import Kind

__all__ = ["Placement", "place", "stem_collection"]

_PREFIX = re.compile(r"^(backup|export|dump|pre_recovery)[_.-]*", re.IGNORECASE)
_STAMP = re.compile(r"[_.-]*\d{4}-?\d\d-?\d\d([T_.-]?\d\d[-:]?\d\d([-:]?\d\d)?([.-]\d+)?Z?)?[_.-]*", re.IGNORECASE)
_FORMS = frozenset({"array", "canonical", "relaxed", "bson", "json", "jsonl", "ndjson"})
_ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the records of one source belong.

    Attributes:
        source: The source.
        given: The collection as the source names it; "" where it names none.
        collection: The collection of the database.
        reason: What says so.
    """

    source: SourceEntry
    given: str
    collection: str
    reason: str


def stem_collection(name: str) -> str:
    """Return the collection that a file's name suggests: `export_quotes_20251201.json` gives `quotes`, or ""."""
    stem = _STAMP.sub(".", _PREFIX.sub("", name.rsplit("/", 1)[-1]))
    parts = [part for part in stem.split(".") if part and part.lower() not in _FORMS]
    return re.sub(r"_data$", "", parts[0]).strip("_-") if parts else ""


def _by_fields(fields: Set[str], known: Mapping[str, Set[str]]) -> tuple[str, str]:
    """Return the collection whose records share the most fields with these, and how many."""
    scored = sorted(
        ((len(fields & others) / len(fields | others), name) for name, others in known.items() if fields | others),
        reverse=True,
    )
    if not scored or scored[0][0] < _ENOUGH or (len(scored) > 1 and scored[0][0] == scored[1][0]):
        return "", ""
    name = scored[0][1]
    return name, f"its fields: {len(fields & known[name])} of {len(fields | known[name])} are those of {name}"


def _unnamed(source: SourceEntry, known: Mapping[str, Set[str]], wanted: str, target: str) -> tuple[str, str]:
    if wanted:
        return wanted, "named by the user"
    hint = stem_collection(source.path.parent.name if source.kind is Kind.FILES else source.name)
    hint = "" if "$" in hint else hint  # no collection has such a name
    fields = set(source.fields.get("", {}))
    if hint in known and (fields & known[hint] or not fields):
        return hint, "the file's name, and fields it shares"
    name, reason = _by_fields(fields, known)
    if name:
        return name, reason
    if hint:
        return hint, "the file's name alone"
    if target:
        return target, "where the user sends it"
    raise BadInputError(
        f"cannot tell which collection the records of {source.path} belong to",
        hint="say it with --collection NAME",
    )


def place(
    sources: Sequence[SourceEntry], known: Mapping[str, Set[str]], *, collection: str = "", target: str = ""
) -> tuple[list[Placement], list[str]]:
    """Place every collection of every source; and say which, of several sources, cannot be placed.

    Args:
        sources: Catalogued sources.
        known: The database's collections, each with the top-level fields of its first records.
        collection: Only this one, as the sources or the database name it.
        target: The database's collection that takes its place.

    Raises:
        BadInputError: `collection` is in no source, a target is given for several collections, or nothing can be
            placed.
    """
    every = dict(known)
    for source in sources:
        for name, fields in source.fields.items():
            if name:
                every.setdefault(name, set(fields))
    placed: list[Placement] = []
    strangers: list[BadInputError] = []
    for source in sources:
        harmed = [damage.collection for damage in source.damage if damage.collection]
        for given in dict.fromkeys([*source.collections, *harmed]):  # of some, nothing could be read
            if given:
                name, reason = given, "named by the source"
            else:
                lone = collection if len(source.collections) == 1 else ""
                try:
                    name, reason = _unnamed(source, every, lone, target)
                except BadInputError as error:
                    strangers.append(error)
                    continue
            if not name.startswith("system.") and name not in source.buckets and collection in ("", name):
                placed.append(Placement(source, given, name, reason))
    if strangers and not placed:
        raise strangers[0]
    if collection and not placed:
        raise _not_held(collection, sources, known)
    if target:
        placed = _retarget(placed, target)
    return placed, [f"left out: {error}" for error in strangers]


def _not_held(collection: str, sources: Sequence[SourceEntry], known: Mapping[str, Set[str]]) -> BadInputError:
    if any(collection in source.buckets for source in sources):
        return BadInputError(
            f"{collection} is a time-series, whose measurements are not compared record by record",
            hint="leave out --collection, or name another",
        )
    names = sorted({name for source in sources for name in source.collections if name} | set(known))
    return BadInputError(
        f"no source holds a collection {collection!r}",
        hint=f"known are: {', '.join(names) or 'none'}; to restore into another one, use --target-collection",
    )


def _retarget(placed: Sequence[Placement], target: str) -> list[Placement]:
    names = sorted({placement.collection for placement in placed})
    if len(names) > 1:
        raise BadInputError(
            f"the sources hold {len(names)} collections ({', '.join(names)}), and there is one target",
            hint="choose one with --collection NAME",
        )
    return [Placement(one.source, one.given, target, f"{one.reason}; the target is the user's") for one in placed]
