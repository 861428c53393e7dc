"""The analyst's choice of records: a file of keys, each perhaps with the source whose version is meant."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from itertools import chain
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any, TextIO

import bson
import orjson
from bson import json_util
from bson.errors import BSONError

from recovery_nb.errors import BadInputError
from recovery_nb.records.keys import key_of, key_text
from recovery_nb.selection.named import Choice, Keys, Named

__all__ = ["Choice", "Keys", "read_keys"]

_JSON = re.compile(r'"|\{\s*"')
"""How a line of JSON begins; a compound key is shown as `{a: 1}`."""

_SPACE = re.compile(r"[ \t\n\r]*")
"""What JSON takes for space."""

_FIELDS = frozenset({"key", "collection", "source", "offset", "partial"})
_INT64 = range(-(2**63), 2**63)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def read_keys(path: Path) -> Keys:
    """Read a keys file: which records to restore, and from which source.

    One key a line, as comparisons show it; or JSON a line, a key or
    `{"collection": …, "key": …, "source": …, "offset": …, "partial": true}` (all but `key` may be left out); or a
    JSON list of these; or a CSV file with a column `key`, as `compare --out` writes it.

    Raises:
        BadInputError: The file cannot be read, or a line holds no key.
    """
    unreadable = f"cannot read the keys file {path}"
    try:
        with path.open(encoding="utf-8-sig") as file:
            return Keys(_named(file, path))
    except BadInputError:
        raise
    except JSONDecodeError as error:
        raise BadInputError(f"{path} holds broken JSON: {error}", hint="write one key a line") from None
    except RecursionError:
        raise BadInputError(f"{path} holds JSON that is nested too deeply", hint="write one key a line") from None
    except csv.Error as error:
        raise BadInputError(f"{path} holds a broken table: {error}", hint="write one key a line, as JSON") from None
    except UnicodeDecodeError:
        raise BadInputError(f"{unreadable}: it is not UTF-8 text", hint="name a text file of keys") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInputError(f"{unreadable}: {reason}", hint="name a text file of keys") from None


def _named(file: TextIO, path: Path) -> Iterator[Named]:
    """Yield what each entry of a keys file names."""
    # Not splitlines: a key may hold what Unicode counts as the end of a line.
    found = next(((number, line) for number, line in enumerate(file, 1) if line.strip()), None)
    if found is None:
        raise BadInputError(f"the keys file {path} is empty", hint="write one key a line")
    first, line = found
    begin = line.strip()
    if begin.startswith("["):
        text = "\n" * (first - 1) + line + file.read()
        yield from (_entry(value, path, number) for number, value in enumerate(_listed(text), 1))
    elif _is_table(begin):
        yield from _rows(chain([f"{begin}\n"], file), path, first)
    else:
        given = file if begin == "key" else chain([begin], file)
        yield from _lines(given, path, first + 1 if begin == "key" else first)


def _lines(lines: Iterator[str], path: Path, first: int) -> Iterator[Named]:
    """Yield what each line names; `first` is the number of the first one."""
    for number, given in enumerate(lines, first):
        line = given.strip()
        if not line:
            continue
        yield _of_json(line, path, number) if _JSON.match(line) else (line, "", "", -1, False)


def _of_json(line: str, path: Path, number: int) -> Named:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _entry(json.loads(line), path, number)  # which takes more, and says what is wrong
    if type(value) is dict and value.keys() <= _FIELDS:
        key, collection, source = value.get("key"), value.get("collection", ""), value.get("source", "")
        offset = value.get("offset", -1)
        if type(key) is str and type(collection) is str and type(source) is str and type(offset) is int:
            return key, collection, source, offset, value.get("partial") is True
    # Read again: orjson makes a float of an integer past 64 bits, which would be another key.
    return _entry(json.loads(line), path, number)


def _entry(value: Any, path: Path, number: int) -> Named:
    """Return what an entry of JSON names; `number` is that of its line, or of its place in a list."""
    if not isinstance(value, dict) or any(name.startswith("$") for name in value):
        return _json_key(value), "", "", -1, False
    for name in ("key", "_id", "id"):
        if name in value:
            break
    else:
        raise _no_key(path, number)
    offset = value.get("offset", -1)
    if not isinstance(offset, int) or isinstance(offset, bool):
        raise BadInputError(
            f"{path}, line {number}: the offset {offset!r} is no number", hint="write it as compare does"
        )
    collection, source = str(value.get("collection", "")), str(value.get("source", ""))
    return _json_key(value[name]), collection, source, offset, value.get("partial") is True


def _json_key(value: Any) -> str:
    """Return a key given as (Extended) JSON in the form that comparisons show."""
    if isinstance(value, str):
        return value
    if type(value) is int and value in _INT64:
        return str(value)
    try:
        key = key_of(bson.encode(json_util.loads(json.dumps({"_id": value}))))
    except (ValueError, TypeError, ArithmeticError, BSONError) as error:
        raise BadInputError(
            f"{json.dumps(value)[:100]} is no key: {error}", hint="write it as Extended JSON, or as compare shows it"
        ) from None
    return key_text(key) if key else ""


def _no_key(path: Path, number: int) -> BadInputError:
    return BadInputError(f"{path}, line {number}: no key", hint='write {"collection": …, "key": …} or the key alone')


def _listed(text: str) -> Iterator[Any]:
    """Yield the values of a JSON list one by one.

    Raises:
        JSONDecodeError: It is broken.
    """
    decode = JSONDecoder().raw_decode
    place = _after_space(text, text.index("[") + 1)
    more = text[place : place + 1] != "]"
    while more:
        value, place = decode(text, place)
        yield value
        place = _after_space(text, place)
        mark = text[place : place + 1]
        more = mark == ","
        if more:
            place = _after_space(text, place + 1)
        elif mark != "]":
            raise JSONDecodeError("Expecting ',' delimiter", text, place)
    if (end := _after_space(text, place + 1)) != len(text):
        raise JSONDecodeError("Extra data", text, end)


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _is_table(line: str) -> bool:
    """Whether the first line of a file is the head of a table with a column `key`."""
    try:
        head = next(csv.reader([line]))
    except csv.Error:  # a field of more than 128 KiB: no name of a column
        return False
    return "key" in head and len(head) > 1


def _rows(lines: Iterator[str], path: Path, first: int) -> Iterator[Named]:
    """Yield what each row of a table names; `first` is the number of the line that its head begins at.

    A cell that a spreadsheet would take for a formula was written with an apostrophe before it.
    """
    rows = csv.reader(lines)
    places = {name: place for place, name in enumerate(next(rows))}
    of_key, of_collection = places.get("key"), places.get("collection")
    if of_key is None:  # its name went on behind the end of the first line
        raise _no_key(path, first)
    for cells in filter(None, rows):
        if of_key >= len(cells):
            raise _no_key(path, first - 1 + rows.line_num)
        key = cells[of_key]
        inert = key[:1] == "'" and key[1:2] in _FORMULA
        collection = cells[of_collection] if of_collection is not None and of_collection < len(cells) else ""
        yield key[1:] if inert else key, collection, "", -1, False
