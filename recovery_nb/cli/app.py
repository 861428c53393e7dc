"""The commands. Each imports what it needs when it runs: `--help` must answer at once."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recovery_nb._version import __version__
from recovery_nb.cli.console import Console
from recovery_nb.errors import BadInputError

if TYPE_CHECKING:
    from recovery_nb.case import Case
    from recovery_nb.events import Emit

__all__ = ["app"]

app = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    help="Find every copy of every lost MongoDB record, put it back without harm, and prove that it was done.",
    epilog="Exit codes: 0 done, nothing lost; 1 done, and loss or problems were found; 2 could not be done; "
    "3 done in part; 130 interrupted.",
)  # fmt: skip
audit_app = typer.Typer(help="The audit log of the case.")
app.add_typer(audit_app, name="audit")


_SHOWN = 10
"""How many places of damage are shown of each source; the report holds them all."""


class _Layout(StrEnum):
    BSON = "bson"
    JSON = "json"


class _OnConflict(StrEnum):
    SKIP = "skip"
    REPLACE = "replace"
    MERGE = "merge"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Globals:
    """The options that every command has.

    Attributes:
        case: The case's folder.
        database: The URI given with `--db`, "" for none.
        console: Where results and remarks go.
    """

    case: Path
    database: str
    console: Console

    def open(self, emit: Emit) -> Case:
        """Open the case."""
        from recovery_nb.case import Case  # noqa: PLC0415 - see the module's docstring

        return Case.open(self.case, database=self.database, emit=emit)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"recovery-nb {__version__}\n")
        raise typer.Exit


@app.callback()
def _globals(
    context: typer.Context,
    case: Annotated[Path, typer.Option(help="The case's folder.", metavar="DIR")] = Path("case"),
    db: Annotated[str, typer.Option(help="The database: mongodb://host:port/NAME or embedded:NAME; else "
                                    "DATABASE_URI, else the profile.", metavar="URI")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no remarks.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True,
                                          help="Show the version.")] = False,
) -> None:  # fmt: skip
    context.obj = Globals(case, db, Console(as_json=as_json, quiet=quiet))


Named = Annotated[list[str], typer.Argument(metavar="PATH_OR_URI…", help="Files, folders, dumps, databases, oplog:.")]
Sources = Annotated[
    list[str], typer.Argument(metavar="SOURCE…", help="Backups, exports, dumps, logs, folders of them, oplog:.")
]
Collection = Annotated[str, typer.Option(help="Only this collection.", metavar="C")]
AsOf = Annotated[
    str | None, typer.Option(help="Against the state at that time, from an oplog and a backup.", metavar="TIME")
]
Target = Annotated[str, typer.Option(help="The database's collection to use instead.", metavar="T")]


def _counts_table(console: Console, counts: dict[str, dict[str, int]], *, title: str) -> None:
    if counts:
        heads = list(next(iter(counts.values())))
        console.table(["collection", *heads], [[name, *one.values()] for name, one in counts.items()], title=title)


def _print_report(console: Console, report: Any) -> None:
    """Print a recovery report: what there is, what is lost, what to do next."""
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
            console.say(f"{one.path}: its records are taken for {name} ({reason})")
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


@app.command()
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


@app.command()
def backup(
    context: typer.Context,
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; the case's backups by default.", metavar="DIR")
    ] = None,
    collections: Annotated[str, typer.Option(help="Only these, with commas.", metavar="A,B")] = "",
    layout: Annotated[
        _Layout, typer.Option("--format", help="bson: as mongodump writes it, with a manifest.")
    ] = _Layout.BSON,
) -> int:
    """Take a verified copy of the database."""
    console: Console = context.obj.console
    names = [name.strip() for name in collections.split(",") if name.strip()] or None
    with console.progress() as emit, context.obj.open(emit) as case:
        taken = case.backup(out, collections=names, layout=layout.value)
    console.document(
        {"path": str(taken.path), "collections": taken.collections, "records": taken.records, "bytes": taken.bytes,
         "consistent": taken.consistent, "cluster_time": taken.cluster_time, "seconds": round(taken.seconds, 3)}
    )  # fmt: skip
    console.say(f"{taken.records:,} records ({taken.bytes:,} bytes) in {taken.path}, read back and checked")
    if taken.cluster_time is None:
        console.remark("this server has no snapshots: records written meanwhile may be in it or not")
    return 0


@app.command()
def compare(
    context: typer.Context,
    sources: Sources,
    collection: Collection = "",
    key: Annotated[str, typer.Option(help="The fields that identify a record.", metavar="FIELD,…")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the differences: .parquet, .jsonl or .csv.", metavar="FILE")
    ] = None,
    as_of: AsOf = None,
) -> int:
    """Compare the database with sources: what is missing, changed, damaged."""
    from recovery_nb.compare.export import check_out, export  # noqa: PLC0415 - see the module's docstring

    console: Console = context.obj.console
    if out:
        check_out(out)
    with console.progress() as emit, context.obj.open(emit) as case:
        found = case.compare(*sources, collection=collection, key=_fields(key), as_of=as_of)
        errors = list(case.scanned.errors)
        if out:
            export(found, out)
    summary = found.summary
    console.document(
        {"comparison": summary.id, "collections": summary.collections, "keys": summary.keys,
         "consistent": summary.consistent, "sources": [entry.path for entry in found.sources.values()],
         "conversions": summary.conversions, "uncovered": summary.uncovered, "notes": summary.notes,
         "placements": summary.placements,
         "errors": errors, "out": out}
    )  # fmt: skip
    _counts_table(console, summary.collections, title=f"{summary.database} against {len(found.sources)} sources")
    for one in summary.placements:
        if one["reason"] != "named by the source":
            console.say(f"{one['source']}: its records are taken for {one['collection']} ({one['reason']})")
    for line in [*summary.notes, *(f"cannot be read: {line}" for line in errors)]:
        console.say(line)
    if summary.uncovered:
        console.say(f"in no source: {', '.join(summary.uncovered)}")
    if out:
        console.say(f"the differences are in {out}")
    return 0 if found.clean and not errors else 1


def _fields(text: str) -> tuple[str, ...]:
    return tuple(field.strip() for field in text.split(",") if field.strip())


@app.command()
def restore(
    context: typer.Context,
    sources: Sources,
    collection: Collection = "",
    target_collection: Target = "",
    only: Annotated[
        str, typer.Option(help="Which differences, with commas.", metavar="missing,changed")
    ] = "missing,changed",
    key: Annotated[str, typer.Option(help="The fields that identify a record.", metavar="FIELD,…")] = "",
    keys: Annotated[Path | None, typer.Option(help="Only the records that this file names.", metavar="FILE")] = None,
    on_conflict: Annotated[
        _OnConflict, typer.Option(help="Where the database holds another version.")
    ] = _OnConflict.SKIP,
    transaction: Annotated[bool, typer.Option("--transaction", help="Each batch wholly or not at all.")] = False,
    as_of: AsOf = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan and check, write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Plan a restore and apply it: missing records come back, nothing else is touched unless asked for."""
    console: Console = context.obj.console
    if not _fields(only):
        raise BadInputError("--only names no difference", hint="choose of missing, changed, equivalent")
    if not (yes or dry_run or sys.stdin.isatty()):
        raise BadInputError("a restore writes to the database", hint="confirm with --yes, or preview with --dry-run")
    with console.progress() as emit, context.obj.open(emit) as case:
        found = case.compare(*sources, collection=collection, target=target_collection, key=_fields(key), as_of=as_of)
        unread = list(case.scanned.errors)
        plan = case.plan(found, only=_fields(only), keys=keys, on_conflict=on_conflict.value)
        unmatched = [choice.key for choice in case.unmatched]
        preview = case.restore(plan, found, dry_run=True, transaction=transaction)
        if not (dry_run or yes):
            _print_plan(console, plan)
            typer.confirm(f"Write {plan.to_write:,} records to {plan.database}?", abort=True, err=True)
        result = preview if dry_run else case.restore(plan, found, transaction=transaction)
        checked = case.verify(result.restore_id) if result.restore_id else None
    for line in [*found.summary.notes, *(f"cannot be read: {line}" for line in unread)]:
        console.say(line)
    console.document(
        {**_restored(result), "plan": str(plan.path), "unmatched": unmatched, "notes": found.summary.notes,
         "unread": unread,
         "verification": checked.as_dict() if checked else None}
    )  # fmt: skip
    if dry_run:
        _print_plan(console, plan)
    verb = "would be restored" if dry_run else "restored"
    count = result.planned if dry_run else result.restored
    console.say(f"{count:,} {verb}, {result.skipped:,} skipped, {result.failed:,} failed")
    for problem in [*result.errors, *result.conflicts][:20]:
        console.say(f"  {problem.collection}/{problem.key}: {problem.reason}")
    for one in unmatched[:20]:
        console.say(f"  {one}: not among the differences; it is as in the sources already, or no source holds it")
    if checked:
        console.say(f"verified: {checked.checked:,} records, {len(checked.problems):,} problems")
    if result.restored and result.restore_id:
        console.say(f"to undo it: recovery-nb --case {context.obj.case} rollback {result.restore_id}")
    if result.failed or not result.success or (checked and not checked.ok):
        return 3
    return 1 if unmatched or unread else 0


def _restored(result: Any) -> dict[str, Any]:
    document = asdict(result)
    for name in ("errors", "conflicts"):
        document[name] = [asdict(one) if not isinstance(one, dict) else one for one in document[name]]
    return document


def _print_plan(console: Console, plan: Any) -> None:
    rows = [[name, str(action), count] for name, counts in plan.collections.items() for action, count in counts.items()]
    console.table(["collection", "action", "records"], rows, title=f"plan {plan.digest[:16]}")
    for write in _first(plan.writes(), 10):
        if write.reason:
            console.say(f"  {write.collection}/{write.key_text}: {write.action}, {write.reason}")


def _first(rows: Any, count: int) -> Any:
    return (row for _, row in zip(range(count), (one for one in rows if one.reason), strict=False))


@app.command()
def rollback(context: typer.Context, restore_id: Annotated[str, typer.Argument(metavar="RESTORE_ID")]) -> int:
    """Undo a restore; what others have written since is left alone and said."""
    console: Console = context.obj.console
    with console.progress() as emit, context.obj.open(emit) as case:
        result = case.rollback(restore_id)
    console.document(asdict(result))
    console.say(f"{result.reverted:,} reverted, {result.skipped:,} left alone, {result.failed:,} failed")
    for problem in result.errors[:20]:
        console.say(f"  {problem.collection}/{problem.key}: {problem.reason}")
    if result.already:
        console.say("it was rolled back before")
    return 3 if result.failed else 1 if result.skipped else 0


@app.command()
def verify(
    context: typer.Context,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A backup, a restore's id, a run, a case.")],
) -> int:
    """Check a backup, a restore, a run or a whole case."""
    console: Console = context.obj.console
    with console.progress() as emit, context.obj.open(emit) as case:
        found = case.verify(target)
    console.document(found.as_dict())
    for problem in found.problems[:50]:
        console.say(f"{problem.where}: {problem.what}")
    for note in found.notes:
        console.say(f"note: {note}")
    console.say(f"{'whole' if found.ok else f'{len(found.problems):,} problems'}; {found.checked:,} checked")
    return 0 if found.ok else 1


@app.command()
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
    from recovery_nb.compare.export import check_folder  # noqa: PLC0415 - see the module's docstring
    from recovery_nb.recovery import recover as run_recovery  # noqa: PLC0415 - see the module's docstring
    from recovery_nb.reports import write_json  # noqa: PLC0415 - as above

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


@app.command()
def run(
    context: typer.Context,
    notebook: Annotated[str, typer.Argument(metavar="NOTEBOOK", help="1_scan … 5_verify, recover, or a path.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME VALUE", help="Set a parameter.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder of runs; the case's by default.", metavar="DIR")] = None,
) -> int:
    """Run a notebook headless and keep what it leaves."""
    from recovery_nb.headless import run_notebook  # noqa: PLC0415 - see the module's docstring
    from recovery_nb.settings import load_settings  # noqa: PLC0415 - as above

    console: Console = context.obj.console
    folder: Path = context.obj.case.absolute()
    uri = context.obj.database or load_settings().database.get_secret_value()
    with console.progress() as emit:
        done = run_notebook(
            notebook,
            _pairs(parameters or []),
            out=out or folder / "runs",
            database=uri,
            case=folder,
            emit=emit,
        )
    _log_run(context.obj, done)
    console.document(
        {"run": str(done.run), "status": done.status, "notebook": str(done.notebook), "html": str(done.html),
         "report": str(done.report) if done.report else None, "error": done.error}
    )  # fmt: skip
    if done.error:
        console.complain(done.error)
    console.say(f"{done.status}: {done.html}")
    return done.exit_code


def _pairs(words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise BadInputError(f"the parameter {word} has no value", hint="write -p NAME VALUE")
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _log_run(options: Globals, done: Any) -> None:
    from recovery_nb.audit import AuditLog  # noqa: PLC0415 - see the module's docstring

    AuditLog(options.case.absolute() / "audit.jsonl").append(
        "run", notebook=done.notebook.name, run=str(done.run), status=done.status, error=done.error
    )


@app.command()
def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--dir", help="Where it happens.", metavar="DIR")] = Path("demo"),
) -> int:
    """Lose data in a private MongoDB, recover it headless, and check every record against the truth."""
    from recovery_nb.demo.show import run_demo  # noqa: PLC0415 - see the module's docstring

    console: Console = context.obj.console
    with console.progress() as emit:
        result = run_demo(folder, emit=emit, say=console.remark)
    console.document(result.as_dict())
    console.say(result.text())
    return 0 if result.ok else 1


@app.command()
def notebooks(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where they go.")] = Path("notebooks"),
) -> int:
    """Copy the notebooks to a folder, ready to open; nothing there is overwritten."""
    from recovery_nb.headless import copy_notebooks  # noqa: PLC0415 - see the module's docstring

    console: Console = context.obj.console
    written = copy_notebooks(folder)
    console.document({"written": [str(path) for path in written]})
    for path in written:
        console.say(str(path))
    console.say(f"open them with: jupyter lab {folder}")
    return 0


@audit_app.command("verify")
def audit_verify(context: typer.Context) -> int:
    """Check the chain of the audit log, and that it tells of all that the case holds."""
    from recovery_nb.checks import audit_gaps  # noqa: PLC0415 - see the module's docstring

    console: Console = context.obj.console
    log = _log(context.obj)
    found, gaps = log.verify(), audit_gaps(context.obj.case, log)
    problems = [asdict(one) for one in (*found.problems, *gaps.problems)]
    console.document(
        {"ok": not problems, "entries": found.entries, "verified_up_to": found.verified_up_to,
         "problems": problems, "notes": [*found.notes, *gaps.notes]}
    )  # fmt: skip
    for problem in problems:
        console.say(f"{problem['where']}: {problem['what']}")
    console.say(
        f"{'broken' if problems else 'whole'}; {found.entries:,} entries, verified up to {found.verified_up_to:,}"
    )
    return 1 if problems else 0


@audit_app.command("show")
def audit_show(context: typer.Context) -> int:
    """Show the audit log."""
    console: Console = context.obj.console
    log = _log(context.obj)
    found = log.verify()
    console.document(
        {"ok": found.ok, "entries": [asdict(entry) for entry in log.entries()] if console.as_json else [],
         "verified_up_to": found.verified_up_to, "problems": [asdict(one) for one in found.problems]}
    )  # fmt: skip
    if not console.as_json:
        for entry in log.entries():
            facts = ", ".join(f"{name} {value}" for name, value in entry.details.items())
            console.say(f"{entry.seq:>5}  {entry.time}  {entry.actor}  {entry.action}  {facts[:200]}")
    return 0 if found.ok else 1


def _log(options: Globals) -> Any:
    from recovery_nb.audit import AuditLog  # noqa: PLC0415 - see the module's docstring

    path = options.case.absolute() / "audit.jsonl"
    if not path.is_file():
        raise BadInputError(f"{options.case} holds no audit log", hint="name the case's folder with --case")
    return AuditLog(path)
