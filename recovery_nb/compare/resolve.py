"""Which collection of the database a source's records belong to, and by what evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.errors import BadInputError
from recovery_nb.sources.base import BUCKETS, Kind

__all__ = ["Placement", "described", "is_bucketed", "place", "series_of", "shown", "stem_collection"]

_PREFIX = re.compile(r"^(backup|export|dump|pre_recovery)[_.-]*", re.IGNORECASE)
_STAMP = re.compile(r"[_.-]*\d{4}-?\d\d-?\d\d([T_.-]?\d\d[-:]?\d\d([-:]?\d\d)?([.-]\d+)?Z?)?[_.-]*", re.IGNORECASE)
_FORMS = frozenset({"array", "canonical", "relaxed", "bson", "json", "jsonl", "ndjson"})
_ENOUGH = 0.5
_FUNCTIONS = "system.js"
_FILES, _CHUNKS = ".files", ".chunks"
"""What the two collections of a GridFS bucket are called, behind its name."""


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


def is_bucketed(collection: str) -> bool:
    """Whether a collection holds the buckets of a time-series."""
    return collection.startswith(BUCKETS)


def series_of(collection: str) -> str:
    """Return the time-series whose buckets a collection holds; the name of any other collection as it is."""
    return collection.removeprefix(BUCKETS)


def shown(collection: str) -> str:
    """Return what people call a collection: `X (a time-series)` is kept in `system.buckets.X`."""
    return f"{series_of(collection)} (a time-series)" if is_bucketed(collection) else collection


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

    A time-series X is placed by the collection of its buckets, `system.buckets.X`. Of GridFS, who names the files means
    their chunks too.

    Args:
        sources: Catalogued sources.
        known: The database's collections, each with the top-level fields of its first records.
        collection: Only this one, as the sources or the database name it; of a time-series, its own name.
        target: The database's collection that takes its place.

    Raises:
        BadInputError: `collection` is in no source, a target is given for several collections, or nothing can be
            placed.
    """
    wanted = _meant(collection, target)
    every = dict(known)
    for source in sources:
        for name, fields in source.fields.items():
            if name:
                every.setdefault(name, set(fields))
    placed: list[Placement] = []
    strangers: list[BadInputError] = []
    for source in sources:
        for given in _given(source):
            if given:
                name, reason = given, "named by the source"
            else:
                lone = collection if len(source.collections) == 1 else ""
                try:
                    name, reason = _unnamed(source, every, lone, target)
                except BadInputError as error:
                    strangers.append(error)
                    continue
            if _holds_data(name) and (not wanted or name in wanted):
                placed.append(Placement(source, given, name, reason))
    if strangers and not placed:
        raise strangers[0]
    if collection and not placed and not any(collection in source.options for source in sources):
        raise _not_held(collection, sources, known)
    if target:
        placed = _retarget(placed, target)
    return placed, [f"left out: {error}" for error in strangers]


def _holds_data(name: str) -> bool:
    """Whether records of a collection are the user's: of the server's own, those of buckets and of functions are."""
    return is_bucketed(name) or name == _FUNCTIONS or not name.startswith("system.")


def _given(source: SourceEntry) -> list[str]:
    """Return the source's collections as it names them; those too of which nothing could be read."""
    plain = [name for name in source.collections if name not in source.buckets]
    harmed = [damage.collection for damage in source.damage if damage.collection]
    return list(dict.fromkeys([*plain, *(f"{BUCKETS}{name}" for name in source.buckets), *harmed]))


def _meant(collection: str, target: str) -> frozenset[str]:
    """Return the collections that the user means by a name; none for all."""
    if not collection:
        return frozenset()
    names = {collection, f"{BUCKETS}{collection}"}
    if collection.endswith(_FILES) and (not target or target.endswith(_FILES)):
        names.add(collection.removesuffix(_FILES) + _CHUNKS)
    return frozenset(names)


def described(
    sources: Sequence[SourceEntry], placements: Sequence[Placement], *, collection: str = "", target: str = ""
) -> dict[str, dict[str, str]]:
    """Return, by source id, what a source describes besides the collections that are placed, and its name here.

    That is a view, an empty collection, and a time-series by its own name: they have no records, or have them
    elsewhere, and can be made as they were.

    Args:
        sources: Catalogued sources.
        placements: Where their records belong.
        collection: Only this one.
        target: The name that takes its place.
    """
    found: dict[str, dict[str, str]] = {}
    for source in sources:
        placed = {p.given: p.collection for p in placements if p.source is source}
        names: dict[str, str] = {}
        for given in source.options:
            if (bucketed := placed.get(f"{BUCKETS}{given}")) is not None:
                names[given] = series_of(bucketed)
            elif given not in placed and not given.startswith("system."):
                if collection == given:
                    names[given] = target or given
                elif not collection and not target:
                    names[given] = given
        if names:
            found[source.id] = names
    return found


def _not_held(collection: str, sources: Sequence[SourceEntry], known: Mapping[str, Set[str]]) -> BadInputError:
    names = sorted({name for source in sources for name in source.collections if name} | set(known))
    return BadInputError(
        f"no source holds a collection {collection!r}",
        hint=f"known are: {', '.join(names) or 'none'}; to restore into another one, use --target-collection",
    )


def _retarget(placed: Sequence[Placement], target: str) -> list[Placement]:
    names = sorted({placement.collection for placement in placed})
    files = target.removesuffix(_FILES) if target.endswith(_FILES) else ""
    if len(names) == 2 and files and names == [names[1].removesuffix(_FILES) + _CHUNKS, names[1]]:
        targets = {names[0]: files + _CHUNKS, names[1]: target}
    elif len(names) > 1:
        raise BadInputError(
            f"the sources hold {len(names)} collections ({', '.join(map(shown, names))}), and there is one target",
            hint="choose one with --collection NAME",
        )
    else:
        targets = {name: f"{BUCKETS}{series_of(target)}" if is_bucketed(name) else target for name in names}
    return [
        Placement(one.source, one.given, targets[one.collection], f"{one.reason}; the target is the user's")
        for one in placed
    ]
