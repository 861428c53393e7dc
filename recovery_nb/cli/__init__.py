"""The command line: `recovery-nb`. Commands parse and print; `Case` does the work."""

from __future__ import annotations

from recovery_nb.cli.main import main

__all__ = ["main"]
