"""The differences of a comparison, page by page, under filters, with what is picked of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from recovery_nb.browse.columns import NO_TIME, Bools, read_columns
from recovery_nb.browse.filters import Filters
from recovery_nb.browse.kept import keep, load
from recovery_nb.browse.keysfile import write_keys
from recovery_nb.browse.orders import Orders
from recovery_nb.browse.pages import Facets, Page, Row
from recovery_nb.browse.picks import Chosen, Matched, Picks
from recovery_nb.browse.rows import Rows, candidates_of
from recovery_nb.browse.times import Bucket, bucketed
from recovery_nb.browse.view import View
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.reports.windows import instant

__all__ = ["Browser", "Facets", "Page", "Row"]

_SHOWN = 500
"""How many characters of a key, or of the reason of a doubt, a row shows."""
_SOURCE_IN_DOUBT = "its source does not agree with its checksum"
_FREQUENT = 50
_LARGEST = 1_000


class Browser:
    """Looks through the differences of a comparison, and picks from them.

    What filters need is read once; pages and keys are read from the comparison's file, which stays open until the
    browser is closed. It may be used from several threads, one at a time.

    Args:
        comparison: What was found.
        kept: The file in which what is picked is kept between runs; None to keep nothing. What cannot be read of it,
            or was not found again, is told in `notes`.

    Attributes:
        comparison: The same.
        columns: What is known of each difference without reading it.
        notes: Remarks for the analyst.

    Raises:
        BadInputError: The comparison's files cannot be read.
    """

    def __init__(self, comparison: Comparison, *, kept: Path | None = None) -> None:
        self.comparison = comparison
        self.notes: tuple[str, ...] = ()
        self._kept = kept
        self._lock = threading.RLock()
        self.columns = read_columns(comparison)
        self._table = Rows(comparison.table)
        self._names = {identifier: entry.name for identifier, entry in comparison.sources.items()}
        self._orders = Orders(self.columns, by_key=self._table.by_key, source_names=self._names)
        self._picks = Picks(self.columns)
        self._text: tuple[str, Bools] | None = None
        self._filtered: tuple[tuple[View, int], Filters] | None = None
        if kept is not None and (found := load(kept, comparison, self.columns)):
            self._picks.replace(found.mask, found.chosen)
            self.notes = found.notes
        self._saved = self.revision

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the comparison's file."""
        with self._lock:
            self._table.close()

    # --- looking --------------------------------------------------------------------------------------------------

    def page(self, view: View, number: int = 0, *, size: int = 50) -> Page:
        """Return one page of what a view shows; a number past the end gives the last page.

        Args:
            view: What is looked at.
            number: Which page, from 0.
            size: How many rows a page has, 1,000 at most.

        Raises:
            BadInputError: The comparison's file cannot be read.
        """
        with self._lock:
            rows = self._orders.of(view, self._filters(view).all_but())
            size = min(max(size, 1), _LARGEST)
            pages = max(1, -(-len(rows) // size))
            number = min(max(number, 0), pages - 1)
            return Page(self._rows(rows[number * size : (number + 1) * size].tolist()), number, pages, len(rows))

    def row(self, number: int) -> Row:
        """Return one row.

        Raises:
            BadInputError: There is none of this number; the comparison's file cannot be read.
        """
        with self._lock:
            self._check(number)
            return self._rows([number])[0]

    def facets(self, view: View) -> Facets:
        """Return how many differences each value of a filter would show under all the other filters of a view."""
        with self._lock:
            filters, columns = self._filters(view), self.columns
            sources = columns.source.counts(filters.all_but("sources"))
            paths = columns.field_counts(filters.all_but("field"), most=_FREQUENT)
            return Facets(
                statuses=columns.status.counts(filters.all_but("statuses")),
                collections=columns.collection.counts(filters.all_but("collections")),
                sources={one: (self._names.get(one, one), count) for one, count in sources.items() if one},
                fields={path: count for path, count in paths.items() if path},
                total=int(filters.all_but().sum()),
            )

    def times(self, view: View, *, most: int = 60) -> list[Bucket]:
        """Return when the records were made that a view shows, its filter by time apart; none where no record says.

        Args:
            view: What is looked at.
            most: How many buckets there may be.
        """
        with self._lock:
            mask = self._filters(view).all_but("time") & (self.columns.made != NO_TIME)
            return bucketed(self.columns.made, self.columns.status, mask, most=most)

    # --- picking --------------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Grows with every change of what is picked."""
        return self._picks.revision

    @property
    def picked(self) -> int:
        """How many differences are picked."""
        with self._lock:
            return len(self._picks)

    def picked_counts(self) -> dict[str, dict[str, int]]:
        """Return how many are picked, by collection and status."""
        with self._lock:
            return self._picks.counts()

    def pick(self, numbers: Iterable[int], *, on: bool) -> int:
        """Pick some rows, or no longer; return how many were left out, since no restore can undo them."""
        with self._lock:
            left_out = self._picks.pick(numbers, on=on)
            self._keep()
            return left_out

    def pick_matching(self, view: View) -> Matched:
        """Pick all that a view shows but what is in doubt; what is picked already stays so."""
        with self._lock:
            matched = self._picks.pick_matching(self._filters(view).all_but())
            self._keep()
            return matched

    def clear(self) -> None:
        """Pick nothing."""
        with self._lock:
            self._picks.clear()
            self._keep()

    def choose(self, number: int, candidate: int) -> None:
        """Pick a row, and another version of its record than the best.

        Args:
            number: The row.
            candidate: The version's rank among the record's candidates; 1 for the best.

        Raises:
            BadInputError: There is no such row or version, or no restore can undo the difference.
        """
        with self._lock:
            self._check(number)
            if not self.columns.restorable[number]:
                raise BadInputError(f"row {number} is nothing that a restore can undo", hint="pick another")
            (row,) = self._table.read([number], ["collection", "key_bytes", "note"])
            path = self.comparison.folder / "candidates.parquet"
            versions = candidates_of(path, row["collection"], row["key_bytes"])
            one = next((version for version in versions if version["rank"] == candidate), None)
            if one is None:
                raise BadInputError(f"the record has no version {candidate}", hint=f"choose 1 to {len(versions)}")
            version = Chosen(one["rank"], one["source"], one["offset"], one["fingerprint"])
            self._picks.choose(number, None if candidate == 1 and not row["note"] else version)
            self._keep()

    def chosen(self, number: int) -> int:
        """Return the rank of the version that is meant: 1 where it is the best."""
        with self._lock:
            version = self._picks.chosen.get(number)
            return version.rank if version else 1

    def keys_file(self, path: Path) -> Path:
        """Write what is picked as a keys file, for `case.plan(keys=…)` and `recovery-nb restore --keys`.

        Returns:
            The file, which is whole and on the disk.

        Raises:
            RecoveryError: It cannot be written.
            BadInputError: The comparison's file cannot be read.
        """
        with self._lock:
            write_keys(path, self._table, self._picks)
            return path

    # --- the parts ------------------------------------------------------------------------------------------------

    def _check(self, number: int) -> None:
        if not 0 <= number < len(self.columns):
            raise BadInputError(f"there is no row {number}", hint=f"name one below {len(self.columns):,}")

    def _filters(self, view: View) -> Filters:
        """Return the filters of a view; those of the last one are kept, for its page and its counts are of the same."""
        known = (replace(view, sort="", descending=False), self.revision if view.picked else 0)
        if self._filtered is None or self._filtered[0] != known:
            found = Filters.of(view, self.columns, picked=self._picks.mask, with_text=self._with_text)
            self._filtered = (known, found)
        return self._filtered[1]

    def _with_text(self, text: str) -> Bools:
        if self._text is None or self._text[0] != text:
            self._text = (text, self._table.with_text(text))
        return self._text[1]

    def _rows(self, numbers: list[int]) -> tuple[Row, ...]:
        columns, picked = self.columns, self._picks.mask
        texts = self._table.read(numbers, ("key", "newer", "note"))
        return tuple(
            Row(
                number=number,
                collection=columns.collection.names[columns.collection.codes[number]],
                key=_cut(text["key"] or ""),
                status=columns.status.names[columns.status.codes[number]],
                source=self._source(columns.source.names[columns.source.codes[number]]),
                confidence=columns.confidence.names[columns.confidence.codes[number]],
                candidates=int(columns.candidates[number]),
                made=None if columns.made[number] == NO_TIME else instant(int(columns.made[number])),
                fields=int(columns.fields[number]),
                doubt=_cut(text["newer"] or text["note"] or _SOURCE_IN_DOUBT) if columns.doubtful[number] else "",
                restorable=bool(columns.restorable[number]),
                picked=bool(picked[number]),
            )
            for number, text in zip(numbers, texts, strict=True)
        )

    def _source(self, identifier: str) -> str:
        return self._names.get(identifier, identifier)

    def _keep(self) -> None:
        """Keep what is picked; that it cannot be kept is told, and stops nothing."""
        if self._kept is None or self._saved == self.revision:
            return
        try:
            keep(self._kept, self.comparison, self._picks.mask, self._picks.chosen)
            self._saved = self.revision
        except RecoveryError as error:
            self.notes = tuple(dict.fromkeys([*self.notes, str(error)]))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"
