"""What a comparison found: counts, pictures, fields, types put back."""

from __future__ import annotations

import json
from collections.abc import Iterator

from recovery_nb.case import Case
from recovery_nb.compare.model import Status
from recovery_nb.compare.resolve import shown
from recovery_nb.compare.result import Comparison
from recovery_nb.compare.tallies import changed_fields, holdings
from recovery_nb.errors import ConnectionFailedError, RecoveryError
from recovery_nb.reports import plots
from recovery_nb.reports.html import Markup, chips, image, join, table
from recovery_nb.widgets.markup import answer, cut, folded, pieces
from recovery_nb.widgets.timeline import timeline
from recovery_nb.widgets.veils import Veiling

__all__ = ["changes", "compared", "conversions", "when"]

_FEW = 20
_FIRST = 6
_DRAWN = 3


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
        _image(plots.coverage({shown(name): counts for name, counts in summary.collections.items()})),
        _image(plots.holdings(holdings(found))) if len(found.sources) > 1 else "",
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


def _image(picture: plots.Picture) -> Markup:
    return image(picture.png, alt=picture.alt)


def when(case: Case, found: Comparison, *, collection: str = "", field: str = "") -> Markup:
    """Show when the missing records were made: whether a loss has a beginning and an end.

    Args:
        case: The open case.
        found: The comparison.
        collection: The collection; "" for the three that lost most.
        field: The date to go by, with dots between the steps of a path; "_id" for the time in an ObjectId; "" for a
            date that says when a record was made, if there is one, else its ObjectId.
    """
    if not found.total.missing:
        return answer("No record is missing.", tone="success")
    lost = {name: counts.missing for name, counts in found.counts.items() if counts.missing}
    order = [collection] if collection else sorted(lost, key=lambda name: (-lost[name], name))
    chosen = order[:_DRAWN]
    gone = [name for name in order if name in lost and not found.summary.records.get(name)]
    lines = [
        answer(f"Everything in {shown(name)} is missing: the database holds none of it.", tone="failed")
        for name in gone[:_DRAWN]
    ]
    more = f"{pieces(len(gone) - _DRAWN, 'more collection is', 'more collections are')} gone altogether."
    left = f"{pieces(len(order) - _DRAWN, 'more collection', 'more collections')} lost records: name one to see it."
    return join(
        *lines,
        *([more] if len(gone) > _DRAWN else []),
        *(part for name in chosen for part in _drawn(case, found, name, field)),
        *([left] if len(order) > _DRAWN else []),
    )


def _drawn(case: Case, found: Comparison, collection: str, field: str) -> Iterator[str]:
    """Yield the picture of when a collection's records were made, or why there is none."""
    try:
        times = timeline(case, found, collection, field=field)
    except ConnectionFailedError:
        raise
    except RecoveryError as error:
        yield f"{error.message[:1].upper()}{error.message[1:]}."
        return
    yield _image(plots.timeline(times.buckets, subject=times.subject))
    if times.undated:
        yield f"{pieces(times.undated, 'missing record does', 'missing records do')} not say when they were made."


def changes(found: Comparison) -> Markup:
    """Show the fields that changed: which ones and how often, and the first with both values."""
    counts = changed_fields(found)
    if not counts:
        return answer("No record differs in a field.", tone="success")
    cells: dict[str, dict[str, int]] = {}
    for one in counts:
        if one.status == Status.CHANGED:
            cells.setdefault(shown(one.collection), {})[one.field] = one.records
    changed = {shown(name): count.changed for name, count in found.counts.items()}
    rows = ([shown(one.collection), one.field, one.status, one.records] for one in counts)
    veiling = Veiling()
    first = list(_first(found, veiling))
    return join(
        _image(plots.heatmap(cells, changed)) if cells else "",
        table(["collection", "field", "records are", "records"], rows, total=len(counts),
              caption="Which fields differ", limit=_FEW),
        table(["collection", "key", "field", "how", "in the database", "in the source"], first,
              caption="The first of them"),
        *filter(None, [veiling.said()]),
    )  # fmt: skip


def _first(found: Comparison, veiling: Veiling) -> Iterator[list[object]]:
    """Yield the first fields that differ, with both values."""
    left = _FIRST
    for row in found.rows((Status.CHANGED, Status.EQUIVALENT), columns=("collection", "key", "changes")):
        for one in json.loads(row["changes"])[:left]:
            left -= 1
            yield [shown(row["collection"]), row["key"], one["path"], one["kind"],
                   cut(veiling.value(one["path"], one["database"])),
                   cut(veiling.value(one["path"], one["source"]))]  # fmt: skip
        if not left:
            return


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
