"""A folder of very many small files, a record or a few in each, as one source."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from recovery_nb.audit.values import printable
from recovery_nb.errors import DamagedSourceError, RecoveryError
from recovery_nb.records.batch import Damage, RecordBatch, Ref, moment
from recovery_nb.sources.base import FileSource, Header, Kind, Typing
from recovery_nb.sources.content import MANIFEST, File
from recovery_nb.sources.detect import sources_of
from recovery_nb.sources.dump.files import METADATA, PRELUDE

__all__ = ["SmallFiles", "holds_no_records", "many_small"]

_MANY = 100
_SMALL = 64 * 1024
_ENDINGS = (".json", ".jsonl", ".ndjson")
_CASE = "audit.jsonl"
_OWN = frozenset({MANIFEST, PRELUDE, _CASE})
_KEPT = (Typing.FULL, Typing.RELAXED, Typing.PLAIN, Typing.TEXT)


def holds_no_records(file: File) -> bool:
    """Say whether a file's name is that of one which only describes: a dump's collection, a backup, a case."""
    return file.name.endswith(METADATA) or file.name in _OWN


def many_small(files: Sequence[File]) -> dict[str, list[File]]:
    """Return, by their ending, the small JSON files that are too many to be a source each."""
    small = [file for file in files if file.stored <= _SMALL and not holds_no_records(file)]
    found = {ending: [file for file in small if file.name.endswith(ending)] for ending in _ENDINGS}
    return {ending: some for ending, some in found.items() if len(some) > _MANY}


class SmallFiles:
    """The small files of one ending in a folder, read-only; each is a member.

    Of several versions of a record in different files, that of the newest file counts.

    Args:
        folder: The folder.
        ending: How the files' names end.
        files: The files.
    """

    kind = Kind.FILES

    def __init__(self, folder: Path, ending: str, files: Sequence[File]) -> None:
        self.path, self._ending = folder / f"*{ending}", ending
        self._files = sorted(files, key=lambda file: file.path.name)
        self._typing = Typing.FULL
        self.doubted = False

    def files(self) -> list[File]:
        """Return the files, by name."""
        return [replace(file, name=printable(Path(file.path.name))) for file in self._files]

    def without(self, names: Collection[str]) -> SmallFiles:
        """Return the same source without the files that `files` gives these names."""
        rest = [file for file in self._files if printable(Path(file.path.name)) not in names]
        return SmallFiles(self.path.parent, self._ending, rest)

    def header(self) -> Header:
        """Return when the newest file was changed."""
        newest = max((file.modified for file in self._files), default=0)
        return Header(taken_at=datetime.fromtimestamp(newest, UTC), taken_from="modification time")

    def typing(self) -> Typing:
        """Return what all of them kept of BSON's types; known once `read` has been exhausted."""
        return self._typing

    def read(self) -> Iterator[RecordBatch | Damage]:
        """Yield every record, file by file; a file that cannot be read is a `Damage`."""
        self._typing = Typing.FULL
        for file in self._files:
            member = printable(Path(file.path.name))
            try:
                for source in sources_of(file):
                    for part in source.read():
                        if isinstance(part, Damage):
                            yield replace(part, member=member)
                        else:
                            at = part.at or [moment(_time(source, file))] * len(part)
                            yield replace(part, member=member, at=at)
                    self._typing = max(self._typing, source.typing(), key=_KEPT.index)
                    self.doubted = self.doubted or bool(source.doubted)
            except RecoveryError as error:
                yield Damage(member, 0, file.stored, error.message)

    def fetch(self, refs: Iterable[Ref]) -> Iterator[bytes]:
        """Yield the records at `refs`, in their order.

        Raises:
            DamagedSourceError: There is no record (any more).
        """
        by_name = {printable(Path(file.path.name)): file for file in self._files}
        for ref in refs:
            if ref.member not in by_name:
                raise DamagedSourceError(f"{self.path.parent} holds no {ref.member} any more", hint="scan it again")
            for source in sources_of(by_name[ref.member]):
                yield from source.fetch([replace(ref, member="")])


def _time(source: FileSource, file: File) -> float:
    taken_at = source.header().taken_at
    return taken_at.timestamp() if taken_at else file.modified
