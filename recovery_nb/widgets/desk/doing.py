"""What the desk does to the database, and undoes: previewed, confirmed, in a thread that can be told to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from recovery_nb.browse.browser import Browser
from recovery_nb.case import Case
from recovery_nb.compare.result import Comparison
from recovery_nb.errors import BadInputError, RecoveryError
from recovery_nb.events import Emit
from recovery_nb.reports.html import Markup
from recovery_nb.restore import OnConflict
from recovery_nb.widgets import views
from recovery_nb.widgets.desk import jobs, kept, telling
from recovery_nb.widgets.desk.deciding import Decision, Options
from recovery_nb.widgets.desk.jobs import Outcome
from recovery_nb.widgets.desk.wire import Json, clipped
from recovery_nb.widgets.desk.worker import Worker
from recovery_nb.widgets.markup import answer

__all__ = ["Doing", "Listener", "line_of"]


class Listener(Protocol):
    """Who is told, from the job's thread, what has come of it."""

    def keep(self, title: str, what: Markup) -> None:
        """Keep an entry in the record."""

    def say(self, text: str, *, tone: str = "pending") -> None:
        """Say a line in the panel, and show what has changed."""

    def show_progress(self) -> None:
        """Show how far a job is."""

    def fail(self, what: str, line: str) -> None:
        """Keep and log that something failed, and have it said when the screen is shown next."""


class Doing:
    """Previews, restores, resumes and rolls back, one at a time.

    Args:
        case: The case; each job opens it for itself.
        comparison: What is restored from.
        browser: What is picked.
        options: How a restore is done at first.
        listener: Is told what comes of it.

    Attributes:
        decision: What is about to be done.
        worker: What is at work.
    """

    def __init__(
        self, case: Case, comparison: Comparison, *, browser: Browser, options: Options, listener: Listener
    ) -> None:
        self._case, self._comparison, self._browser, self._listener = case, comparison, browser, listener
        self.decision = Decision(options)
        self.worker = Worker(listener.show_progress)
        self._preview: Json | None = None
        self._result: Json | None = None
        self._restores: list[Json] = []
        self.refresh()

    def refresh(self) -> None:
        """Look again which restores there are: other panels and commands make some, too."""
        self._restores = telling.restores(jobs.restores_of(self._case, self._comparison))

    def state(self) -> Json:
        """Return what is decided, how far a job is, and what came of the last one."""
        worker, event = self.worker, self.worker.event
        job = {
            "name": worker.name, "stopping": worker.stopping, "what": clipped(event.what) if event else "",
            "done": event.done if event else 0, "total": event.total if event else 0,
        }  # fmt: skip
        fresh = self.decision.is_fresh(self._browser.revision)
        return {
            "job": job if worker.name else None, "options": self.decision.options.as_dict(),
            "conflicts": [one.value for one in OnConflict],
            "preview": {**self._preview, "fresh": fresh} if self._preview else None, "result": self._result,
            "restores": self._restores,
        }  # fmt: skip

    def set_options(self, values: Mapping[str, Any]) -> Json:
        """Take other options: what was previewed is not under these."""
        self.decision.options = self.decision.options.changed(values)
        return {}

    def cancel(self, _: Mapping[str, Any]) -> Json:
        """Stop what is at work between two batches."""
        self.worker.cancel()
        return {}

    def preview(self, _: Mapping[str, Any]) -> Json:
        """Begin to plan, and to foresee what would come of the plan.

        Raises:
            BadInputError: Nothing is picked.
        """
        if not self._browser.picked:
            raise BadInputError("nothing is selected", hint="select records first")
        revision, options = self._browser.revision, self.decision.options

        def job(emit: Emit) -> None:
            with self._working(emit) as (case, comparison):
                found = jobs.preview(case, comparison, self._browser, options, revision=revision)
            self.decision.previewed, self._preview = found, telling.preview(found)
            self._listener.keep("Preview", kept.previewed(self._browser, found))
            self._listener.say(self._preview["text"], tone=self._preview["tone"])

        self._preview = self._result = self.decision.previewed = None
        self._start("preview", job)
        return {}

    def restore(self, values: Mapping[str, Any]) -> Json:
        """Begin to write the plan that was previewed.

        Raises:
            ConflictError: It is not of what is picked now, or not the one that the browser shows.
            BadInputError: It is not confirmed.
        """
        now = self._browser.revision
        shown = values.get("revision")
        one = self.decision.take(
            now if shown == now else -1, digest=values.get("digest"), confirmation=values.get("confirmation")
        )
        self._preview = None

        def job(emit: Emit) -> None:
            with self._interruptible(one.plan.digest), self._working(emit) as (case, comparison):
                self._restored(jobs.write(case, comparison, one.plan), "restored")

        self._start("restore", job)
        return {}

    def resume(self, values: Mapping[str, Any]) -> Json:
        """Begin to finish a restore that was interrupted."""
        restore_id = _named(values)

        def job(emit: Emit) -> None:
            with self._interruptible(restore_id), self._working(emit) as (case, _):
                self._restored(jobs.finish(case, restore_id), "restored in all")

        self._start("resume", job)
        return {}

    def roll_back(self, values: Mapping[str, Any]) -> Json:
        """Begin to undo a restore."""
        restore_id = _named(values)

        def job(emit: Emit) -> None:
            with self._working(emit) as (case, _):
                undone = case.rollback(restore_id)
            self._result = telling.rolled_back(undone)
            self._listener.keep("Rollback", views.rolled_back(undone))
            self._listener.say(self._result["text"], tone=self._result["tone"])

        self._start("rollback", job)
        return {}

    def _start(self, name: str, job: Callable[[Emit], None]) -> None:
        self.worker.start(name, job, ended=self._ended)

    @contextmanager
    def _working(self, emit: Emit) -> Iterator[tuple[Case, Comparison]]:
        """Give the job a case and a comparison of its own."""
        with jobs.lent(self._case, emit) as case:
            yield case, Comparison.load(self._comparison.folder, case.catalog)

    def _restored(self, one: Outcome, verb: str) -> None:
        self._case.restored, self._case.verified = one.result, one.checked  # for the report of a later cell
        self._result = telling.written(self._case, one, verb=verb)
        self._listener.keep("Restore", views.restored(self._case, one.result))
        self._listener.keep("Verification", kept.verified(one))
        self._listener.say(self._result["text"], tone=self._result["tone"])

    @contextmanager
    def _interruptible(self, name: str) -> Iterator[None]:
        """Where a restore, named by its id or its plan's digest, ends before its end, offer to go on with it."""
        try:
            yield
        except BaseException:
            begun = jobs.begun(self._case, name)
            self._result = telling.interrupted(begun) if begun else self._result
            raise

    def _ended(self, name: str, error: BaseException | None) -> None:
        self.refresh()
        if isinstance(error, KeyboardInterrupt):
            left = f" {self._result['text']}" if name in ("restore", "resume") and self._result else ""
            text = f"The {name} was cancelled.{left}"
            self._listener.keep(f"{name.capitalize()} cancelled", answer(text, tone="partial"))
            self._listener.say(text, tone="partial")
        elif error is not None:
            self._listener.fail(name, line_of(error))
        self._listener.show_progress()


def line_of(error: BaseException) -> str:
    """Return an error as one line; of one that is not foreseen, its type too."""
    return str(error) if isinstance(error, RecoveryError) else f"{type(error).__name__}: {error}"


def _named(values: Mapping[str, Any]) -> str:
    restore_id = values.get("id")
    if not isinstance(restore_id, str) or not restore_id:
        raise BadInputError("no restore is named", hint="send its id")
    return restore_id
