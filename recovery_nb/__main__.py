"""`python -m recovery_nb` is `recovery-nb`."""

from __future__ import annotations

from recovery_nb.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
