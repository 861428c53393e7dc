"""Where a backup's bytes go: packed, encrypted, written, synced and read back, in this order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recovery_nb.backups.compression import ENDINGS, Compression, frames, pack
from recovery_nb.backups.encryption import ENDING, Encryption, Recipient
from recovery_nb.backups.files import HashedFile

__all__ = ["Packing", "Sink"]


@dataclass(frozen=True, slots=True)
class Packing:
    """How files are stored.

    Attributes:
        compression: How they are packed.
        recipients: Whom they are encrypted to; nobody, and they are not encrypted.
    """

    compression: Compression = "none"
    recipients: tuple[Recipient, ...] = ()

    @property
    def ending(self) -> str:
        """What is added to a file's name: ".zst", ".gz.age"."""
        return ENDINGS[self.compression] + (ENDING if self.recipients else "")

    def for_small_files(self) -> Packing:
        """Return how descriptions are stored: under zstd as they are, for whoever looks at them.

        `mongorestore --gzip` wants all files packed or none.
        """
        return Packing("gzip" if self.compression == "gzip" else "none", self.recipients)

    @contextmanager
    def create(self, path: Path) -> Iterator[Sink]:
        """Make a new file; leaving the context is when it is on the disk and was read back.

        Args:
            path: Where it is to be, without the endings of packing.

        Raises:
            RecoveryError: It does not read back as it was written.
            OSError: The disk does not take it.
        """
        with HashedFile(path.with_name(path.name + self.ending)) as file:
            if not self.recipients:
                sink = Sink(file, self.compression, None)
                yield sink
                sink.finish()
                return
            encryption = Encryption(self.recipients, file.write)
            try:
                sink = Sink(file, self.compression, encryption)
                yield sink
                sink.finish()
                encryption.close()
            finally:
                encryption.abandon()

    def write_whole(self, path: Path, data: bytes) -> HashedFile:
        """Write a small file in one go."""
        with self.create(path) as sink:
            sink.write([data])
        return sink.file


class Sink:
    """A file in the making.

    Attributes:
        file: What is stored of it: its path, size and hash, once it is finished.
        bytes: How many bytes were written to it, before they were packed.
    """

    def __init__(self, file: HashedFile, compression: Compression, encryption: Encryption | None) -> None:
        self.file, self.bytes = file, 0
        self._compression = compression
        self._write = encryption.write if encryption else file.write

    def write(self, records: Sequence[bytes]) -> None:
        """Append records. A frame ends with a record, and never spans two calls."""
        for piece in frames(records):
            self._write(pack(piece, self._compression))
            self.bytes += len(piece)

    def finish(self) -> None:
        """Write what a file has that holds nothing: a packed one has one empty frame."""
        if not self.bytes:
            self._write(pack(b"", self._compression))
