"""What a comparison found: counts, pictures, fields, types put back."""

from __future__ import annotations

import re
from collections import Counter

from recovery_nb.case import Case
from recovery_nb.compare.model import Status
from recovery_nb.compare.resolve import shown
from recovery_nb.compare.result import Comparison
from recovery_nb.reports.html import Markup, chips, image, join, table
from recovery_nb.reports.plots import coverage
from recovery_nb.widgets.markup import answer, cut, folded, pieces
from recovery_nb.widgets.timeline import pictures

__all__ = ["changes", "compared", "conversions", "when"]

_FEW = 20
_FIRST = 6
_POSITION = re.compile(r"/\d+(?=/|$)")


def compared(found: Comparison) -> Markup:
    """Show what differs: counts, how much of each collection is intact, and remarks."""
    summary = found.summary
    rows = [
        [shown(name), summary.records.get(name, 0), *counts.values()] for name, counts in summary.collections.items()
    ]
    remarks = [*summary.notes, *(f"{shown(name)} is in no source" for name in summary.uncovered)]
    read = "The database was read at one point in time" if summary.consistent else "Read while it may have changed"
    places = [
        [one["source"], shown(one["given"]), shown(one["collection"]), one["reason"]] for one in summary.placements
    ]
    return join(
        _difference(found),
        chips(found.total.as_dict()),
        table(["collection", "in the database", *(status.value for status in Status)], rows, caption=read),
        image(coverage(summary.collections), alt="How much of each collection is intact?"),
        table(["remarks"], ([remark] for remark in remarks)) if remarks else "",
        folded(
            f"What was compared with what ({len(places)})",
            table(["source", "collection there", "compared with", "because"], places),
        ),
    )


def _difference(found: Comparison) -> Markup:
    total = found.total
    if found.clean:
        return answer("Nothing is lost: the database holds every record of the sources.", tone="success")
    parts = [
        f"{pieces(total.missing, 'record is', 'records are')} missing and can be recovered" if total.missing else "",
        f"{pieces(total.changed, 'record has', 'records have')} changed" if total.changed else "",
        f"{pieces(total.duplicate, 'key is', 'keys are')} in a source twice" if total.duplicate else "",
        f"{pieces(total.corrupt, 'place')} in the sources cannot be read" if total.corrupt else "",
    ]
    return answer("; ".join(filter(None, parts)) + ".", tone="failed" if total.missing else "partial")


def when(case: Case, found: Comparison) -> Markup:
    """Show when the missing records were made: whether a loss has a beginning and an end."""
    if not found.total.missing:
        return answer("No record is missing.", tone="success")
    gone = [name for name, counts in found.counts.items() if counts.missing and not found.summary.records.get(name)]
    lines = [
        answer(f"Everything in {shown(name)} is missing: the database holds none of it.", tone="failed")
        for name in gone
    ]
    drawn = [image(png, alt=alt) for alt, png in pictures(case, found, skip=gone)]
    if not lines and not drawn:
        return answer("No missing record says when it was made.")
    return join(*lines, *drawn)


def changes(found: Comparison) -> Markup:
    """Show the fields that changed: which ones and how often, and the first with both values."""
    lines = found.fields
    if lines.empty:
        return answer("No record differs in a field.", tone="success")
    every = lines.assign(path=lines["path"].map(lambda path: _POSITION.sub("/*", path) or "(the whole record)"))
    each = every.drop_duplicates(["collection", "key", "path", "kind"])
    often = Counter(zip(each["collection"], each["path"], each["kind"], strict=True)).most_common()
    first = lines[["collection", "key", "path", "database", "source"]].head(_FIRST).itertuples(index=False)
    fields = ([shown(name), *what, count] for (name, *what), count in often)
    few = [[shown(name), key, path, cut(there), cut(here)] for name, key, path, there, here in first]
    return join(
        table(["collection", "field", "how", "records"], fields, total=len(often),
              caption="Which fields differ", limit=_FEW),
        table(["collection", "key", "field", "in the database", "in the source"], few, total=len(lines),
              caption="The first of them"),
    )  # fmt: skip


def conversions(found: Comparison) -> Markup:
    """Show which types were put back into sources that had lost them, and by what evidence."""
    rows = found.summary.conversions
    if not rows:
        return answer("None: every source that was compared kept its types.", tone="success")
    lossy = [entry.name for entry in found.sources.values() if entry.typing.value != "full"]
    return join(
        answer(f"{pieces(len(rows), 'field')} of {', '.join(lossy)} had lost their types."),
        table(
            ["field", "was", "is again", "known from the", "values"],
            rows,
            total=len(rows),
            limit=_FEW,
            caption="Types put back",
        ),
    )
