"""The case: one investigation in one folder, and the five verbs over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import get_args

from recovery_nb.audit import AuditLog, redact_uri
from recovery_nb.audit.values import printable
from recovery_nb.backups import BackupResult, Layout, write_backup
from recovery_nb.catalog.entry import SourceEntry
from recovery_nb.catalog.store import Catalog
from recovery_nb.checks import verify_target
from recovery_nb.compare.engine import Request, compare
from recovery_nb.compare.live import first_fields
from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.databases import of_one_database
from recovery_nb.embedded import EmbeddedMongod
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Emit, silent
from recovery_nb.facts import findings
from recovery_nb.reports import Report, Unrecoverable, build_report, write_report
from recovery_nb.restore.apply import RestoreResult, apply
from recovery_nb.restore.files import list_restores
from recovery_nb.restore.plan import OnConflict, Plan
from recovery_nb.restore.planning import make_plan
from recovery_nb.restore.rollback import RollbackResult, rollback
from recovery_nb.scanning import Scan, catalogued
from recovery_nb.selection import RESTORABLE, Choice, Keys, collection_options, planned_bytes, read_keys, select
from recovery_nb.settings import Settings, load_settings
from recovery_nb.sources.base import AS_OF
from recovery_nb.sources.discover import find_by_pattern, find_sources
from recovery_nb.sources.mongodb import Database
from recovery_nb.sources.oplog.live import copy_oplog
from recovery_nb.sources.oplog.times import parse_time
from recovery_nb.sources.tree import Tree
from recovery_nb.states import state_at
from recovery_nb.verification import Verification

__all__ = ["Case", "Scan"]

_EMBEDDED = "embedded:"
_OPLOG = "oplog:"
_URIS = ("mongodb://", "mongodb+srv://", _EMBEDDED)


def _nothing(errors: Sequence[str]) -> str:
    """Return, in one line, why nothing could be read."""
    if not errors:
        return "nothing named can be read"
    return errors[0] if len(errors) == 1 else f"{errors[0]} (and {len(errors) - 1:,} more that cannot be read)"


@dataclass
class Case:
    """One investigation: a folder, and the database it is about.

    Use `Case.open`, as a context manager or with `close`. Every verb is written to the audit log.

    Attributes:
        folder: The case's folder.
        uri: The database's URI, "" for none; `embedded:NAME` is a private server of the case's own.
        emit: Hears how far a verb is.
        unmatched: The choices of the last plan's keys that no difference answers to.
    """

    folder: Path
    uri: str
    settings: Settings
    emit: Emit = silent
    scanned: Scan = field(default_factory=lambda: Scan(()))
    comparison: Comparison | None = None
    backup_taken: BackupResult | None = None
    restored: RestoreResult | None = None
    verified: Verification | None = None
    unmatched: list[Choice] = field(default_factory=list)
    _server: EmbeddedMongod | None = None

    @classmethod
    def open(cls, path: str | Path = "case", *, database: str = "", emit: Emit = silent) -> Case:
        """Open a case, or begin one; nothing is written before the first verb.

        Args:
            path: The case's folder.
            database: The database's URI; else `DATABASE_URI`, else the profile's.
            emit: Hears how far a verb is.

        Raises:
            BadInputError: A setting cannot be used, or the folder is a file.
        """
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise BadInputError(f"{folder} is a file, not a case's folder", hint="name another folder (--case)")
        settings = load_settings()
        return cls(folder.absolute(), database or settings.database.get_secret_value(), settings, emit)

    def __enter__(self) -> Case:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and stop the embedded server if this case started it."""
        if "database" in self.__dict__:
            self.__dict__.pop("database").close()
        if self._server:
            self._server.stop()
            self._server = None

    @cached_property
    def audit(self) -> AuditLog:
        """The case's audit log."""
        return AuditLog(self.folder / "audit.jsonl")

    @cached_property
    def tree(self) -> Tree:
        """What opens files, also compressed, encrypted or within archives."""
        return Tree(self.settings.expansion())

    @cached_property
    def catalog(self) -> Catalog:
        """The case's catalog."""
        return Catalog(self.folder / "catalog", self.tree)

    def address(self, uri: str = "") -> str:
        """Return the URI that a driver takes; `embedded:NAME` starts the case's own server.

        Args:
            uri: Another database than the case's own.

        Raises:
            BadInputError: No database was given.
            MissingRequirementError: There is no mongod to start.
        """
        uri = uri or self.uri
        if not uri:
            raise BadInputError(
                "no database was given",
                hint="set DATABASE_URI, or use --db mongodb://localhost:27017/NAME or embedded:NAME",
            )
        if not uri.startswith(_EMBEDDED):
            return uri
        name = uri.removeprefix(_EMBEDDED)
        if not name or set(name) & set('/\\. "$*<>:|?'):
            raise BadInputError(f"{uri} names no database", hint="write embedded:NAME")
        if not self._server:
            self._server = EmbeddedMongod(self.folder / "embedded").start()
        return self._server.uri(name)

    @cached_property
    def database(self) -> Database:
        """The connected database, opened when it is first needed.

        Raises:
            BadInputError: No database was given, or its URI cannot be used.
            ConnectionFailedError: It does not answer.
        """
        return Database(self.address(), label=redact_uri(self.uri))

    @contextmanager
    def _audited(self, action: str, **details: object) -> Iterator[dict[str, object]]:
        """Log a verb when it ends, with what came of it; a failed one with its reason."""
        outcome: dict[str, object] = {}
        label = redact_uri(self.uri) if self.uri else ""
        self.audit.append(f"{action} started", database=label, **details)
        try:
            yield outcome
        except BaseException as error:
            self.audit.append(f"{action} failed", error=str(error) or type(error).__name__)
            raise
        self.audit.append(f"{action} finished", **outcome)

    # --- scan -----------------------------------------------------------------------------------------------

    def scan(self, *named: str | Path) -> Scan:
        """Find and catalog every readable source: what is named, or what lies where backups usually lie.

        Args:
            *named: Files, folders, databases by URI, `oplog:` for what the oplog of the database's server tells of
                it, `oplog:URI` for another's; nothing for the usual folders and names.

        Raises:
            BadInputError: Nothing that was named can be read.
        """
        with self._audited("scan", named=[redact_uri(str(name)) for name in named]) as outcome:
            paths = [self._copied(str(name)) for name in named]
            own = [] if any(path.absolute().is_relative_to(self.folder) for path in paths) else [self.folder]
            if named:
                found = find_sources(paths, skip=own, tree=self.tree)
            else:
                found = find_by_pattern(self.settings.folders, self.settings.patterns, skip=own, tree=self.tree)
            self.scanned = catalogued(found, self.catalog, emit=self.emit)
            outcome.update(
                sources=[
                    {"id": one.id, "path": str(one.path), "digest": one.digest, "records": one.records}
                    for one in self.scanned.sources
                ],
                errors=self.scanned.errors,
            )
            if named and not self.scanned.sources:
                raise BadInputError(_nothing(self.scanned.errors))
        return self.scanned

    def _copied(self, name: str) -> Path:
        """A database or an oplog named as a source is copied into the case first: evidence must not move."""
        if name.startswith(_OPLOG):
            uri = name.removeprefix(_OPLOG) or self.uri
            with closing(Database(self.address(uri), label=redact_uri(uri))) as other:
                return copy_oplog(other, self.folder / "copies", emit=self.emit)
        if not name.startswith(_URIS):
            return Path(name)
        with closing(Database(self.address(name), label=redact_uri(name))) as other:
            return write_backup(other, self.folder / "copies", prefix="source", emit=self.emit).path

    # --- backup ---------------------------------------------------------------------------------------------

    def backup(
        self,
        folder: str | Path | None = None,
        *,
        collections: Sequence[str] | None = None,
        layout: Layout = "bson",
        prefix: str = "backup",
    ) -> BackupResult:
        """Take a verified copy of the database.

        Args:
            folder: Where it goes; the case's `backups` if None.
            collections: Only these.
            layout: "bson" (as mongodump writes it, with a manifest) or "json" (one file).
            prefix: What its name begins with.

        Raises:
            BadInputError: No database, no such collection, a folder that cannot be used.
        """
        if layout not in get_args(Layout):
            raise BadInputError(f"a backup has no layout {layout!r}", hint=f"choose of {', '.join(get_args(Layout))}")
        target = self.folder / "backups" if folder is None else Path(folder)
        with self._audited("backup", folder=str(target), layout=layout) as outcome:
            self.backup_taken = write_backup(
                self.database, target, layout=layout, prefix=prefix, collections=collections, emit=self.emit
            )
            outcome.update(path=str(self.backup_taken.path), records=self.backup_taken.records)
        return self.backup_taken

    # --- compare --------------------------------------------------------------------------------------------

    def compare(
        self,
        *named: str | Path,
        collection: str = "",
        key: Sequence[str] = (),
        target: str = "",
        as_of: str | None = None,
    ) -> Comparison:
        """Compare the database with sources: those named, else those of the last scan.

        Args:
            *named: Sources, as `scan` takes them.
            collection: Only this collection.
            key: The fields that identify a record, `_id` if none.
            target: The database's collection to compare it with.
            as_of: A point in time: the sources' side is then the database's state at that time, put together from
                the oplogs among them and the newest backup before it.

        Raises:
            BadInputError: A source cannot be read, an unknown collection, a key that does not identify records; a
                time that no oplog reaches to.
            ConnectionFailedError: The database does not answer.
        """
        details: dict[str, object] = {} if as_of is None else {"as_of": as_of}
        with self._audited("compare", collection=collection, target=target, key=list(key), **details) as outcome:
            if as_of is not None:
                parse_time(as_of)  # before anything is copied for it
            database = self.database
            entries = self.scan(*named).sources if named else self.scanned.sources or self._current()
            if not entries:
                raise BadInputError("this case has no source to compare with", hint="scan a backup or a dump")
            notes: list[str] = []
            if as_of is None:
                entries, notes = of_one_database(entries, self.database.name, named)
            else:
                entries, notes = self._state(entries, as_of)
            request = Request(entries, collection=collection, target=target, key=tuple(key), notes=tuple(notes))
            self.comparison = compare(request, database, self.catalog, self.folder / "comparisons", emit=self.emit)
            outcome.update(
                id=self.comparison.summary.id,
                sources=self.comparison.summary.sources,
                collections=self.comparison.summary.collections,
            )
        return self.comparison

    def _state(self, entries: Sequence[SourceEntry], as_of: str) -> tuple[list[SourceEntry], list[str]]:
        """Return the state of the database at a time as the one source, and what is to be said of it."""
        state, notes = state_at(
            as_of, entries, self.catalog, self.folder / "copies", database=self.database.name, emit=self.emit
        )
        self.audit.append("state written", path=str(state.path), as_of=as_of, unknown=state.unknown)
        found = catalogued(find_sources([state.path], tree=self.tree), self.catalog, emit=self.emit)
        if not found.sources:
            raise BadInputError(f"the state at {as_of} holds no record", hint="name a later time, or add a backup")
        return list(found.sources), notes

    def _current(self) -> list[SourceEntry]:
        """Return the catalogued sources that are still where they were, each as it was last scanned."""
        latest: dict[Path, SourceEntry] = {}
        for entry in sorted(self.catalog.entries(), key=lambda one: one.scanned_at):
            latest[entry.path] = entry
        return [entry for entry in latest.values() if entry.taken_from != AS_OF and self.tree.exists(entry.path)]

    def last_comparison(self) -> Comparison:
        """Return the newest comparison of the case.

        Raises:
            BadInputError: Nothing was compared yet.
        """
        if self.comparison is None:
            known = sorted((self.folder / "comparisons").glob("c*"))
            if not known:
                raise BadInputError("this case holds no comparison", hint="compare first")
            self.comparison = Comparison.load(known[-1], self.catalog)
        return self.comparison

    # --- restore --------------------------------------------------------------------------------------------

    def plan(
        self,
        comparison: Comparison | None = None,
        *,
        only: Sequence[Status | str] = (Status.MISSING, Status.CHANGED),
        keys: Path | str | Keys | Iterable[Choice] | None = None,
        on_conflict: OnConflict | str = OnConflict.SKIP,
    ) -> Plan:
        """Decide what a restore would write, record by record; nothing is written to the database.

        Args:
            comparison: What to restore from; the newest if None.
            only: Which differences: "missing", "changed", "equivalent".
            keys: Only these records: a keys file, or choices. They win over `only`.
            on_conflict: What to do where the database holds another version.

        Raises:
            BadInputError: `only` or `keys` cannot be used.
            ConflictError: `on_conflict` is "fail" and there are conflicts.
            DamagedSourceError: A source has changed since it was compared.
        """
        with self._audited("plan", only=[str(one) for one in only], on_conflict=str(on_conflict)) as outcome:
            comparison = comparison or self.last_comparison()
            statuses = [status for status in RESTORABLE if status.value in set(map(str, only))]
            if unknown := {str(one) for one in only} - {status.value for status in RESTORABLE}:
                raise BadInputError(
                    f"{', '.join(sorted(unknown))} cannot be restored", hint="choose of missing, changed, equivalent"
                )
            wanted = read_keys(Path(keys)) if isinstance(keys, str | Path) else keys
            chosen = wanted if isinstance(wanted, Keys) or wanted is None else Keys.of(wanted)
            plan = make_plan(
                select(comparison, self.database, statuses=statuses, keys=chosen), self.folder / "plans",
                database=self.database.label, on_conflict=OnConflict(on_conflict),
                sources={entry.id: printable(entry.path) for entry in comparison.sources.values()},
            )  # fmt: skip
            if chosen and not chosen.matched:
                raise BadInputError(
                    f"none of the {len(chosen.unmatched):,} keys is among the differences: these records are as in "
                    "the sources already, or no source holds them",
                    hint="name keys as compare --out lists them",
                )
            outcome.update(
                comparison=comparison.summary.id,
                digest=plan.digest,
                writes=plan.to_write,
                unmatched=len(chosen.unmatched) if chosen else 0,
            )
            self.unmatched = chosen.unmatched if chosen else []
        return plan

    def restore(
        self,
        plan: Plan,
        comparison: Comparison | None = None,
        *,
        transaction: bool = False,
        dry_run: bool = False,
    ) -> RestoreResult:
        """Apply a plan under a journal, or preview it.

        Args:
            plan: The plan.
            comparison: The comparison it was made from; the newest if None.
            transaction: Each batch is written as a whole or not at all.
            dry_run: Check everything, write nothing.

        Raises:
            RecoveryError: The target cannot be written to, another restore is at work, the server went away.
        """
        comparison = comparison or self.last_comparison()
        if plan.database != self.database.label:
            raise BadInputError(
                f"the plan {plan.digest[:16]} was made for {plan.database}, not for {self.database.label}",
                hint="compare and plan again with this database",
            )
        action = "restore preview" if dry_run else "restore"
        with self._audited(action, plan=plan.digest) as outcome:
            result = apply(
                plan, self.address(), payload=partial(planned_bytes, comparison),
                folder=self.folder / "restores", transaction=transaction,
                dry_run=dry_run, emit=self.emit, options=collection_options(comparison),
            )  # fmt: skip
            outcome.update(
                restore_id=result.restore_id,
                restored=result.restored,
                skipped=result.skipped,
                failed=result.failed,
            )
        if not dry_run:
            self.restored = result
        return result

    def rollback(self, restore_id: str) -> RollbackResult:
        """Undo a restore from its journal; what others have written since is left alone and said.

        Raises:
            BadInputError: The case knows no such restore.
        """
        with self._audited("rollback", restore_id=restore_id) as outcome:
            if Path(restore_id).name != restore_id:
                raise BadInputError(f"{restore_id!r} is no restore's id", hint="name one as the restore printed it")
            result = rollback(self.folder / "restores" / restore_id, self.address(), emit=self.emit)
            outcome.update(reverted=result.reverted, skipped=result.skipped, failed=result.failed)
        return result

    def restores(self) -> list[str]:
        """Return the ids of the case's restores, the newest last."""
        return [info.id for info in list_restores(self.folder / "restores")]

    # --- verify ---------------------------------------------------------------------------------------------

    def verify(self, target: str | Path | None = None) -> Verification:
        """Check a backup, a restore, a run, or, with no target, the whole case.

        Raises:
            BadInputError: There is no such thing.
        """
        if Path(target or self.folder).absolute() == self.folder and not self.audit.path.is_file():
            raise BadInputError(f"{target or self.folder} holds no case", hint="name its folder with --case")
        name = str(target or self.folder)
        try:
            # Before it is logged: an entry would take a torn end of the log for a crash that is accounted for.
            self.verified = verify_target(
                name, case=self.folder, address=self.address, audit=self.audit, tree=self.tree, emit=self.emit
            )
        except BaseException as error:
            self.audit.append("verify failed", target=name, error=str(error) or type(error).__name__)
            raise
        self.audit.append(
            "verify finished", target=name, ok=self.verified.ok, checked=self.verified.checked,
            problems=len(self.verified.problems),
        )  # fmt: skip
        return self.verified

    # --- report ---------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """Return the database's records by collection.

        Raises:
            ConnectionFailedError: The database does not answer.
        """
        return {
            name: self.database.count(name)
            for name, info in self.database.collections().items()
            if info.get("type") == "collection"
        }

    def report(self, *, errors: Sequence[str] = (), unrecoverable: Iterable[Unrecoverable] = ()) -> Report:
        """Return the recovery report of what this case did since it was opened. It changes nothing."""
        problems = [*self.scanned.errors, *errors]
        counts: dict[str, int] | None = None
        name, fields = "", dict[str, Set[str]]()
        if self.uri:
            try:
                counts, name = self.counts(), self.database.name
                if any("" in entry.collections for entry in self.scanned.sources):
                    fields = first_fields(self.database, counts)
            except RecoveryError as error:
                problems.append(str(error))
        facts = findings(
            case=self.folder, database=name, counts=counts,
            sources=self.scanned.sources or (tuple(self.comparison.sources.values()) if self.comparison else ()),
            comparison=self.comparison, backup=self.backup_taken, restore=self.restored, verification=self.verified,
            unrecoverable=unrecoverable, copies=self.scanned.copies, fields=fields,
        )  # fmt: skip
        return build_report(facts, list(dict.fromkeys(problems)))

    def save_report(self, report: Report, folder: Path | None = None) -> Path:
        """Save a report as `recovery_report_<timestamp>.json` in the case's `reports`, or in another folder."""
        path = write_report(report, folder or self.folder / "reports")
        self.audit.append("report saved", path=str(path), status=report.summary.status.value)
        return path
