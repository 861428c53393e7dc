"""Whether a backup of ours can be trusted as a source: its files are those of its manifest, or are doubted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from recovery_nb.backups.folder_check import faults
from recovery_nb.backups.manifest import FORMAT, MANIFEST, load
from recovery_nb.errors import BadInputError

__all__ = ["Doubt", "doubted"]


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


def doubted(folder: Path) -> dict[str, Doubt]:
    """Hold the stored files of a backup against its manifest, as they are: nothing is unpacked or decrypted.

    Args:
        folder: The backup's folder, the folder of the database in it, or a file there. Of anything else, nothing is
            doubted.

    Returns:
        By collection, why what is read of it is not what was written. Under "" is what speaks against all of them.
    """
    start = folder.parent if folder.is_file() else folder
    root = next((one for one in (start, start.parent) if _is_ours(one / MANIFEST)), None)
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


def _is_ours(path: Path) -> bool:
    """Whether a manifest is that of a backup, as far as it can be read: the case's other copies have one, too."""
    try:
        content = path.read_bytes() if path.is_file() else b""
        return FORMAT.encode() in content or json.loads(content)["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
