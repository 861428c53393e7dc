"""How the recovery stands, what to do next, and what was done so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from recovery_nb.case import Case
from recovery_nb.reports import Report
from recovery_nb.reports.html import Markup, join, table
from recovery_nb.widgets.markup import answer, cut, pieces, steps, unbroken

__all__ = ["audit", "report"]

_FEW = 20


def report(found: Report) -> Markup:
    """Show the report's summary: how the recovery stands, and what to do next."""
    summary = found.summary
    applied = found.restore is not None and not found.restore.dry_run
    count = pieces(summary.total_recovered, "record")
    said = f"{count} restored" if applied else f"{count} can be recovered" if summary.total_recovered else ""
    lost = pieces(found.unrecoverable_total, "place") if found.unrecoverable_total else ""
    parts = [said, f"{lost} that no one can read" if lost else "", *_open(found)]
    rows = [[one.collection, one.key or one.where or "", one.reason, one.source] for one in found.unrecoverable]
    return join(
        answer(f"{summary.status.value.capitalize()}: {', '.join(filter(None, parts)) or 'nothing lost'}.",
               tone=summary.status.value),
        steps(summary.recommendations) if summary.recommendations else "Nothing is left to do.",
        table(["collection", "key or place", "because", "source"], rows, total=found.unrecoverable_total,
              caption="What cannot be read", limit=_FEW) if rows else "",
        table(["errors"], ([error] for error in summary.errors)) if summary.errors else "",
    )  # fmt: skip


def _open(found: Report) -> list[str]:
    changed = sum(counts.changed for counts in found.comparison.values())
    wrong = found.verification is not None and not found.verification.ok
    return [
        f"{changed:,} changed" if changed and found.restore is None else "",
        "the verification found problems" if wrong else "",
        "" if found.comparison or not found.sources else "nothing was compared yet",
    ]


def audit(case: Case) -> Markup:
    """Show the case's audit log: whether its chain holds, and its last entries."""
    check = case.audit.verify()
    last = deque(case.audit.entries(), maxlen=_FEW)
    rows = [
        [entry.seq, unbroken(entry.time[:19].replace("T", " ")), entry.actor, entry.action, _details(entry.details)]
        for entry in last
    ]
    whole = "the chain of hashes is whole" if check.ok else pieces(len(check.problems), "problem")
    return join(
        answer(f"{pieces(check.entries, 'entry', 'entries')}: {whole}.", tone="success" if check.ok else "failed"),
        table(["no.", "time (UTC)", "who", "what", "details"], rows, total=check.entries, caption="The last ones"),
    )


def _details(details: Mapping[str, object]) -> str:
    told = ((name, value) for name, value in details.items() if name != "database" and value not in ("", [], {}))
    return cut(", ".join(f"{name} {_told(value)}" for name, value in told), 160)


def _told(value: object) -> str:
    """Return a value, or how many parts it has."""
    return f"({len(value)})" if isinstance(value, list | dict) else str(value)
