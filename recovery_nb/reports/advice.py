"""What the findings amount to: the status, and the commands to run next. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from recovery_nb.commands import command_line
from recovery_nb.reports.model import Findings, Report, SourceFacts, Status, Summary

__all__ = ["build_report", "decide_status", "recommend"]

_MAX_COLLECTIONS = 10
"""How many collections get a sentence of their own for each kind of finding."""


def build_report(findings: Findings, errors: Sequence[str] = ()) -> Report:
    """Return the report of `findings`, with its summary; what was left out of the comparison is one of the errors."""
    errors = [*errors, *findings.apart]
    restore = findings.restore
    applied = restore is not None and not restore.dry_run
    summary = Summary(
        total_recovered=restore.restored
        if restore is not None and applied
        else sum(each.recoverable for each in findings.candidates.values()),
        status=decide_status(findings, errors),
        recommendations=recommend(findings, errors),
        errors=errors,
    )
    return Report(**{name: getattr(findings, name) for name in Findings.model_fields}, summary=summary)


def decide_status(findings: Findings, errors: Sequence[str] = ()) -> Status:
    """Say how the recovery stands.

    - failed: a restore was applied and restored nothing of what it planned; or there are errors, and
      neither the database nor a single source could be read.
    - partial: something is unrecoverable, unreadable or in error; or a restore, or its verification, left
      something undone.
    - success: compared and nothing is lost; or all that was lost is restored and verified.
    - pending: nothing was compared yet, or what is lost and can be recovered waits for its restore.
    """
    restore, verification = findings.restore, findings.verification
    applied = restore is not None and not restore.dry_run
    missing = sum(each.missing for each in findings.comparison.values())
    if restore is not None and applied and not restore.restored and restore.failed:
        return Status.FAILED
    if errors and not findings.database.connected and not findings.sources:
        return Status.FAILED
    unreadable = any(source.damage for source in findings.sources)
    corrupt = any(each.corrupt for each in findings.comparison.values())
    if errors or unreadable or corrupt or findings.unrecoverable or findings.unrecoverable_total:
        return Status.PARTIAL
    if verification is not None and not verification.ok:
        return Status.PARTIAL
    if restore is not None and applied:
        done = restore.restored + restore.skipped >= max(missing, restore.planned) and not findings.structures
        return Status.SUCCESS if done and not restore.failed and verification is not None else Status.PARTIAL
    return Status.SUCCESS if findings.comparison and not missing and not findings.structures else Status.PENDING


def recommend(findings: Findings, errors: Sequence[str] = ()) -> list[str]:
    """Return what to do next, most urgent first, each sentence with the exact command.

    The commands are quoted for a shell and hold no password.
    """
    return [
        *_after_restore(findings),
        *_access(findings, errors),
        *_to_restore(findings),
        *_to_examine(findings),
        *_about_sources(findings),
        *_when_whole(findings, errors),
    ]


def _command(findings: Findings, *words: str) -> str:
    case = findings.case
    usual = "" if case in {"case", "./case"} else case
    return f"`{command_line(*words, case=usual, database=findings.database_uri)}`"


def _path(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


def _collection(name: str) -> list[str]:
    return [f"--collection={name}"] if name.startswith("-") else ["--collection", name]


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"


def _after_restore(findings: Findings) -> Iterator[str]:
    restore, verification = findings.restore, findings.verification
    if restore is None or restore.dry_run:
        return
    if restore.failed:
        yield (
            f"{_records(restore.failed)} could not be restored; see the errors, and undo the restore if need"
            f" be: {_command(findings, 'rollback', restore.restore_id)}."
        )
    if verification is None:
        yield f"Check what the restore wrote: {_command(findings, 'verify', restore.restore_id)}."
    elif not verification.ok:
        yield (
            f"The verification found {len(verification.problems):,} problems; look at them again with"
            f" {_command(findings, 'verify', restore.restore_id)}, or undo the restore with"
            f" {_command(findings, 'rollback', restore.restore_id)}."
        )


def _access(findings: Findings, errors: Sequence[str]) -> Iterator[str]:
    if not findings.database.connected:
        yield (f"The database was not read; set DATABASE_URI to its address and run {_command(findings, 'recover')}.")
    if not findings.sources:
        again = _command(findings, "scan", ".")
        yield f"No backup or export was found; name the folder that has them: {again}."
    elif set(errors) - set(findings.apart):
        again = _command(findings, "scan", ".")
        yield f"Some of it could not be read; see the errors, then run {again} again."


def _to_restore(findings: Findings) -> Iterator[str]:
    if findings.restore is not None and not findings.restore.dry_run:
        return
    wanted = sorted(_lost(findings), key=lambda each: (-each[1], each[0]))
    if not wanted:
        yield from _to_make(findings)
        return
    if findings.backup is None and findings.database.connected:
        yield f"Back up the database before anything is changed: {_command(findings, 'backup')}."
    for name, count, sources, said in wanted[:_MAX_COLLECTIONS]:
        words = ["restore", *map(_path, sources), *_collection(name), "--only", "missing", "--dry-run"]
        yield f"In {name}, {said.format(_records(count))}; preview the restore: {_command(findings, *words)}."
    if rest := wanted[_MAX_COLLECTIONS:]:
        every = list(dict.fromkeys(path for _, _, sources, _ in wanted for path in sources))
        words = ["restore", *map(_path, every), "--only", "missing", "--dry-run"]
        yield f"{len(rest):,} more collections lost records; preview all: {_command(findings, *words)}."


def _to_make(findings: Findings) -> Iterator[str]:
    """Yield how what holds no record comes back: with records it comes by itself."""
    if lacking := list(findings.structures):
        sources = map(_path, (source.path for source in findings.sources))
        shown = ", ".join(lacking[:_MAX_COLLECTIONS]) + (", …" if len(lacking) > _MAX_COLLECTIONS else "")
        words = ["restore", *sources, "--only", "missing", "--dry-run"]
        yield f"The database lacks {shown}, which sources describe; preview: {_command(findings, *words)}."


def _lost(findings: Findings) -> Iterator[tuple[str, int, list[str], str]]:
    """Yield collection, records, sources (best first) and a sentence of what to restore."""
    for name, each in findings.candidates.items():
        best = sorted((path for path, count in each.sources.items() if count), key=lambda p: -each.sources[p])
        if each.recoverable and best:
            enough = best[:1] if each.sources[best[0]] >= each.recoverable else best
            yield name, each.recoverable, enough, "{} missing from the database can be recovered"
    if findings.comparison or findings.candidates or not findings.database.connected:
        return
    # Nothing was compared: more records in a backup than in the database is a sign of loss, no proof.
    fullest: dict[str, tuple[int, str]] = {}
    for source in findings.sources:
        for name, count in source.collections.items():
            fullest[name] = max(fullest.get(name, (0, "")), (count, source.path))
    for name, (count, path) in fullest.items():
        if name and (short := count - findings.database.collections.get(name, 0)) > 0:
            yield name, short, [path], "a backup holds {} more than the database"


def _to_examine(findings: Findings) -> Iterator[str]:
    sources = [_path(source.path) for source in findings.sources]
    if not findings.comparison:
        if findings.database.connected and sources:
            yield f"Compare before you restore: {_command(findings, 'compare', *sources)}."
        return
    paths = sources or ["."]

    def look(collection: str) -> str:
        file = f"{collection.replace('/', '_')}-differences.csv"
        return _command(findings, "compare", *paths, *_collection(collection), "--out", _path(file))

    counts = findings.comparison.items()
    restored = findings.restore is not None and not findings.restore.dry_run
    changed = () if restored else ((name, each.changed) for name, each in counts)
    yield from _each(changed, "In {}, {} changed since the backup; see which version is right: {}.", look)
    twice = ((name, each.duplicate) for name, each in counts)
    yield from _each(twice, "In {}, {} share a key with another; choose with a list of them: {}.", look)
    broken = ((name, each.corrupt) for name, each in counts)
    yield from _each(broken, "In {}, {} cannot be read; see where: {}.", look)


def _each(counts: Iterable[tuple[str, int]], sentence: str, command: Callable[[str], str]) -> Iterator[str]:
    found = [(name, count) for name, count in counts if count]
    for name, count in found[:_MAX_COLLECTIONS]:
        yield sentence.format(name, _records(count), command(name))
    if rest := found[_MAX_COLLECTIONS:]:
        yield f"The same holds for {len(rest):,} more collections; the next is {command(rest[0][0])}."


def _about_sources(findings: Findings) -> Iterator[str]:
    for source in [each for each in findings.sources if each.damage][:_MAX_COLLECTIONS]:
        places = "1 place" if len(source.damage) == 1 else f"{len(source.damage):,} places"
        yield (
            f"{source.name} is damaged in {places}; look for a whole copy, and check this one with"
            f" {_command(findings, 'verify', _path(source.path))}."
        )
    if findings.comparison:
        used = {path for each in findings.candidates.values() for path, count in each.sources.items() if count}
        plain = [each for each in findings.sources if each.typing == "plain" and each.path in used]
        for source in plain[:_MAX_COLLECTIONS]:
            yield (
                f"{source.name} kept no BSON types; ids, dates and numbers restored from it are inferred,"
                f" so look at them first: {_preview(findings, source)}."
            )
    total = findings.unrecoverable_total or len(findings.unrecoverable)
    if total:
        yield (
            f"{_records(total)} cannot be recovered from the sources at hand; search further folders and"
            f" older backups: {_command(findings, 'scan', '.', 'exports', 'data')}."
        )


def _preview(findings: Findings, source: SourceFacts) -> str:
    return _command(findings, "restore", _path(source.path), "--only", "missing", "--dry-run")


def _when_whole(findings: Findings, errors: Sequence[str]) -> Iterator[str]:
    if decide_status(findings, errors) is Status.SUCCESS and findings.backup is None:
        yield f"Nothing is lost; keep it so with a fresh backup: {_command(findings, 'backup')}."
