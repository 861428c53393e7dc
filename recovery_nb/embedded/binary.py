"""Finds a `mongod` that runs on this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from recovery_nb.errors import MissingRequirementError

__all__ = ["find_mongod"]

_DEBIAN_PACKAGE = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libsasl2.so.2": "libsasl2-2",
    "libldap.so.2": "libldap2",
}
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: ([^:\s]+)")


def find_mongod(*, scratch: Path | None = None) -> Path:
    """Return a `mongod` that runs: the one on PATH, else the one that the `embedded` extra installs.

    Args:
        scratch: Where the installed binary may be copied if it lacks its run bit and cannot be given it.

    Raises:
        MissingRequirementError: There is none, or none of them runs; it says what to install.
    """
    refused: MissingRequirementError | None = None
    for candidate in _candidates(scratch):
        try:
            _check_runs(candidate)
        except MissingRequirementError as error:
            refused = refused or error
        else:
            return candidate
    raise refused or MissingRequirementError(
        "no mongod on PATH and none installed with this package",
        hint="run: pip install 'recovery-nb[embedded]' (Linux on x86-64), or: conda install mongodb",
    )


def _candidates(scratch: Path | None) -> Iterator[Path]:
    on_path = shutil.which("mongod")
    if on_path:
        yield Path(on_path).absolute()
    # The spec of the parent names its folders without importing anything of it.
    spec = importlib.util.find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder, "db", "bin", "mongod")
        if binary.is_file():
            yield _runnable(binary, scratch)


def _runnable(binary: Path, scratch: Path | None) -> Path:
    if os.access(binary, os.X_OK):
        return binary
    try:
        binary.chmod(0o755)
    except OSError:
        if scratch is None:
            return binary
        copy = scratch / "mongod"
        if not copy.is_file() or copy.stat().st_size != binary.stat().st_size:
            scratch.mkdir(parents=True, exist_ok=True)
            beside = scratch / f"mongod.{os.getpid()}"
            shutil.copyfile(binary, beside)
            beside.chmod(0o755)
            beside.replace(copy)
        return copy
    return binary


def _check_runs(binary: Path) -> None:
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not answer"
        raise MissingRequirementError(
            f"{binary} cannot be run: {reason}", hint="install a mongod for this machine and put it on PATH"
        ) from error
    if done.returncode == 0:
        return
    said = done.stderr.decode(errors="replace").strip()
    missing = _MISSING_LIBRARY.search(said)
    if missing:
        library = missing[1]
        package = _DEBIAN_PACKAGE.get(library)
        raise MissingRequirementError(
            f"{binary} needs the library {library}, which is not on this machine",
            hint=f"run: apt-get install {package}" if package else f"install the package that holds {library}",
        )
    if done.returncode == -signal.SIGILL:
        raise MissingRequirementError(
            f"{binary} cannot be run: this processor lacks instructions it needs (AVX)",
            hint="use a machine with AVX, or put a mongod built for this one on PATH",
        )
    reason = said.splitlines()[0] if said else f"it ended with code {done.returncode}"
    raise MissingRequirementError(
        f"{binary} cannot be run: {reason}", hint="install a mongod for this machine and put it on PATH"
    )
