"""Finding sources and opening each by what it holds; its name only hints."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.sources.base import FileSource
from recovery_nb.sources.bson_files import BsonSource, DumpSource, looks_like_bson
from recovery_nb.sources.json_files import JsonSource, looks_like_json

__all__ = ["FOLDERS", "PATTERNS", "Discovery", "find_by_pattern", "find_sources", "open_source"]

FOLDERS = (".", "backups", "exports", "data")
"""Where backups are looked for when the user names nothing."""

PATTERNS = ("**/backup*.json", "**/export*.json", "**/*_data.json")
"""What is looked for there."""

_HEAD = 64 * 1024
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})
_METADATA = (".metadata.json",)
_CASE = "audit.jsonl"
_OWN = frozenset({"manifest.json", "prelude.json", _CASE})
_OF_A_CASE = frozenset({"catalog", "comparisons", "embedded", "plans", "reports", "restores", "runs"})
_MAGIC = (
    (b"\x1f\x8b", "gzip", "gunzip it first"),
    (b"\x28\xb5\x2f\xfd", "zstd", "decompress it first (zstd -d)"),
    (b"BZh", "bzip2", "bunzip2 it first"),
    (b"\xfd7zXZ\x00", "xz", "decompress it first (unxz)"),
    (b"PK\x03\x04", "zip", "unpack it first"),
    (
        b"\x6d\xe2\x99\x81",
        "a mongodump --archive",
        "restore it with mongorestore into a scratch server first",
    ),
    (b"SQLite format 3\x00", "SQLite", "export its tables as JSON first"),
    (b"age-encryption.org/", "age encryption", "decrypt it first (age -d)"),
    (b"\xff\xfe", "UTF-16 text", "convert it first: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it first: iconv -f UTF-16 -t UTF-8"),
    (b"PAR1", "Parquet", "it is not a format of backups that this tool reads"),
)


class Discovery:
    """What a search found.

    Attributes:
        sources: What can be opened as a source, in the order found.
        errors: What was named or found but cannot be opened, each with its reason.
        ignored: Files in a searched folder whose content is no format of records.
    """

    def __init__(self) -> None:
        self.sources: list[FileSource] = []
        self.errors: list[RecoveryError] = []
        self.ignored: list[Path] = []


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except PermissionError:
        raise BadInputError(f"no permission to read {path}", hint="run as a user who may read it") from None
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}") from None


def open_source(path: Path) -> FileSource:
    """Open a file, or a mongodump directory of one database, as the source that its content makes it.

    Raises:
        BadInputError: It does not exist, may not be read, or is no format that is known.
        DamagedSourceError: It is empty.
    """
    if path.is_dir():
        return DumpSource(path)
    if not path.exists():
        raise BadInputError(f"{path} does not exist", hint="check the path")
    if not path.is_file():
        raise BadInputError(f"{path} is neither a file nor a folder", hint="name a backup, an export or a dump")
    head = _head(path)
    if not head.strip(b" \t\r\n"):
        raise DamagedSourceError(f"{path} is empty", hint="look for another copy of it")
    for magic, name, hint in _MAGIC:
        if head.startswith(magic):
            raise BadInputError(f"{path} is {name}, which is not read directly", hint=hint)
    if path.suffix == ".bson" or looks_like_bson(head, path.stat().st_size):
        return BsonSource(path)
    if looks_like_json(head):
        return JsonSource(path)
    raise BadInputError(
        f"{path} holds no format that is known",
        hint="known are mongodump, .bson, JSON, JSON Lines, Extended JSON",
    )


def _files(folder: Path, skip: Sequence[Path], found: Discovery) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each folder and its files; what cannot be entered is an error, and what lies beside it is still found."""

    def refuse(error: OSError) -> None:
        reason = "no permission to read" if isinstance(error, PermissionError) else f"{error.strerror}:"
        hint = "run as a user who may read it"
        found.errors.append(BadInputError(f"{reason} the folder {error.filename}", hint=hint))

    for here, folders, names in os.walk(folder, onerror=refuse):
        where = Path(here)
        kept_apart = _SKIPPED | _OF_A_CASE if _CASE in names else _SKIPPED  # another case's own files are no evidence
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in kept_apart and (where / name).absolute() not in skip
        )
        yield where, [where / name for name in sorted(names) if not name.startswith(".")]


def _is_dump(files: Iterable[Path]) -> bool:
    return any(path.name.endswith((".bson", ".metadata.json")) for path in files)


def _add(found: Discovery, open_it: Callable[[Path], FileSource], path: Path) -> None:
    try:
        found.sources.append(open_it(path))
    except RecoveryError as error:
        found.errors.append(error)


def _search(folder: Path, skip: Sequence[Path], found: Discovery) -> None:
    before = len(found.sources) + len(found.errors)
    for where, files in _files(folder, skip, found):
        rest = files
        if _is_dump(files):
            _add(found, DumpSource, where)
            rest = [path for path in files if path.suffix != ".bson"]
        for path in rest:
            if path.name.endswith(_METADATA) or path.name in _OWN or path.is_symlink():
                continue
            try:
                found.sources.append(open_source(path))
            except DamagedSourceError as error:
                found.errors.append(error)
            except BadInputError as error:
                if "no format that is known" in error.message:
                    found.ignored.append(path)
                else:
                    found.errors.append(error)
    if len(found.sources) + len(found.errors) == before:
        raise BadInputError(f"{folder} holds no backup, export or dump", hint="name the folder that does")


def find_sources(paths: Iterable[Path], *, skip: Sequence[Path] = ()) -> Discovery:
    """Open what the user named: files, mongodump directories, and everything readable in other folders.

    Args:
        paths: Files and folders.
        skip: Folders not to be entered (a case keeps its own files apart from the evidence).

    Returns:
        What was found; a path that cannot be opened is an entry in `errors`, not a stop.
    """
    found = Discovery()
    for path in paths:
        try:
            if path.is_dir():
                _search(
                    path,
                    [folder.absolute() for folder in skip if folder.absolute() != path.absolute()],
                    found,
                )
            else:
                found.sources.append(open_source(path))
        except RecoveryError as error:
            found.errors.append(error)
        except OSError as error:
            found.errors.append(BadInputError(f"cannot read {path}: {error.strerror}", hint="check the path"))
    found.sources = list({source.path.absolute(): source for source in found.sources}.values())
    return found


def find_by_pattern(
    folders: Iterable[str | Path] = FOLDERS, patterns: Iterable[str] = PATTERNS, *, skip: Sequence[Path] = ()
) -> Discovery:
    """Search folders for files with the usual names of backups, and for mongodump directories.

    Folders that do not exist are passed over: nobody has all of them.
    """
    found, patterns = Discovery(), tuple(patterns)
    skipped = [folder.absolute() for folder in skip]
    for name in folders:
        folder = Path(name)
        if not folder.is_dir():
            continue
        for where, files in _files(folder, skipped, found):
            if _is_dump(files):
                _add(found, DumpSource, where)
            for path in files:
                relative = path.relative_to(folder)
                if path.name.endswith(_METADATA) or not any(_matches(relative, pattern) for pattern in patterns):
                    continue
                _add(found, open_source, path)
    found.sources = list({source.path.absolute(): source for source in found.sources}.values())
    found.errors = list({str(error): error for error in found.errors}.values())
    return found


def _matches(relative: Path, pattern: str) -> bool:
    """`Path.match` before Python 3.13 takes `**/` for one folder; here it is any number, none included."""
    return relative.match(pattern) or relative.match(pattern.removeprefix("**/"))
