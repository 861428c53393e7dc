"""Writing the differences to a file for other tools; the analyst's copies, never the source of a write."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.files import sync_file, sync_folder, writing

__all__ = ["check_folder", "check_out", "export"]

_FORMATS = (".parquet", ".jsonl", ".csv")
_TEXTS = ("collection", "status", "key", "source_name", "confidence", "inferred", "candidates", "newer", "note",
          "member", "offset", "length")  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def check_out(path: Path) -> None:
    """Refuse a file that cannot be written before any work is done.

    Raises:
        BadInputError: Its ending is no known format, or its folder cannot be written to.
    """
    if path.suffix not in _FORMATS:
        raise BadInputError(f"{path} has no known ending", hint=f"end it in {', '.join(_FORMATS)}")
    if path.exists():
        raise BadInputError(f"{path} exists already", hint="choose another name, or move it away")
    check_folder(path)


def check_folder(path: Path) -> None:
    """Refuse a file whose folder cannot be written to before any work is done.

    Raises:
        BadInputError: Its folder does not exist or cannot be written to, or it is a folder itself.
    """
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInputError(f"{path.parent} cannot be written to", hint="choose another folder")
    if path.is_dir():
        raise BadInputError(f"{path} is a folder", hint="name a file in it")


def export(comparison: Comparison, path: Path) -> None:
    """Write the differences, one row each, in the format of the file's ending.

    CSV cells that a spreadsheet would take for a formula get an apostrophe before them.

    Raises:
        RecoveryError: The disk is full or the folder cannot be written to.
        BadInputError: The comparison's file cannot be read.
    """
    if not comparison.table.is_file():
        raise BadInputError(f"{comparison.table} is not there any more", hint="compare again")
    beside = path.with_name(f".{path.name}.partial")
    try:
        with writing(path):
            if path.suffix == ".parquet":
                shutil.copyfile(comparison.table, beside)
            else:
                with beside.open("w", encoding="utf-8", newline="") as file:
                    _rows(comparison, file, as_csv=path.suffix == ".csv")
            sync_file(beside)
            beside.replace(path)
            sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)  # it is there only if the file is not whole


def _rows(comparison: Comparison, file: Any, *, as_csv: bool) -> None:
    writer = csv.DictWriter(file, [*_TEXTS, "fields", "changes"])
    if as_csv:
        writer.writeheader()
    for row in comparison.rows():
        out = {name: row[name] for name in _TEXTS}
        if as_csv:
            out.update(fields=" ".join(row["fields"] or ()), changes=row["changes"])
            writer.writerow({name: _inert(value) for name, value in out.items()})
        else:
            out.update(fields=row["fields"], changes=json.loads(row["changes"]))
            file.write(json.dumps(out, ensure_ascii=False) + "\n")


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
