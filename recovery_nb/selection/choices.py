"""The analyst's choice of records: by key, each perhaps with the source whose version is meant."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bson
from bson import json_util
from bson.errors import BSONError

from recovery_nb.compare.resolve import series_of
from recovery_nb.errors import BadInputError
from recovery_nb.records.keys import key_of, key_text

__all__ = ["Choice", "Keys", "read_keys"]

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
        partial: Whether what could be read of a damaged record is wanted, the rest being lost; of a file in GridFS,
            the chunks that are left. It takes a word of its own: nothing else restores what is not whole.
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
        """Return what was named of a record; nothing where it was not named.

        A time-series is named by its own name, or by that of the collection of its buckets.
        """
        names = ("", collection, series_of(collection))
        return [choice for choice in self.choices.get(key, ()) if choice.collection in names]

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
