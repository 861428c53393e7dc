"""Find every copy of every lost MongoDB record, put it back without harm, and prove that it was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recovery_nb._version import __version__

if TYPE_CHECKING:
    from recovery_nb.case import Case

__all__ = ["Case", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `Case` when it is first asked for, so that `recovery-nb --help` need not wait for it."""
    if name == "Case":
        from recovery_nb.case import Case  # noqa: PLC0415 - see above

        return Case
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
