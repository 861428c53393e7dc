"""The writing of a plan, under its journal: what is missing is made, then batch by batch, and the rest at last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pymongo.client_session import ClientSession

from recovery_nb.errors import BadInputError
from recovery_nb.events import Emit, Event, silent
from recovery_nb.restore.begun import Begun
from recovery_nb.restore.exchange import Change, exchange, exchange_all, exchange_whole
from recovery_nb.restore.files import RestoreInfo
from recovery_nb.restore.journal import Journal
from recovery_nb.restore.pipeline import Done, Pipeline, done, left
from recovery_nb.restore.plan import Plan
from recovery_nb.restore.prepare import Payload, Prepared, is_empty, prepare, written
from recovery_nb.restore.result import Count, Problem
from recovery_nb.restore.rows import WRITING, Rows
from recovery_nb.restore.structure import Structure, listed_indexes, shown
from recovery_nb.restore.target import Target

__all__ = ["BATCH_BYTES", "Work", "collections_written"]

BATCH_BYTES = 8 * 1024 * 1024
"""How many bytes of records end a batch."""


def collections_written(plan: Plan) -> list[str]:
    """Return the collections that a plan writes to."""
    return [name for name, counts in plan.collections.items() if not WRITING.isdisjoint(counts)]


class Work:
    """One application of a plan, under its journal."""

    def __init__(
        self,
        plan: Plan,
        target: Target,
        info: RestoreInfo,
        count: Count,
        payload: Payload,
        emit: Emit,
        begun: Begun,
    ) -> None:
        self._plan, self._target, self._info = plan, target, info
        self._count, self._payload, self._emit = count, payload, emit
        self._begun = begun
        self._made: list[str] = []
        self._known = set(begun.known)
        self._fresh: dict[str, bool] = {}
        self._done = 0

    def run(self, most: int, sessions: Sequence[ClientSession]) -> None:
        """Do everything, from the missing collections to the journal's end."""
        info, plan = self._info, self._plan
        header = {"restore": info.id, "plan": plan.digest, "database": info.database, "comparison": info.comparison}
        with Journal(info.path / "journal.bson", header) as journal:
            self._done = self._begun.count(plan, self._count)
            self._make_collections(journal)
            if plan.transaction == "plan":
                self._all_at_once(journal, most)
            else:
                self._batch_by_batch(journal, most, sessions)
            for name in self._made:
                self._build(name, unique=False)
            self._make_views(journal)
            journal.end(self._count.counts())

    def _make_collections(self, journal: Journal) -> None:
        """Make what is missing, empty collections too, with all that can refuse a record."""
        for name in dict.fromkeys([*map(shown, collections_written(self._plan)), *self._plan.structures]):
            if self._is_view(name):
                continue
            if name in self._begun.made and self._target.exists(name):
                self._know(journal, name)
            elif self._target.exists(name) or not self._make(journal, name):
                continue
            self._made.append(name)
            self._build(name, unique=True)

    def _make_views(self, journal: Journal) -> None:
        for name in self._plan.structures:
            if name in self._begun.made and self._target.exists(name):
                self._know(journal, name)
            elif not self._target.exists(name) and self._is_view(name):
                try:
                    self._make(journal, name)
                except BadInputError as error:
                    self._count.problem(Problem(name, "", str(error)))

    def _is_view(self, name: str) -> bool:
        return Structure.parse(self._plan.structures.get(name, "")).kind == "view"

    def _make(self, journal: Journal, name: str) -> bool:
        structure = self._plan.structures.get(name, "")
        journal.created(name, structure)
        try:
            made = self._target.create(name, structure)
        except BadInputError:
            journal.existed(name)
            raise
        if made:
            self._know(journal, name)
        else:
            journal.existed(name)
        return made

    def _know(self, journal: Journal, name: str) -> None:
        if name not in self._known:
            self._known.add(name)
            journal.collection(name, self._target.uuid(name))

    def _build(self, name: str, *, unique: bool) -> None:
        for reason in self._target.build_indexes(name, self._plan.structures.get(name, ""), unique=unique):
            self._count.problem(Problem(name, "", reason))

    def _batch_by_batch(self, journal: Journal, most: int, sessions: Sequence[ClientSession]) -> None:
        target, whole = self._target, self._plan.transaction == "batch"
        before, in_order = "", whole
        with Pipeline(
            journal, target, exchange_whole if whole else exchange, sessions=sessions, take=self._take
        ) as line:
            try:
                for rows in self._begun.rest(self._plan.batches(most, BATCH_BYTES)):
                    batch = self._prepare(rows)
                    if batch.collection not in ("", before):
                        line.drain()
                        before = batch.collection
                        self._know(journal, before)
                        in_order = whole or target.capped(before) or _in_each_others_way(target, before)
                    line.put(batch, in_order=in_order)
                line.drain()
            except BaseException:
                self._emit = silent  # what is still under way is waited for, and told no more
                raise

    def _all_at_once(self, journal: Journal, most: int) -> None:
        """Write the whole plan in one transaction: all intents are in the journal before it begins."""
        sent: list[tuple[int, Prepared]] = []

        def batches() -> Iterator[tuple[str, Sequence[Change]]]:
            for rows in self._begun.rest(self._plan.batches(most, BATCH_BYTES)):
                batch = self._prepare(rows)
                if batch.places:
                    self._know(journal, batch.collection)
                sent.append((journal.write(batch.intents(), batch.skipped()), batch))
                if batch.places:
                    yield batch.collection, batch.changes()
            journal.sync()

        try:
            verdicts = iter(exchange_all(self._target, batches()))
        except BadInputError:
            for number, batch in sent:
                journal.settle(number, left(Done(batch, (), sent=False)))
            raise
        for number, batch in sent:
            one = done(self._target, batch, next(verdicts) if batch.places else [])
            journal.settle(number, left(one))
            self._take(one)

    def _prepare(self, rows: Rows) -> Prepared:
        collection = written(rows)
        if collection not in self._fresh:
            self._fresh[collection] = is_empty(self._target, collection)
        return prepare(self._target, self._plan, rows, self._payload, fresh=self._fresh[collection])

    def _take(self, one: Done) -> None:
        if not one.sent:
            return
        rows = one.batch.rows
        self._count.take(rows, one.remarks)
        self._done += sum(action in WRITING for action in rows.actions)
        self._emit(Event("restore", one.batch.collection or rows.collections[-1], self._done, self._plan.to_write))


def _in_each_others_way(target: Target, collection: str) -> bool:
    """Return whether of two records with different `_id`s only the first can be written: the order then decides."""
    return any(
        index.get("unique") or "collation" in index for index in listed_indexes(target.database, shown(collection))
    )
