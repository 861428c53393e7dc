"""What a scan found, and how sources that were discovered come into the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Emit, silent
from recovery_nb.reports.html import facts, join, table
from recovery_nb.sources.base import FileSource
from recovery_nb.sources.discover import Discovery

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Scan", "catalogued"]


@dataclass(frozen=True)
class Scan:
    """What a scan found.

    Attributes:
        sources: The sources that can be read, now in the catalog.
        errors: What was named or found and cannot be read, one line each.
        ignored: Files in searched folders that hold no records.
        copies: What holds the same as a source that counts already: its path, and that source's.
    """

    sources: tuple[SourceEntry, ...]
    errors: tuple[str, ...] = ()
    ignored: tuple[Path, ...] = ()
    copies: tuple[tuple[Path, Path], ...] = ()

    @property
    def damaged(self) -> bool:
        """Whether anything could not be read, or not wholly."""
        return bool(self.errors) or any(not entry.whole for entry in self.sources)

    @property
    def summary(self) -> dict[str, object]:
        """The facts at a glance."""
        return {
            "sources": len(self.sources),
            "records": sum(entry.records for entry in self.sources),
            "damaged": sum(not entry.whole for entry in self.sources),
            "not readable": len(self.errors),
            "ignored": len(self.ignored),
            "copies": len(self.copies),
        }

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The sources as a dataframe, one row each."""
        import pandas as pd  # noqa: PLC0415 - only who looks at it pays for its import

        columns = ["path", "kind", "typing", "records", "taken_at", "taken_from", "size", "whole", "id"]
        rows = [[getattr(entry, name) for name in columns] for entry in self.sources]
        return pd.DataFrame(rows, columns=columns)

    def _repr_html_(self) -> str:
        """Show it in a notebook, without a script."""
        heads = ["path", "format", "types", "records", "taken at", "whole"]
        rows = [
            [str(one.path), one.kind.value, one.typing.value, one.records, f"{one.taken_at:%Y-%m-%d %H:%M}", one.whole]
            for one in self.sources
        ]
        return join(facts(self.summary), table(heads, rows, caption="Sources"), *self.errors)


def _depth(source: FileSource) -> int:
    """Return how many archives it is in: of copies, the one that is easiest to reach counts."""
    return max((file.depth for file in source.files()), default=0)


def catalogued(found: Discovery, catalog: Catalog, *, emit: Emit = silent) -> Scan:
    """Bring everything that was found into the catalog; what cannot be read is an error of the scan, not a stop.

    The same content at two places counts once.
    """
    entries: dict[str, SourceEntry] = {}
    errors: list[RecoveryError] = list(found.errors)
    copies: list[tuple[Path, Path]] = []
    for source in sorted(found.sources, key=_depth):
        try:
            entry = catalog.scan(source, emit=emit)
        except BadInputError as error:
            errors.append(error)
        else:
            if entries.setdefault(entry.id, entry) is not entry:
                copies.append((source.path, entries[entry.id].path))
    return Scan(tuple(entries.values()), tuple(map(str, errors)), tuple(found.ignored), tuple(copies))
