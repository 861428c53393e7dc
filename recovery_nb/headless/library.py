"""The notebooks that come with the package: found by name, and laid out where the user wants them."""

from __future__ import annotations

import difflib
from pathlib import Path

from recovery_nb.errors import BadInputError, ConflictError, RecoveryError
from recovery_nb.files import write_whole

__all__ = ["copy_notebooks", "find_notebook", "list_notebooks"]

_PACKAGE = Path(__file__).parent.parent
SHELVES = (_PACKAGE / "_notebooks", _PACKAGE.parent / "notebooks")
"""Where they are: inside an installed wheel, else beside the package in a source checkout."""


def list_notebooks() -> list[Path]:
    """Return the notebooks that come with the package, in the order of their names."""
    for shelf in SHELVES:
        if found := sorted(shelf.glob("*.ipynb")):
            return found
    return []


def find_notebook(name: str | Path) -> Path:
    """Return the notebook at a path, or the one of that name that comes with the package.

    Args:
        name: A path or a name (`recover`, `1_scan`), with or without `.ipynb`.

    Raises:
        BadInputError: There is none; the hint names what there is.
    """
    text = str(name)
    spelled = [text] if text.endswith(".ipynb") else [text, text + ".ipynb"]
    for spelling in spelled:
        if Path(spelling).is_file():
            return Path(spelling)
    shipped = {path.stem: path for path in list_notebooks()}
    stem = text.removesuffix(".ipynb")
    if stem in shipped:
        return shipped[stem]
    close = difflib.get_close_matches(stem, shipped, n=1)
    known = ", ".join(shipped) or "none"
    hint = f"did you mean {close[0]}?" if close else f"give the path of a notebook, or one of: {known}"
    raise BadInputError(f"there is no notebook {text!r}", hint=hint)


def copy_notebooks(folder: Path) -> list[Path]:
    """Lay the package's notebooks out in a folder, ready to be opened.

    A notebook that is there already and identical is left as it is.

    Returns:
        The files that were written.

    Raises:
        ConflictError: One is there and differs (it may hold somebody's work); nothing was written.
        RecoveryError: The folder cannot be written to.
    """
    wanted = {folder / path.name: path.read_bytes() for path in list_notebooks()}
    try:
        missing = [path for path, content in wanted.items() if not _holds(path, content)]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            write_whole(path, wanted[path])
    except OSError as error:
        raise RecoveryError(
            f"cannot write notebooks to {folder} ({error.strerror})", hint="choose a folder you may write to"
        ) from error
    return missing


def _holds(path: Path, content: bytes) -> bool:
    """Say whether a file is there with this content; False if it is not there."""
    if not path.exists():
        return False
    if path.read_bytes() != content:
        raise ConflictError(
            f"{path} is there already and differs from the notebook of that name",
            hint="move it away or choose another folder",
        )
    return True
