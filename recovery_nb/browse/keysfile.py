"""Writing what is picked as a file of keys, from which a plan is made."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path

import pyarrow as pa

from recovery_nb.browse.picks import Chosen, Picks
from recovery_nb.browse.rows import Rows
from recovery_nb.errors import RecoveryError
from recovery_nb.files import sync_file, sync_folder

__all__ = ["write_keys"]

_COLUMNS = ("collection", "key", "source", "offset")


def write_keys(path: Path, table: Rows, picks: Picks) -> None:
    """Write a keys file (`selection.choices.read_keys`): a line of JSON for each record that is picked.

    A line names the source and the place where another version than the best is meant; and where another difference
    of the collection shows the same key (the number 1 and the text "1"), so that only the one is meant.

    Args:
        path: The file; what is there is replaced when the new one is whole.
        table: The differences.
        picks: What is picked of them.

    Raises:
        RecoveryError: It cannot be written.
        BadInputError: The comparison's file cannot be read.
    """
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    alike = table.with_same_key()
    try:
        with beside.open("x", encoding="ascii", newline="\n") as file:
            # By a first line of its own no line is taken for the header of a table, whatever its key holds.
            file.write("key\n")
            for numbers, rows in table.parts(picks.mask, _COLUMNS):
                file.writelines(_lines(numbers, rows, picks.chosen, alike))
        sync_file(beside)
        beside.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise RecoveryError(f"cannot write {path}: {error.strerror}", hint="choose another folder") from None
    finally:
        beside.unlink(missing_ok=True)


def _lines(
    numbers: Sequence[int], rows: pa.Table, chosen: Mapping[int, Chosen], alike: Collection[int]
) -> Iterator[str]:
    names = {name: f'{{"collection": {_quoted(name)}, "key": ' for name in rows["collection"].unique().to_pylist()}
    columns = (rows[name].to_pylist() for name in _COLUMNS)
    for number, collection, key, source, offset in zip(numbers, *columns, strict=True):
        place = ""
        if version := chosen.get(number):
            place = f', "source": {_quoted(version.source)}, "offset": {version.offset}'
        elif number in alike:
            place = f', "source": {_quoted(source)}, "offset": {offset}'
        yield f"{names[collection]}{_quoted(key)}{place}}}\n"
