"""Finding what is lost and where it still is: scan, compare, and the whole workflow in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from recovery_nb.cli.console import Console
from recovery_nb.cli.given import listed
from recovery_nb.cli.options import AsOf, Collection, Key, Sources, Target, next_command
from recovery_nb.cli.structures import print_kinds
from recovery_nb.errors import BadInputError
from recovery_nb.kinds import kinds

__all__ = ["compare", "recover", "scan"]

_SHOWN = 10
"""How many places of damage are shown of each source; the report holds them all."""

Named = Annotated[list[str], typer.Argument(metavar="PATH_OR_URI…", help="Files, folders, dumps, databases, oplog:.")]


def scan(context: typer.Context, paths: Named) -> int:
    """Find and catalog every readable source."""
    console: Console = context.obj.console
    with console.progress() as emit, context.obj.open(emit) as case:
        found = case.scan(*paths)
        report = case.report()
        case.save_report(report)
    _print_report(console, report)
    if case.uri and not report.database.connected:
        console.complain(report.summary.errors[-1])
        return 2
    short = any("more than the database" in line for line in report.summary.recommendations)
    return 1 if found.damaged or short or report.summary.errors else 0


def compare(
    context: typer.Context,
    sources: Sources,
    collection: Collection = "",
    key: Key = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the differences: .parquet, .jsonl or .csv.", metavar="FILE")
    ] = None,
    as_of: AsOf = None,
) -> int:
    """Compare the database with sources: what is missing, changed, damaged."""
    from recovery_nb.audit import redact_uri  # noqa: PLC0415 - `--help` must answer at once
    from recovery_nb.compare.export import check_out, export  # noqa: PLC0415 - `--help` must answer at once
    from recovery_nb.compare.resolve import shown  # noqa: PLC0415 - `--help` must answer at once

    console: Console = context.obj.console
    fields = listed(key, "--key")
    if out:
        check_out(out)
    with console.progress() as emit, context.obj.open(emit) as case:
        found = case.compare(*sources, collection=collection, key=fields, as_of=as_of)
        errors = list(case.scanned.errors)
        lacking = kinds(case.structures(found))
        if out:
            export(found, out)
    summary = found.summary
    console.document(
        {"comparison": summary.id, "collections": summary.collections, "keys": summary.keys,
         "consistent": summary.consistent, "sources": [entry.path for entry in found.sources.values()],
         "conversions": summary.conversions, "uncovered": summary.uncovered, "notes": summary.notes,
         "placements": summary.placements, "structures": lacking, "errors": errors, "out": out}
    )  # fmt: skip
    number = f"{len(found.sources):,} source{'s' if len(found.sources) != 1 else ''}"
    _counts_table(console, summary.collections, title=f"{summary.database} against {number}")
    for one in summary.placements:
        if one["reason"] != "named by the source":
            console.say(f"{one['source']}: its records are taken for {shown(one['collection'])} ({one['reason']})")
    for line in [*summary.notes, *(f"cannot be read: {line}" for line in errors)]:
        console.say(line)
    print_kinds(console, lacking, "the database lacks")
    if summary.uncovered:
        console.say(f"in no source: {', '.join(map(shown, summary.uncovered))}")
    if out:
        console.say(f"the differences are in {out}")
    if found.total.missing or found.total.changed or lacking:
        asked = {"--collection": collection, "--key": key, "--as-of": as_of}
        options = [word for name, value in asked.items() if value for word in (name, value)]
        named = map(redact_uri, sources)
        next_command(context.obj, "to see what a restore would do", "restore", *named, *options, "--dry-run")
    return 0 if found.clean and not errors and not lacking else 1


def recover(
    context: typer.Context,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="Scan without a backup first.")] = False,
    restore_file: Annotated[
        Path | None, typer.Option("--restore", help="Restore what is missing from this source.", metavar="FILE")
    ] = None,
    target_collection: Target = "",
    output: Annotated[Path | None, typer.Option(help="Write the JSON report here too.", metavar="FILE")] = None,
) -> int:
    """The whole workflow in one go: backup, scan, compare, report; and restore, if a file is named."""
    from recovery_nb.compare.export import check_folder  # noqa: PLC0415 - `--help` must answer at once
    from recovery_nb.recovery import recover as run_recovery  # noqa: PLC0415 - `--help` must answer at once
    from recovery_nb.reports import write_json  # noqa: PLC0415 - `--help` must answer at once

    console: Console = context.obj.console
    if target_collection and not restore_file:
        raise BadInputError("--target-collection needs --restore FILE", hint="name the file to restore from")
    if output:
        check_folder(output)
    with console.progress() as emit, context.obj.open(emit) as case:
        outcome = run_recovery(case, backup=not no_backup, source=restore_file, target=target_collection)
        path = case.save_report(outcome.report)
        if output:
            write_json(output, outcome.report)
    _print_report(console, outcome.report)
    console.say(f"report: {output or path}")
    return outcome.exit_code


def _print_report(console: Console, report: Any) -> None:
    """Print a recovery report: what there is, what is lost, what to do next."""
    from recovery_nb.compare.resolve import shown  # noqa: PLC0415 - `--help` must answer at once

    document = report.model_dump(mode="json")
    console.document(document)
    database = report.database
    if database.connected:
        console.table(
            ["collection", "records"], sorted(database.collections.items()), title=f"database {database.name}"
        )
    console.table(
        ["source", "format", "types", "records", "of", "damage"],
        [[one.path, one.kind, one.typing, one.record_count, str(one.taken_at or one.modified)[:16], len(one.damage)]
         for one in report.sources],
        title="sources",
    )  # fmt: skip
    for one in report.sources:
        for name, reason in one.inferred.items():
            console.say(f"{one.path}: its records are taken for {shown(name)} ({reason})")
    for copy in report.filesystem.copies:
        console.say(f"{copy.path} holds the same as {copy.of}, and is not counted again")
    _counts_table(console, document["comparison"], title="differences")
    for one in report.sources:
        for place in one.damage[:_SHOWN]:
            name = f"{one.path}/{place.member}" if place.member else one.path
            console.say(f"damaged: {name}, byte {place.offset:,}: {place.reason}")
        if len(one.damage) > _SHOWN:
            console.say(f"damaged: {one.path}, {len(one.damage) - _SHOWN:,} more places")
    for line in report.summary.errors:
        console.say(f"cannot be read: {line}")
    console.say(f"status: {report.summary.status.value}")
    for line in report.summary.recommendations:
        console.say(f"→ {line}")


def _counts_table(console: Console, counts: dict[str, dict[str, int]], *, title: str) -> None:
    from recovery_nb.compare.resolve import shown  # noqa: PLC0415 - `--help` must answer at once

    if counts:
        heads = list(next(iter(counts.values())))
        rows = [[shown(name), *one.values()] for name, one in counts.items()]
        console.table(["collection", *heads], rows, title=title)
