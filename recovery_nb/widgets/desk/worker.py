"""One job at a time in a thread of its own, so that a panel shows how far it is and can stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from recovery_nb.errors import ConflictError
from recovery_nb.events import Emit, Event

__all__ = ["Job", "Worker"]

_EVERY_SECONDS = 0.25

Job = Callable[[Emit], None]
"""What is to be done. It tells how far it is, and ends by KeyboardInterrupt where it is told to stop."""


class Worker:
    """Runs a job at a time and says how far it is.

    Args:
        told: Is called from the job's thread with each event that is worth showing, four times a second at most.

    Attributes:
        name: What is being done, "" for nothing.
        event: The last that was told of it; None before the first.
        stopping: Whether it was told to stop.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._next = 0.0
        self.name = ""
        self.event: Event | None = None

    @property
    def stopping(self) -> bool:
        """Whether the job was told to stop."""
        return bool(self.name) and self._stop.is_set()

    def start(self, name: str, job: Job, *, ended: Callable[[str, BaseException | None], None]) -> None:
        """Begin a job.

        Args:
            name: What it is: "preview", "restore", "resume", "rollback".
            job: The job.
            ended: Is called from its thread when it is over, with its name and the error that ended it. By then the
                worker is free again.

        Raises:
            ConflictError: Another job is at work.
        """
        self.refuse_while_busy()
        self.name, self.event, self._next = name, None, 0.0
        self._stop.clear()
        # A kernel that is shut down does not wait for it: a restore that is killed can be resumed.
        self._thread = threading.Thread(target=self._run, args=(name, job, ended), name=f"desk {name}", daemon=True)
        self._thread.start()

    def refuse_while_busy(self) -> None:
        """Raise ConflictError while a job is at work."""
        if self.name:
            raise ConflictError(f"a {self.name} is at work in this panel", hint="wait until it has ended, or cancel it")

    def cancel(self) -> None:
        """Tell the job to stop where it next says how far it is: between two batches, as Ctrl-C does."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is at work; return whether that is so."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def hear(self, event: Event) -> None:
        """Take what the job tells.

        Raises:
            KeyboardInterrupt: The job was told to stop.
        """
        if self._stop.is_set():
            raise KeyboardInterrupt("cancelled in the panel")
        self.event = event
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_SECONDS
            self._told()

    def _run(self, name: str, job: Job, ended: Callable[[str, BaseException | None], None]) -> None:
        error: BaseException | None = None
        try:
            job(self.hear)
        except BaseException as raised:
            error = raised
        self.name = ""
        ended(name, error)
