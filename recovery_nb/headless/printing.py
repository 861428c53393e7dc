"""The record's page on paper: a PDF, printed by Chromium without a profile of its user's and without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from recovery_nb.errors import MissingRequirementError, RecoveryError

__all__ = ["chromium", "to_pdf"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
    # The page asks for nothing; should the browser, no name is resolved and no address is reached.
    "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=http://127.0.0.1:9", "--no-pdf-header-footer",
)  # fmt: skip
_SECONDS = 300
_FOLDED = re.compile(r"<details(?![^>]*\sopen\b)")


def chromium() -> str:
    """Return the path of the Chromium, or Chrome, that prints.

    Raises:
        MissingRequirementError: There is none.
    """
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise MissingRequirementError(
            "no Chromium is installed, which prints the PDF",
            hint="install chromium, or print the HTML page from a browser",
        )
    return found


def to_pdf(page: str) -> bytes:
    """Return a page that `to_html` made as a PDF; what is folded on the screen is printed unfolded.

    Raises:
        MissingRequirementError: There is no Chromium.
        RecoveryError: It did not print.
    """
    program = chromium()
    with tempfile.TemporaryDirectory(prefix="recovery-nb-", ignore_cleanup_errors=True) as private:
        source, target = Path(private) / "page.html", Path(private) / "page.pdf"
        source.write_text(_FOLDED.sub("<details open", page), encoding="utf-8")
        said = ""
        for sandbox in _sandboxes():
            command = [
                program, *_FLAGS, *sandbox, f"--user-data-dir={private}/profile", f"--print-to-pdf={target}",
                source.as_uri(),
            ]  # fmt: skip
            said = _run(command, home=private)
            if target.is_file() and (content := target.read_bytes()).startswith(b"%PDF-"):
                return content
    raise RecoveryError(f"{program} did not print the PDF ({said})", hint="print the HTML page from a browser")


def _sandboxes() -> list[list[str]]:
    """Return what to try: root has no sandbox, and in some containers nobody has. The page holds no script."""
    without = ["--no-sandbox"]
    return [without] if os.geteuid() == 0 else [[], without]


def _run(command: list[str], *, home: str) -> str:
    """Run a browser with its files in a private folder; return what it said last."""
    given = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home, "TMPDIR": home}
    try:
        done = subprocess.run(command, env=given, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it took more than {_SECONDS} s"
    except OSError as error:
        return error.strerror or str(error)
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit code {done.returncode}"
