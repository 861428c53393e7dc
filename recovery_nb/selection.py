"""From differences to the records that someone wants back: the analyst's choice, read again from the sources."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import bson
from bson import json_util
from bson.errors import BSONError

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.compare.model import Status
from recovery_nb.compare.readings import checked
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.records.batch import Ref
from recovery_nb.records.elements import id_element
from recovery_nb.records.keys import canonical, key_of, key_text
from recovery_nb.restore.plan import Selected, Write
from recovery_nb.sources.base import Typing
from recovery_nb.sources.mongodb import Database

__all__ = ["RESTORABLE", "Choice", "Keys", "collection_options", "planned_bytes", "read_keys", "select"]

RESTORABLE = (Status.MISSING, Status.CHANGED, Status.EQUIVALENT)
"""The differences that a restore can undo."""

_BATCH = 1_000
_JSON = re.compile(r'"|\{\s*"')
"""How a line of JSON begins; a compound key is shown as `{a: 1}`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of a keys file.

    Attributes:
        key: The key, as comparisons show it.
        collection: The collection; "" for any.
        source: The path, name or id of the source whose version is wanted; "" for the best.
        offset: The place of that version in its source; -1 for any.
        partial: Whether what could be read of a damaged record is wanted, the rest being lost. It takes a word of
            its own: nothing else restores a record that is not whole.
    """

    key: str
    collection: str = ""
    source: str = ""
    offset: int = -1
    partial: bool = False


@dataclass(slots=True)
class Keys:
    """The keys that an analyst named, and which of them were found.

    Attributes:
        choices: By key, what is wanted.
        matched: The choices that were found among the differences.
    """

    choices: Mapping[str, Sequence[Choice]]
    matched: set[Choice] = field(default_factory=set)

    @classmethod
    def of(cls, choices: Iterable[Choice]) -> Keys:
        """Return the keys of these choices."""
        by_key: dict[str, list[Choice]] = defaultdict(list)
        for choice in choices:
            by_key[choice.key].append(choice)
        return cls(by_key)

    def find(self, collection: str, key: str) -> list[Choice]:
        """Return what was named of a record; nothing where it was not named."""
        return [choice for choice in self.choices.get(key, ()) if choice.collection in ("", collection)]

    @property
    def unmatched(self) -> list[Choice]:
        """The choices that no difference answers to."""
        return [choice for choices in self.choices.values() for choice in choices if choice not in self.matched]


def _json_key(value: Any) -> str:
    """Return a key given as (Extended) JSON in the form that comparisons show."""
    if isinstance(value, str):
        return value
    try:
        key = key_of(bson.encode(json_util.loads(json.dumps({"_id": value}))))
    except (ValueError, TypeError, ArithmeticError, BSONError) as error:
        raise BadInputError(
            f"{json.dumps(value)[:100]} is no key: {error}", hint="write it as Extended JSON, or as compare shows it"
        ) from None
    return key_text(key) if key else ""


def _choice(value: Any, path: Path, line: int) -> Choice:
    if not isinstance(value, dict) or any(name.startswith("$") for name in value):
        return Choice(_json_key(value))
    for name in ("key", "_id", "id"):
        if name in value:
            break
    else:
        raise BadInputError(f"{path}, line {line}: no key", hint='write {"collection": …, "key": …} or the key alone')
    offset = value.get("offset", -1)
    if not isinstance(offset, int) or isinstance(offset, bool):
        raise BadInputError(f"{path}, line {line}: the offset {offset!r} is no number", hint="write it as compare does")
    return Choice(
        _json_key(value[name]), str(value.get("collection", "")), str(value.get("source", "")), offset,
        value.get("partial") is True,
    )  # fmt: skip


def read_keys(path: Path) -> Keys:
    """Read a keys file: which records to restore, and from which source.

    One key a line, as comparisons show it; or JSON a line, a key or
    `{"collection": …, "key": …, "source": …, "offset": …, "partial": true}` (all but `key` may be left out); or a
    JSON list of these; or a CSV file with a column `key`, as `compare --out` writes it.

    Raises:
        BadInputError: The file cannot be read, or a line holds no key.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadInputError(f"cannot read the keys file {path}: {reason}", hint="name a text file of keys") from None
    # Not splitlines: a key may hold what Unicode counts as the end of a line.
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise BadInputError(f"the keys file {path} is empty", hint="write one key a line")
    try:
        if text.lstrip().startswith("["):
            return Keys.of(_choice(value, path, number) for number, value in enumerate(json.loads(text), 1))
        header = next(csv.reader([lines[0][1]]))
        if "key" in header and len(header) > 1:
            return Keys.of(
                _choice(_row(row), path, n) for n, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), 2)
            )
        return Keys.of(
            _choice(json.loads(line), path, number) if _JSON.match(line) else Choice(line)
            for number, line in lines
            if not (number == lines[0][0] and line == "key")
        )
    except json.JSONDecodeError as error:
        raise BadInputError(f"{path} holds broken JSON: {error}", hint="write one key a line") from None


def _row(row: Mapping[str, str]) -> dict[str, str]:
    """A cell that a spreadsheet would take for a formula was written with an apostrophe before it."""
    key = row["key"]
    return {"key": key[1:] if key[:1] == "'" and key[1:2] in tuple("=+-@\t\r") else key,
            "collection": row.get("collection") or ""}  # fmt: skip


def _named(entries: Iterable[SourceEntry], name: str) -> SourceEntry:
    for entry in entries:
        if name in (entry.id, entry.name, str(entry.path)) or Path(name).absolute() == entry.path:
            return entry
    raise BadInputError(f"{name} is not a source of this comparison", hint="name it by its path")


def _alternatives(comparison: Comparison, keys: Keys) -> dict[Choice, dict[tuple[str, bytes], list[dict[str, Any]]]]:
    """Return, for each choice that names a source or a place, the candidates it means, by record."""
    entries = list(comparison.sources.values())
    wanted = [
        one for many in keys.choices.values() for one in many if not one.partial and (one.source or one.offset >= 0)
    ]
    ids = {choice: _named(entries, choice.source).id if choice.source else "" for choice in wanted}
    found: dict[Choice, dict[tuple[str, bytes], list[dict[str, Any]]]] = {choice: {} for choice in wanted}
    if not wanted:
        return found
    for row in comparison.candidates():
        for choice in keys.find(row["collection"], row["key"]):
            if choice in ids and ids[choice] in ("", row["source"]) and choice.offset in (-1, row["offset"]):
                found[choice].setdefault((row["collection"], row["key_bytes"]), []).append(row)
    return found


def _picked(rows: Iterable[dict[str, Any]], comparison: Comparison, keys: Keys) -> Iterator[dict[str, Any]]:
    """Yield the differences that the analyst named, each with the place of the version that was chosen."""
    alternatives = _alternatives(comparison, keys)
    for row in rows:
        for choice in keys.find(row["collection"], row["key"]):
            if choice.partial or row["status"] == Status.CORRUPT:
                if _is_partial(row, choice, comparison):
                    keys.matched.add(choice)
                    yield row
                    break
                continue
            if choice not in alternatives:
                keys.matched.add(choice)
                yield row
                break
            # A choice that means nothing of this record takes no other version in its stead.
            if versions := alternatives[choice].get((row["collection"], row["key_bytes"])):
                keys.matched.add(choice)
                several = len({version["fingerprint"] for version in versions}) > 1
                hold = "several versions answer to this choice" if several else ""
                yield {**row, **{name: versions[0][name] for name in _PLACE}, "note": hold}
                break


def _is_partial(row: Mapping[str, Any], choice: Choice, comparison: Comparison) -> bool:
    """Whether a choice means what is left of this damaged record."""
    if not choice.partial or row["status"] != Status.CORRUPT or row["fingerprint"] is None:
        return False
    if choice.source and _named(comparison.sources.values(), choice.source).id != row["source"]:
        return False
    return choice.offset in (-1, row["offset"])


def select(
    comparison: Comparison, database: Database, *, statuses: Sequence[Status], keys: Keys | None = None
) -> Iterator[Selected]:
    """Yield the records to be restored, with the database's version of each as it is now.

    Records that are named by key are taken whatever their status among `RESTORABLE`, and also where the
    database's version is newer: the analyst has decided. Where a source holds several versions of a record, no
    one can tell which it was: it is held back until one is named by its place.

    Raises:
        DamagedSourceError: A source has changed since it was compared.
        BadInputError: A chosen source is none of this comparison.
    """
    rows = comparison.rows((*RESTORABLE, Status.CORRUPT) if keys else statuses)
    picked = iter(rows if keys is None else _picked(rows, comparison, keys))
    while batch := list(islice(picked, _BATCH)):
        yield from _load(comparison, database, batch, named=keys is not None)


_PLACE = ("source", "source_collection", "member", "offset", "length", "fingerprint", "inferred")


def _load(comparison: Comparison, database: Database, rows: list[dict[str, Any]], *, named: bool) -> Iterator[Selected]:
    planned: dict[int, bytes] = {}
    for source in {row["source"] for row in rows}:
        numbers = [number for number, row in enumerate(rows) if row["source"] == source]
        refs = [(rows[n]["source_collection"], _ref(rows[n])) for n in numbers]
        entry = comparison.sources[source]
        for number, record in zip(numbers, comparison.readings.fetch(entry, refs), strict=True):
            planned[number] = checked(record, rows[number]["fingerprint"], entry)
    current: dict[str, dict[bytes, bytes]] = {}
    for collection in {row["collection"] for row in rows}:
        ids = [row["id"] for row in rows if row["collection"] == collection and row["id"] is not None]
        current[collection] = database.fetch(collection, ids)
    for number, row in enumerate(rows):
        element = row["id"] or id_element(planned[number]) or b""
        there = current[row["collection"]].get(canonical(element[0], element[1:])) if element else None
        yield Selected(
            collection=row["collection"], key_text=row["key"], id=element, current=there, planned=planned[number],
            source=row["source"], ref=_ref(row), inferred=row["inferred"],
            newer="" if named else row["newer"], hold="" if row["status"] == Status.CORRUPT else row["note"],
            incomplete=comparison.sources[row["source"]].typing is Typing.TEXT,
        )  # fmt: skip


def _ref(row: Mapping[str, Any]) -> Ref:
    return Ref(row["member"], row["offset"], row["length"], partial=row["status"] == Status.CORRUPT)


def planned_bytes(comparison: Comparison, writes: Sequence[Write]) -> list[bytes]:
    """Read the records of some writes of a plan again from their sources, types put back.

    Raises:
        DamagedSourceError: A record is not there any more.
        BadInputError: A source is not there any more.
    """
    found: list[bytes] = [b""] * len(writes)
    for source in {write.source for write in writes}:
        numbers = [number for number, write in enumerate(writes) if write.source == source]
        given = {name: given for given, name in comparison.summary.placed[source].items()}
        refs = [(given[writes[n].collection], writes[n].ref) for n in numbers]
        for number, record in zip(numbers, comparison.readings.fetch(comparison.sources[source], refs), strict=True):
            found[number] = record
    return found


def collection_options(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Return options and indexes of each collection, from the most trusted source that records them."""
    options: dict[str, dict[str, Any]] = {}
    for identifier in comparison.summary.sources:
        entry = comparison.sources[identifier]
        for given, name in comparison.summary.placed.get(identifier, {}).items():
            if given in entry.options:
                options.setdefault(name, json_util.loads(json_util.dumps(entry.options[given])))
    return options
