"""What the copies tell: between which of them records were lost, and how collections are built on both sides."""

from __future__ import annotations

from datetime import UTC, datetime

from recovery_nb.case import Case
from recovery_nb.compare.brackets import Bracket, brackets, holders, is_told, taken
from recovery_nb.compare.composition import Composition, FieldUse, Sample, composition
from recovery_nb.compare.resolve import is_bucketed, shown
from recovery_nb.compare.result import Comparison
from recovery_nb.compare.tallies import held, made_between, titles
from recovery_nb.errors import ConnectionFailedError, RecoveryError
from recovery_nb.reports.html import Markup, chip, image, join, table
from recovery_nb.reports.plots import Copy, Span, spans
from recovery_nb.reports.windows import instant
from recovery_nb.widgets.markup import answer, folded, pieces, unbroken

__all__ = ["backups", "structure"]

_FEW = 20
_NEWER = 3
_MOST = 8
_CAUTION = (
    "When a record was made does not tell when it was lost: the copies do. A copy that was made with a query or a "
    "limit lacks records that were never lost."
)


def backups(found: Comparison) -> Markup:
    """Show which copy is the newest before the loss, and between which two each collection lost its records."""
    missing = found.total.missing
    if not missing:
        return answer("No record is missing.", tone="success")
    groups = held(found)
    losses, holds = brackets(found, groups), holders(groups)
    named = titles(found.sources)
    said = _said(found, losses, holds, named)
    copies = [
        Copy(named[identifier], entry.taken_at, is_told(entry), holds.get(identifier, 0))
        for identifier, entry in found.sources.items()
    ]
    lost = [Span(shown(one.collection), one.after, one.before, one.records) for one in losses if one.after < one.before]
    read_at = datetime.fromisoformat(found.summary.started)
    made = {shown(name): (instant(first), instant(last)) for name, (first, last) in made_between(found).items()}
    picture = spans(copies, lost, read_at=read_at, missing=missing, made=made, said=said)
    rows = [
        [shown(one.collection), one.records, _moment(one.after), _holder(one, named), _moment(one.before),
         named.get(one.witness, "the database"), _span(made.get(shown(one.collection))), one.doubt]
        for one in losses[:_FEW]
    ]  # fmt: skip
    order = sorted(found.sources.items(), key=lambda item: item[1].taken_at, reverse=True)
    sources = (
        [named[identifier], _moment(entry.taken_at), entry.taken_from, holds.get(identifier, 0)]
        for identifier, entry in order
    )
    return join(
        answer(said, tone="failed"),
        image(picture.png, alt=picture.alt),
        _CAUTION,
        table(
            ["collection", "records", "there at (UTC)", "as told by", "gone at (UTC)", "as told by", "made (UTC)",
             "what speaks against it"],
            rows, total=len(losses), caption="When records were lost", limit=_FEW,
        ),
        folded(
            f"What each source holds of the missing records ({len(order)})",
            table(["source", "taken at (UTC)", "by its", "missing records it holds"], sources, total=len(order)),
        ),
    )  # fmt: skip


def _said(found: Comparison, losses: list[Bracket], holds: dict[str, int], named: dict[str, str]) -> str:
    """Return the finding in words: the stretch in which most records were lost, over all collections."""
    missing = found.total.missing
    together: dict[tuple[str, str, bool], list[Bracket]] = {}
    for one in losses:
        together.setdefault((one.holder, one.witness, one.written), []).append(one)
    if not together:
        return f"{pieces(missing, 'record is', 'records are')} missing; which sources hold them is not known."
    (holder, witness, written), main = max(together.items(), key=lambda item: sum(one.records for one in item[1]))
    entry, count = found.sources[holder], sum(one.records for one in main)
    if witness:
        end = f"before {named[witness]} was taken ({taken(found.sources[witness])}), which lacks them"
    else:
        end = f"before the database was read ({datetime.fromisoformat(found.summary.started):%-d %b %Y %H:%M} UTC)"
    if written:
        begin = min(one.after for one in main)
        head = (
            f"{pieces(count, 'missing record is', 'missing records are')} known from {named[holder]}, "
            f"the first of them last written at {_moment(begin)} UTC."
        )
    else:
        head = (
            f"The newest backup before the loss is {named[holder]} (taken {taken(entry)}), and it holds "
            f"{holds[holder]:,} of the {pieces(missing, 'missing record')}."
        )
    of = "They" if count == missing else f"{count:,} of them"
    parts = [head, f"{of} were lost after that, and {end}."]
    if newer := _newer(found, holder, holds, named):
        parts.append(f"Newer sources: {newer}.")
    if doubt := next((one.doubt for one in main if one.doubt), ""):
        parts.append(f"But {doubt}.")
    return " ".join(parts)


def _newer(found: Comparison, holder: str, holds: dict[str, int], named: dict[str, str]) -> str:
    since = found.sources[holder].taken_at
    newer = sorted(
        (entry.taken_at, identifier) for identifier, entry in found.sources.items() if entry.taken_at > since
    )
    counts = ((named[one], holds.get(one, 0)) for _, one in newer[:_NEWER])
    told = [f"{name} holds {f'{count:,}' if count else 'none'}" for name, count in counts]
    return ", ".join(told) + (f", and {len(newer) - _NEWER:,} more" if len(newer) > _NEWER else "")


def _holder(one: Bracket, named: dict[str, str]) -> str:
    return f"{named[one.holder]}, last written" if one.written else named[one.holder]


def _moment(moment: datetime) -> Markup:
    return unbroken(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}")


def _span(made: tuple[datetime, datetime] | None) -> str:
    if made is None:
        return ""
    begin, end = (f"{moment:%Y-%m-%d}" for moment in made)
    return begin if begin == end else f"{begin} to {end}"


def structure(case: Case, found: Comparison, *, collection: str = "") -> Markup:
    """Show how a collection is built in the database and in its fullest backup: fields, types, and what differs.

    Args:
        case: The open case.
        found: The comparison.
        collection: The collection; "" for the eight that differ most, by missing and changed records.
    """
    counts = found.counts
    names = sorted(
        (name for name in counts if not is_bucketed(name)),
        key=lambda name: (-counts[name].missing - counts[name].changed, name),
    )
    chosen = [collection] if collection else names[:_MOST]
    if not chosen:
        return answer("No collection was compared that has fields of its own.")
    parts = []
    for name in chosen:
        try:
            parts.append(_structure(composition(found, case.database, case.catalog, name), opened=len(chosen) == 1))
        except ConnectionFailedError:
            raise
        except RecoveryError as error:
            parts.append(answer(f"{error.message[:1].upper()}{error.message[1:]}."))
    left = len(names) - len(chosen)
    rest = f"{pieces(left, 'more collection')}: name one to see it." if left > 0 and not collection else ""
    return join(*parts, rest)


def _structure(found: Composition, *, opened: bool) -> Markup:
    different = [use for use in found.fields if use.differs]
    count = f"{len(different)} of {pieces(len(found.fields), 'field')}"
    if not found.database_sample.sampled:
        text, tone = f"{found.collection}: the database holds no record to compare with.", "failed"
    elif different:
        text, tone = f"{found.collection}: {count} are used in another way than in {found.source}.", "partial"
    else:
        text, tone = f"{found.collection} is built as in {found.source}.", "success"
    many = found.database_sample.cut or found.source_sample.cut
    cut = "; only the first 2,000 fields are told" if many else ""
    caption = f"Database: {_sampled(found.database_sample)}; {found.source}: {_sampled(found.source_sample)}{cut}"
    heads = ["field", "in the database", "in the backup", "types there", "types in the backup", "differs in"]
    shown_fields = table(heads, map(_row, found.fields), total=len(found.fields), caption=caption)
    summary = f"{found.collection}: {pieces(len(found.fields), 'field')}"
    return join(answer(text, tone=tone), shown_fields if opened else folded(summary, shown_fields))


def _sampled(one: Sample) -> str:
    if one.whole:
        return f"all {pieces(one.records, 'record')}" if one.records else "no records"
    return f"of {pieces(one.sampled, 'sampled record')}"


def _row(use: FieldUse) -> list[object]:
    marked = chip("changed") if use.differs else ""
    differs = Markup(f"{marked} {use.differs}") if use.differs else ""
    return [use.field, _percent(use.database), _percent(use.source), use.database_types, use.source_types, differs]


def _percent(share: float) -> Markup:
    """Return a share in per cent, to one place, which neither hides one record nor the lack of one."""
    text = "none" if not share else "<0.1%" if share < 0.001 else ">99.9%" if 0.999 < share < 1 else f"{share:.1%}"
    return unbroken(text)
