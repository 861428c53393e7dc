"""Whether a backup of ours can be trusted as a source: its files are those of its manifest, or are doubted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from recovery_nb.backups.files import hash_file
from recovery_nb.backups.folder_check import faults, file_names
from recovery_nb.backups.manifest import MANIFEST, load
from recovery_nb.backups.ours import backup_root
from recovery_nb.errors import BadInputError

__all__ = ["Doubt", "RecordsFile", "doubted", "records_files"]


class Doubt(NamedTuple):
    """Why a collection in a backup is not what was written.

    Attributes:
        reason: What is wrong, with the file.
        root: The backup's folder.
        exchanged: Whether another collection's records are in its place.
    """

    reason: str
    root: Path
    exchanged: bool = False


class RecordsFile(NamedTuple):
    """A file of records in a backup, and what the manifest says of it.

    Attributes:
        root: The backup's folder.
        name: Its path within the backup.
        collection: The collection whose records were written to it.
        bytes: How many bytes were written to it, as it is stored.
        sha256: Their SHA-256, in hexadecimal.
        packed: Whether it is in frames with checksums of their own: of these, damage costs the one that it is in.
        encrypted: Whether what can be read of it is proved to be what was written, by age.
    """

    root: Path
    name: str
    collection: str
    bytes: int
    sha256: str
    packed: bool
    encrypted: bool

    def is_sound(self) -> bool:
        """Whether it holds what was written, byte for byte: all of it is read."""
        try:
            return hash_file(self.root / self.name) == (self.bytes, self.sha256)
        except (OSError, ValueError):  # a name with a NUL byte is a ValueError
            return False  # nothing was proved

    def is_cut(self) -> bool:
        """Whether it is shorter than what was written."""
        with suppress(OSError, ValueError):
            return (self.root / self.name).stat().st_size < self.bytes
        return False


def doubted(folder: Path) -> dict[str, Doubt]:
    """Hold the stored files of a backup against its manifest, as they are: nothing is unpacked or decrypted.

    Args:
        folder: The backup's folder, the folder of the database in it, or a file there. Of anything else, nothing is
            doubted.

    Returns:
        By collection, why what is read of it is not what was written. Under "" is what speaks against all of them.
    """
    root = backup_root(folder)
    if root is None:
        return {}
    try:
        manifest = load(root / MANIFEST)
        found: dict[str, Doubt] = {}
        for fault in faults(root, manifest):
            if fault.collection:
                reason = f"{root / fault.name}: {fault.what}"
                found.setdefault(fault.collection, Doubt(reason, root, fault.exchanged))
    except BadInputError as error:
        return {"": Doubt(f"nothing vouches for its files: {error.message}", root)}
    except OSError as error:
        return {"": Doubt(f"its files cannot be held against its manifest: {error.strerror}", root)}
    return found


def records_files(folder: Path) -> dict[str, RecordsFile] | None:
    """Return what the manifest of a backup says of its files of records; of these, nothing is read yet.

    Args:
        folder: As for `doubted`.

    Returns:
        By the name that it has as a member of the dump, every file of records that the manifest knows. None where
        there is no manifest of ours.

    Raises:
        BadInputError: The manifest is not as it was written, or a newer version wrote it: it vouches for nothing.
    """
    root = backup_root(folder)
    if root is None:
        return None
    manifest = load(root / MANIFEST)
    collections = {entry.file: name for name, entry in manifest.collections.items()}
    return {
        member: RecordsFile(
            root, name, collections[name], manifest.files[name].bytes, manifest.files[name].sha256,
            manifest.compression != "none", bool(manifest.encryption),
        )
        for member, name in file_names(manifest).items()
        if name in manifest.files
    }  # fmt: skip
