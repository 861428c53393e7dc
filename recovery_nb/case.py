"""The case: one investigation in one folder, and the five verbs over it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from recovery_nb import verbs
from recovery_nb.audit import AuditLog, redact_uri
from recovery_nb.backups import BackupResult, Compression, Layout
from recovery_nb.catalog.store import Catalog
from recovery_nb.commands import command_line
from recovery_nb.compare.model import Status
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, silent
from recovery_nb.headless.record import Record
from recovery_nb.reports import Report, Unrecoverable, write_report
from recovery_nb.restore import OnConflict, Plan, RestoreResult, RollbackResult, Transaction, list_restores
from recovery_nb.scanning import Scan
from recovery_nb.selection import Choice, Keys
from recovery_nb.settings import Settings, load_settings
from recovery_nb.sources.address import beside, name_in
from recovery_nb.sources.mongodb import Database
from recovery_nb.sources.tree import Tree
from recovery_nb.verbs.choice import choose_sources
from recovery_nb.verification import Verification

__all__ = ["Case", "Scan"]


@dataclass
class Case:
    """One investigation: a folder, and the database it is about.

    Use `Case.open`, as a context manager or with `close`. Every verb is written to the audit log.

    Attributes:
        folder: The case's folder.
        uri: The database's URI, "" for none; `embedded:NAME` is a private server of the case's own.
        emit: Hears how far a verb is.
        unmatched: The choices of the last plan's keys that no difference answers to.
        into: Another database on the same server that is compared and restored into, "" for the database itself.
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
    into: str = ""

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
        folder, database = verbs.place(path, "the case"), verbs.text(database, "the database")
        if folder.exists() and not folder.is_dir():
            raise BadInputError(f"{folder} is a file, not a case's folder", hint="name another folder (--case)")
        settings = load_settings()
        return cls(folder.absolute(), database or settings.database.get_secret_value(), settings, emit)

    def __enter__(self) -> Case:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and stop the embedded server if this case started it."""
        if "database" in self.__dict__:
            self.__dict__.pop("database").close()
        self._servers.stop()

    @cached_property
    def _servers(self) -> verbs.Servers:
        return verbs.Servers(self.folder / "embedded")

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
        return self._servers.address(uri or self._target)

    def restore_into(self, name: str) -> None:
        """Compare with, and restore into, another database on the same server; "" for the database itself."""
        verbs.text(name, "the other database")
        if name != self.into and "database" in self.__dict__:
            self.__dict__.pop("database").close()
            self.comparison = None
        self.into = name

    @property
    def _target(self) -> str:
        return beside(self.uri, self.into) if self.uri and self.into else self.uri

    def command(self, *words: str) -> str:
        """Return the command line that does something on this case and its database; no secret is in it."""
        return command_line(*words, case=str(self.folder), database=redact_uri(self._target))

    @cached_property
    def database(self) -> Database:
        """The connected database, opened when it is first needed.

        Raises:
            BadInputError: No database was given, or its URI cannot be used.
            ConnectionFailedError: It does not answer.
        """
        return Database(self.address(), label=redact_uri(self._target))

    @property
    def _context(self) -> verbs.Context:
        """What a verb works with; made anew for each, since who listens may have changed."""
        return verbs.Context(
            folder=self.folder, label=redact_uri(self._target), origin=self.uri,
            called=name_in(self.uri) if self.into else "", emit=self.emit, audit=self.audit, tree=self.tree,
            catalog=self.catalog, resolve=self.address, connect=lambda: self.database, latest=self.last_comparison,
        )  # fmt: skip

    def scan(self, *named: str | Path) -> Scan:
        """Find and catalog every readable source: what is named, or what lies where backups usually lie.

        Args:
            *named: Files, folders, databases by URI, `oplog:` for what the oplog of the database's server tells of
                it, `oplog:URI` for another's; nothing for the usual folders and names.

        Raises:
            BadInputError: Nothing that was named can be read.
        """
        context = self._context
        with context.audited("scan", named=[redact_uri(str(name)) for name in named]) as outcome:
            self.scanned = verbs.scan_sources(context, named, self.settings)
            outcome.update(verbs.scan_facts(self.scanned))
            if named and not self.scanned.sources:
                raise BadInputError(verbs.nothing_readable(self.scanned.errors))
        return self.scanned

    def choose_sources(self, ids: Iterable[str] | None) -> None:
        """Choose which sources a comparison takes that names none; the case keeps it, for other sessions, too.

        Args:
            ids: The ids of those that take part: what else is catalogued now is left out, what is scanned later is not.
                An id that is not known (any more) is ignored. None for all.

        Raises:
            BadInputError: There is something else than ids.
            RecoveryError: It cannot be written.
        """
        choose_sources(self._context, ids)

    def backup(
        self,
        folder: str | Path | None = None,
        *,
        collections: Sequence[str] | None = None,
        layout: Layout = "bson",
        compression: Compression | None = None,
        age_recipients: Sequence[str] = (),
        prefix: str = "backup",
    ) -> BackupResult:
        """Take a verified copy of the database.

        Args:
            folder: Where it goes; the case's `backups` if None.
            collections: Only these; all if None.
            layout: "bson" (as mongodump writes it, with a manifest) or "json" (one file).
            compression: "zstd", "gzip" or "none"; by default "zstd" for bson and "none" for json.
            age_recipients: Whose keys open it: age and SSH public keys, or files of them; anyone's if none.
            prefix: What its name begins with.

        Raises:
            BadInputError: No database, no such collection, a folder that cannot be used.
        """
        self.backup_taken = verbs.take_backup(
            self._context, folder, collections=collections, layout=layout, compression=compression,
            age_recipients=age_recipients, prefix=prefix,
        )  # fmt: skip
        return self.backup_taken

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
        self.comparison = verbs.compare_with(
            self._context, named, scan=self.scan, scanned=self.scanned, collection=collection, key=key, target=target,
            as_of=as_of,
        )  # fmt: skip
        return self.comparison

    def last_comparison(self) -> Comparison:
        """Return the newest comparison of the case.

        Raises:
            BadInputError: Nothing was compared yet.
        """
        if self.comparison is None:
            self.comparison = verbs.newest_comparison(self._context)
        return self.comparison

    def plan(
        self,
        comparison: Comparison | None = None,
        *,
        only: Sequence[Status | str] = (Status.MISSING, Status.CHANGED),
        keys: Path | str | Keys | Iterable[Choice | str] | None = None,
        query: str = "",
        on_conflict: OnConflict | str = OnConflict.SKIP,
        mark: str = "",
        transaction: Transaction = "",
    ) -> Plan:
        """Decide what a restore would write, record by record; nothing is written to the database.

        Args:
            comparison: What to restore from; the newest if None.
            only: Which differences: "missing", "changed", "equivalent".
            keys: Only these records: a keys file, keys as comparisons show them, or choices. They win over `only`.
            query: Only records that match this query over their fields: Extended JSON, or `@FILE`.
            on_conflict: What to do where the database holds another version.
            mark: A field that every restored record gets, with the time of the plan.
            transaction: What is written as a whole or not at all: each "batch", the whole "plan", or "".

        Raises:
            BadInputError: An argument cannot be used.
            ConflictError: `on_conflict` is "fail" and there are conflicts.
            DamagedSourceError: A source has changed since it was compared.
        """
        plan, self.unmatched = verbs.plan_restore(
            self._context, comparison, only=only, keys=keys, query=query, on_conflict=on_conflict, mark=mark,
            transaction=transaction,
        )  # fmt: skip
        return plan

    def structures(self, comparison: Comparison | None = None) -> dict[str, str]:
        """Return what the database lacks of collections, time-series and views that sources describe.

        They may hold no record, and are lost all the same.

        Args:
            comparison: What was found; the newest comparison if None.

        Returns:
            By name, options and indexes as `Plan.structures` holds them.

        Raises:
            ConnectionFailedError: The database does not answer.
        """
        return verbs.lost_structures(self._context, comparison)

    def restore(self, plan: Plan, comparison: Comparison | None = None, *, dry_run: bool = False) -> RestoreResult:
        """Apply a plan under a journal, or foresee what would come of each of its records.

        Args:
            plan: The plan.
            comparison: The comparison it was made from; the newest if None.
            dry_run: Write nothing.

        Raises:
            RecoveryError: The target cannot be written to, another restore is at work, the server went away.
        """
        result = verbs.apply_plan(self._context, plan, comparison, dry_run=dry_run)
        if not dry_run:
            self.restored = result
        return result

    def resume(self, restore_id: str) -> RestoreResult:
        """Finish a restore that was interrupted: what was under way is looked at, the rest of its plan is written.

        Raises:
            RecoveryError: The case knows no such restore, it was rolled back, or the server went away again.
        """
        self.restored = verbs.finish_restore(self._context, restore_id)
        return self.restored

    def rollback(
        self,
        restore_id: str,
        *,
        keys: Path | str | Keys | Iterable[Choice | str] | None = None,
        force: bool = False,
    ) -> RollbackResult:
        """Undo a restore from its journal; what others have written since is left alone and said.

        Args:
            restore_id: The restore.
            keys: Only these records, as `plan` takes them.
            force: Undo what others have written since, too.

        Raises:
            BadInputError: The case knows no such restore, or `keys` cannot be used.
        """
        result, self.unmatched = verbs.undo_restore(self._context, restore_id, keys=keys, force=force)
        return result

    def restores(self) -> list[str]:
        """Return the ids of the case's restores, the newest last."""
        return [info.id for info in list_restores(self.folder / "restores")]

    def verify(self, target: str | Path | None = None, *, live: bool = False) -> Verification:
        """Check a backup, a restore, a run, or, with no target, the whole case.

        Args:
            target: What to check.
            live: Compare a backup with the database as it is now, too.

        Raises:
            BadInputError: There is no such thing.
        """
        self.verified = verbs.check(self._context, target, live=live)
        return self.verified

    def counts(self) -> dict[str, int]:
        """Return the database's records by collection.

        Raises:
            ConnectionFailedError: The database does not answer.
        """
        return verbs.count_records(self.database)

    def report(self, *, errors: Sequence[str] = (), unrecoverable: Iterable[Unrecoverable] = ()) -> Report:
        """Return the recovery report of what this case did since it was opened. It changes nothing."""
        return verbs.tell(
            self._context, self.scanned, comparison=self.comparison, backup=self.backup_taken, restore=self.restored,
            verification=self.verified, errors=errors, unrecoverable=unrecoverable,
        )  # fmt: skip

    def record(self, notebook: str | Path | None = None, *, out: str | Path | None = None, pdf: bool = False) -> Record:
        """Leave the record of the notebook that this kernel runs: all that it shows, for reading without a kernel.

        A folder in the case's `runs` gets the frozen notebook and the same as one page of HTML. What cells and clicks
        showed comes from the kernel, from the call of `begin` on; the text of the notebook from its file.

        Args:
            notebook: The notebook, where its front end does not tell; one that does not run here is recorded as its
                file holds it.
            out: Another folder for the record's own folder to be in.
            pdf: Print the page, too.

        Raises:
            BadInputError: It is not known which notebook this kernel runs, or there is no such file.
            ConflictError: The notebook must be saved first: its file is not of this session.
            MissingRequirementError: There is no Chromium to print with.
            RecoveryError: The record cannot be written.
        """
        return verbs.leave_record(self._context, notebook, out=out, pdf=pdf)

    def save_report(self, report: Report, folder: Path | None = None) -> Path:
        """Save a report as `recovery_report_<timestamp>.json` in the case's `reports`, or in another folder."""
        path = write_report(report, folder or self.folder / "reports")
        self.audit.append("report saved", path=str(path), status=report.summary.status.value)
        return path
