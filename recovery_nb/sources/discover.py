"""Finding sources: what the user names, and everything readable in folders and archives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.sources.base import FileSource
from recovery_nb.sources.content import File, Folder
from recovery_nb.sources.detect import BSON, OPLOG, UnknownFormatError, is_misnamed, sources_of
from recovery_nb.sources.dump.files import METADATA, DumpSource
from recovery_nb.sources.small_files import SmallFiles, holds_no_records, many_small
from recovery_nb.sources.tree import Tree

__all__ = ["FOLDERS", "PATTERNS", "Discovery", "find_by_pattern", "find_sources", "open_source"]

FOLDERS = (".", "backups", "exports", "data")
"""Where backups are looked for when the user names nothing."""

PATTERNS = (
    *(f"**/{name}*.{ending}" for name in ("backup", "export") for ending in ("json", "jsonl", "ndjson", "csv", "tsv")),
    "**/*_data.json",
    "**/*.archive",
    *(f"**/*{name}*.{ending}" for name in ("backup", "dump", "export") for ending in ("tar", "zip")),
)
"""What is looked for there."""

_ENCRYPTED = ".age"


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

    def finish(self) -> Discovery:
        """Return it with what was found twice named once."""
        self.sources = list({source.path.absolute(): source for source in self.sources}.values())
        self.errors = list({str(error): error for error in self.errors}.values())
        return self


def open_source(path: Path, tree: Tree | None = None) -> FileSource:
    """Open a file, or a mongodump directory of one database, as the source that its content makes it.

    Args:
        path: Where it is, on disk or within an archive.
        tree: What opens it.

    Raises:
        BadInputError: It does not exist, may not be read, or is no format that is known.
        DamagedSourceError: It is empty.
    """
    tree = tree or Tree()
    found = _named(path, tree)
    sources = _opened(found, tree) if isinstance(found, File | Folder) else found
    exact = [source for source in sources if source.path == path] or sources
    if len(exact) > 1:
        raise BadInputError(
            f"{path} holds {len(exact)} databases", hint=f"name one: {', '.join(str(one.path) for one in exact)}"
        )
    return exact[0]


def _named(path: Path, tree: Tree) -> File | Folder | list[FileSource]:
    """Return what is at a path; of a file that holds several databases, what is named after it: one, or its oplog's."""
    try:
        return tree.entry(path)
    except BadInputError as error:
        above = _above(path, tree)
        if above is None:
            raise error from None
        if isinstance(above, Folder) and above.path == path.parent and path.name.startswith("*"):
            ending = path.name.removeprefix("*")
            return [SmallFiles(path.parent, ending, many_small(above.files).get(ending, []))]
        if isinstance(above, File) and not tree.is_container(above):
            found = [source for source in sources_of(above) if path in (source.path, source.path.parent)]
            if found:
                return found
        raise


def _above(path: Path, tree: Tree) -> File | Folder | None:
    """Return the file that holds what is at a path, one or two steps up: an archive, and its oplog's databases."""
    for parent in (path.parent, path.parent.parent):
        try:
            return tree.entry(parent)
        except RecoveryError:
            continue
    return None


def _opened(entry: File | Folder, tree: Tree) -> list[FileSource]:
    if isinstance(entry, Folder):
        dump, _ = _parted(entry)
        if dump:
            _refuse_locked(dump)
        return [dump or DumpSource(entry)]
    if tree.is_container(entry):
        raise BadInputError(f"{entry.path} is an archive of files", hint="name what is in it: ARCHIVE/NAME")
    return sources_of(entry)


class _Search:
    """Looks through folders and, as through folders, through the archives met there."""

    def __init__(self, tree: Tree, found: Discovery) -> None:
        self._tree, self._found, self._met = tree, found, 0

    def look_in(self, top: File | Folder, *, skip: Sequence[Path] = ()) -> None:
        """Add everything readable below `top`."""
        for folder in self._tree.walk(top, self._found.errors.append, skip=skip):
            dump, rest = _parted(folder)
            self.add_dump(dump)
            for ending, files in many_small(rest).items():
                self._found.sources.append(SmallFiles(folder.path, ending, files))
                taken = {file.path for file in files}
                rest = tuple(file for file in rest if file.path not in taken)
            for file in rest:
                if holds_no_records(file):
                    continue
                self._met += 1
                if self._met > self._tree.limits.members:
                    self._found.errors.append(
                        BadInputError(
                            f"more than {self._met - 1:,} files: the rest, from {file.path} on, is not read",
                            hint="name smaller folders, or raise RECOVERY_NB_MEMBERS",
                        )
                    )
                    return
                self.add(file, named=False)

    def add_dump(self, dump: DumpSource | None) -> None:
        """Add the dump that a folder is, if it is one."""
        try:
            if dump:
                _refuse_locked(dump)
                self._found.sources.append(dump)
        except BadInputError as error:
            self._found.errors.append(error)

    def add(self, file: File, *, named: bool) -> None:
        """Add what a file holds: a source, or an archive full of them."""
        try:
            if self._tree.is_container(file):
                self.look_in(file)
            else:
                self._found.sources += sources_of(file)
        except UnknownFormatError as error:
            if named:
                self._found.errors.append(error)
            else:
                self._found.ignored.append(file.path)
        except RecoveryError as error:
            self._found.errors.append(error)


def is_dump(files: Iterable[File]) -> bool:
    """Say whether these are the files of a folder that `mongodump` wrote of one database."""
    return any(file.name.endswith((BSON, METADATA)) and file.name != OPLOG for file in files)


def _parted(folder: Folder) -> tuple[DumpSource | None, tuple[File, ...]]:
    """Return the dump of one database that a folder is, if it is one, and the files in it that are no part of that.

    A file that is only named as one of BSON is no part. Compressed ones are not looked into: to do so, all of them
    would be expanded at once.
    """
    strays = {file.path for file in folder.files if file.path.name.endswith(BSON) and is_misnamed(file)}
    members = tuple(file for file in folder.files if file.path not in strays)
    if not is_dump(members):
        return None, folder.files
    rest = (file for file in folder.files if file.path in strays or not file.name.endswith(BSON) or file.name == OPLOG)
    return DumpSource(replace(folder, files=members)), tuple(rest)


def _refuse_locked(dump: DumpSource) -> None:
    """Refuse a dump of which every file is encrypted, and none can be opened; one that can stops the search.

    Raises:
        BadInputError: There is no key, or the wrong one.
    """
    refusal: BadInputError | None = None
    for file in dump.files():
        if not file.path.name.lower().endswith(_ENCRYPTED):
            return
        try:
            file.head(1)
        except DamagedSourceError:
            return  # it could be opened, then
        except BadInputError as error:
            refusal = refusal or error
        else:
            return
    if refusal:
        raise BadInputError(f"{dump.path} cannot be read: {refusal.message}", hint=refusal.hint)


def find_sources(paths: Iterable[Path], *, skip: Sequence[Path] = (), tree: Tree | None = None) -> Discovery:
    """Open what the user named: files, mongodump directories, and everything readable in other folders and archives.

    Args:
        paths: Files and folders, on disk or within archives.
        skip: Folders not to be entered (a case keeps its own files apart from the evidence).
        tree: What opens them.

    Returns:
        What was found; a path that cannot be opened is an entry in `errors`, not a stop.
    """
    found, tree = Discovery(), tree or Tree()
    for path in paths:
        before = len(found.sources) + len(found.errors)
        try:
            entry = _named(path, tree)
            if isinstance(entry, File):
                _Search(tree, found).add(entry, named=True)
            elif isinstance(entry, Folder):
                apart = [folder.absolute() for folder in skip if folder.absolute() != path.absolute()]
                _Search(tree, found).look_in(entry, skip=apart)
            else:
                found.sources += entry
        except RecoveryError as error:
            found.errors.append(error)
        if len(found.sources) + len(found.errors) == before:
            found.errors.append(BadInputError(f"{path} holds no backup, export or dump", hint="name what does"))
    return found.finish()


def find_by_pattern(
    folders: Iterable[str | Path] = FOLDERS,
    patterns: Iterable[str] = PATTERNS,
    *,
    skip: Sequence[Path] = (),
    tree: Tree | None = None,
) -> Discovery:
    """Search folders for files with the usual names of backups, compressed or not, and for mongodump directories.

    Folders that do not exist are passed over: nobody has all of them.
    """
    found, patterns, tree = Discovery(), tuple(patterns), tree or Tree()
    skipped = [folder.absolute() for folder in skip]
    for name in folders:
        top = Path(name)
        if not top.is_dir():
            continue
        search = _Search(tree, found)
        for folder in tree.walk(tree.entry(top), lambda _: None, skip=skipped):
            dump, rest = _parted(folder)
            search.add_dump(dump)
            for file in rest:
                plain = (folder.path / file.name).relative_to(top)
                usual = not file.name.endswith(METADATA) and any(_matches(plain, pattern) for pattern in patterns)
                if usual or (file.name.endswith(BSON) and file.name != OPLOG):
                    search.add(file, named=True)
    return found.finish()


def _matches(relative: Path, pattern: str) -> bool:
    """`Path.match` before Python 3.13 takes `**/` for one folder; here it is any number, none included."""
    return relative.match(pattern) or relative.match(pattern.removeprefix("**/"))
