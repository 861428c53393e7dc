"""Files and folders as one tree: those on disk, and those within archives; what is compressed is read expanded."""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

from recovery_nb.audit.values import printable
from recovery_nb.errors import BadInputError, DamagedSourceError, RecoveryError
from recovery_nb.sources.content import HEAD_BYTES, MANIFEST, Content, File, FileContent, Folder
from recovery_nb.sources.dump.framing import looks_like_bson
from recovery_nb.sources.expand.codecs import codec_named
from recovery_nb.sources.expand.expanded import Expansion, peel
from recovery_nb.sources.expand.members import Problem
from recovery_nb.sources.expand.tar import is_tar, tar_members
from recovery_nb.sources.expand.zip import is_zip, zip_members

__all__ = ["Tree"]

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})
_CASE = "audit.jsonl"
_OF_A_CASE = frozenset({"catalog", "comparisons", "embedded", "plans", "reports", "restores", "runs"})
_ENDINGS = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".age")
_TARS = {".tgz": ".tar", ".tbz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".tzst": ".tar"}
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_LONGEST = 4
_KEPT_CONTENTS = 64
_KEPT_LISTS = 16

Report = Callable[[RecoveryError], None]
_Key = tuple[object, ...]


class Tree:
    """Opens files and folders by path, wherever they are. Nothing is ever written to them.

    A path may lead into an archive: `old.tar.gz/shop/users.bson`. Expanded content is kept for as long as it is
    likely to be read again, in files without a name.

    Args:
        expansion: How far anything is expanded, and what opens encrypted files.
    """

    def __init__(self, expansion: Expansion | None = None) -> None:
        self._expansion = expansion or Expansion()
        self.limits = self._expansion.limits
        self._contents: OrderedDict[_Key, Content] = OrderedDict()
        self._lists: OrderedDict[_Key, _Listing] = OrderedDict()

    def entry(self, path: Path) -> File | Folder:
        """Return what is at a path.

        Raises:
            BadInputError: Nothing is there, or it may not be read.
            DamagedSourceError: A folder cannot be listed.
        """
        there = path
        try:
            while not there.exists() and there != there.parent:
                there = there.parent
            if there == path:
                return self._folder(path) if path.is_dir() else self._on_disk(path)
            if there.is_file():
                return self._within(self._on_disk(there), path.relative_to(there).parts, path)
        except OSError as error:
            raise BadInputError(f"cannot read {path}: {error.strerror}", hint="check the path") from None
        raise _absent(path)

    def exists(self, path: Path) -> bool:
        """Return whether something is at a path, on disk or within an archive."""
        try:
            self.entry(path)
        except RecoveryError:
            return False
        return True

    def is_container(self, file: File) -> bool:
        """Return whether a file is an archive of files.

        Raises:
            RecoveryError: It cannot be read.
        """
        head = file.head()
        return is_tar(head) or is_zip(head)

    def walk(self, top: File | Folder, report: Report, *, skip: Sequence[Path] = ()) -> Iterator[Folder]:
        """Yield a folder and all folders below it, in order; of an archive, the folders in it.

        Hidden files and folders, and those of another case, are passed over. Archives within are not entered:
        who meets one calls this for it.

        Args:
            top: Where to begin.
            report: Hears what cannot be entered, and what is neither a file nor a folder.
            skip: Folders not to be entered.
        """
        if isinstance(top, File):
            listing = self._listing(top)
            for problem in listing.problems:
                report(DamagedSourceError(f"{top.path}: {problem.reason}"))
            yield from listing.folders()
            return
        if top.archive:
            inside = self._listing(top.archive).folders()
            yield from (folder for folder in inside if folder.path.is_relative_to(top.path))
            return

        def refuse(error: OSError) -> None:
            reason = "no permission to read" if isinstance(error, PermissionError) else f"{error.strerror}:"
            hint = "run as a user who may read it"
            report(BadInputError(f"{reason} the folder {error.filename}", hint=hint))

        for here, folders, names in os.walk(top.path, onerror=refuse):
            where = Path(here)
            kept_apart = _SKIPPED | _OF_A_CASE if _CASE in names else _SKIPPED  # another case's own files: no evidence
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and name not in kept_apart and (where / name).absolute() not in skip
            )
            try:
                folder = self._folder(where, report)
            except DamagedSourceError as error:  # it went away since the one above was listed
                report(error)
                continue
            yield folder

    def _folder(self, path: Path, report: Report | None = None) -> Folder:
        files: list[File] = []
        try:
            with os.scandir(path) as entries:
                listed = sorted(entries, key=lambda one: one.name)
            for entry in listed:
                if entry.name.startswith("."):
                    continue
                try:
                    mode = entry.stat(follow_symlinks=False).st_mode
                    if stat.S_ISREG(mode):
                        files.append(self._on_disk(path / entry.name))
                    elif report and (reason := _refused(mode)):
                        report(BadInputError(f"{path / entry.name} is {reason}"))
                except FileNotFoundError:  # it went away since the folder was listed
                    continue
            above = path.parent / MANIFEST
            return Folder(path, tuple(files), (self._on_disk(above),) if above.is_file() else ())
        except OSError as error:
            raise DamagedSourceError(
                f"{path} cannot be read: {error.strerror}", hint="check the path and its permissions"
            ) from None

    def _on_disk(self, path: Path) -> File:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise BadInputError(f"{path} is neither a file nor a folder", hint="name a backup, an export or a dump")

        def beside(name: str) -> File | None:
            for ending in ("", *_ENDINGS):
                other = path.with_name(name + ending)
                with suppress(FileNotFoundError):  # it may go away at any moment
                    if other.is_file():
                        return self._on_disk(other)
            return None

        key = (str(path), facts.st_mtime_ns, facts.st_size, facts.st_ino)
        return File(
            path, _plain_name(path.name), facts.st_size, facts.st_mtime, path,
            self._opener(path, key, lambda: FileContent(path)), beside,
        )  # fmt: skip

    def _opener(self, path: Path, key: _Key, stored: Callable[[], Content]) -> Callable[[], Content]:
        """Return what opens content without its compression and encryption."""

        def opened() -> Content:
            return self._kept(key, lambda: self._peeled(path, stored()))

        return opened

    def _peeled(self, path: Path, content: Content) -> Content:
        found = peel(content, label=str(path), expansion=self._expansion)
        if found.codecs or codec_named(path.name) is None or _reads(content.read_at(0, HEAD_BYTES)):
            return found.content
        return peel(content, label=str(path), expansion=self._expansion, salvage=True).content

    def _kept(self, key: _Key, make: Callable[[], Content]) -> Content:
        content = self._contents.pop(key, None) or make()
        self._contents[key] = content
        while len(self._contents) > _KEPT_CONTENTS:
            self._contents.popitem(last=False)
        return content

    def _listing(self, archive: File) -> _Listing:
        key = (str(archive.path), archive.stored, archive.modified)
        listing = self._lists.pop(key, None) or self._list(archive, key)
        self._lists[key] = listing
        while len(self._lists) > _KEPT_LISTS:
            self._lists.popitem(last=False)
        return listing

    def _list(self, archive: File, key: _Key) -> _Listing:
        if archive.depth >= self.limits.nesting:
            raise BadInputError(
                f"{archive.path} is within more than {self.limits.nesting} archives",
                hint="if it can be trusted, raise RECOVERY_NB_NESTING",
            )
        listing, content, label = _Listing(archive), archive.open(), str(archive.path)
        if is_zip(archive.head()):
            members = zip_members(content, label=label, expansion=self._expansion)
        else:
            members = tar_members(content, limits=self.limits)
        for number, member in enumerate(members):
            if isinstance(member, Problem):
                listing.problems.append(member)
                continue
            parts = tuple(member.name.split("/"))
            if any(part.startswith(".") for part in parts):
                continue
            path = archive.path.joinpath(*parts)
            listing.add(parts, File(
                path, _plain_name(parts[-1]), member.stored, member.modified, archive.root,
                self._opener(path, (*key, number), member.content), listing.beside(parts), archive.depth + 1,
            ))  # fmt: skip
        return listing

    def _within(self, archive: File, parts: tuple[str, ...], path: Path) -> File | Folder:
        """Return what an archive holds under a name, or another archive in it."""
        if not self.is_container(archive):
            raise _absent(path)
        listing = self._listing(archive)
        for length in range(len(parts), 0, -1):
            if (file := listing.files.get(parts[:length])) is not None:
                return file if length == len(parts) else self._within(file, parts[length:], path)
        for folder in listing.folders():
            if folder.path == path:
                return folder
        raise _absent(path)


class _Listing:
    """What an archive holds.

    Attributes:
        files: Its files by the parts of their names.
        problems: What could not be listed, or is no file.
    """

    def __init__(self, archive: File) -> None:
        self._archive = archive
        self.files: dict[tuple[str, ...], File] = {}
        self.problems: list[Problem] = []
        self._by_folder: dict[tuple[str, ...], dict[str, File]] = {(): {}}

    def add(self, parts: tuple[str, ...], file: File) -> None:
        self.files[parts] = file
        for length in range(len(parts)):
            self._by_folder.setdefault(parts[:length], {})
        self._by_folder[parts[:-1]].setdefault(parts[-1], file)

    def beside(self, parts: tuple[str, ...]) -> Callable[[str], File | None]:
        folder = self._by_folder.setdefault(parts[:-1], {})
        return lambda name: next((folder[name + end] for end in ("", *_ENDINGS) if name + end in folder), None)

    def folders(self) -> Iterator[Folder]:
        for parts, files in sorted(self._by_folder.items()):
            above = self._by_folder[parts[:-1]].get(MANIFEST) if parts else None
            inside = tuple(file for _, file in sorted(files.items()))
            yield Folder(self._archive.path.joinpath(*parts), inside, (above,) if above else (), self._archive)


def _refused(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link, which is not followed; name what it leads to"
    return next((f"{name}, which is not read" for is_kind, name in _KINDS if is_kind(mode)), "")


def _reads(head: bytes) -> bool:
    """Whether a file with the ending of a compression is what it holds already: BSON, or text."""
    if looks_like_bson(head, ended=len(head) < HEAD_BYTES):
        return True
    return b"\x00" not in head and is_text(head)


def is_text(head: bytes) -> bool:
    """Return whether bytes are the beginning of a text in UTF-8."""
    try:
        head[: -_LONGEST if len(head) > _LONGEST else None].decode()
    except UnicodeDecodeError:
        return False
    return True


def _plain_name(name: str) -> str:
    """Return a file's name without the endings of compression and encryption, as text whatever bytes it has."""
    name = printable(PurePath(name))
    while True:
        stem, dot, ending = name.rpartition(".")
        ending = (dot + ending).lower()
        if stem and ending in _TARS:
            return stem + _TARS[ending]
        if not stem or ending not in _ENDINGS:
            return name
        name = stem


def _absent(path: Path) -> BadInputError:
    return BadInputError(f"{path} does not exist", hint="check the path")
